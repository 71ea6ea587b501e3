"""What may come between a training run and its end, and what the loop does about it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from voiceswap.errors import TrainingError

HOPELESS = 50
"""Steps in a row whose gradient is not finite, after which a run is given up."""


@contextmanager
def asked_to_stop() -> Iterator[list[int]]:
    """The signals that ask the process to stop and came meanwhile; a second one stops it as ever."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # others are not sent any
        yield came
        return

    def note(number: int, frame: Any) -> None:
        came.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, note)
    try:
        yield came
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def written(export: Callable[[Path], None], where: Path) -> bool:
    """Whether weights could be written: a full disk must not end a run."""
    try:
        export(where)
    except OSError as error:
        print(f"weights could not be written to {where} ({error})", flush=True)
        return False
    return True


def hopeless(losses: Mapping[str, Tensor], step: int) -> TrainingError:
    """The error for losses that stay infinite."""
    odd = [name for name, value in losses.items() if not torch.isfinite(value)]
    return TrainingError(
        f"step {step}: {', '.join(odd) or 'the gradient'} not finite, {HOPELESS} times in a row",
        "weights were left as they were before that",
        "Resume with a smaller learning_rate and --changed, or look for broken features",
    )


def too_large(
    task: Any, model: nn.Module, batch: dict[str, Tensor], step: int, accelerator: Any
) -> TrainingError:
    """The error for a batch without room, after trying how much of it has."""
    share = 1.0
    while (share := share / 2) > 1 / 64:
        part = {name: value[: max(1, int(share * len(value)))] for name, value in batch.items()}
        try:
            with accelerator.autocast():
                losses, _ = task.losses(model, part, step)
            accelerator.backward(torch.stack(list(losses.values())).sum())
            break
        except torch.OutOfMemoryError:
            pass
        finally:
            model.zero_grad()
    config: Any = getattr(task, "config", None)
    rows = {n: getattr(config, n) for n in ("batch_size", "aligned", "spoken") if hasattr(config, n)}
    fits = ", ".join(f"{name}={max(1, int(share * value))}" for name, value in rows.items())
    return TrainingError(
        f"a batch of {', '.join(f'{name}={value}' for name, value in rows.items())}",
        "the GPU has no memory for it",
        f"Set {fits}, which fits" if share > 1 / 64 else "Take shorter crops, or a smaller preset",
    )
