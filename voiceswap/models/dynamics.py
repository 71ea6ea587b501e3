"""How loud speech is and what its noises are like, and those of one speaker as another's would be.

The Converter is told of every frame how loud it is, a mean over bands, and of unvoiced ones the outline of
their spectrum. What is said decides when a frame is louder and which noise it is; how often somebody is how
loud, and how all their noises lie, belongs to the person, as the range of a melody does. So the distributions
are made to meet: of loudness rank by rank, quantile mapping (Panofsky & Brier, "Some Applications of
Statistics to Meteorology", 1958), of noises mean and deviation.
Shapes: B batch, M mel bands, T frames, Q quantiles, K coefficients of the outline.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceswap.acoustics import cosine_coefficients
from voiceswap.models.postfilter import smooth

_SHARES = np.linspace(0.02, 0.98, 25)
QUANTILES = len(_SHARES)
_FEWEST = 20  # frames: fewer tell little of how somebody speaks
_SILENT = -6.0  # mean log magnitude of unvoiced frames below which nobody is heard
_WIDER = 0.6, 1.6  # how much narrower and wider the outlines of noises may become


def loudness_of(mel: Tensor) -> Tensor:
    """Loudness [B, T] of log-mels [B, M, T]: the mean of the bands below 5.5 kHz, smoothed over 5 frames."""
    level = (mel[:, :70].mean(1) + 5) / 2
    return smooth(level[:, None], 5)[:, 0]


def outline_of(mel: Tensor, count: int) -> Tensor:
    """The spectrum's outline of log-mels [B, M, T] against its mean where it is loud: [B, T, count].

    Cosine coefficients 1 to `count` over the bands. They say which noise a fricative is where the recognizer
    is in doubt; what is constant in them, the speaker and the room, is in the mean.
    """
    outline = cosine_coefficients(mel, count)
    loud = torch.softmax(2 * mel.mean(1), -1).unsqueeze(-1)
    return (outline - (outline * loud).sum(1, keepdim=True)) / 4


def is_speech(mel: Tensor, f0: Tensor) -> Tensor:
    """Whether someone is heard in the frames of a log-mel [M, T] of F0 [T], voiced or loud enough: [T]."""
    return (f0 > 0) | (mel.mean(0) > _SILENT)


def loudness_quantiles(mel: Tensor, f0: Tensor) -> NDArray[np.float32]:
    """Of the loudness of a log-mel [M, T] of F0 [T] where someone speaks [Q]; none [0] without speech."""
    spoken = loudness_of(mel[None])[0][is_speech(mel, f0)]
    if len(spoken) < _FEWEST:
        return np.zeros(0, np.float32)
    return np.quantile(spoken.cpu().numpy(), _SHARES).astype(np.float32)


def as_loud(loudness: Tensor, own: NDArray[np.float32], wanted: NDArray[np.float32]) -> Tensor:
    """Loudness [..., T] of a speaker whose quantiles are `own` [Q] as that of one who has the `wanted` ones.

    As it is where either is unknown. Beyond the quantiles, in pauses, it is as far from them as it was.
    """
    if not len(own) or not len(wanted):
        return loudness
    values = loudness.cpu().numpy()
    beyond = np.minimum(values - own[0], 0) + np.maximum(values - own[-1], 0)
    return torch.from_numpy((np.interp(values, own, wanted) + beyond).astype(np.float32)).to(loudness.device)


def noises_of(mel: Tensor, f0: Tensor, count: int) -> NDArray[np.float32]:
    """Mean and deviation [2, K] of the outlines of unvoiced frames of a log-mel [M, T] of F0 [T].

    None [2, 0] where there are hardly any.
    """
    noises = outline_of(mel[None], count)[0][is_speech(mel, f0) & (f0 <= 0)]
    if len(noises) < _FEWEST:
        return np.zeros((2, 0), np.float32)
    return torch.stack([noises.mean(0), noises.std(0)]).cpu().numpy()


def as_noisy(outline: Tensor, own: NDArray[np.float32], wanted: NDArray[np.float32]) -> Tensor:
    """Outlines [..., T, K] of a speaker of whom `noises_of` says `own` as those of one whose are `wanted`.

    As they are where either is unknown, or of another number of coefficients.
    """
    if not own.size or own.shape != wanted.shape:
        return outline
    (mean, spread), (there, wide) = (torch.from_numpy(x.copy()).to(outline.device) for x in (own, wanted))
    return (outline - mean) * (wide / spread.clamp(min=1e-3)).clamp(*_WIDER) + there
