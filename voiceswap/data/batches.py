"""Batches from feature stores: numpy in, padded tensors out. Models and tasks see no path and no lhotse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from voiceswap.data.features import FeatureStore, Item
from voiceswap.errors import DataError

BAND_HZ = {"full": 12000.0, "11k": 10500.0, "8k": 7400.0, "6k": 5500.0}
"""Up to where a recording of each band may teach a model, in Hz."""


@dataclass(frozen=True)
class Utterance:
    """An item together with the store that holds it."""

    item: Item
    store: FeatureStore

    def mel(self) -> np.ndarray:
        """Log-mel float32 [T, M]."""
        return self.store.mel(self.item).astype(np.float32)

    def f0(self) -> np.ndarray:
        """F0 [T] in Hz."""
        return np.array(self.store.f0(self.item))

    def audio(self) -> np.ndarray:
        """Samples float32 [N] in -1…1."""
        return self.store.audio(self.item).astype(np.float32) / 32768

    @property
    def held_out(self) -> bool:
        """A fixed fortieth of every corpus is never trained on; `dev-unseen` people not at all."""
        return self.item.split == "dev" or (self.item.frame_offset // 7) % 40 == 0


def _none_fits() -> DataError:
    return DataError(
        "the feature folders",
        "none of their recordings fits this model",
        "Synthesizer and phone recognizer need texts and `prepare --align`; see docs/training.md",
    )


def held_out(utterances: Sequence[Utterance], count: int) -> list[Utterance]:
    """Up to `count` of the held-out utterances, always the same; of all where none is. DataError for none."""
    found = [u for u in utterances if u.held_out] or utterances
    if not found:
        raise _none_fits()
    return [found[i] for i in np.random.default_rng(0).permutation(len(found))[:count]]


class Pool:
    """Utterances to draw from, each source (corpus) with its own weight."""

    def __init__(self, utterances: Sequence[Utterance], weights: dict[str, float] | None = None) -> None:
        if not utterances:
            raise _none_fits()
        self.utterances = list(utterances)
        sources: dict[str, list[int]] = {}
        for index, utterance in enumerate(self.utterances):
            sources.setdefault(utterance.item.source, []).append(index)
        frames = np.array([u.item.frames for u in self.utterances], np.float64)
        self.chance = np.zeros(len(frames))
        for source, indices in sources.items():
            weight = frames[indices].sum() if weights is None else weights.get(source, weights.get("*", 0.0))
            self.chance[indices] = weight * frames[indices] / frames[indices].sum()
        if self.chance.sum() <= 0:
            raise DataError("the data", "every source has weight 0", "give one of them a weight")
        self.chance /= self.chance.sum()

    def draw(self, rng: np.random.Generator, count: int) -> list[Utterance]:
        """`count` utterances, with replacement."""
        return [self.utterances[i] for i in rng.choice(len(self.utterances), count, p=self.chance)]

    def rows(
        self, rng: np.random.Generator, count: int, *, alike: bool = False
    ) -> list[tuple[Utterance, np.random.Generator]]:
        """`count` utterances, of `alike` lengths if asked for, each with the generator of its chances."""
        drawn = self.draw_alike(rng, count) if alike else self.draw(rng, count)
        return [(utterance, rng) for utterance in drawn]

    def draw_alike(self, rng: np.random.Generator, count: int, width: int = 6) -> list[Utterance]:
        """`count` utterances of similar length, to pad little: neighbors among `width` times as many."""
        many = sorted(self.draw(rng, count * width), key=lambda u: u.item.frames)
        start = int(rng.integers(0, len(many) - count + 1))
        return many[start : start + count]


def load_utterances(
    folders: Sequence[Path | FeatureStore], keep: Callable[[Item], bool] = lambda item: True
) -> list[Utterance]:
    """Every trainable utterance of stores, or of their folders, that `keep` accepts; `dev-unseen` never."""
    stores = [place if isinstance(place, FeatureStore) else FeatureStore(place) for place in folders]
    return [
        Utterance(item, store)
        for store in stores
        for item in store.items
        if item.split != "dev-unseen" and item.frames >= 24 and keep(item)
    ]


def weighs(item: Item, weights: Sequence[tuple[str, float]]) -> bool:
    """Whether `weights`, pairs of source and share, give the item's source any."""
    shares = dict(weights)
    return not shares or shares.get(item.source, shares.get("*", 0.0)) > 0


def crop(utterance: Utterance, frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, int]:
    """A random stretch: mel [frames, M], f0 [frames] and its first frame; short ones are repeated."""
    mel, f0 = utterance.mel(), utterance.f0()
    if len(mel) < frames:
        times = frames // len(mel) + 1
        mel, f0 = np.tile(mel, (times, 1)), np.tile(f0, times)
        return mel[:frames], f0[:frames], 0
    start = int(rng.integers(0, len(mel) - frames + 1))
    return mel[start : start + frames], f0[start : start + frames], start


def pad(arrays: Sequence[np.ndarray], value: float = 0.0) -> Tensor:
    """[B, longest, …] from arrays [length, …]."""
    longest = max(len(array) for array in arrays)
    out = np.full((len(arrays), longest, *arrays[0].shape[1:]), value, arrays[0].dtype)
    for row, array in zip(out, arrays, strict=True):
        row[: len(array)] = array
    return torch.from_numpy(out)
