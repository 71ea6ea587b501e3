"""What a decoder averages away is put back into its log-mels: contrast between bands and from frame to frame.

A network that is trained towards the mean of all likely spectra makes them flatter than each is, which is
heard as muffled. The remedy is that of statistical synthesis (Toda & Tokuda, "A speech parameter generation
algorithm considering global variance", 2007): deviations from a smooth spectrum grow until they are as large
as those of recordings. On voiced frames those within 15 bands were 0.71 (conversions) and 0.73 (text of
enrolled people) in log magnitude, of recordings 0.83; those within 9 frames 0.50 and 0.51, of recordings 0.55
(benchmarks/contrast.py, before there was this filter).
Shapes: B batch, M mel bands, T frames.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from voiceswap.acoustics import ACOUSTICS, mel_filters

BANDS, FRAMES = 15, 9


class Sharpness(NamedTuple):
    """By which share deviations within `BANDS` bands, `contrast`, and `FRAMES` frames, `motion`, grow."""

    contrast: float
    motion: float


OF_BUILTIN = Sharpness(0.15, 0.1)
OF_PEOPLE = Sharpness(0.02, 0.08)
"""With as much as built-in voices get people sound cleaner, and less like themselves.

Text with a timbre gets none, and no hush: that brings the person's own (docs/training-log.md, round 18)."""
_BELOW = 0.7  # of the pitch: nothing of a voice sounds there
_HUSHED = 1.0  # log magnitude, 9 dB: how much of the recordings' rumble below the pitch is taken
_LOW, _LIGHTER = (300.0, 700.0), 0.5  # Hz; log magnitude, 4 dB
_ENERGY_FRAMES = 5
_ENERGY_KEPT = 0.6  # all of it is no truer to the source's voicing and sounds less natural (Distill-MOS)
_ENERGY_MOST = 2.0


def sharpen(mel: Tensor, f0: Tensor, by: Sharpness, *, unvoiced: bool) -> Tensor:
    """Log-mel [B, M, T] as a decoder makes it and its F0 [B, T] in Hz, 0 where unvoiced → with contrast.

    `unvoiced` says whether frames without F0 are sharpened too: read text sounds better with it, while of a
    conversion's hisses, whose outline comes from the source, more would sound voiced.
    """
    where = torch.ones_like(f0) if unvoiced else (f0 > 0).to(mel.dtype)
    centres = _centres().to(mel.device)
    # Down there bands lie as far apart as the first does from 0.
    reach = (_BELOW * f0[:, None] - centres[:, None]) / centres[0]
    mel = mel - _HUSHED * reach.clamp(0, 1)
    where = where[:, None]
    mel = mel + by.contrast * where * (mel - smooth(mel.transpose(1, 2), BANDS).transpose(1, 2))
    return mel + by.motion * where * (mel - smooth(mel, FRAMES))


def lighten(mel: Tensor) -> Tensor:
    """Log-mel [..., M, T] of a built-in voice less its boom: 4 dB below 300 Hz, and nothing from 700 Hz on.

    Both judges hear them cleaner (docs/training-log.md, rounds 20 and 22). Voices of people keep it.
    """
    low, high = _LOW
    return mel - _LIGHTER * ((high - _centres().to(mel.device)) / (high - low)).clamp(0, 1)[:, None]


def keep_energy(mel: Tensor, heard: Tensor) -> Tensor:
    """Log-mel [B, M, T] of a conversion, with most of what its energy lacks of the source's, `heard`.

    A speaker's recordings have their own dynamics; what was soft in the source becomes loud with them, and
    weak voiced sounds drown.
    """
    missing = _energy(heard) - _energy(mel)
    return mel + (_ENERGY_KEPT * missing).clamp(-_ENERGY_MOST, _ENERGY_MOST)[:, None]


def _energy(mel: Tensor) -> Tensor:
    """Log magnitude [B, T] of all bands together, over `_ENERGY_FRAMES` frames."""
    return smooth(torch.logsumexp(2 * mel, 1, keepdim=True) / 2, _ENERGY_FRAMES)[:, 0]


def smooth(x: Tensor, width: int) -> Tensor:
    """Means over `width` (odd) neighbours along the last dimension of [B, C, N]."""
    return F.avg_pool1d(F.pad(x, (width // 2, width // 2), mode="replicate"), width, 1)


@lru_cache(maxsize=1)
def _centres() -> Tensor:
    """Of the mel bands [M], in Hz; the lowest ones are equally far apart."""
    bank = mel_filters()
    hertz = torch.arange(bank.shape[1]) * (ACOUSTICS.sample_rate / ACOUSTICS.n_fft)
    with torch.inference_mode(False):
        return (bank * hertz).sum(1) / bank.sum(1)
