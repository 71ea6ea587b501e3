"""Training from shards: a window of a few of them at a time, every utterance once an epoch.

The order of shards is that of an epoch; the shards of a window are shuffled together and cut into batches,
of which every process takes its part. Where in it a run is, is three numbers, which its state holds: so a run
that was killed goes on with the batch that would have come, and nothing is lost or seen twice.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np

from voiceswap.data.batches import Pool, Utterance, load_utterances
from voiceswap.data.features import require_method
from voiceswap.data.shards import INDEX, ShardStore
from voiceswap.errors import DataError

_ROW, _ORDER, _SHARDS = 1, 2, 3  # what is drawn by a generator: seeds of numpy's that end in 0 are alike
_HELD = 2
"""Shards of held-out utterances that are read: validation takes some dozens."""
_ALIKE = 6
"""Among how many times a batch utterances of similar length are looked for."""


class Rounds(Pool):
    """Utterances that are each drawn once, in an order that `seed` gives; of every batch the own `share`."""

    def __init__(
        self,
        utterances: Sequence[Utterance],
        *,
        seed: tuple[int, ...],
        share: tuple[int, int] = (0, 1),
        at: int = 0,
        size: int = 0,
    ) -> None:
        """Of batches of `size` for all processes together, `at` have been drawn before."""
        self.utterances = list(utterances)
        self.seed, self.share, self.at, self.size = seed, share, at, size
        self._batches: list[np.ndarray] = []

    @property
    def spent(self) -> bool:
        """Whether every batch has been drawn."""
        return not self.utterances or 0 < len(self._batches) <= self.at

    def rows(
        self, rng: np.random.Generator, count: int, *, alike: bool = False
    ) -> list[tuple[Utterance, np.random.Generator]]:
        """Up to `count` utterances that were not drawn before, with a generator for each one's own chances.

        The generator belongs to the utterance's place in the order, not to the process that draws it; `rng`
        is not used.
        """
        part, parts = self.share
        if not self._batches:
            # Cut for other batches, the window begins again: what was drawn before lies elsewhere in it.
            self.at, self.size = self.at if self.size in (0, count * parts) else 0, count * parts
            self._batches = self._planned(self.size, alike=alike)
        mine = np.array_split(self._batches[self.at], parts)[part]
        self.at += 1
        # Fewer are left than there are processes: one works on what another has, and weighs it double.
        mine = mine if len(mine) else self._batches[self.at - 1][:1]
        return [(self.utterances[i], np.random.default_rng((*self.seed, _ROW, int(i)))) for i in mine]

    def _planned(self, count: int, *, alike: bool) -> list[np.ndarray]:
        """The order in batches of nearly the same size, at most `count`; in each of `alike` lengths."""
        rng = np.random.default_rng((*self.seed, _ORDER))
        order = rng.permutation(len(self.utterances))
        if alike:
            frames = np.array([u.item.frames for u in self.utterances])
            parts = [order[i : i + _ALIKE * count] for i in range(0, len(order), _ALIKE * count)]
            order = np.concatenate([part[np.argsort(frames[part], kind="stable")] for part in parts])
        batches = np.array_split(order, -(-len(order) // count))
        return [batches[i] for i in rng.permutation(len(batches))]


class Stream:
    """The shards of a folder, `window` of them at a time; DataError for one that is not whole."""

    def __init__(self, folder: Path, *, seed: int, window: int) -> None:
        require_method(folder)
        self.counts: dict[str, int] = json.loads((folder / INDEX).read_text())
        self.folder, self.seed, self.window = folder, seed, window
        self.shards = sorted(name for name in self.counts if name.startswith("train"))
        held = sorted(name for name in self.counts if name.startswith("held"))
        self.held = [ShardStore(folder / name, self.counts[name]) for name in held[:_HELD]]
        self.share = (0, 1)
        self.epoch = self.number = self.at = self.size = 0
        self.pool: Rounds | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._read: dict[tuple[int, int], Future[list[ShardStore]]] = {}
        self._process = 0

    def stores(self) -> list[ShardStore]:
        """The shards of the window that is to be learnt; the next one is read meanwhile."""
        if self._reader is None or self._process != os.getpid():  # a thread does not survive a fork
            self._reader, self._read, self._process = ThreadPoolExecutor(1), {}, os.getpid()
        submit = self._reader.submit
        alone = len(self.shards) <= self.window  # of one window the next is the same
        places = [(0, 0)] if alone else [(self.epoch, self.number), self._after()]
        self._read = {place: self._read.get(place) or submit(self._load, *place) for place in places}
        return self._read[places[0]].result()

    def advance(
        self, feed: Callable[[Sequence[Utterance], Callable[[Sequence[Utterance]], Pool]], None]
    ) -> None:
        """Have the task `feed` on the next window where this one is spent, or none was there yet."""
        windows = -(-len(self.shards) // self.window)
        for _ in range(windows + 1):
            if self.pool is not None and not self.pool.spent:
                return
            if self.pool is not None:
                (self.epoch, self.number), self.at, self.size = self._after(), 0, self.pool.size
            feed(load_utterances(self.stores()), self._rounds)
        if self.pool is None or self.pool.spent:
            raise DataError(str(self.folder), "no utterance in it fits this model", "Shard other features")

    def state(self) -> dict[str, int]:
        """Where it is, for `restore`."""
        (epoch, number), at = (self.epoch, self.number), self.at if self.pool is None else self.pool.at
        if self.pool is not None and self.pool.spent:
            (epoch, number), at = self._after(), 0
        return {
            "epoch": epoch,
            "number": number,
            "at": at,
            "size": self.pool.size if self.pool else self.size,
        }

    def restore(self, state: Mapping[str, int]) -> None:
        """Go on from where `state` was taken."""
        self.epoch, self.number, self.at, self.size = (
            int(state[name]) for name in ("epoch", "number", "at", "size")
        )
        self.pool = None

    def _rounds(self, utterances: Sequence[Utterance]) -> Pool:
        seed = (self.seed, self.epoch, self.number)
        self.pool = Rounds(utterances, seed=seed, share=self.share, at=self.at, size=self.size)
        return self.pool

    def _after(self) -> tuple[int, int]:
        last = (self.number + 1) * self.window >= len(self.shards)
        return (self.epoch + 1, 0) if last else (self.epoch, self.number + 1)

    def _load(self, epoch: int, number: int) -> list[ShardStore]:
        order = np.random.default_rng((self.seed, epoch, _SHARDS)).permutation(len(self.shards))
        chosen = order[number * self.window : (number + 1) * self.window]
        names = [self.shards[i] for i in chosen]
        return [ShardStore(self.folder / name, self.counts[name]) for name in names]


def is_sharded(folder: Path) -> bool:
    """Whether shards lie in `folder`, all of them."""
    return (folder / INDEX).is_file()
