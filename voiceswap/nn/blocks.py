"""One conditioned ConvNeXt block serves every model. Tensors are [B, T, C]: batch, frames, channels."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class ConvNeXtBlock(nn.Module):
    """Depthwise convolution over time, layer norm, FiLM, pointwise MLP with SiLU, residual.

    Liu et al., "A ConvNet for the 2020s", 2022; FiLM: Perez et al., 2018. SiLU instead of GELU because it
    costs half as much on a CPU. Without a condition (`condition` 0) there is no FiLM.
    """

    def __init__(
        self, channels: int, *, kernel: int = 7, expansion: int = 3, condition: int = 0, dilation: int = 1
    ) -> None:
        super().__init__()
        self.padding = kernel // 2
        self.dilation = dilation
        self.depthwise = nn.Conv2d(channels, channels, (1, kernel), groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.film = nn.Linear(condition, 2 * channels) if condition else None
        if self.film is not None:
            nn.init.normal_(self.film.weight, std=0.02)
            nn.init.zeros_(self.film.bias)
        self.widen = nn.Linear(channels, expansion * channels)
        self.narrow = nn.Linear(expansion * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.3))

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        offset: Tensor | None = None,
    ) -> Tensor:
        """[B, T, C] → the same; `mask` [B, T, 1] is 1 where there is sound, `condition` [B, condition].

        `offset` [2 C] is added to the gains and shifts that FiLM makes of the condition.
        """
        y = self.norm(self._convolved(x))
        if self.film is not None and condition is not None:
            film = self.film(condition) if offset is None else self.film(condition) + offset
            gain, shift = film.unsqueeze(1).chunk(2, -1)
            y = torch.addcmul(shift, y, 1 + gain)
        y = self.narrow(F.silu(self.widen(y.to(self.widen.weight.dtype))))  # `nn.precision.halved`
        y = torch.addcmul(x, self.scale, y.to(x.dtype))
        return y if mask is None else y * mask

    def _convolved(self, x: Tensor) -> Tensor:
        """[B, T, C] over time as a channels-last image, whose rows are `dilation` frames.

        That is how it lies in memory already. Each column then is convolved without a dilation, for which
        some processors have no fast kernel (ten times slower where there is no AVX-512).
        """
        frames, width = x.shape[1], self.dilation
        if frames % width:  # padding by nothing copies
            x = F.pad(x, (0, 0, 0, -frames % width))
        image = x.unflatten(1, (-1, width)).permute(0, 3, 1, 2)
        conv = self.depthwise
        y = F.conv2d(image, conv.weight.transpose(2, 3), conv.bias, 1, (self.padding, 0), 1, conv.groups)
        return y.permute(0, 2, 3, 1).flatten(1, 2)[:, :frames]


class ConvNeXt(nn.Module):
    """A stack of blocks with a projection in, a last norm, and a projection out."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        channels: int,
        blocks: int,
        kernel: int = 7,
        expansion: int = 3,
        condition: int = 0,
        dilations: tuple[int, ...] = (1,),
    ) -> None:
        super().__init__()
        self.multiple = 1  # frames are padded to one of it for the blocks: `nn.precision.halved`
        self.enter = nn.Linear(inputs, channels)
        self.blocks = nn.ModuleList(
            ConvNeXtBlock(
                channels,
                kernel=kernel,
                expansion=expansion,
                condition=condition,
                dilation=dilations[i % len(dilations)],
            )
            for i in range(blocks)
        )
        self.norm = nn.LayerNorm(channels)
        self.leave = nn.Linear(channels, outputs)

    def forward(
        self,
        x: Tensor,
        mask: Tensor | None = None,
        condition: Tensor | None = None,
        offsets: Tensor | None = None,
    ) -> Tensor:
        """[B, T, inputs] → [B, T, outputs]; `offsets` [blocks, 2 C] are those of the blocks."""
        frames, missing = x.shape[1], -x.shape[1] % self.multiple
        x = self.enter(x)
        if mask is not None:
            x = x * mask
        if missing:
            x = F.pad(x, (0, 0, 0, missing))
            mask = mask if mask is None else F.pad(mask, (0, 0, 0, missing))
        for number, block in enumerate(self.blocks):
            x = block(x, mask, condition, None if offsets is None else offsets[number])
            if missing:
                x[:, frames:] = 0.0  # what convolutions see beyond the end
        y = self.leave(self.norm(x).to(self.leave.weight.dtype))
        return y[:, :frames].to(x.dtype)


def lengths_to_mask(lengths: Tensor, total: int) -> Tensor:
    """[B] lengths → [B, total, 1] of ones within and zeros beyond them."""
    return (torch.arange(total, device=lengths.device)[None] < lengths[:, None]).float().unsqueeze(-1)
