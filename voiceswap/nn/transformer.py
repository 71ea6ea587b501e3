"""A pre-norm transformer whose attention knows distances by rotation. Tensors are [B, T, C]."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class TransformerLayer(nn.Module):
    """Self-attention and an MLP with GELU, each behind a norm and added (Xiong et al., 2020).

    Queries and keys are rotated by their places (RoFormer: Su et al., 2021), neighboring channels in
    pairs. What has biases and what has not follows Moonshine (Jeffries et al., 2024): its weights fit.
    """

    def __init__(self, channels: int, *, heads: int, expansion: int = 4) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels, bias=False)
        self.ask = nn.Linear(channels, 3 * channels, bias=False)
        self.answer = nn.Linear(channels, channels, bias=False)
        self.norm_mlp = nn.LayerNorm(channels, bias=False)
        self.widen = nn.Linear(channels, expansion * channels)
        self.narrow = nn.Linear(expansion * channels, channels)

    def forward(self, x: Tensor, turns: tuple[Tensor, Tensor], bias: Tensor | None) -> Tensor:
        """`turns`: cosines and sines [T, R]; `bias` is added to the scores [B or 1, 1, T, T]."""
        batch, frames, channels = x.shape
        parts = self.ask(self.norm(x)).view(batch, frames, 3, self.heads, channels // self.heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        query, key = rotate(query, turns), rotate(key, turns)
        if bias is not None:
            bias = bias.to(query.dtype)
        heard = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
        x = x + self.answer(heard.transpose(1, 2).reshape(batch, frames, channels))
        return x + self.narrow(F.gelu(self.widen(self.norm_mlp(x))))


class Transformer(nn.Module):
    """Layers and a last norm; `reach` limits how many frames away each one hears, on either side."""

    def __init__(
        self,
        channels: int,
        *,
        layers: int,
        heads: int,
        rotated: int,
        pace: float = 1.0,
        reach: int | None = None,
    ) -> None:
        """`rotated`: channels of a head that are; `pace`: what a frame counts for in the rotation."""
        super().__init__()
        self.rotated, self.pace, self.reach = rotated, pace, reach
        self.layers = nn.ModuleList(TransformerLayer(channels, heads=heads) for _ in range(layers))
        self.norm = nn.LayerNorm(channels, bias=False)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """[B, T, C] → the same; `mask` [B, T, 1] is 1 where there is sound."""
        places = torch.arange(x.shape[1], device=x.device)
        speeds = 10000.0 ** -(torch.arange(0, self.rotated, 2, device=x.device) / self.rotated)
        angles = (self.pace * places[:, None] * speeds).repeat_interleave(2, -1)
        bias = None
        if self.reach is not None:
            far = (places[:, None] - places).abs() > self.reach
            bias = far.to(x.dtype)[None, None] * -1e4
        if mask is not None:
            silent = (mask.transpose(1, 2)[:, None] - 1) * 1e4
            bias = silent.expand(-1, 1, x.shape[1], -1) if bias is None else bias + silent
        for layer in self.layers:
            x = layer(x, (angles.cos(), angles.sin()), bias)
        return self.norm(x)


def rotate(x: Tensor, turns: tuple[Tensor, Tensor]) -> Tensor:
    """[B, H, T, D] with the first R channels turned, pair by pair, by the angles of `turns` [T, R]."""
    cosine, sine = (turn.to(x.dtype) for turn in turns)
    turned, rest = x[..., : cosine.shape[-1]], x[..., cosine.shape[-1] :]
    across = torch.stack([-turned[..., 1::2], turned[..., ::2]], -1).flatten(-2)
    return torch.cat([turned * cosine + across * sine, rest], -1)
