"""Measure conversion of a stream: its delay, its speed, and how far it is from conversion of the recording.

    python benchmarks/live.py CORPUS [--recordings 10] [--weights FOLDER]

Recordings of people who were never trained on go into built-in voices in turn, in blocks of 10 ms. Differences
are of the log-mels of what came out, in dB, over frames in which either is within 40 dB of its loudest; for
comparison, the same between conversions of the recording with two seeds of the vocoder's noise. One thread.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

import voiceswap
from voiceswap import audio
from voiceswap.acoustics import ACOUSTICS, f0_track, log_mel
from voiceswap.live import DELAY, HOP

BLOCK = 240
DB = 20 / np.log(10)
BUDGET = HOP * ACOUSTICS.hop / ACOUSTICS.sample_rate


def recordings(corpus: Path, count: int) -> list[Path]:
    """One recording of 4 s or more of each of `count` people of the split dev-unseen."""
    with (corpus / "manifest.tsv").open(encoding="utf-8") as handle:
        rows = [row for row in csv.DictReader(handle, delimiter="\t") if row["split"] == "dev-unseen"]
    first = {row["speaker"]: corpus / row["path"] for row in reversed(rows) if float(row["seconds"]) >= 4}
    return [first[speaker] for speaker in sorted(first)][:count]


def blocks(samples: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(samples), BLOCK):
        yield samples[start : start + BLOCK]


def timed(pieces: Iterator[voiceswap.Speech]) -> tuple[np.ndarray, list[float]]:
    """The samples, and the seconds that each piece took; all the time is ours, as no block is waited for."""
    made, seconds = [], []
    then = time.perf_counter()
    for piece in pieces:
        seconds.append(time.perf_counter() - then)
        made.append(piece.samples)
        then = time.perf_counter()
    return np.concatenate(made), seconds


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference in dB of the log-mels of two sounds [N], over the frames that are heard."""
    mels = log_mel(torch.from_numpy(np.stack([one, other]))).numpy()
    level = mels.mean(1).max(0)
    return float(np.abs(mels[0] - mels[1])[:, level > level.max() - 40 / DB].mean() * DB)


def f0_agreement(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of ln F0 over frames that are voiced in both."""
    tracks = np.stack([f0_track(one), f0_track(other)])
    return float(np.corrcoef(np.log(tracks[:, (tracks > 0).all(0)]))[0, 1])


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
    rows = []
    for number, path in enumerate(recordings(args.corpus, args.recordings)):
        samples, voice = audio.read(path), voices[number % len(voices)]
        whole = studio.convert((samples, 24000), voice).samples
        known, _ = timed(studio.stream_convert(blocks(samples), voice, source=path))
        made, seconds = timed(studio.stream_convert(blocks(samples), voice))
        late = slice(3 * 24000, None)
        row = [distance(made, whole), distance(known, whole), f0_agreement(made, whole)]
        row += [f0_agreement(made[late], whole[late]), f0_agreement(known, whole)]
        rows.append((row, seconds))
        print(f"{path.stem:32} {voice.name:10}", *(f"{value:6.3f}" for value in row), flush=True)
    spent = np.concatenate([seconds for _, seconds in rows])
    means = np.mean([row for row, _ in rows], 0)
    print(
        f"delay {1e3 * DELAY:.0f} ms, with computing {1e3 * (DELAY + np.percentile(spent, 95)):.0f} ms (95 %)"
    )
    p50, p95 = np.percentile(spent, [50, 95]) * 1e3
    print(f"a hop of {1e3 * BUDGET:.0f} ms takes {p50:.0f} ms (median), {p95:.0f} ms (95 %), one thread")
    print(f"hops in time {100 * np.mean(spent < BUDGET):.1f} %; times real time {BUDGET / spent.mean():.1f}")
    print(f"log-mel from the conversion of the recording: {means[0]:.2f} dB, with source= {means[1]:.2f} dB")
    print("F0 correlation with it: {2:.3f}, after 3 s {3:.3f}, with source= {4:.3f}".format(*means))


if __name__ == "__main__":
    main()
