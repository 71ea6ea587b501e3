"""The conditioned decoder of Synthesizer and Converter: hidden frames, F0 and speaker to a log-mel."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voiceswap.acoustics import ACOUSTICS
from voiceswap.nn.blocks import ConvNeXt


class SpeakerCondition(nn.Module):
    """Speaker vector [B, S] and recording quality [B] → condition [B, C] for FiLM."""

    def __init__(self, speaker: int, channels: int) -> None:
        super().__init__()
        self.vector = nn.Linear(speaker, channels)
        self.quality = nn.Linear(1, channels)

    def forward(self, speaker: Tensor, quality: Tensor) -> Tensor:
        """`quality` is `recording_quality` of the wanted sound."""
        # A unit vector of S entries has entries of about 1 / sqrt(S): bring them to 1.
        scaled = speaker * speaker.shape[-1] ** 0.5
        return F.silu(self.vector(scaled) + self.quality(quality[:, None]))


class Decoder(nn.Module):
    """Hidden frames [B, T, hidden] and F0 [B, T] in Hz → log-mel [B, M, T]."""

    def __init__(self, hidden: int, *, channels: int, blocks: int, expansion: int, condition: int) -> None:
        super().__init__()
        self.stack = ConvNeXt(
            hidden + 2,
            ACOUSTICS.n_mels,
            channels=channels,
            blocks=blocks,
            expansion=expansion,
            condition=condition,
            dilations=(1, 1, 2),
        )
        nn.init.constant_(self.stack.leave.bias, -5.0)

    def forward(
        self,
        hidden: Tensor,
        f0: Tensor,
        condition: Tensor,
        mask: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> Tensor:
        """`condition` [B, C], `mask` [B, T, 1] and `offsets` [blocks, 2 C] as the blocks take them."""
        x = torch.cat([hidden, pitch_features(f0)], -1)
        return self.stack(x, mask, condition, offsets).transpose(1, 2)


def pitch_features(f0: Tensor) -> Tensor:
    """F0 [B, T] in Hz → [B, T, 2]: octaves from 150 Hz (0 where unvoiced) and voicing."""
    voiced = (f0 > 0).to(f0.dtype)
    return torch.stack([torch.log2(f0.clamp(min=40.0) / 150.0) * voiced, voiced], -1)


def recording_quality(mel: Tensor) -> Tensor:
    """How far the pauses lie below the loud frames of a log-mel [..., M, T]: about -1 (noisy) to 1 (studio).

    Told to the decoder in training, so that a voice can be had without its recording's noise.
    """
    level = mel.float().mean(-2)
    gap = torch.quantile(level, 0.95, dim=-1) - torch.quantile(level, 0.05, dim=-1)
    return ((gap - 4.5) / 2).clamp(-1.5, 1.5)
