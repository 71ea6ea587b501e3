"""What the detector looks at: the log-spectrum in half bands, less what is around each cell. T its frames."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from voiceswap.provenance.watermark import marking
from voiceswap.provenance.watermark.marking import Samples

WINDOW = 1280
HOP = 2 * marking.HOP
HALF = 2  # bands of the detector in one of the mark's
REACH = 11  # of the detector's bands, to either side: four semitones
_SILENCE = 1e-9  # power in a bin below which nothing is heard
_FAINT = 1e-4  # RMS below which a frame is silent
# docs/watermark.md: what of clips in white noise is found with these.
_FLOOR = 0.05  # share of a band's cells that is taken for noise alone
_UNCLEAR, _CLEAR = 0.3, 1.0  # nats above the floor: up to here a cell tells nothing, and from there on all
_HANN = np.hanning(WINDOW + 1)[:-1].astype(np.float32)


@dataclass(frozen=True)
class Spectrum:
    """A recording as the detector hears it."""

    white: NDArray[np.float32]
    """[T, half bands], of about the same spread everywhere."""
    clear: NDArray[np.float32]
    """The same, less of it the less a cell stands out of steady noise: it bears no mark if it came later."""
    loud: NDArray[np.bool_]
    """[T]: whether there is any sound."""

    def __len__(self) -> int:
        return len(self.white)

    def __getitem__(self, frames: slice) -> Spectrum:
        return Spectrum(self.white[frames], self.clear[frames], self.loud[frames])


def heard(samples: Samples) -> Spectrum:
    """Of samples [N] at 24 kHz."""
    white, power = _whitened(samples)
    level = np.log(_smooth(_smooth(np.exp(power), 9, 0), 5, 1) + np.float32(1e-12))
    quiet = int(_FLOOR * len(level))
    above = level - np.partition(level, quiet, axis=0)[quiet] - _UNCLEAR
    clear = white * np.clip(above / (_CLEAR - _UNCLEAR), 0, 1)
    return Spectrum(_thinned(white, samples), _thinned(clear, samples), loud(samples))


def white(samples: Samples) -> NDArray[np.float32]:
    """A `Spectrum.white` of samples [N] at 24 kHz alone."""
    return _thinned(_whitened(samples)[0], samples)


def loud(samples: Samples) -> NDArray[np.bool_]:
    """A `Spectrum.loud` of samples [N] at 24 kHz alone."""
    count = -(-len(samples) // HOP)
    return np.asarray(np.pad(samples, (0, -len(samples) % HOP)).reshape(count, HOP).std(1) > _FAINT)


def _whitened(samples: Samples) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the detector looks at, and the log-spectrum that it is made of, both twice as dense in time."""
    padded = np.pad(samples, (WINDOW // 2, WINDOW))
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[:: marking.HOP]
    spectrum = torch.fft.rfft(torch.from_numpy((frames * _HANN).astype(np.float32, copy=False)))
    squared = spectrum.real.square() + spectrum.imag.square()
    power = (torch.log(squared + _SILENCE) @ _bands()).numpy()
    white = _smooth(power, marking.CELL - 1, 0)
    white -= _smooth(white, 3 * marking.CELL, 0)
    white -= _smooth(white, 7, 1)
    spread = np.sqrt(np.maximum(_smooth(_smooth(white**2, 15, 0), 9, 1), 0)) + 0.05
    return np.clip(white / spread, -2, 2), power


def _thinned(dense: NDArray[np.float32], samples: Samples) -> NDArray[np.float32]:
    return dense[::2][: -(-len(samples) // HOP)].astype(np.float32)


def paired(values: NDArray[Any]) -> NDArray[Any]:
    """[…, half bands] → means of each half band and the next, of which `shifted` takes every other one."""
    return (values[:, :-1] + values[:, 1:]) / 2


def shifted(pairs: NDArray[Any], shift: int) -> NDArray[Any]:
    """`paired` half bands → […, BANDS] as they lie if all was moved up by `shift` half bands."""
    start = REACH + 2 + shift
    return pairs[:, start : start + marking.BANDS * HALF : HALF]


@lru_cache(maxsize=1)
def _edges() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lowest and highest place, in bins, of each half band, as far as shifts reach; at least a bin wide."""
    half = np.arange(-REACH - 2, marking.BANDS * HALF + REACH + 3)
    bins = marking.LOWEST * 2 ** (half / HALF / marking.PER_OCTAVE) * WINDOW / marking.RATE
    low, high = bins[:-1], bins[1:]
    width, middle = np.maximum(high - low, 1.0), (low + high) / 2 + 0.5
    return middle - width / 2, middle + width / 2


@lru_cache(maxsize=1)
def _bands() -> torch.Tensor:
    """[bins, half bands]: spectra times this are the means in half bands."""
    bins = WINDOW // 2 + 1
    total = np.pad(np.cumsum(np.eye(bins), 1), ((0, 0), (1, 0)))

    def upto(place: NDArray[np.float64]) -> Any:
        place = np.minimum(place, bins - 1e-3)
        low = place.astype(int)
        share = place - low
        return total[:, low] * (1 - share) + total[:, low + 1] * share

    low, high = _edges()
    return torch.from_numpy(((upto(high) - upto(low)) / (high - low)).astype(np.float32))


def _smooth(values: NDArray[np.float32], count: int, axis: int) -> NDArray[np.float32]:
    return uniform_filter1d(values, count, axis=axis, mode="nearest")
