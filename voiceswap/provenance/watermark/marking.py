"""Putting the mark into sound: keyed, inaudible, found again without the original. N samples at 24 kHz.

Spread spectrum in the time-frequency plane: the magnitudes of short-time spectra are raised or lowered by
`DEPTH_DB` in cells of 64 ms and a sixteenth of an octave, whose signs a key draws. Masking comes by itself,
silence stays silent, and what keeps the spectrogram keeps the mark: codecs, filters, our own vocoder. Each
sign is followed by its opposite, so that speech, which changes slowly, is mostly in neither. (Spread
spectrum: Cox et al., 1997; marks in cells of the spectrogram, and a search for the scale of time and pitch:
Kirovski and Malvar, 2003; Tachibana et al., 2002.)

Four cells of five say *that* there is a mark. The others say what made it: `BITS` bits and a checksum.
"""

from __future__ import annotations

import hashlib
import zlib
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray

from voiceswap.acoustics import ACOUSTICS
from voiceswap.errors import OptionError

Samples = NDArray[np.float32]

PUBLIC_KEY = b"voiceswap watermark 1"
"""Anyone can look for marks with this key; that is its purpose. With a key of your own only you can."""
BITS = 32
"""Of payload."""
DEPTH_DB = 3.0

RATE = ACOUSTICS.sample_rate
_WINDOW, HOP = 1024, 256
LOWEST = 425.0  # Hz; below, speech hides what the mark does
PER_OCTAVE = 16
BANDS = 72  # four and a half octaves, to 9.6 kHz
SPARED = 8
"""Lowest bands, up to 600 Hz, that are listened to for older marks and changed no more.

Most of what the mark took from PESQ lay there, and a ninth of what the detector listens to.
"""
CELL = 6  # frames: 64 ms
PERIOD = 32  # cells after which the signs come again: 2.05 s
CHECK = 16  # bits of checksum
_TOLD = 0.21  # of the cells, those that tell the payload
_ANALYSIS = np.sqrt(np.hanning(_WINDOW + 1)[:-1]).astype(np.float32)


