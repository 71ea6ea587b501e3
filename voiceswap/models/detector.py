"""Detector: samples to how synthetic they sound, eight times a second. N samples at 16 kHz, T frames, F bins.

A small convolutional network on the log-spectrogram, as the light countermeasures against spoofed speech are
(LCNN: Lavrentyeva et al., 2019). What it knows are the generators it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

RATE = 16000
_WINDOW, _HOP = 512, 160
_BINS = 240  # up to 7.5 kHz; what lies above tells of the sampling rate
STEP = 8 * _HOP
"""Samples a score stands for: 80 ms."""


@dataclass(frozen=True)
class DetectorConfig:
    """Sizes; `channels` are those of the last of the stages, whose first has an eighth of them."""

    channels: int = 64
    hidden: int = 96


SIZES = {
    "tiny": DetectorConfig(channels=16, hidden=8),
    "base": DetectorConfig(),
    "large": DetectorConfig(channels=128, hidden=192),
}
_EIGHTHS = (1, 3, 5, 8, 8)  # of the channels, in each stage
_STRIDES = ((2, 2), (2, 2), (2, 2), (1, 2), (1, 2))


class _Stage(nn.Module):
    """Fewer and wider cells, then one residual convolution."""

    def __init__(self, before: int, after: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.down = nn.Conv2d(before, after, 3, stride=stride, padding=1)
        self.norm = nn.GroupNorm(1, after)
        self.same = nn.Conv2d(after, after, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.norm(self.down(x)))
        return x + F.silu(self.same(x))


class Detector(nn.Module):
    """log-spectrogram [B, T, F] → logits [B, ceil(T / 8)], high where it sounds synthetic."""

    kind = "detector"

    def __init__(self, config: DetectorConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or DetectorConfig()
        sizes = [1, *(c.channels * eighths // 8 for eighths in _EIGHTHS)]
        self.stages = nn.Sequential(
            *(_Stage(a, b, stride) for a, b, stride in zip(sizes, sizes[1:], _STRIDES, strict=False))
        )
        bins = _BINS
        for _, halved in _STRIDES:
            bins = -(-bins // halved)
        self.mix = nn.Conv1d(c.channels * bins, c.hidden, 5, padding=2)
        self.score = nn.Conv1d(c.hidden, 1, 1)

    def forward(self, spectrogram: Tensor) -> Tensor:
        """As the class says."""
        x = self.stages(spectrogram[:, None])
        x = x.transpose(2, 3).flatten(1, 2).to(self.mix.weight.dtype)  # training convolves in bfloat16
        return self.score(F.silu(self.mix(x)))[:, 0]


def spectrogram(samples: Tensor) -> Tensor:
    """Log-spectrogram [B, N // HOP, F] of samples [B, N], less its mean over time: rooms go with it."""
    window = torch.hann_window(_WINDOW, device=samples.device)
    spectrum = torch.stft(samples, _WINDOW, _HOP, window=window, return_complex=True)[:, :_BINS, :-1]
    level = torch.log(spectrum.real**2 + spectrum.imag**2 + 1e-7).transpose(1, 2)
    return (level - level.mean(1, keepdim=True)) / 3
