"""Speak a text in a built-in voice, and tell how soon its first piece was there.

python examples/speak.py "It costs $3.50. The train leaves at 7:45." alto-1 spoken.wav
"""

import sys
import time

import voiceswap


def main(text: str, voice: str, out: str) -> None:
    studio = voiceswap.load()
    print("Voices:", ", ".join(studio.voices))
    speech = studio.speak(text, studio.voices[voice], speed=1.0, pitch=0.0, seed=0)
    speech.save(out)
    print(f"{out}: {speech.duration:.1f} s")

    start = time.perf_counter()
    for piece in studio.stream(text, studio.voices[voice]):  # to be played as they come
        print(f"{piece.duration:.1f} s of speech after {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