@lru_cache(maxsize=8)
def pattern(key: bytes) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Signs [PERIOD, BANDS], and the bit of payload that turns each cell's sign, -1 for none."""
    seed = int.from_bytes(hashlib.sha256(b"pattern " + key).digest(), "big")
    draw = np.random.Generator(np.random.Philox(seed % 2**128))
    pairs = draw.choice(np.array([-1, 1], np.float32), (PERIOD // 2, BANDS))
    signs = np.stack([pairs, -pairs], 1).reshape(PERIOD, BANDS)
    count = BITS + CHECK
    bits = np.full(PERIOD // 2 * BANDS, -1)
    told = draw.permutation(len(bits))[: round(_TOLD * len(bits)) // count * count]
    bits[told] = np.arange(len(told)) % count
    return signs, bits.reshape(-1, BANDS).repeat(2, 0)


def coded(payload: int, key: bytes) -> NDArray[np.float32]:
    """Payload and checksum as signs [BITS + CHECK]."""
    check = zlib.crc32(key + payload.to_bytes(BITS // 8, "big")) >> (32 - CHECK)
    word = payload << CHECK | check
    bits = [(word >> place) & 1 for place in range(BITS + CHECK)]
    return np.array(bits, np.float32) * 2 - 1


def _told(payload: int, key: bytes) -> NDArray[np.float32]:
    """Signs [PERIOD, BANDS] of a mark that says `payload`; 0 in bands that are spared."""
    signs, bits = pattern(key)
    turned = np.append(coded(payload, key), 1.0).astype(np.float32)  # -1 finds the last
    told = signs * turned[bits]
    told[:, :SPARED] = 0.0
    return told


class Marker:
    """Marks one stream of speech, piece by piece.

    `payload` is a number of `BITS` bits. What goes out lags `LAG` samples behind, unless `push` is told what
    comes next. Raises OptionError for a number that does not fit.
    """

    LAG = _WINDOW

    def __init__(self, payload: int, *, key: bytes = PUBLIC_KEY, depth_db: float = DEPTH_DB) -> None:
        if not 0 <= payload < 2**BITS:
            raise OptionError(
                f"payload={payload}",
                f"it is a whole number of {BITS} bits",
                "Use `payload_of`, or a smaller one",
            )
        self._signs = _told(payload, key)
        self._depth = depth_db
        self._given = 0  # samples that went out
        self._buffer: Samples = np.zeros(_WINDOW, np.float32)  # from _WINDOW before these on

    def push(self, samples: Samples, ahead: Samples | None = None) -> Samples:
        """The next marked samples: as many as come in where `ahead` (LAG samples) tells what follows them."""
        self._buffer = np.concatenate([self._buffer, samples.astype(np.float32)])
        if ahead is not None:
            return self._mark(len(self._buffer) - _WINDOW, ahead)
        return self._mark(len(self._buffer) - _WINDOW - self.LAG, np.zeros(0, np.float32))

    def flush(self) -> Samples:
        """The last samples, which `push` held back."""
        return self._mark(len(self._buffer) - _WINDOW, np.zeros(0, np.float32))

    def _mark(self, count: int, ahead: Samples) -> Samples:
        """`count` samples marked, and gone from the buffer; frames lie on a grid from the stream's start."""
        if count <= 0:
            return np.zeros(0, np.float32)
        first = self._given // HOP - _WINDOW // HOP + 1  # frame whose last sample may be the first wanted
        last = (self._given + count - 1) // HOP
        start = first * HOP - self._given + _WINDOW  # of the first frame, in the buffer
        known = np.concatenate([self._buffer, ahead])
        part = known[start : start + (last - first) * HOP + _WINDOW]
        part = np.pad(part, (0, (last - first) * HOP + _WINDOW - len(part)))
        frames = np.lib.stride_tricks.sliding_window_view(part, _WINDOW)[::HOP] * _ANALYSIS
        gains = _gains(self._signs, first, last - first + 1, self._depth)
        # torch transforms in a third of scipy's time.
        changed = torch.fft.irfft(torch.fft.rfft(torch.from_numpy(frames)) * torch.from_numpy(gains)).numpy()
        changed *= _ANALYSIS / 2
        made = np.zeros((len(changed) + _WINDOW // HOP - 1, HOP), np.float32)
        for place, quarter in enumerate(changed.reshape(len(changed), -1, HOP).transpose(1, 0, 2)):
            made[place : place + len(changed)] += quarter
        begin = self._given - first * HOP
        self._buffer = self._buffer[count:]
        self._given += count
        return made.reshape(-1)[begin : begin + count]


@lru_cache(maxsize=1)
def _bins() -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """The two bands (0 and BANDS + 1: none) that each bin lies between, and the weight of the second."""
    hertz = np.arange(_WINDOW // 2 + 1) * RATE / _WINDOW
    place = np.log2(np.maximum(hertz, 1.0) / LOWEST) * PER_OCTAVE - 0.5
    low = np.floor(place)
    weight = np.clip((place - low - 0.5) * 2 + 0.5, 0, 1).astype(np.float32)
    index = np.clip(low.astype(int) + 1, 0, BANDS + 1)
    return index, np.minimum(index + 1, BANDS + 1), weight


def _gains(signs: NDArray[np.float32], first: int, count: int, depth_db: float) -> NDArray[np.float32]:
    """Gains [count, bins] of the frames from `first` on; cells give way to one another within half of one."""
    place = (np.arange(first, first + count) + 0.5) / CELL - 0.5
    cell = np.floor(place).astype(int)
    weight = np.clip((place - cell - 0.5) * 2 + 0.5, 0, 1).astype(np.float32)[:, None]
    rows = signs[cell % PERIOD] * (1 - weight) + signs[(cell + 1) % PERIOD] * weight
    rows = np.pad(rows, ((0, 0), (1, 1)))
    low, high, share = _bins()
    decibels = rows[:, low] * (1 - share) + rows[:, high] * share
    return np.exp(decibels * np.float32(depth_db * np.log(10) / 20))


def embed(samples: Samples, payload: int, *, key: bytes = PUBLIC_KEY, depth_db: float = DEPTH_DB) -> Samples:
    """`samples` [N] at 24 kHz, marked."""
    marker = Marker(payload, key=key, depth_db=depth_db)
    return np.concatenate([marker.push(samples), marker.flush()])
