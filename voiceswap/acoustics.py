"""Log-mel spectra and fundamental frequency: the one place that makes them, with the one setting.

Shapes: B batch, N samples, T frames, M mel bands. Frame ``i`` is centred on sample ``i * hop``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class AcousticsConfig:
    """The setting that every model stores; models whose settings differ refuse to work together."""

    sample_rate: int = 24000
    """Samples a second."""
    n_fft: int = 1024
    """Length of the Hann window and of the transform, in samples."""
    hop: int = 256
    """Samples between frames: 93.75 frames a second."""
    n_mels: int = 80
    """Mel bands on Slaney's scale with area normalization, as librosa's default."""
    f_max: float = 8000.0
    """Upper edge of the highest band, Hz; the lowest begins at 0."""
    floor: float = 1e-5
    """Magnitudes below this are raised to it before the natural logarithm."""
    f0_min: float = 55.0
    """Lowest fundamental that there may be, Hz."""
    f0_max: float = 500.0
    """Highest, Hz."""

    @property
    def frame_rate(self) -> float:
        """Frames a second."""
        return self.sample_rate / self.hop

    def to_dict(self) -> dict[str, float]:
        """Plain values, for a checkpoint's header."""
        return asdict(self)


ACOUSTICS = AcousticsConfig()
_QUIET = 3.5  # in log magnitude, as the alignment of recordings takes it


@dataclass(frozen=True)
class Acoustics:
    """What both verbs meet at: `mel` [M, T] natural log magnitudes, `f0` [T] in Hz, 0 where unvoiced."""

    mel: Tensor
    f0: Tensor

    def trimmed(self, before: float | None, after: float | None) -> tuple[Acoustics, float, float]:
        """With at most so many seconds of silence at its ends (None: as it is), and how much there is now.

        Silence are frames well below the loud ones, by about 30 dB.
        """
        level = self.mel.mean(0)
        loud = torch.nonzero(level > torch.quantile(level, 0.95) - _QUIET)
        edges = int(loud[0]), self.mel.shape[1] - 1 - int(loud[-1])
        rate = ACOUSTICS.frame_rate
        head, tail = (
            quiet if most is None else min(quiet, int(most * rate))
            for quiet, most in zip(edges, (before, after), strict=True)
        )
        kept = slice(edges[0] - head, self.mel.shape[1] - edges[1] + tail)
        return Acoustics(self.mel[:, kept], self.f0[kept]), head / rate, tail / rate


