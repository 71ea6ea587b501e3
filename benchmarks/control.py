"""Measure whether speed, pitch and pauses do what they say, and write a table.

    python benchmarks/control.py docs/controls.md [--weights FOLDER] [--sentences 12]

Durations are of the sound, F0 is Praat's: a speaker's median over a sentence, over frames that both versions
voice. Built-in voices in turn read the sentences of `voiceswap evaluate`. Needs `voiceswap[eval]`.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from shown import table

import voiceswap
from voiceswap.evaluation import pitch as melody
from voiceswap.evaluation.protocol import bundled_sentences
from voiceswap.speech import Speech

SPEEDS = (0.5, 0.8, 1.25, 2.0)
PITCHES = (-6.0, -3.0, 3.0, 6.0)
PAUSES = (0.3, 1.0)
QUIET = 0.02  # of the loudest: below is a pause
Say = Callable[..., Speech]


def f0_of(speech: Speech) -> np.ndarray:
    return melody.track(speech.samples, speech.sample_rate)


def semitones(speech: Speech, plain: Speech) -> float:
    """The median difference of F0, frame by frame; the two have the same timing."""
    one, other = f0_of(speech), f0_of(plain)
    length = min(len(one), len(other))
    both = (one[:length] > 0) & (other[:length] > 0)
    return float(np.median(12 * np.log2(one[:length][both] / other[:length][both])))


def longest_pause(speech: Speech) -> float:
    """Seconds of the longest quiet stretch that has sound on both sides."""
    step = speech.sample_rate // 200
    frames = speech.samples[: len(speech.samples) // step * step].reshape(-1, step)
    loud = np.flatnonzero(np.abs(frames).max(1) > QUIET * np.abs(speech.samples).max())
    return float(np.diff(loud).max() - 1) * step / speech.sample_rate


def measure(say: Say, sentences: Sequence[str]) -> Iterator[tuple[str, str, list[float]]]:
    """What was asked, in what unit, and how far off each sentence was."""
    plain = [say(number, text) for number, text in enumerate(sentences)]
    for speed in SPEEDS:
        made = [say(number, text, speed=speed) for number, text in enumerate(sentences)]
        off = [100 * (m.duration * speed / p.duration - 1) for m, p in zip(made, plain, strict=True)]
        yield f"`speed={speed:g}`: duration", "%", off
    for pitch in PITCHES:
        made = [say(number, text, pitch=pitch) for number, text in enumerate(sentences)]
        moved = [semitones(m, p) - pitch for m, p in zip(made, plain, strict=True)]
        yield f"`pitch={pitch:+g}`: F0", "semitones", moved
    for seconds in PAUSES:
        off = []
        for number, text in enumerate(sentences):
            first, last = text.rstrip(".!?").split(" ", 1)
            off.append(longest_pause(say(number, f"{first} [[pause {seconds}s]] {last}.")) - seconds)
        yield f"`[[pause {seconds:g}s]]`: the pause", "s", off


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path, help="where the table goes, as Markdown")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--sentences", type=int, default=12)
    args = parser.parse_args()
    studio = voiceswap.load("cpu", weights=args.weights)
    voices = [studio.voices[name] for name in sorted(studio.voices)]

    def say(number: int, text: str, **controls: float) -> Speech:
        return studio.speak(text, voices[number % len(voices)], seed=number, **controls)  # type: ignore[arg-type]

    body = []
    for asked, unit, off in measure(say, bundled_sentences()[: args.sentences]):
        worst = max(off, key=abs)
        body.append([asked, unit, f"{np.median(off):+.2f}", f"{worst:+.2f}"])
        print(" | ".join(body[-1]))
    text = (
        "# Do the controls do what they say?\n\n"
        f"Written by `python benchmarks/control.py docs/controls.md --sentences {args.sentences}`: how far "
        "off what is heard is from what was asked for, in built-in voices. F0 is Praat's.\n\n"
        + table(["asked for", "off by, in", "median", "worst sentence"], body)
        + "\n"
    )
    args.page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
