"""What another recognizer understood of recordings, beside their features: for the PhoneRecognizer to learn.

`benchmarks/recognizer_teacher.py` writes it: vectors of 288 every 24 ms, of Moonshine tiny's encoder.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from voiceswap.acoustics import ACOUSTICS
from voiceswap.data.batches import Utterance

RATE = 16000
HOP, FIRST = 384, 447  # samples from frame to frame, and in the middle of the first one
WIDTH = 288


def at_pairs(frames: Tensor, places: Tensor) -> Tensor:
    """Moonshine's `frames` [T, C] at `places` [P], frames of ours counted from the recording's first."""
    middles = places + 0.5  # of pairs whose first frames they are
    seconds = middles * ACOUSTICS.hop / ACOUSTICS.sample_rate
    exact = ((seconds * RATE - FIRST) / HOP).clamp(0, len(frames) - 1)
    low = exact.long().clamp(max=max(0, len(frames) - 2))
    share = (exact - low).unsqueeze(-1).to(frames.dtype)
    return frames[low] * (1 - share) + frames[(low + 1).clamp(max=len(frames) - 1)] * share


class Lessons:
    """What Moonshine understood of the recordings of a store, where it was written down."""

    def __init__(self, folder: Path) -> None:
        index = folder / "moonshine.json"
        self.places: dict[str, list[int]] = json.loads(index.read_text()) if index.is_file() else {}
        self.frames: np.ndarray | None = None
        if self.places:
            shape = (max(start + count for start, count in self.places.values()), WIDTH)
            self.frames = np.memmap(folder / "moonshine.f16", np.float16, "r", shape=shape)

    def of(self, utterance: Utterance, places: np.ndarray) -> np.ndarray | None:
        """Frames float32 [P, 288] at the frames `places` [P] of ours; None where there are none."""
        if self.frames is None or utterance.item.id not in self.places:
            return None
        start, count = self.places[utterance.item.id]
        said = torch.from_numpy(self.frames[start : start + count].astype(np.float32))
        return at_pairs(said, torch.from_numpy(places.astype(np.float32))).numpy()
