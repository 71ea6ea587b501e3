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
from voiceswap.nn.transformer import Transformer
from voiceswap.text.phonemes import FIRST_PHONE, INVENTORY

CLASSES = 1 + len(INVENTORY) - FIRST_PHONE


@dataclass(frozen=True)
class PhoneRecognizerConfig:
    """Sizes; those of `base` are of Moonshine tiny's encoder, whose weights it began with."""

    channels: int = 288
    blocks: int = 2
    """ConvNeXt blocks, which hear what sounds, before the layers, which understand it."""
    layers: int = 6
    heads: int = 8
    rotated: int = 32
    """Channels of a head that are rotated by the place."""
    pace: float = 8 / 9
    """What a pair of frames counts for in the rotation: 21.3 ms, of the 24 of Moonshine's frames."""
    reach: int = 96
    """Pairs of frames that a layer hears on either side: 2 s."""
    content: int = 192


SIZES = {
    "tiny": PhoneRecognizerConfig(channels=32, blocks=1, layers=2, heads=2, rotated=8, content=16),
    "base": PhoneRecognizerConfig(),
    "large": PhoneRecognizerConfig(channels=512, blocks=3, layers=12, rotated=48),
}


class PhoneRecognizer(nn.Module):
    """mel [B, M, T] → content [B, ceil(T / 2), content] and logits [B, ceil(T / 2), CLASSES]."""

    kind = "phone-recognizer"

    def __init__(self, config: PhoneRecognizerConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or PhoneRecognizerConfig()
        self.stem = ConvNeXt(2 * ACOUSTICS.n_mels, c.channels, channels=c.channels, blocks=c.blocks)
        self.layers = Transformer(
            c.channels, layers=c.layers, heads=c.heads, rotated=c.rotated, pace=c.pace, reach=c.reach
        )
        self.content = nn.Linear(c.channels, c.content)
        self.classify = nn.Linear(c.content, CLASSES)

    def listen(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the layers are given: [B, ceil(T / 2), channels]."""
        x = ((mel + 5) / 3).transpose(1, 2)
        if x.shape[1] % 2:
            x = torch.cat([x, x[:, -1:]], 1)
        return self.stem(x.reshape(x.shape[0], x.shape[1] // 2, -1), mask)

    def understand(self, mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """What the layers make of it: [B, ceil(T / 2), channels]."""
        return self.layers(self.listen(mel, mask), mask)

    def read(self, understood: Tensor) -> tuple[Tensor, Tensor]:
        """Content and logits of what was understood."""
        content = self.content(understood)
        return content, self.classify(F.silu(content))

    def forward(self, mel: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`mask` [B, ceil(T / 2), 1] is 1 within each row's length."""
        return self.read(self.understand(mel, mask))


def to_class(ids: Tensor) -> Tensor:
    """Inventory ids → classes: everything that is not a sound is silence."""
    return torch.where(ids >= FIRST_PHONE, ids - FIRST_PHONE + 1, torch.zeros_like(ids))
