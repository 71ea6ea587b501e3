"""Timbre: how one person's sounds differ from what the models make of them, remembered from their reference.

A vector of 192 numbers tells the decoders who speaks, and people who were not trained on come out as the
people nearest to them. But ten seconds of reference hold most of a person's sounds. So enrollment lets the
Converter say the reference in the person's own vector, and keeps, frame by frame, what it made and what that
lacked of the recording. Later every frame is given what was lacking in the remembered ones that it is like.
That is retrieval, as in kNN-VC (Baas, van Niekerk & Kamper, "Voice Conversion With Just Nearest Neighbors",
2023), of differences in place of frames, and so smooth: regression by kernels (Nadaraya, 1964; Watson, 1964).
Shapes: M mel bands, T frames, N remembered frames.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from voiceswap.errors import OptionError

if TYPE_CHECKING:
    from torch import Tensor

# torch is imported where it is used: the command line reads voices before it loads models.

MOST = 2000
"""Frames that are remembered: 21 s, silences left out."""
_FEWEST = 20  # of a kind: fewer tell no more than their mean, if that
_EMPTY = -9.0  # log magnitude: bands in which even loud frames have less lie above what the recording carries
_OUTLINE, _AROUND = 20, 2  # cosine coefficients that tell sounds apart, and frames to either side that help
_WIDE = _OUTLINE * (1 + 2 * _AROUND)
_OUTLINE_STEP, _LACKING_STEP = np.float32(12), np.float32(64)  # whole numbers of 8 bits reach ±10 and ±2
# Chosen on the people who are reported on (docs/training-log.md, rounds 12, 18, 19 and 20).
_NEAR = 0.2  # log magnitude, the root of its mean square over bands: how far what is alike lies apart


class Share(NamedTuple):
    """How much is added of what is lacking."""

    low: float
    """Gain below `_TURN`."""
    high: float
    """Gain above it: averaging took most from there, and more likeness costs the fewest words there."""
    doubt: float
    """Frames that the mean of all counts as."""


OF_CONVERSIONS, OF_TEXT, ONCE = Share(0.88, 1.28, 0.0), Share(1.1, 1.5, 1.0), Share(1.0, 1.0, 1.0)
_TURN = 50, 60  # bands, of 2.5 and 3.7 kHz, between which one gain becomes the other
_UNKNOWN = np.zeros((2, 0), np.float32)
_PAUSE, _SPEECH = -8.5, -6.5  # mean log magnitude: up to here nothing is added, and from there on all

Tables: TypeAlias = "list[tuple[bool, Tensor, Tensor]]"
"""Of voiced and unvoiced frames what they are found by, and what they lack, as `tables_of` gives them."""


@dataclass(frozen=True, eq=False)
class Timbre:
    """What is remembered of a reference, frame by frame: enough to tell what was said in it."""

    converter: str
    """Hash of the Converter's weights that made it."""
    outlines: NDArray[np.int8]
    """[N, `_WIDE`] by which frames are found, as `_outlines` gives them, in twelfths."""
    lacking: NDArray[np.int8]
    """[N, M] log magnitude that the recording has and what was made of it has not, in 64ths."""
    voiced: NDArray[np.bool_]
    """[N]"""
    loudness: NDArray[np.float32]
    """How loud the person speaks, as `loudness_quantiles` gives it."""
    noises: NDArray[np.float32]
    """What the person's noises are like, as `noises_of` gives it."""

    def __post_init__(self) -> None:
        from voiceswap.acoustics import ACOUSTICS
        from voiceswap.models.dynamics import QUANTILES

        count, bands = len(self.voiced), ACOUSTICS.n_mels
        shapes = self.outlines.shape, self.lacking.shape
        if count > MOST or shapes != ((count, _WIDE), (count, bands)):
            raise OptionError(
                f"a timbre of {count} frames",
                f"it remembers at most {MOST}, with {_WIDE} and {bands} numbers each",
                "Enroll the voice again from its recordings",
            )
        ascending = np.isfinite(self.loudness).all() and (np.diff(self.loudness) >= 0).all()
        if self.loudness.shape not in ((0,), (QUANTILES,)) or not ascending:
            raise OptionError(
                f"the loudness of a timbre, {self.loudness.tolist()}",
                f"it is {QUANTILES} ascending numbers, or none",
                "Enroll the voice again from its recordings",
            )
        if self.noises.ndim != 2 or len(self.noises) != 2 or not np.isfinite(self.noises).all():
            raise OptionError(
                f"the noises of a timbre, {self.noises.tolist()}",
                "they are as many means as deviations",
                "Enroll the voice again from its recordings",
            )
        for kept in (self.outlines, self.lacking, self.voiced, self.loudness, self.noises):
            kept.flags.writeable = False

    @classmethod
    def learn(
        cls, converter: str, made: Tensor, heard: Tensor, f0: Tensor, noises: NDArray[np.float32] = _UNKNOWN
    ) -> Timbre:
        """From log-mels [M, T] as the Converter made and as they were `heard`, and F0 [T] of both."""
        from voiceswap.models.dynamics import loudness_quantiles

        outlines, lacking, voiced = remembered(made, heard, f0)
        return cls(
            converter,
            _packed(outlines, _OUTLINE_STEP),
            _packed(lacking, _LACKING_STEP),
            voiced.cpu().numpy(),
            loudness_quantiles(heard, f0),
            noises,
        )

    @cached_property
    def tables(self) -> Tables:
        """What `add_lacking` looks up, once a stream."""
        import torch

        outlines = torch.from_numpy(self.outlines / _OUTLINE_STEP)
        return tables_of(
            outlines, torch.from_numpy(self.lacking / _LACKING_STEP), torch.from_numpy(self.voiced.copy())
        )

    def add(self, mel: Tensor, f0: Tensor, share: Share = ONCE) -> Tensor:
        """Log-mels [B, M, T] a decoder made, and their F0 [B, T] → with that `share` of what they lack."""
        return add_lacking(mel, f0, [self.tables] * len(mel), share)

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        packed = {
            name: b64encode(np.ascontiguousarray(getattr(self, name)).tobytes()).decode()
            for name in ("outlines", "lacking", "voiced")
        }
        plain = {name: getattr(self, name).tolist() for name in ("loudness", "noises")}
        return {"converter": self.converter, **packed, **plain}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Timbre:
        """As `to_dict` gave it; ValueError, TypeError or KeyError for anything else."""
        if {*data, "loudness", "noises"} != {field.name for field in fields(cls)}:  # older ones have none
            raise ValueError("a timbre has other fields")
        outlines, lacking, voiced = (
            np.frombuffer(b64decode(data[name], validate=True), np.int8)
            for name in ("outlines", "lacking", "voiced")
        )
        count = len(voiced)
        return cls(
            str(data["converter"]),
            outlines.reshape(count, -1),
            lacking.reshape(count, -1),
            voiced.astype(bool),
            np.array(data.get("loudness", []), np.float32),
            np.array(data.get("noises", _UNKNOWN), np.float32),
        )


