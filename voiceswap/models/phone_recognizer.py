"""PhoneRecognizer: log-mel to phoneme posteriors and a content vector, for pairs of frames.

Class 0 is silence and serves as CTC's blank; the other classes are the sounds of the inventory.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voiceswap.acoustics import ACOUSTICS
from voiceswap.nn.blocks import ConvNeXt
from voiceswap.text.phonemes import FIRST_PHONE, INVENTORY

CLASSES = 1 + len(INVENTORY) - FIRST_PHONE


@dataclass(frozen=True)
class PhoneRecognizerConfig:
    """Sizes; eight blocks of kernel 15 on pairs of frames see 1.2 s to either side, most of it weakly."""

    channels: int = 256
    blocks: int = 8
    kernel: int = 15
    expansion: int = 3
    content: int = 192
    attention: int = 0
    """Self-attention over 1.4 s to either side after every so many blocks; 0 for none."""


SIZES = {
    "tiny": PhoneRecognizerConfig(channels=32, blocks=2, content=16, attention=2),
    "base": PhoneRecognizerConfig(attention=3),
    "large": PhoneRecognizerConfig(channels=512, blocks=12, attention=3),
}


class PhoneRecognizer(nn.Module):
    """mel [B, M, T] → content [B, ceil(T / 2), content] and logits [B, ceil(T / 2), CLASSES]."""

    kind = "phone-recognizer"

    def __init__(self, config: PhoneRecognizerConfig | None = None) -> None:
        super().__init__()
        self.config = config or PhoneRecognizerConfig()
        self.encoder = ConvNeXt(
            2 * ACOUSTICS.n_mels,
            self.config.content,
            channels=self.config.channels,
            blocks=self.config.blocks,
            kernel=self.config.kernel,
            expansion=self.config.expansion,
            attention=self.config.attention,
        )
        self.classify = nn.Linear(self.config.content, CLASSES)

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`mask` [B, ceil(T / 2), 1] is 1 within each row's length."""
        x = ((mel + 5) / 3).transpose(1, 2)
        if x.shape[1] % 2:
            x = torch.cat([x, x[:, -1:]], 1)
        content = self.encoder(x.reshape(x.shape[0], x.shape[1] // 2, -1), mask)
        return content, self.classify(F.silu(content))


def to_class(ids: Tensor) -> Tensor:
    """Inventory ids → classes: everything that is not a sound is silence."""
    return torch.where(ids >= FIRST_PHONE, ids - FIRST_PHONE + 1, torch.zeros_like(ids))
