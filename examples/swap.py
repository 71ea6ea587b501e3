"""The swap of two autoencoders: adapt the decoder to each of two people, then convert either into the other.

Both must have agreed to "convert" and to "train". A few minutes of speech each are needed.

python examples/swap.py ada-talks grace-talks 2
"""

import sys
from datetime import date, timedelta
from pathlib import Path

import voiceswap
from voiceswap.training.adapt import adapt


def main(first: str, second: str, steps: str = "500") -> None:
    studio = voiceswap.load()
    folders = [Path(first), Path(second)]
    voices = []
    for folder in folders:
        consent = voiceswap.Consent(
            name=folder.name, scope=["convert", "train"], until=date.today() + timedelta(days=365)
        )
        voice = studio.enroll(sorted(folder.iterdir())[:3], consent=consent)
        voices.append(adapt(voice, folder, Path(f"{folder}.run"), steps=int(steps)))
        voices[-1].save(f"{folder}.voice")
    for folder, voice in zip(folders, reversed(voices), strict=True):  # one shared encoder, two decoders
        studio.convert(sorted(folder.iterdir())[0], voice).save(f"{folder}-swapped.wav")


if __name__ == "__main__":
    main(*sys.argv[1:])
