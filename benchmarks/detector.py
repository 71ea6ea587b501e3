"""How well the detector tells people from generators, by generator and by what was done to the sound.

python benchmarks/detector.py FAKES [TRAINED]

FAKES is what `benchmarks/fakes.py` made of the split `dev-unseen`, TRAINED what the detector learned from: a
generator that is not in it is one that the detector never heard. Equal error rates on clips of 4 s.
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import numpy as np
import torch
import watermark

from voiceswap import audio, checkpoint
from voiceswap.models.detector import RATE
from voiceswap.suspicion import WEIGHTS
from voiceswap.training.tasks.detector import PEOPLE, clip_score, equal_error

SECONDS = 4
WANTED = ("none", "Opus, 16 kbit/s", "8 kHz and back", "white noise, 20 dB")
MOST = 50  # clips of a generator


def clips(folder: Path) -> list[np.ndarray]:
    """The middles of a generator's recordings, at 24 kHz and of one level."""
    found = []
    for path in sorted(folder.iterdir())[:MOST]:
        samples = audio.read(path)
        start = max(0, len(samples) // 2 - SECONDS * audio.SAMPLE_RATE // 2)
        clip = samples[start : start + SECONDS * audio.SAMPLE_RATE]
        if len(clip) >= audio.SAMPLE_RATE:
            found.append(clip / max(1e-6, float(clip.std())) * 0.05)
    return found


def main(fakes: Path, trained: Path | None) -> None:
    model, device = checkpoint.load(WEIGHTS, "detector"), torch.device("cpu")
    treated = {name: attack for name, attack in watermark.attacks([]).items() if name in WANTED}
    speech = {folder.name: clips(folder) for folder in sorted(fakes.iterdir()) if folder.is_dir()}
    people = speech.pop(PEOPLE)
    scores: dict[str, dict[str, np.ndarray]] = {}
    for how, attack in treated.items():
        scores[how] = {}
        for name, found in {PEOPLE: people, **speech}.items():
            rng = np.random.default_rng(0)
            made = [attack(clip, watermark.Context(rng, people, clip)) for clip in found]
            narrow = [watermark.soxr.resample(clip, audio.SAMPLE_RATE, RATE) for clip in made]
            scores[how][name] = np.array([clip_score(model, clip, device) for clip in narrow])
    print(f"| generator | heard in training | clips | {' | '.join(treated)} |")
    print("|---" * (len(treated) + 3) + "|")
    rates: dict[str, list[float]] = {}
    for name, found in speech.items():
        cells = [equal_error(scores[how][PEOPLE], scores[how][name]) for how in treated]
        rates[name] = cells
        heard = "" if trained is None else "yes" if (trained / name).is_dir() else "**no**"
        shown = " | ".join(f"{100 * cell:.0f} %" for cell in cells)
        print(f"| {name} | {heard} | {len(found)} | {shown} |", flush=True)
    plain = scores["none"][PEOPLE]
    print(f"\n{len(people)} recordings of people; {np.mean(plain > 0):.1%} of them score above 0.5.")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
