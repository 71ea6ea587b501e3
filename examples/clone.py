"""Enroll a person who has agreed to it, keep the voice in a file, and speak with it.

Ten seconds of clear speech or more make a better voice than three; several files are averaged.

python examples/clone.py "Ada Example" ada.voice me-1.wav me-2.wav
"""

import sys
from datetime import date, timedelta

import voiceswap


def main(name: str, out: str, *recordings: str) -> None:
    consent = voiceswap.Consent(  # what this person agreed to: speaking texts, for a year
        name=name, scope=["speak"], until=date.today() + timedelta(days=365)
    )
    studio = voiceswap.load()
    studio.enroll(list(recordings), consent=consent).save(out)

    voice = voiceswap.Voice.load(out)
    print(f"{voice.name}: speaks at {voice.f0_median:.0f} Hz")
    studio.speak("This is how I sound.", voice).save("cloned.wav")
    try:
        studio.convert(recordings[0], voice)
    except voiceswap.ConsentError as error:
        print(error)  # converting was not agreed to


if __name__ == "__main__":
    main(*sys.argv[1:])
