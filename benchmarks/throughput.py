"""What a step of training costs, in time and in arithmetic, and whether making its batch keeps up.

    python benchmarks/throughput.py FEATURES [--weights FOLDER] [--preset base] [--steps 8] [--threads 1]
        [--models converter …] [--compiled]

Of each model with its discriminator on: the time to make a batch (one core), the time of a step on the
device, the floating-point operations of the step (counted by torch, products alone), and their share of what
the device reaches in one large matrix product in that number format. `--compiled` has torch.compile turn
each model into kernels first, which takes minutes. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shown import table
from torch.utils.flop_counter import FlopCounterMode

from voiceswap import checkpoint
from voiceswap.acoustics import ACOUSTICS
from voiceswap.training import presets
from voiceswap.training.ahead import chances
from voiceswap.training.products import use_bfloat16_products
from voiceswap.training.run import Teachers, _task, stores

KINDS = ("speaker-encoder", "phone-recognizer", "vocoder", "synthesizer", "converter")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def now() -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def ceiling(dtype: torch.dtype, clock: Callable[[], float] = now) -> float:
    """Operations a second of a product of two large matrices, the best of ten."""
    size = 8192 if DEVICE.type == "cuda" else 1536
    a, b = (torch.randn(size, size, device=DEVICE, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(10):
        begin = clock()
        torch.mm(a, b)
        best = max(best, 2 * size**3 / (clock() - begin))
    return best


def _of_gradients(given: list[int], x: list[int], weight: list[int], *others: Any, **_: Any) -> int:
    """Operations of a convolution's gradients: each that is wanted takes as many as the convolution."""
    transposed, wanted = others[4], others[7]
    shape = x if transposed else given
    return sum(wanted[:2]) * 2 * shape[0] * math.prod(shape[2:]) * math.prod(weight)


def counter() -> FlopCounterMode:
    """Counts products; torch alone counts grouped convolutions' gradients as if there were no groups."""
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _of_gradients})


class Trained:
    """A task with its optimizers, as the loop has them."""

    def __init__(
        self, kind: str, preset: str, folders: list[Path], weights: Path | None, *, compiled: bool
    ) -> None:
        chosen = presets.find(kind, preset)
        settings: Any = chosen.task
        if hasattr(settings, "adversarial_from"):
            settings = dataclasses.replace(settings, adversarial_from=0)
        torch.manual_seed(0)
        model = checkpoint.MODELS[kind][0](chosen.model)
        self.task = _task(kind, model, folders, settings, Teachers(weights))
        self.parts = [p.to(DEVICE) for p in (self.task.model, self.task.critic) if p is not None]
        if DEVICE.type == "cpu":
            for part in vars(self.task).values():
                if isinstance(part, torch.nn.Module):
                    use_bfloat16_products(part)
        self.model: Any = torch.compile(self.task.model) if compiled else self.task.model
        self.optimizers = [torch.optim.AdamW(p.parameters(), lr=1e-5, foreach=True) for p in self.parts]

    def batch(self, step: int) -> dict[str, torch.Tensor]:
        return self.task.batch(chances(0, step, 0)[0])

    def step(self, batch: dict[str, torch.Tensor], number: int) -> None:
        mixed = torch.autocast("cuda", torch.bfloat16, enabled=DEVICE.type == "cuda")
        placed = {name: value.to(DEVICE) for name, value in batch.items()}
        with mixed:
            losses, seen = self.task.losses(self.model, placed, number)
        torch.stack(list(losses.values())).sum().backward()
        if self.task.critic is not None and seen is not None:
            with mixed:
                judged = self.task.critic_losses(self.task.critic, seen)
            torch.stack(list(judged.values())).sum().backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()


def seconds_in(batch: dict[str, torch.Tensor]) -> float:
    """Seconds of speech in a batch, what fills up shorter rows included."""
    mels = [value for name, value in batch.items() if name in ("mel", "ctc_mel")]
    return sum(value.numel() for value in mels) / ACOUSTICS.n_mels / ACOUSTICS.frame_rate


def measured(given: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    native = DEVICE.type == "cuda" or torch.cpu._is_avx512_bf16_supported()
    dtype = torch.bfloat16 if native else torch.float32
    most = ceiling(dtype)
    print(f"{DEVICE}, {torch.get_num_threads()} threads: {most / 1e9:.0f} GFLOP/s in {dtype}, "
          f"{ceiling(torch.float32) / 1e9:.0f} in float32")  # fmt: skip
    folders, steps = stores(given.features), given.steps
    for kind in given.models:
        trained = Trained(kind, given.preset, folders, given.weights, compiled=given.compiled)
        batches, making = [], []
        for number in range(steps + 1):
            begin = time.perf_counter()
            batches.append(trained.batch(number))
            making.append(time.perf_counter() - begin)
        trained.step(batches[0], 1000)  # the first allocates
        with counter() as counted:
            trained.step(batches[0], 1000)
        taking = []
        for number, batch in enumerate(batches[1:], 1):
            begin = now()
            trained.step(batch, 1000 + number)
            taking.append(now() - begin)
        made, took = float(np.median(making[1:])), float(np.median(taking))
        work = counted.get_total_flops()
        seconds = float(np.mean([seconds_in(batch) for batch in batches]))
        weighs = sum(p.numel() for p in trained.task.model.parameters() if p.requires_grad) / 1e6
        yield (
            *(kind, f"{weighs:.1f}", f"{seconds:.0f}", f"{1e3 * made:.0f}", f"{1e3 * took:.0f}"),
            *(f"{work / 1e9:.0f}", f"{work / took / 1e9:.0f}", f"{work / took / most:.0%}"),
            f"{seconds / took:.0f}",
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--preset", default="base")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--models", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--compiled", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    heads = (
        *("model", "million weights", "speech in a batch, s", "batch made, ms", "step, ms"),
        *("GFLOP a step", "GFLOP/s", "of the ceiling", "speech learnt, s a second"),
    )
    print(table(heads, list(measured(given))))


if __name__ == "__main__":
    main()
