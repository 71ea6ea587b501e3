"""Audio in: any file that libsndfile knows, at any rate, as mono float32; resampling, level, where speech is.

N samples. :mod:`voiceswap.decoding` opens and checks the files. Nothing here writes:
:mod:`voiceswap.speech` is the only place that does.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from math import isfinite
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import ArrayLike, NDArray

from voiceswap.decoding import MAX_CHANNELS, check_length, check_rate, decode
from voiceswap.errors import AudioError, OptionError

SAMPLE_RATE = 24000
"""The rate that everything works at, Hz."""
MIN_SECONDS = 0.05
"""Shorter audio holds no analysis window, and is refused."""
MAX_SECONDS = 3600.0
"""Longer audio is not read into memory at once."""

Samples = NDArray[np.float32]
Source = str | os.PathLike[str] | tuple[ArrayLike, int]
"""A file, or samples [N], [N, channels] or [channels, N] with their rate in Hz."""

_MAX_PEAK = 16.0  # floating-point audio that is hotter than +24 dBFS is integers in disguise


def read(source: Source, *, sample_rate: int = SAMPLE_RATE) -> Samples:
    """All of `source` as mono float32 [N] at `sample_rate` Hz, full scale ±1; channels are averaged.

    A WAV, FLAC or other file with a length in its header must hold that length; MP3 and Ogg, made to be
    streamed, are read as far as they go. Raises AudioError for anything that is not between 0.05 s and one
    hour of finite audio; longer files go through `blocks`.
    """
    return np.concatenate(list(_pieces(source, sample_rate, MAX_SECONDS)))


def blocks(source: Source, *, seconds: float, sample_rate: int = SAMPLE_RATE) -> Iterator[Samples]:
    """Consecutive blocks [seconds * sample_rate] of `source`, the last one shorter.

    Together they equal `read`, in the memory of a block, whatever the length of the file. Raises AudioError
    as `read` does, but for length, and only when the block at fault is reached.
    """
    size = round(seconds * sample_rate) if isfinite(seconds) else 0
    if size < 1:
        raise OptionError(f"seconds={seconds}", "a block has one sample or more", "Give a positive length")
    held: list[Samples] = []
    count = 0
    for piece in _pieces(source, sample_rate, None):
        held.append(piece)
        count += len(piece)
        if count >= size:
            joined = np.concatenate(held)
            whole = count - count % size
            yield from (joined[i : i + size] for i in range(0, whole, size))
            held, count = [joined[whole:].copy()], count - whole
    if count:
        yield np.concatenate(held)


def stream(
    given: Iterable[ArrayLike], sample_rate_in: int, *, sample_rate: int = SAMPLE_RATE
) -> Iterator[Samples]:
    """Blocks [N] of any length at `sample_rate_in` Hz, as they come, as float32 at `sample_rate`.

    Resampling holds back up to 20 ms from 32 kHz on, and 40 ms below, where none of the band may be lost.
    Raises AudioError at once for what is not a stream, and for a block that is not [N], finite and in -1…1
    when it comes; a stream that ends within 0.05 s is one too.
    """
    check_rate(sample_rate_in, "the stream's rate")
    if isinstance(given, (str, bytes)) or not isinstance(given, Iterable):
        raise AudioError(
            f"a {type(given).__name__}", "a stream is an iterable of blocks of samples", "Give a generator"
        )
    quality = "LQ" if sample_rate_in >= 32000 else "HQ"
    mono = (_block(number, block, sample_rate_in) for number, block in enumerate(given))
    return _resampled(_checked(mono, sample_rate_in, "the stream"), sample_rate_in, sample_rate, quality)


def _block(number: int, block: ArrayLike, rate: int) -> Samples:
    if np.ndim(block) != 1:
        raise AudioError(
            f"block {number} of the stream, of shape {list(np.shape(block))}",
            "a block is [N], one channel",
            "Give one channel of it, block[:, 0]",
        )
    return _array(block, rate)[1]


def resample(samples: ArrayLike, rate_in: int, rate_out: int) -> Samples:
    """`samples` [N] at `rate_in` Hz as float32 [N * rate_out / rate_in] at `rate_out` Hz.

    Band-limited by SoX's resampler at its high quality (stop band below -120 dB, flat to 0.91 of the band).
    """
    check_rate(rate_in, "the rate given")
    check_rate(rate_out, "the rate asked for")
    mono = np.ascontiguousarray(samples, dtype=np.float32)
    if rate_in == rate_out:
        return mono
    return np.asarray(soxr.resample(mono, rate_in, rate_out, quality="HQ"), np.float32)


def level(samples: Samples, *, db: float = -20.0, sample_rate: int = SAMPLE_RATE) -> Samples:
    """`samples` [N] scaled so that the loud frames (95th percentile of the RMS of 50 ms) lie at `db` dBFS.

    Silence stays silence. Nothing is clipped: peaks may lie beyond ±1.
    """
    size = min(round(0.05 * sample_rate), max(len(samples), 1))
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    if len(frames) == 0:
        return samples
    loud = float(np.percentile(np.sqrt(np.mean(frames.astype(np.float64) ** 2, axis=1)), 95))
    if loud < 1e-6:
        return samples
    return (samples * (10 ** (db / 20) / loud)).astype(np.float32)


def find_speech(samples: Samples, sample_rate: int = SAMPLE_RATE) -> list[tuple[float, float]]:
    """Start and end of every stretch of speech in `samples` [N], in seconds, in order.

    Energy of 30 ms every 10 ms, in dB, between the recording's own noise floor (10th percentile) and its
    loud frames (95th). A stretch stays above 20 % of that range, but at most 40 dB below the loud frames,
    and rises somewhere above 35 % (35 dB): the two thresholds keep it from flickering. Gaps under 0.3 s
    (stop consonants) are closed, stretches under 0.1 s (clicks) dropped, and 0.05 s added on either side.
    A recording that never rises above -60 dBFS, or varies by less than 6 dB (hum, hiss), has no speech.
    """
    hop = round(0.01 * sample_rate)
    count = len(samples) // hop
    if count < 3:
        return []
    frames = samples[: count * hop].reshape(count, hop)
    # Powers are taken about the mean of the recording, as a DC offset is no sound; in parts, for memory.
    mean = samples.mean()
    parts = np.array_split(frames, count // 6000 + 1)
    power = np.concatenate([np.mean(np.square(part - mean), axis=1, dtype=np.float64) for part in parts])
    power = np.maximum(power, 1e-12)
    db = 10 * np.log10(np.convolve(np.pad(power, 1, mode="edge"), np.ones(3) / 3, mode="valid"))
    floor, loud = np.percentile(db, 10), np.percentile(db, 95)
    if loud < -60 or loud - floor < 6:
        return []
    keep = max(floor + 0.2 * (loud - floor), loud - 40)
    rise = max(floor + 0.35 * (loud - floor), loud - 35)
    stretches = [(a, b) for a, b in _runs(db > keep) if db[a:b].max() > rise]
    closed: list[tuple[int, int]] = []
    for start, end in stretches:
        if closed and start - closed[-1][1] < 30:
            start = closed.pop()[0]
        closed.append((start, end))
    step, length = hop / sample_rate, len(samples) / sample_rate
    return [
        (max(0.0, start * step - 0.05), min(length, end * step + 0.05))
        for start, end in closed
        if end - start >= 10
    ]


def only_speech(samples: Samples, sample_rate: int = SAMPLE_RATE) -> Samples:
    """The stretches of `find_speech` in `samples` [N], joined; empty where there is none."""
    stretches = find_speech(samples, sample_rate)
    cut = [samples[round(a * sample_rate) : round(b * sample_rate)] for a, b in stretches]
    return np.concatenate(cut) if cut else samples[:0]


def _runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Beginnings and ends (exclusive) of the runs of True."""
    edges = np.flatnonzero(np.diff(np.pad(mask.astype(np.int8), 1)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _pieces(source: Source, sample_rate: int, max_seconds: float | None) -> Iterator[Samples]:
    """Mono pieces of any length at `sample_rate`, checked; at most `max_seconds` of them."""
    check_rate(sample_rate, "the rate asked for")
    if isinstance(source, tuple):
        name = "the array"
        rate, mono = _array(*source)
        if max_seconds is not None:
            check_length(len(mono) / rate, max_seconds, name)
        decoded: Iterator[Samples] = iter([mono])
    elif isinstance(source, (str, os.PathLike)):
        name = repr(os.fspath(source))
        rate, decoded = decode(Path(source), max_seconds, name)
    else:
        raise AudioError(
            f"a {type(source).__name__}", "audio is a path or (samples, rate)", "Give a path, or read(path)"
        )
    yield from _resampled(_checked(decoded, rate, name), rate, sample_rate)


def _array(samples: ArrayLike, rate: int) -> tuple[int, Samples]:
    """The rate, and mono float32 [N] of an array of integers or floats."""
    check_rate(rate, "the array's rate")
    try:
        array = np.asarray(samples)
    except (TypeError, ValueError) as error:
        raise AudioError(f"samples of {type(samples).__name__}", "samples are an array", str(error)) from None
    if array.ndim == 2:
        array = array if array.shape[1] <= array.shape[0] else array.T
    if array.ndim not in (1, 2) or (array.ndim == 2 and not 1 <= array.shape[1] <= MAX_CHANNELS):
        raise AudioError(
            f"an array of shape {list(array.shape)}",
            f"samples are [N], [N, channels] or [channels, N] with at most {MAX_CHANNELS} channels",
            "Pass one recording at a time",
        )
    if array.dtype.kind == "i":
        scaled = array.astype(np.float32) / -float(np.iinfo(array.dtype).min)
    elif array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # infinity is reported with its place
            scaled = array.astype(np.float32)
    else:
        raise AudioError(
            f"samples of type {array.dtype}", "samples are floats in -1…1 or signed integers", "Convert them"
        )
    return int(rate), scaled if scaled.ndim == 1 else scaled.mean(axis=1)


def _checked(pieces: Iterable[Samples], rate: int, name: str) -> Iterator[Samples]:
    """`pieces`, each finite and of a sane level, together long enough."""
    count = 0
    for piece in pieces:
        peak = float(np.abs(piece).max(initial=0.0))  # NaN if any sample is
        if not isfinite(peak):
            at = (count + int(np.argmin(np.isfinite(piece)))) / rate
            raise AudioError(
                f"{name} has a sample that is NaN or infinite at {at:.3f} s",
                "samples are finite",
                "Export it again, or cut that part out",
            )
        if peak > _MAX_PEAK:
            raise AudioError(
                f"{name} has a sample of size {peak:.0f}",
                "floating-point samples lie in -1…1",
                "Divide them by full scale, for 16-bit numbers 32768",
            )
        count += len(piece)
        yield piece
    if count < MIN_SECONDS * rate:
        raise AudioError(
            f"{name} has {count} sample{'' if count == 1 else 's'} ({count / rate:.3f} s)",
            f"audio lasts at least {MIN_SECONDS} s",
            "Check the recording",
        )


def _resampled(
    pieces: Iterable[Samples], rate_in: int, rate_out: int, quality: str = "HQ"
) -> Iterator[Samples]:
    """`pieces` at another rate, sample by sample what resampling all at once gives."""
    if rate_in == rate_out:
        yield from pieces
        return
    stream = soxr.ResampleStream(rate_in, rate_out, 1, dtype="float32", quality=quality)
    for piece in pieces:
        yield stream.resample_chunk(np.ascontiguousarray(piece))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
