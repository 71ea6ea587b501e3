"""Batches made ahead of the step that needs them, by processes beside it, so that a GPU does not wait."""

from __future__ import annotations

import itertools
import multiprocessing
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from voiceswap.errors import VoiceswapError

if TYPE_CHECKING:
    from voiceswap.training.loop import Batch, Task

_MOST, _MOST_OF_SHARDS = 8, 2
Place = dict[str, int]
"""Where a stream of shards is after a batch."""


def chances(seed: int, step: int, process: int) -> tuple[np.random.Generator, int]:
    """What a step draws its batch with, and torch's seed in it: the same whoever makes the batch."""
    rng = np.random.default_rng((seed, step, process))
    return rng, int(rng.integers(2**31))


def workers_for(device: torch.device, *, sharded: bool = False) -> int:
    """How many processes make batches for one on `device`: none beside a CPU, which they would only share.

    Of what is `sharded` each holds two windows, so they are few.
    """
    if device.type != "cuda" or "fork" not in multiprocessing.get_all_start_methods():
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = _MOST_OF_SHARDS if sharded else _MOST
    return max(0, min(most, cores // int(os.environ.get("LOCAL_WORLD_SIZE", "1")) - 1))


def batches(
    task: Task, *, seed: int, first: int, process: int, workers: int
) -> Iterator[tuple[Batch | VoiceswapError, Place | None]]:
    """The batches of `process` from step `first` on, each with the place of the task's stream after it.

    Every worker reads all shards, in their order, and makes its part of the batches. What goes wrong comes in
    the place of a batch.
    """
    ahead = _Ahead(task, seed, first, process)
    if not workers:
        return iter(ahead)
    # Forked, they share what has been read; they are made before the models that batches need go to a GPU.
    return iter(
        DataLoader(
            ahead,
            batch_size=None,
            num_workers=workers,
            multiprocessing_context="fork",
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_apart,
        )
    )


def _apart(_: int) -> None:
    """Out of the group of processes that a signal to stop is sent to: who trains ends them itself."""
    os.setpgrp()


class _Ahead(IterableDataset):  # type: ignore[type-arg]
    def __init__(self, task: Task, seed: int, first: int, process: int) -> None:
        self.task, self.seed, self.first, self.process = task, seed, first, process

    def __iter__(self) -> Iterator[tuple[Batch | VoiceswapError, Place | None]]:
        worker = get_worker_info()
        number, of = (worker.id, worker.num_workers) if worker else (0, 1)
        stream = self.task.stream
        try:
            for step in itertools.count(self.first):
                mine = (step - self.first) % of == number
                if stream is not None:
                    stream.advance(self.task.feed)
                    if not mine:  # where the others are in the stream has to be known
                        self.task.rows(chances(self.seed, step, self.process)[0])
                if mine:
                    batch = self.task.batch(chances(self.seed, step, self.process)[0])
                    yield batch, None if stream is None else stream.state()
        except VoiceswapError as error:  # raised in a worker, it would come out as another
            yield error, None
