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
    """`model` itself, with the wide products of its ConvNeXt stacks in bfloat16, summed in float32.

    For inference. Those are the pointwise products of the blocks, which add little to a block's input, and a
    stack's last one where it has more outputs than twice its channels, as the Vocoder's. All other layers and
    what goes from block to block stay float32. Training multiplies so as well (`training/products.py`).
    """
    for module in model.modules():
        if isinstance(module, ConvNeXtBlock):
            module.widen.to(torch.bfloat16)
            module.narrow.to(torch.bfloat16)
        elif isinstance(module, ConvNeXt):
            module.multiple = _MULTIPLE
            if module.leave.out_features > 2 * module.leave.in_features:
                module.leave.to(torch.bfloat16)
    return model
