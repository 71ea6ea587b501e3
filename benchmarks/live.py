"""Measure conversion of a stream: its delay, its speed, and how far it is from conversion of the recording.

    python benchmarks/live.py CORPUS [--recordings 10] [--weights FOLDER]

Recordings of people who were never trained on go into built-in voices in turn, in blocks of 10 ms. Distances
to the conversion of the whole recording are mean differences of log-mels, in dB, over frames in which either
is within 40 dB of its loudest; for comparison, those of the recording cut a second short at the beginning.
F0 correlates by our own tracker, frames half an octave off left out. One thread,
times of processor and clock.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import voiceswap
from voiceswap import audio
from voiceswap.acoustics import ACOUSTICS, f0_track, log_mel
from voiceswap.evaluation.pitch import compare
from voiceswap.evaluation.protocol import read_manifest
from voiceswap.live import DELAY, HOP

BLOCK = 240
SECOND = ACOUSTICS.sample_rate
DB = 20 / np.log(10)


def recordings(corpus: Path, count: int) -> list[Path]:
    """One recording of 4 s or more of each of `count` people of the split dev-unseen."""
    long = [recording for recording in read_manifest(corpus) if recording.seconds >= 4]
    first = {recording.speaker: recording.path for recording in reversed(long)}
    return [first[speaker] for speaker in sorted(first)][:count]


def blocks(samples: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(samples), BLOCK):
        yield samples[start : start + BLOCK]


def timed(pieces: Iterator[voiceswap.Speech]) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """The samples, and what each piece took of the processor and of the clock: no block is waited for."""
    made, seconds = [], []
    then = time.process_time(), time.perf_counter()
    for piece in pieces:
        now = time.process_time(), time.perf_counter()
        seconds.append((now[0] - then[0], now[1] - then[1]))
        made.append(piece.samples)
        then = time.process_time(), time.perf_counter()
    return np.concatenate(made), seconds


def distance(one: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Of two sounds [N]: mean difference in dB of the log-mels where they are heard, correlation of F0."""
    mels = log_mel(torch.from_numpy(np.stack([one, other]))).numpy()
    level = mels.mean(1).max(0)
    apart = float(np.abs(mels[0] - mels[1])[:, level > level.max() - 40 / DB].mean() * DB)
    return apart, compare(f0_track(one), f0_track(other)).get("f0_correlation", np.nan)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--recordings", type=int, default=10)
    parser.add_argument("--weights", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    studio = voiceswap.load("cpu", weights=args.weights)
    voices = [studio.voices[name] for name in sorted(studio.voices)]
    list(studio.stream_convert(blocks(np.zeros(24000, np.float32)), voices[0]))  # reads the weights
    rows, spent = [], []
    for number, path in enumerate(recordings(args.corpus, args.recordings)):
        samples, voice = audio.read(path), voices[number % len(voices)]
        whole = studio.convert((samples, 24000), voice).samples
        cut = studio.convert((samples[SECOND:], 24000), voice).samples
        known, _ = timed(studio.stream_convert(blocks(samples), voice, source=path))
        made, seconds = timed(studio.stream_convert(blocks(samples), voice))
        row = [distance(made, whole), distance(made[3 * SECOND :], whole[3 * SECOND :])]
        row += [distance(known, whole), distance(cut, whole[SECOND:])]
        rows.append(row)
        spent += seconds
        print(f"{path.stem:24} {voice.name:10}", *(f"{db:6.2f} dB {f0:.3f}" for db, f0 in row), flush=True)
    used, passed = np.array(spent).T * 1e3
    hop = 1e3 * HOP * ACOUSTICS.hop / ACOUSTICS.sample_rate
    p50, p95 = np.percentile(used, [50, 95])
    print(f"delay {1e3 * DELAY:.0f} ms, and with computing {1e3 * DELAY + p95:.0f} ms")
    print(f"a hop of {hop:.0f} ms takes {p50:.0f} ms of the processor (p95 {p95:.0f} ms)", end=", ")
    print("{:.0f} ms of the clock (p95 {:.0f} ms)".format(*np.percentile(passed, [50, 95])))
    print(f"in time: {np.mean(used < hop):.1%} by the processor, {np.mean(passed < hop):.1%} by the clock")
    print(f"times real time on one core: {hop / used.mean():.1f}")
    names = ("stream", "stream, after 3 s", "stream with source=", "recording a second shorter")
    for name, (db, f0) in zip(names, np.nanmean(rows, 0), strict=True):
        print(f"{name}: {db:.2f} dB from the conversion of the recording, F0 correlation {f0:.3f}")


if __name__ == "__main__":
    main()
