"""Convert a recording of any format and length into a built-in voice.

python examples/convert.py talk.mp3 tenor-1 talk-as-tenor.wav
"""

import sys

import voiceswap


def main(recording: str, voice: str, out: str) -> None:
    studio = voiceswap.load()
    speech = studio.convert(recording, studio.voices[voice], pitch=0.0)
    speech.save(out)
    print(f"{out}: {speech.duration:.1f} s at {speech.sample_rate} Hz")


if __name__ == "__main__":
    main(*sys.argv[1:])
