"""Long, untidy recordings to pieces of speech, and what can be told of a piece without knowing what it says.

A file is read as a stream: its length does not matter. Where speech is, silero-vad says (MIT; its weights lie
in the package).
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voiceswap import audio

SHORTEST, LONGEST = 1.0, 14.0
"""Seconds of a piece."""
MARGIN = 0.15
"""Seconds of the pause that stay around a piece."""
QUIETEST_DB, NOISIEST_DB, CLIPPED = -50.0, 15.0, 0.002
"""A piece is dropped with loud frames below, over its pauses by less, and with more samples at the peak."""
NARROWEST_HZ = 5000.0
"""A telephone line ends at 3.4 kHz: what lies below says too little of a voice."""
_CHUNK = 512  # samples at 16 kHz that silero-vad hears at once
_ON, _OFF = 0.5, 0.35
_PAUSE = 0.6  # seconds without speech that end a piece
_BREATH = 0.2  # that it may be cut at, where it becomes too long
_BANDS = ((9800.0, "full"), (8500.0, "11k"), (6900.0, "8k"), (0.0, "6k"))


@dataclass(frozen=True)
class Piece:
    """From `start` to `end`, in seconds of the file, its margins included."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


@dataclass(frozen=True)
class Signal:
    """What the samples say."""

    level_db: float
    """Of the loud frames, in dBFS."""
    noise_db: float
    """Loud frames over the quietest ones: what the room is below the voice."""
    clipped: float
    """Share of the samples at the peak."""
    highest_hz: float
    """Up to where there is sound."""

    @property
    def band(self) -> str:
        """The band of the corpora: full, 11k, 8k or 6k."""
        return next(name for lowest, name in _BANDS if self.highest_hz >= lowest)

    @property
    def faults(self) -> list[str]:
        """Why a piece is not fit to learn from; none where it is."""
        found = []
        if self.level_db < QUIETEST_DB:
            found.append(f"too quiet ({self.level_db:.0f} dBFS, {QUIETEST_DB:.0f} are needed)")
        if self.clipped > CLIPPED:
            found.append(f"clipped ({self.clipped:.1%} of its samples, {CLIPPED:.1%} may be)")
        if self.noise_db < NOISIEST_DB:
            found.append(f"noisy ({self.noise_db:.0f} dB over its pauses, {NOISIEST_DB:.0f} are needed)")
        if self.highest_hz < NARROWEST_HZ:
            found.append(f"narrow ({self.highest_hz / 1000:.1f} kHz, {NARROWEST_HZ / 1000:.0f} are needed)")
        return found


def speech_in(path: Path) -> list[tuple[float, float]]:
    """Stretches of speech in a file, in seconds; AudioError where it cannot be read."""
    import silero_vad

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.jit is to go; silero-vad will have to follow
        model: Any = silero_vad.load_silero_vad(onnx=False)
    chance: list[float] = []
    left = np.zeros(0, np.float32)
    with torch.inference_mode():
        for block in audio.blocks(path, seconds=30, sample_rate=16000):
            left = np.concatenate([left, block])
            whole = len(left) // _CHUNK * _CHUNK
            for chunk in torch.from_numpy(np.clip(left[:whole], -1, 1)).split(_CHUNK):
                chance.append(float(model(chunk, 16000)))
            left = left[whole:]
    return stretches(np.array(chance), _CHUNK / 16000)


def stretches(chance: NDArray[np.float64], step: float) -> list[tuple[float, float]]:
    """Where the chance [T] of speech, every `step` seconds, has risen to 0.5 and not fallen below 0.35."""
    found: list[tuple[float, float]] = []
    start: int | None = None
    for place, value in enumerate([*chance, 0.0]):
        if start is None and value >= _ON:
            start = place
        elif start is not None and value < _OFF:
            found.append((start * step, place * step))
            start = None
    return found


def pieces_of(speech: Sequence[tuple[float, float]], total: float) -> list[Piece]:
    """Stretches of speech, put together over short pauses and cut at the longest where that is too long."""
    groups: list[list[tuple[float, float]]] = []
    for stretch in speech:
        if groups and stretch[0] - groups[-1][-1][1] < _PAUSE:
            groups[-1].append(stretch)
        else:
            groups.append([stretch])
    found = []
    for group in (part for whole in groups for part in _shortened(whole)):
        start, end = group[0][0], group[-1][1]
        if SHORTEST <= end - start <= LONGEST:
            found.append(Piece(start, end))
    edges = [0.0, *((a.end + b.start) / 2 for a, b in pairwise(found)), total]
    return [
        Piece(max(low, piece.start - MARGIN), min(high, piece.end + MARGIN))
        for piece, low, high in zip(found, edges, edges[1:], strict=False)
    ]


def _shortened(group: list[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """Parts of at most LONGEST, cut at the longest pauses; one without a pause stays as it is."""
    pauses = [after[0] - before[1] for before, after in pairwise(group)]
    if group[-1][1] - group[0][0] <= LONGEST or not pauses or max(pauses) < _BREATH:
        yield group
        return
    at = int(np.argmax(pauses)) + 1
    yield from _shortened(group[:at])
    yield from _shortened(group[at:])


def cut(path: Path, pieces: Sequence[Piece]) -> Iterator[audio.Samples]:
    """The samples [N] at 24 kHz of `pieces`, which are in order and lie apart; the file is read once."""
    rate = audio.SAMPLE_RATE
    held, begin = np.zeros(0, np.float32), 0
    blocks = audio.blocks(path, seconds=30)
    for piece in pieces:
        first, last = round(piece.start * rate), round(piece.end * rate)
        while begin + len(held) < last:
            block = next(blocks, None)
            if block is None:
                break
            gone = max(0, min(first - begin, len(held)))
            held, begin = np.concatenate([held[gone:], block]), begin + gone
        yield held[max(0, first - begin) : last - begin]


def signal_of(samples: audio.Samples) -> Signal:
    """Level, noise, clipping and bandwidth of a piece [N] at 24 kHz."""
    size = audio.SAMPLE_RATE * 30 // 1000
    frames = samples[: len(samples) // size * size].reshape(-1, size).astype(np.float64)
    db = 10 * np.log10(np.square(frames - samples.mean()).mean(1) + 1e-12)
    loud, quiet = np.percentile(db, 90), np.percentile(db, 3)
    height = np.abs(samples)
    peak = float(height.max())
    clipped = float((height >= 0.995 * peak).mean()) if peak > 0.05 else 0.0
    return Signal(float(loud), float(loud - quiet), clipped, _highest(frames[db > loud - 25]))


def _highest(frames: NDArray[np.float64]) -> float:
    """The frequency up to which loud frames [F, N] have more than the floor of a coder or a resampler."""
    spectrum = np.square(np.abs(np.fft.rfft(frames * np.hanning(frames.shape[1])))).mean(0)
    db = 10 * np.log10(spectrum + 1e-12)
    smooth = np.convolve(np.pad(db, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    there = np.flatnonzero(smooth > smooth.max() - 70)
    # Noise reaches everywhere. A cut-off is a fall by 15 dB within 600 Hz that nothing above recovers from.
    hz = audio.SAMPLE_RATE / frames.shape[1]
    wide = round(600 / hz)
    above = np.maximum.accumulate(smooth[::-1])[::-1]
    steep = np.flatnonzero((smooth[:-wide] - above[wide:] > 15) & (np.arange(len(smooth) - wide) * hz > 2500))
    return float(min(there[-1] if len(there) else 0, steep[0] + wide / 2 if len(steep) else len(db)) * hz)
