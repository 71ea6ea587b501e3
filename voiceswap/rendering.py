"""Acoustics to samples in bounded blocks: the vocoder's seams are hidden by its own context."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from voiceswap.acoustics import ACOUSTICS, Acoustics
from voiceswap.models.vocoder import Vocoder, bridge, pulses

_CONTEXT = 40  # frames that the vocoder and its transforms see to either side
_BLOCK = 1024  # frames rendered at once: 11 s; half as many took 8 % longer, for the context of more seams


@torch.inference_mode()
def render(
    vocoder: Vocoder,
    acoustics: Acoustics,
    *,
    seed: int,
    block: int = _BLOCK,
    first: int | None = None,
    corrections: int | None = None,
) -> Iterator[NDArray[np.float32]]:
    """Samples [T * hop] of `acoustics` in pieces of `block` frames, the first one of `first` to have it soon.

    But for rounding the pieces are the same as if all had been rendered at once: pulses and noise are made
    for the whole. Every seam costs the rendering of its context, twice. `corrections` are the vocoder's.
    """
    hop = ACOUSTICS.hop
    device = next(vocoder.parameters()).device
    # One frame more than asked for, as T frames span (T - 1) * hop samples.
    mel = torch.nn.functional.pad(acoustics.mel[None], (0, 1), mode="replicate").to(device)
    f0 = bridge(torch.nn.functional.pad(acoustics.f0[None].cpu(), (0, 1)))
    frames = mel.shape[2]
    # Source signals are made on the CPU: every device hears the same noise, and MPS knows no float64.
    pulse = pulses(f0).to(device)
    noise = torch.randn(pulse.shape, generator=torch.Generator().manual_seed(seed)).to(device)
    f0 = f0.to(device)
    start, size = 0, first or block
    while start < frames - 1:
        end = min(start + size, frames - 1)
        low, high = max(0, start - _CONTEXT), min(frames, end + _CONTEXT + 1)
        part = slice(low * hop, (high - 1) * hop)
        given = mel[:, :, low:high], f0[:, low:high], noise[:, part], pulse[:, part]
        wave = vocoder(*given, corrections)[0]
        yield wave[(start - low) * hop : (end - low) * hop].float().cpu().numpy()
        start, size = end, block
