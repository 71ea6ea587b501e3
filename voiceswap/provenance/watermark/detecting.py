"""Looking for the mark of `marking`: blind, at any moment, tempo and pitch. N samples, T detector frames.

The log-spectrum, less what is around each of its cells, is correlated with the key's signs. The highest
of all correlations in a window, in units of their own spread, is what decides: for sound without a mark it is
the highest of some thousand normal numbers, and how it is distributed has been measured (`_Null`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import uniform_filter1d
from scipy.special import log_ndtr

from voiceswap.provenance.watermark import marking
from voiceswap.provenance.watermark.marking import BITS, PUBLIC_KEY, Samples

MARKED = 1e-5
"""A recording is called marked if sound without a mark would look so at most this often."""
UNMARKED = 0.01
"""It is called unmarked if it would look so more often than this, and is long enough to be sure."""
SURE = 3.0
"""Seconds of sound in which a mark that was not attacked is found practically always."""

_WINDOW = 1280
_HOP = 2 * marking.HOP
_HALF = 2  # bands of the detector in one of the mark's
_REACH = 11  # of the detector's bands, to either side: four semitones
_TEMPOS = [float(tempo) for tempo in np.geomspace(0.78, 1.28, 25) if abs(tempo - 1) > 0.005]  # besides 1
_SILENCE = 1e-9  # power in a bin below which nothing is heard
_CELL = marking.CELL // 2  # frames of the detector
_SHORT, _LONG = 280, 1120  # frames looked at together, 3 s and 12 s; the longer ones at the true tempo alone
_FAINT = 1e-4  # RMS below which a frame is silent
_HEARD = 4.0  # deviations above which a mark that was just put in is there: by chance once in 30,000
_SWITCH = 16.0  # nats that the mark's beginning or end costs: none for a short lull
_WEAK, _TURNED = 10, 3  # of the bits, those that may be turned, and how many at once: 176 tries at 16 bits
_Template = tuple[float, list[int], NDArray[np.complex64]]
_HANN = np.hanning(_WINDOW + 1)[:-1].astype(np.float32)


@dataclass(frozen=True)
class Finding:
    """What a detector heard."""

    verdict: str
    """``marked``, ``not marked`` or ``cannot tell``."""
    p_value: float
    """How often a recording as long without a mark would look as marked as this one."""
    spans: tuple[tuple[float, float], ...]
    """Where the mark is: begin and end in seconds."""
    payload: int | None
    """What the mark says, where its checksum holds."""
    tempo: float
    """Length of the mark as heard, as a share of what it was when it was made."""
    semitones: float
    """How far up its pitch lies."""


@dataclass(frozen=True)
class _Null:
    """Sound without a mark: the highest of `trials` normal numbers of deviation `spread`, measured."""

    trials: float
    spread: float

    def log_p(self, z: float) -> float:
        """Logarithm of the probability of a window at least as high."""
        tail = float(log_ndtr(-z / self.spread)) + np.log(self.trials)
        return min(0.0, tail if tail < -3 else float(np.log(-np.expm1(-np.exp(tail)))))


# benchmarks/watermark.py null: 2,700 to 3,300 trials of deviation 1.06; the tail of 31,000 windows, mostly of
# music, is a little heavier than that, which the deviation taken here covers. Unmoved, 58 to 66 of 1.06.
_NULL = _Null(3000.0, 1.075)
_NULL_LONG = _Null(1100.0, 1.05)
_NULL_PLAIN = _Null(66.0, 1.065)
"""At the true tempo and pitch alone, where marks that were not stretched stand out against fewer others."""


def detect(recording: Samples | Iterable[Samples], *, key: bytes = PUBLIC_KEY) -> Finding:
    """Whether the mark of `key` is in `recording`, samples [N] at 24 kHz or blocks of such, of any length."""
    found: list[_Fit] = []
    audible, frames = 0, 0
    for start, white, loud in _chunks([recording] if isinstance(recording, np.ndarray) else recording):
        audible += int(loud[frames - start :].sum())
        frames = start + len(white)
        found += _fits(white, start, key)
    if not found:
        return Finding("cannot tell", 1.0, (), None, 1.0, 0.0)
    best = min(found, key=lambda fit: fit.log_p)
    p_value = float(np.exp(min(0.0, best.log_p + np.log(len(found)))))
    if p_value >= MARKED:
        sure = p_value > UNMARKED and audible * _HOP / marking.RATE >= SURE
        return Finding("not marked" if sure else "cannot tell", p_value, (), None, 1.0, 0.0)
    marked = [fit for fit in found if fit.told is not None and fit.log_p + np.log(len(found)) < np.log(1e-3)]
    spans = tuple((_seconds(begin), _seconds(end)) for begin, end in _spans(marked, frames))
    semitones = 12 * best.shift / _HALF / marking.PER_OCTAVE
    return Finding("marked", p_value, spans, _payload(marked, key), round(best.tempo, 3), round(semitones, 2))


def confirmed(samples: Samples, key: bytes) -> bool:
    """Whether the mark is in `samples`, which begin with a period of it, or they are silent."""
    white, loud = _heard(samples)
    if loud.sum() * _HOP / marking.RATE < SURE:
        return True
    length = marking.PERIOD * _CELL
    template = next(spectrum for tempo, _, spectrum in _templates(key) if tempo == 1.0)
    fits = fft.irfft((fft.rfft(_folded(_shifted(white, 0), length), axis=0) * template).sum(1), length)
    return bool(fits[: _CELL + 1].max() > _HEARD * np.median(np.abs(fits)) / 0.6745)


def _seconds(frame: int) -> float:
    return round(frame * _HOP / marking.RATE, 2)


def _chunks(blocks: Iterable[Samples]) -> Iterator[tuple[int, NDArray[np.float32], NDArray[np.bool_]]]:
    """(first frame, features [T, half bands], whether there is sound [T]) of at most `_LONG` frames.

    Each begins `_SHORT` frames before the end of the one before.
    """
    buffer, start, fresh = np.zeros(0, np.float32), 0, False
    size, step = _LONG * _HOP, (_LONG - _SHORT) * _HOP
    for block in blocks:
        buffer, fresh = np.concatenate([buffer, block.astype(np.float32)]), True
        while len(buffer) >= size:
            yield start, *_heard(buffer[:size])
            buffer, start, fresh = buffer[step:], start + _LONG - _SHORT, len(buffer) > size
    if len(buffer) >= _WINDOW and fresh:
        yield start, *_heard(buffer)


def _heard(samples: Samples) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The log-spectrum in half bands, less what is around it; and where it is not silent."""
    padded = np.pad(samples, (_WINDOW // 2, _WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[:: marking.HOP]
    spectrum = fft.rfft((frames * _HANN).astype(np.float32), axis=1)
    power = np.log(spectrum.real**2 + spectrum.imag**2 + np.float32(_SILENCE))
    white = _smooth(_banded(power), marking.CELL - 1, 0)
    white -= _smooth(white, 3 * marking.CELL, 0)
    white -= _smooth(white, 7, 1)
    spread = np.sqrt(np.maximum(_smooth(_smooth(white**2, 15, 0), 9, 1), 0)) + 0.05
    count = -(-len(samples) // _HOP)
    loud = np.pad(samples, (0, -len(samples) % _HOP)).reshape(count, _HOP).std(1) > _FAINT
    return np.clip(white / spread, -2, 2)[::2][:count].astype(np.float32), loud


@lru_cache(maxsize=1)
def _edges() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest place, in bins, of each half band, as far as shifts reach; at least a bin wide."""
    half = np.arange(-_REACH - 2, marking.BANDS * _HALF + _REACH + 3)
    bins = marking.LOWEST * 2 ** (half / _HALF / marking.PER_OCTAVE) * _WINDOW / marking.RATE
    low, high = bins[:-1], bins[1:]
    width, middle = np.maximum(high - low, 1.0), (low + high) / 2 + 0.5
    return middle - width / 2, middle + width / 2


def _banded(power: NDArray[np.float32]) -> NDArray[np.float32]:
    """[T, bins] → [T, half bands], means."""
    total = np.pad(np.cumsum(power, 1), ((0, 0), (1, 0)))

    def upto(place: NDArray[np.float64]) -> Any:
        place = np.minimum(place, power.shape[1] - 1e-3)
        low = place.astype(int)
        share = (place - low).astype(np.float32)
        return total[:, low] * (1 - share) + total[:, low + 1] * share

    low, high = _edges()
    return ((upto(high) - upto(low)) / (high - low)).astype(np.float32)


def _smooth(values: NDArray[np.float32], count: int, axis: int) -> NDArray[np.float32]:
    return uniform_filter1d(values, count, axis=axis, mode="nearest")


@lru_cache(maxsize=4)
def _templates(key: bytes) -> list[_Template]:
    """(tempo, shifts in half bands, conjugate spectrum over the period [P, BANDS]) of all that is looked for.

    A tempo of its own, a pitch of its own, or both together as in a recording that is played faster.
    """
    known, _ = _signs(key)
    found = []
    for tempo in sorted({1.0, *_TEMPOS}):
        played = round(-np.log2(tempo) * marking.PER_OCTAVE * _HALF)
        shifts = range(-_REACH, _REACH + 1) if tempo == 1.0 else sorted({0, played})
        spectrum = fft.rfft(_stretched(known, tempo), axis=0)
        found.append((tempo, list(shifts), np.conj(spectrum).astype(np.complex64)))
    return found


@lru_cache(maxsize=4)
def _signs(key: bytes) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What is known of every mark [PERIOD, BANDS], and what a payload turns [PERIOD, BANDS, bits]."""
    signs, bits = marking.pattern(key)
    told = np.eye(BITS + marking.CHECK + 1, dtype=np.float32)[bits][..., :-1]
    return np.where(bits < 0, signs, 0).astype(np.float32), told * signs[..., None]


def _stretched(signs: NDArray[np.float32], tempo: float) -> NDArray[np.float32]:
    """Rows of [PERIOD, …] at the detector's rate, slower by `tempo`."""
    length = round(marking.PERIOD * _CELL * tempo)
    return signs[((np.arange(length) + 0.5) / length * marking.PERIOD).astype(int)]


def _shifted(white: NDArray[np.float32], shift: int) -> NDArray[np.float32]:
    """[T, half bands] → [T, BANDS] as they lie if all was moved up by `shift` half bands."""
    start = _REACH + 2 + shift
    part = white[:, start : start + marking.BANDS * _HALF]
    return part.reshape(len(part), marking.BANDS, _HALF).mean(2)


@dataclass(frozen=True)
class _Fit:
    """How a window from frame `start` on fits best: at a tempo, a shift in half bands, a phase in frames.

    `z` is the highest of all correlations, `plain` that at the true tempo and pitch, in their deviation.
    `along` [T] is the correlation of each frame, `told` [bits] that of what tells the payload: where it fits.
    """

    z: float
    plain: float
    log_p: float
    tempo: float
    shift: int
    start: int
    along: NDArray[np.float32] | None = None
    told: NDArray[np.float32] | None = None


def _fits(white: NDArray[np.float32], start: int, key: bytes) -> Iterator[_Fit]:
    """Of windows of `_SHORT` frames, half overlapping, and of all of `white` where there is more."""
    last = max(0, len(white) - _SHORT)
    for begin in sorted({*range(0, last, _SHORT // 2), last}):
        yield _fit(white[begin : begin + _SHORT], start + begin, key, _templates(key), _NULL)
    if last:
        unstretched = [template for template in _templates(key) if template[0] == 1.0]
        yield _fit(white, start, key, unstretched, _NULL_LONG)


def _fit(white: NDArray[np.float32], start: int, key: bytes, templates: list[_Template], null: _Null) -> _Fit:
    """The highest of all correlations with the templates, in their spread; and that of the unmoved one."""
    best, plain, seen = (-1.0, 1.0, 0, 0), (-1.0, 1.0, 0, 0), []
    moved = {shift: _shifted(white, shift) for _, shifts, _ in templates for shift in shifts}
    for tempo, shifts, template in templates:
        length = round(marking.PERIOD * _CELL * tempo)
        for shift in shifts:
            fits = fft.irfft((fft.rfft(_folded(moved[shift], length), axis=0) * template).sum(1), length)
            seen.append(fits)
            phase = int(fits.argmax())
            found = (float(fits[phase]), tempo, shift, phase)
            best = max(best, found)
            plain = found if (tempo, shift) == (1.0, 0) else plain
    spread = max(float(np.median(np.abs(np.concatenate(seen)))) / 0.6745, 1e-3)
    # Looked at twice, either of which may be the less likely: so the smaller chance counts double.
    anywhere, unmoved = null.log_p(best[0] / spread), _NULL_PLAIN.log_p(plain[0] / spread)
    log_p = min(0.0, min(anywhere, unmoved) + float(np.log(2)))
    z = (best[0] / spread, plain[0] / spread)
    best = plain if unmoved < anywhere else best
    if log_p > np.log(1e-3):
        return _Fit(*z, log_p, best[1], best[2], start)
    known, bits = (_stretched(signs, best[1]) for signs in _signs(key))
    bands, rows = _shifted(white, best[2]), (np.arange(len(white)) - best[3]) % len(known)
    size = np.sqrt((bands**2 * np.abs(known[rows])).sum(1)) + 1e-6
    along = (bands * known[rows]).sum(1) / size
    return _Fit(*z, log_p, best[1], best[2], start, along, np.einsum("tb,tbc->c", bands, bits[rows]))


def _folded(bands: NDArray[np.float32], length: int) -> NDArray[np.float32]:
    """[T, BANDS] → [length, BANDS], the sum of all periods."""
    total = np.zeros((length, bands.shape[1]), np.float32)
    for begin in range(0, len(bands), length):
        part = bands[begin : begin + length]
        total[: len(part)] += part
    return total


def _spans(marked: list[_Fit], frames: int) -> list[tuple[int, int]]:
    """Where the mark begins and ends, in frames: the likeliest path between marked and unmarked."""
    total, count = np.zeros(frames, np.float32), np.zeros(frames, np.float32)
    for fit in marked:
        assert fit.along is not None
        total[fit.start : fit.start + len(fit.along)] += fit.along
        count[fit.start : fit.start + len(fit.along)] += 1
    mean = float(np.mean([np.median(fit.along) for fit in marked if fit.along is not None]))
    # Neighbouring frames hear the same: so many count as one.
    gain = mean * (total / np.maximum(count, 1) - mean / 2) / _CELL
    off, on, came_on = 0.0, -_SWITCH, []
    for value in gain:
        came_on.append((off - _SWITCH > on, on - _SWITCH > off))
        off, on = max(off, on - _SWITCH), max(on, off - _SWITCH) + value
    state, states = on - _SWITCH > off, []
    for turned_on, turned_off in reversed(came_on):
        states.append(state)
        state = (not turned_on) if state else turned_off
    edges = np.flatnonzero(np.diff(np.pad(np.array(states[::-1], int), 1)))
    return [(int(a), int(b)) for a, b in edges.reshape(-1, 2)]


def _payload(marked: list[_Fit], key: bytes) -> int | None:
    """What the mark says, if its checksum holds after turning at most `_TURNED` of the least certain bits."""
    total = np.sum([fit.told for fit in marked if fit.told is not None], 0)
    bits = (total > 0).astype(int)
    weak = np.argsort(np.abs(total))[:_WEAK]
    for count in range(_TURNED + 1):
        for turned in combinations(weak, count):
            tried = bits.copy()
            tried[list(turned)] ^= 1
            word = sum(int(bit) << place for place, bit in enumerate(tried))
            payload = word >> marking.CHECK
            if np.array_equal(marking.coded(payload, key) > 0, tried > 0):
                return payload
    return None
