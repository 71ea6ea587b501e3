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

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import log_ndtr

from voiceswap.provenance.watermark import marking
from voiceswap.provenance.watermark.marking import BITS, PUBLIC_KEY, Samples
from voiceswap.provenance.watermark.spectrum import (
    HALF,
    HOP,
    REACH,
    WINDOW,
    Spectrum,
    heard,
    loud,
    paired,
    shifted,
    white,
)

MARKED = 1e-5
"""A recording is called marked if sound without a mark would look so at most this often."""
UNMARKED = 0.01
"""It is called unmarked if it would look so more often than this, and is long enough to be sure."""
SURE = 3.0
"""Seconds of sound in which a mark that was not attacked is found practically always."""

_TEMPOS = [float(tempo) for tempo in np.geomspace(0.78, 1.28, 25) if abs(tempo - 1) > 0.005]  # besides 1
_CELL = marking.CELL // 2  # frames of the detector
_SHORT, _LONG = 280, 1120  # frames looked at together, 3 s and 12 s; the longer ones at the true tempo alone
_HEARD = 4.0  # deviations above which a mark that was just put in is there: by chance once in 30,000
_AROUND = (0, *range(-REACH, 0, 2), *range(1, REACH + 1, 2))  # shifts that tell how high chance comes
_SWITCH = 16.0  # nats that the mark's beginning or end costs: none for a short lull
_WEAK, _TURNED = 10, 3  # of the bits, those that may be turned, and how many at once: 176 tries at 16 bits
_Template = tuple[float, list[int], NDArray[np.complex64]]


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
# music, is a little heavier than that, which the deviation taken here covers. Unmoved, 58 to 66 of 1.06;
# of what is clear 62 to 74 of 1.03.
_NULL = _Null(3000.0, 1.075)
_NULL_LONG = _Null(1100.0, 1.05)
_NULL_PLAIN = _Null(66.0, 1.065)
"""At the true tempo and pitch alone, where marks that were not stretched stand out against fewer others."""


def detect(recording: Samples | Iterable[Samples], *, key: bytes = PUBLIC_KEY) -> Finding:
    """Whether the mark of `key` is in `recording`, samples [N] at 24 kHz or blocks of such, of any length."""
    found: list[_Fit] = []
    audible, frames = 0, 0
    for start, sound in _chunks([recording] if isinstance(recording, np.ndarray) else recording):
        audible += int(sound.loud[frames - start :].sum())
        frames = start + len(sound)
        found += _fits(sound, start, key)
    if not found:
        return Finding("cannot tell", 1.0, (), None, 1.0, 0.0)
    best = min(found, key=lambda fit: fit.log_p)
    p_value = float(np.exp(min(0.0, best.log_p + np.log(len(found)))))
    if p_value >= MARKED:
        sure = p_value > UNMARKED and audible * HOP / marking.RATE >= SURE
        return Finding("not marked" if sure else "cannot tell", p_value, (), None, 1.0, 0.0)
    marked = [fit for fit in found if fit.told is not None and fit.log_p + np.log(len(found)) < np.log(1e-3)]
    spans = tuple((_seconds(begin), _seconds(end)) for begin, end in _spans(marked, frames))
    semitones = 12 * best.shift / HALF / marking.PER_OCTAVE
    return Finding("marked", p_value, spans, _payload(marked, key), round(best.tempo, 3), round(semitones, 2))


def confirmed(samples: Samples, key: bytes) -> bool:
    """Whether the mark is in `samples`, which begin with a period of it, or they are silent."""
    if loud(samples).sum() * HOP / marking.RATE < SURE:
        return True
    template = next(spectrum for tempo, _, spectrum in _templates(key) if tempo == 1.0)
    fits = _correlated(_periods(shifted(paired(white(samples)), 0), 1.0), template, 1.0)
    return bool(fits[: _CELL + 1].max() > _HEARD * np.median(np.abs(fits)) / 0.6745)


def _seconds(frame: int) -> float:
    return round(frame * HOP / marking.RATE, 2)


def _chunks(blocks: Iterable[Samples]) -> Iterator[tuple[int, Spectrum]]:
    """The first frame, and what is heard from there on, of at most `_LONG` frames.

    Each begins `_SHORT` frames before the end of the one before.
    """
    buffer, start, fresh = np.zeros(0, np.float32), 0, False
    size, step = _LONG * HOP, (_LONG - _SHORT) * HOP
    for block in blocks:
        buffer, fresh = np.concatenate([buffer, block.astype(np.float32)]), True
        while len(buffer) >= size:
            yield start, heard(buffer[:size])
            buffer, start, fresh = buffer[step:], start + _LONG - _SHORT, len(buffer) > size
    if len(buffer) >= WINDOW and fresh:
        yield start, heard(buffer)