def remembered(made: Tensor, heard: Tensor, f0: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of log-mels [M, T] as they were made and `heard`, and F0 [T]: what `tables_of` takes."""
    import torch

    from voiceswap.models.dynamics import is_speech

    voiced = f0 > 0
    spoken = torch.nonzero(is_speech(heard, f0))[:, 0]
    spoken = spoken[:: max(1, -(-len(spoken) // MOST))]
    carried = heard.quantile(0.99, 1) > _EMPTY  # a dull recording makes no voice dull
    # Not smoothed, nor is what is found: it changes from frame to frame, and in that who speaks is heard.
    lacking = (heard - made).T * carried
    return _outlines(made)[spoken], lacking[spoken], voiced[spoken]


def tables_of(outlines: Tensor, lacking: Tensor, voiced: Tensor) -> Tables:
    """Whether voiced, what frames are found by [N, `_WIDE`], and what they lack [N, M]."""
    kept = ((True, voiced), (False, ~voiced))
    return [(kind, outlines[frames], lacking[frames]) for kind, frames in kept if frames.sum() >= _FEWEST]


def add_lacking(mel: Tensor, f0: Tensor, known: Sequence[Tables], share: Share) -> Tensor:
    """Log-mels [B, M, T] of F0 [B, T] → with that `share` of what they lack.

    Each by its own tables, and as it was where these are empty. Frames are found without a gradient; what
    they lack may have one.
    """
    import torch

    turned = (torch.arange(mel.shape[1], device=mel.device) - _TURN[0]) / (_TURN[1] - _TURN[0])
    gain = share.low + (share.high - share.low) * turned.clamp(0, 1)
    return mel + gain[:, None] * _lacking_of(mel, f0, known, share.doubt)


def _lacking_of(mel: Tensor, f0: Tensor, known: Sequence[Tables], doubt: float) -> Tensor:
    import torch

    found = []
    for made, hertz, tables in zip(mel.detach(), f0, known, strict=True):
        missing = torch.zeros_like(made).T
        outlines = _outlines(made)
        for voiced, *kept in tables:
            kinds, lacking = (table.to(mel.device) for table in kept)
            mean = lacking.mean(0)
            asked = torch.nonzero((hertz > 0) == voiced)[:, 0]
            apart = torch.cdist(outlines[asked], kinds) ** 2 / len(made)
            weight = torch.softmax(-apart / (2 * _NEAR**2), 1)  # of what is like nothing, the nearest
            weight = weight / (1 + doubt * weight.amax(1, keepdim=True))
            missing = missing.index_put((asked,), mean + weight @ (lacking - mean))
        found.append(missing.T)
    spoken = ((mel.detach().mean(1, keepdim=True) - _PAUSE) / (_SPEECH - _PAUSE)).clamp(0, 1)
    return spoken * torch.stack(found)


def _outlines(mel: Tensor) -> Tensor:
    """[T, `_WIDE`] of a log-mel [M, T]: the shape of each frame's spectrum and its neighbours', no level."""
    from torch.nn.functional import pad

    from voiceswap.acoustics import cosine_coefficients

    coefficients = cosine_coefficients(mel[None], _OUTLINE).transpose(1, 2)
    padded = pad(coefficients, (_AROUND, _AROUND), mode="replicate")[0]
    width = 1 + 2 * _AROUND
    return padded.unfold(1, width, 1).transpose(0, 1).flatten(1) / width**0.5


def _packed(values: Tensor, step: np.float32) -> NDArray[np.int8]:
    return np.clip(np.round(values.cpu().numpy() * step), -127, 127).astype(np.int8)