@lru_cache(maxsize=4)
def mel_filters(config: AcousticsConfig = ACOUSTICS) -> Tensor:
    """Slaney's mel filter bank [M, n_fft // 2 + 1], each band of area 1, as librosa makes it.

    Made here because importing librosa takes as long as everything else in the first word together.
    """
    c = config

    def hertz(mel: np.ndarray) -> np.ndarray:
        return np.where(mel < 15, mel * 200 / 3, 1000 * np.exp((mel - 15) * np.log(6.4) / 27))

    top = 15 + 27 * np.log(c.f_max / 1000) / np.log(6.4)
    edges = hertz(np.linspace(0, top, c.n_mels + 2))
    bins = np.linspace(0, c.sample_rate / 2, c.n_fft // 2 + 1)
    up = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    down = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    bank = np.maximum(0, np.minimum(up, down)) * (2 / (edges[2:] - edges[:-2]))[:, None]
    with torch.inference_mode(False):  # the one that is kept serves training too, whoever asked first
        return torch.from_numpy(bank).float()


@lru_cache(maxsize=4)
def _window(n_fft: int) -> Tensor:
    """Hann's [n_fft]; making it anew takes longer than some of what it is multiplied with."""
    with torch.inference_mode(False):  # as above
        return torch.hann_window(n_fft)


def stft(wave: Tensor, n_fft: int = ACOUSTICS.n_fft, hop: int = ACOUSTICS.hop) -> Tensor:
    """Centred complex Hann spectrum [B, n_fft // 2 + 1, T] of `wave` [B, N], T = N // hop + 1."""
    window = _window(n_fft).to(wave.device)
    return torch.stft(wave, n_fft, hop, window=window, center=True, pad_mode="constant", return_complex=True)


def inverse_stft(spectrum: Tensor, length: int) -> Tensor:
    """Waveform [B, length] of `stft`'s spectra [B, n_fft // 2 + 1, T]; length is (T - 1) * hop at most.

    As `torch.istft`, in a third of its time: four neighbours overlap, so they are added as whole frames.
    """
    n_fft = ACOUSTICS.n_fft
    window = _window(n_fft).to(spectrum.device)
    frames = torch.fft.irfft(spectrum.transpose(1, 2), n_fft) * window
    weight = _overlap_add(window.square().expand(1, frames.shape[1], n_fft))
    kept = slice(n_fft // 2, n_fft // 2 + length)
    return _overlap_add(frames)[:, kept] / weight[:, kept]


def _overlap_add(frames: Tensor) -> Tensor:
    """Frames [B, T, n_fft], each a hop after the one before, added up to [B, (T - 1) * hop + n_fft]."""
    parts = ACOUSTICS.n_fft // ACOUSTICS.hop
    batch, count, _ = frames.shape
    split = frames.reshape(batch, count, parts, ACOUSTICS.hop)
    total = frames.new_zeros(batch, count + parts - 1, ACOUSTICS.hop)
    for part in range(parts):
        total[:, part : part + count] += split[:, :, part]
    return total.flatten(1)


def magnitude(spectrum: Tensor) -> Tensor:
    """Absolute values of a complex spectrum, with a gradient at 0 and faster than `abs`."""
    return torch.sqrt(spectrum.real.square() + spectrum.imag.square() + 1e-12)


def mel_of_magnitude(magnitude: Tensor, config: AcousticsConfig = ACOUSTICS) -> Tensor:
    """Log-mel [B, M, T] of STFT magnitudes [B, n_fft // 2 + 1, T]."""
    bank = mel_filters(config).to(magnitude.device)
    return torch.log(torch.clamp(bank @ magnitude, min=config.floor))


def log_mel(wave: Tensor, config: AcousticsConfig = ACOUSTICS) -> Tensor:
    """Natural-log mel magnitudes [B, M, T] of `wave` [B, N] in -1…1, T = N // hop + 1."""
    return mel_of_magnitude(magnitude(stft(wave, config.n_fft, config.hop)), config)


F0_METHOD = "boersma-1"
"""Of `f0_track`; another name whenever it finds something else. Features hold F0, and say by which method."""

# Below are the constants of the pitch tracker: those of Boersma's paper and of Praat, by which melodies are
# judged, for 10 ms between frames. Earlier ones, tuned on synthetic speech, held 7 to 18 % of all frames of
# recordings for voiced that Praat does not (benchmarks/f0.py).
_RATE = 12000  # samples a second that are correlated; lags between them are found by parabolas
_LOWEST = 60.0  # Hz; looking lower finds halves of the pitch
_PERIODS = 3  # of the lowest pitch in a window
_CANDIDATES = 8
_OCTAVE_COST = 0.01  # per octave, in favour of the higher of two equal peaks
_JUMP_COST = 0.35  # per octave of change between frames
_VOICING_COST = 0.14  # of a change between voiced and unvoiced
_UNVOICED = 0.45  # correlation below which a frame had better be unvoiced
_SILENCE = 0.03  # peak, as a share of the recording's, below which a frame leans towards unvoiced


def _correlate(samples: np.ndarray, config: AcousticsConfig) -> tuple[np.ndarray, np.ndarray]:
    """Autocorrelation [T, lags] at every frame, that of the window divided out, and peaks [T], up to 1."""
    from scipy.fft import next_fast_len
    from scipy.signal import resample_poly

    low = resample_poly(samples, _RATE, config.sample_rate).astype(np.float32)
    low -= low.mean()
    frames = len(samples) // config.hop + 1
    width = 2 * round(_PERIODS * _RATE / _LOWEST / 2)
    lags = int(np.ceil(_RATE / _LOWEST)) + 2
    centres = np.round(np.arange(frames) * config.hop * _RATE / config.sample_rate).astype(np.int64)
    padded = np.pad(low, (width, width))
    view = np.lib.stride_tricks.sliding_window_view(padded, width)[centres + width // 2]
    middle = slice(width // 3, width - width // 3)  # a period of the lowest pitch
    peaks = np.abs(view[:, middle]).max(1) / (np.abs(low).max() + 1e-9)
    window = np.hanning(width + 2)[1:-1].astype(np.float32)
    size = next_fast_len(width + lags, real=True)

    def correlation(wave: np.ndarray) -> np.ndarray:
        spectrum = torch.fft.rfft(torch.from_numpy(wave), size)  # in a third of scipy's time
        squared = spectrum.real.square() + spectrum.imag.square()
        power = torch.fft.irfft(squared, size)[..., :lags].numpy()
        return np.asarray(power / (power[..., :1] + 1e-9))

    return correlation((view - view.mean(1, keepdims=True)) * window) / correlation(window), peaks


def _candidates(correlation: np.ndarray, config: AcousticsConfig) -> tuple[np.ndarray, np.ndarray]:
    """The best peaks of each frame: their F0 [T, K] in Hz and strengths [T, K] (-1 where there is none)."""
    low = int(np.ceil(_RATE / config.f0_max))
    body = correlation[:, low - 1 :]
    middle = body[:, 1:-1]
    peak = (middle > body[:, :-2]) & (middle >= body[:, 2:]) & (middle > _UNVOICED / 2)
    frame, lag = np.nonzero(peak)  # few: what follows is of them alone
    left, mid, right = body[frame, lag], body[frame, lag + 1], body[frame, lag + 2]
    offset = 0.5 * (left - right) / (left - 2 * mid + right)
    height = mid - 0.25 * (left - right) * offset
    height = np.where(height > 1, 1 / np.maximum(height, 1), height)  # a window's edge, not a better period
    f0 = np.ones(peak.shape)
    strength = np.full(peak.shape, -1.0)
    f0[frame, lag] = _RATE / (lag + low + offset)
    strength[frame, lag] = height + _OCTAVE_COST * np.log2(f0[frame, lag] / _LOWEST)
    best = np.argpartition(-strength, _CANDIDATES, axis=1)[:, :_CANDIDATES]
    return np.take_along_axis(f0, best, 1), np.take_along_axis(strength, best, 1)


def f0_track(samples: np.ndarray, config: AcousticsConfig = ACOUSTICS) -> np.ndarray:
    """Fundamental frequency of `samples` [N] in Hz, 0 where unvoiced: float32 [T], T = N // hop + 1.

    Peaks of the autocorrelation, chosen over time by dynamic programming: Boersma, "Accurate short-term
    analysis of the fundamental frequency and the harmonics-to-noise ratio of a sampled sound", 1993.
    """
    if len(samples) == 0:
        return np.zeros(1, np.float32)
    correlation, peaks = _correlate(np.asarray(samples, np.float32), config)
    f0, strength = _candidates(correlation, config)
    quiet = np.maximum(0, 2 - peaks * (1 + _UNVOICED) / _SILENCE)
    # State 0 is unvoiced, the others the candidates of the frame.
    reward = np.concatenate([_UNVOICED + quiet[:, None], strength], 1)
    pitch = np.log2(np.concatenate([np.ones((len(f0), 1)), f0], 1))
    change = np.abs(pitch[:-1, :, None] - pitch[1:, None, :]) * _JUMP_COST
    change[:, 0, 1:] = change[:, 1:, 0] = _VOICING_COST
    change[:, 0, 0] = 0.0
    change *= 0.01 * config.frame_rate
    score = reward[0].copy()
    back = np.zeros(reward.shape, np.int64)
    for t in range(1, len(reward)):
        total = score[:, None] - change[t - 1]
        back[t] = total.argmax(0)
        score = total.max(0) + reward[t]
    path = np.zeros(len(reward), np.int64)
    path[-1] = score.argmax()
    for t in range(len(reward) - 1, 0, -1):
        path[t - 1] = back[t][path[t]]
    chosen = np.concatenate([np.zeros((len(f0), 1)), f0], 1)
    return chosen[np.arange(len(path)), path].astype(np.float32)


def pitch_statistics(log_f0: np.ndarray) -> tuple[float, float]:
    """Median F0 in Hz and spread (standard deviation of ln F0 about it) of the voiced frames' ln F0 [T].

    Frames more than 0.8 (14 semitones) away are taken for octave errors and do not count for the spread.
    Under ten voiced frames give the middle of what people have: 150 Hz, 0.2.
    """
    if len(log_f0) < 10:
        return 150.0, 0.2
    median = float(np.median(log_f0))
    above = log_f0[np.abs(log_f0 - median - np.log(2)) < 0.3]
    if len(above) > 0.25 * len(log_f0):  # creaky: half of the frames were taken an octave too low
        median = float(np.median(above))
    near = log_f0[np.abs(log_f0 - median) < 0.8]
    return float(np.exp(median)), float(np.clip(near.std(), 0.08, 0.45))


def cosine_coefficients(mel: Tensor, count: int) -> Tensor:
    """Cosine coefficients 1 to `count`, over the bands, of log-mels [B, M, T]: [B, T, count].

    The shape of the spectrum; coefficient 0, the level, is left out.
    """
    bands = mel.shape[1]
    place = (torch.arange(bands, device=mel.device) + 0.5) / bands
    waves = torch.cos(torch.pi * torch.arange(1, count + 1, device=mel.device)[:, None] * place)
    return (mel.transpose(1, 2) @ waves.T.to(mel.dtype)) * (2 / bands) ** 0.5