@lru_cache(maxsize=4)
def _templates(key: bytes) -> list[_Template]:
    """(tempo, shifts in half bands, conjugate spectrum over the period [P, BANDS]) of all that is looked for.

    A tempo of its own, a pitch of its own, or both together as in a recording that is played faster.
    """
    known, _ = _signs(key)
    found = []
    for tempo in sorted({1.0, *_TEMPOS}):
        played = round(-np.log2(tempo) * marking.PER_OCTAVE * HALF)
        shifts = range(-REACH, REACH + 1) if tempo == 1.0 else sorted({0, played})
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


@dataclass(frozen=True)
class _Fit:
    """How a window from frame `start` on fits best: at a tempo, a shift in half bands, a phase in frames.

    `z` is the highest of all correlations, `plain` that at the true tempo and pitch, `clear` the same of what
    is clear, in their deviation.
    `along` [T] is the correlation of each frame, `told` [bits] that of what tells the payload: where it fits.
    """

    z: float
    plain: float
    clear: float
    log_p: float
    tempo: float
    shift: int
    start: int
    along: NDArray[np.float32] | None = None
    told: NDArray[np.float32] | None = None


def _fits(sound: Spectrum, start: int, key: bytes) -> Iterator[_Fit]:
    """Of windows of `_SHORT` frames, half overlapping, and of all of `sound` where there is more."""
    last = max(0, len(sound) - _SHORT)
    for begin in sorted({*range(0, last, _SHORT // 2), last}):
        yield _fit(sound[begin : begin + _SHORT], start + begin, key, _templates(key), _NULL)
    if last:
        unstretched = [template for template in _templates(key) if template[0] == 1.0]
        yield _fit(sound, start, key, unstretched, _NULL_LONG)


def _fit(sound: Spectrum, start: int, key: bytes, templates: list[_Template], null: _Null) -> _Fit:
    """The highest of all correlations with the templates, in their spread; and that of the unmoved one.

    The latter twice: of all of the sound, and of what is `clear` in it.
    """
    best, plain, seen = (-1.0, 1.0, 0, 0), (-1.0, 1.0, 0, 0), []
    for tempo, shifts, template in templates:
        periods = paired(_periods(sound.white, tempo))
        for shift in shifts:
            fits = _correlated(shifted(periods, shift), template, tempo)
            seen.append(fits)
            phase = int(fits.argmax())
            found = (float(fits[phase]), tempo, shift, phase)
            best = max(best, found)
            plain = found if (tempo, shift) == (1.0, 0) else plain
    template = next(spectrum for tempo, _, spectrum in templates if tempo == 1.0)
    periods = paired(_periods(sound.clear, 1.0))
    around = [_correlated(shifted(periods, shift), template, 1.0) for shift in _AROUND]
    phase = int(around[0].argmax())
    clear = (float(around[0][phase]), 1.0, 0, phase)
    spread = _deviation(seen)
    z = best[0] / spread, plain[0] / spread, clear[0] / _deviation(around)
    looks = list(zip((null.log_p(z[0]), *map(_NULL_PLAIN.log_p, z[1:])), (best, plain, clear), strict=True))
    # Looked at three times, any of which may be the least likely: so the smallest chance counts triple.
    likely, best = min(looks, key=lambda look: look[0])
    log_p = min(0.0, likely + float(np.log(3)))
    if log_p > np.log(1e-3):
        return _Fit(*z, log_p, best[1], best[2], start)
    known, bits = (_stretched(signs, best[1]) for signs in _signs(key))
    bands, rows = shifted(paired(sound.white), best[2]), (np.arange(len(sound)) - best[3]) % len(known)
    size = np.sqrt((bands**2 * np.abs(known[rows])).sum(1)) + 1e-6
    along = (bands * known[rows]).sum(1) / size
    return _Fit(*z, log_p, best[1], best[2], start, along, np.einsum("tb,tbc->c", bands, bits[rows]))


def _correlated(periods: NDArray[np.complex64], template: NDArray[np.complex64], tempo: float) -> Samples:
    """With a template at every phase of its period, from `_periods` of BANDS."""
    return fft.irfft(np.einsum("pb,pb->p", periods, template), round(marking.PERIOD * _CELL * tempo))


def _periods(bands: NDArray[np.float32], tempo: float) -> NDArray[np.complex64]:
    """Spectrum over the period [P, …] of [T, …], of all periods together."""
    return fft.rfft(_folded(bands, round(marking.PERIOD * _CELL * tempo)), axis=0)


def _deviation(fits: list[Samples]) -> float:
    """Of all correlations, those with a mark left aside."""
    return max(float(np.median(np.abs(np.concatenate(fits)))) / 0.6745, 1e-3)


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
