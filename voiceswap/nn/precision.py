"""Where the wide products of the ConvNeXt blocks are computed in half precision."""

from __future__ import annotations

import torch
from torch import nn

from voiceswap.nn.blocks import ConvNeXt, ConvNeXtBlock

_MULTIPLE = 32
"""Frames. oneDNN prepares, and keeps, its products and convolutions anew for every length that it meets."""


def multiplies_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 numbers, which takes half as long as float32.

    Others would convert each number there and back, and be slower.
    """
    return bool(torch.cpu._is_avx512_bf16_supported())


def halved(model: nn.Module) -> nn.Module:
    """`model` itself, with the pointwise products of its ConvNeXt blocks in bfloat16, summed in float32.

    For inference. They are most of the arithmetic, and what they add to a block's input is small beside it;
    that input and all other layers stay float32. Training multiplies so as well (`training/products.py`).
    """
    for module in model.modules():
        if isinstance(module, ConvNeXt):
            module.multiple = _MULTIPLE
        if isinstance(module, ConvNeXtBlock):
            module.widen.to(torch.bfloat16)
            module.narrow.to(torch.bfloat16)
    return model
