"""SpeakerEncoder: log-mel to a unit vector that says who speaks.

ConvNeXt on pairs of frames and attentive statistics pooling (Okabe et al., 2018). Bands above 5.5 kHz are not
looked at, so that a narrow-band recording does not become a narrow-band voice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voiceswap.nn.blocks import ConvNeXt

BANDS = 70
"""Mel bands that are looked at: 0 to 5.5 kHz."""


@dataclass(frozen=True)
class SpeakerEncoderConfig:
    """Sizes of the network and of the vector."""

    channels: int = 192
    blocks: int = 5
    expansion: int = 3
    vector: int = 192


SIZES = {
    "tiny": SpeakerEncoderConfig(channels=24, blocks=1),
    "base": SpeakerEncoderConfig(),
    "large": SpeakerEncoderConfig(channels=384, blocks=8),
}


class SpeakerEncoder(nn.Module):
    """mel [B, M, T] → unit vectors [B, vector]."""

    kind = "speaker-encoder"

    def __init__(self, config: SpeakerEncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or SpeakerEncoderConfig()
        channels = self.config.channels
        self.frames = ConvNeXt(
            2 * BANDS,
            2 * channels,
            channels=channels,
            blocks=self.config.blocks,
            expansion=self.config.expansion,
        )
        self.attend = nn.Sequential(nn.Linear(2 * channels, 64), nn.Tanh(), nn.Linear(64, 2 * channels))
        self.leave = nn.Linear(4 * channels, self.config.vector)

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` [B, ceil(T / 2), 1] is 1 where there is speech to listen to."""
        x = ((mel[:, :BANDS] + 5) / 3).transpose(1, 2)
        if x.shape[1] % 2:
            x = torch.cat([x, x[:, -1:]], 1)
        x = self.frames(x.reshape(x.shape[0], x.shape[1] // 2, -1), mask)
        score = self.attend(x)
        if mask is not None:
            score = score.masked_fill(mask == 0, -1e4)
        weight = score.softmax(1)
        mean = (weight * x).sum(1)
        spread = torch.sqrt((weight * (x - mean[:, None]) ** 2).sum(1) + 1e-5)
        return F.normalize(self.leave(torch.cat([mean, spread], -1)), dim=-1)
