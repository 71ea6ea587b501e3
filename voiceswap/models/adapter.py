"""Adapter: the Converter's decoder adapted to one person, as it lies in their voice."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from voiceswap.errors import OptionError
from voiceswap.models.timbre import Timbre


@dataclass(frozen=True, eq=False)
class Adapter:
    """What the Converter's decoder learned of one person: offsets of the gains and shifts of its blocks.

    In the manner of AdaSpeech (Chen et al., 2021), which adapts conditional layer norms alone.
    """

    converter: str
    """Hash of the Converter's weights that it belongs to."""
    offsets: NDArray[np.float32]
    """[decoder blocks, 2 C], finite; kept in half precision."""
    timbre: Timbre | None = None
    """What the decoder still lacks of the person's sounds when it is adapted."""

    def __post_init__(self) -> None:
        offsets = np.array(self.offsets, np.float16).astype(np.float32)
        if not (offsets.ndim == 2 and offsets.size <= 1_000_000 and np.isfinite(offsets).all()):
            raise OptionError(
                "the adapter",
                "its offsets are [blocks, 2 C] and finite",
                "Adapt the voice to recordings again",
            )
        offsets.flags.writeable = False
        object.__setattr__(self, "offsets", offsets)

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        packed = b64encode(self.offsets.astype("<f2").tobytes()).decode()
        timbre = None if self.timbre is None else self.timbre.to_dict()
        parts = {"converter": self.converter, "blocks": len(self.offsets), "offsets": packed}
        return parts if timbre is None else parts | {"timbre": timbre}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Adapter:
        """As `to_dict` gave it; ValueError, TypeError or KeyError for anything else."""
        flat = np.frombuffer(b64decode(data["offsets"], validate=True), "<f2")
        offsets = flat.reshape(data["blocks"], -1).astype(np.float32)
        timbre = Timbre.from_dict(data["timbre"]) if "timbre" in data else None  # older ones have none
        return cls(str(data["converter"]), offsets, timbre)
