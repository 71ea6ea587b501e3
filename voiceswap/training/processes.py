"""What several processes that train one model agree on; alone, a process agrees with itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn


def weight_of(accelerator: Any, batch: Mapping[str, Tensor]) -> float:
    """Of a process' losses in the mean of all: the batches that a stream cuts differ by a row."""
    if accelerator.num_processes == 1:
        return 1.0
    rows = torch.tensor(float(len(next(iter(batch.values())))), device=accelerator.device)
    return float(rows / accelerator.reduce(rows, "mean"))


def spread(accelerator: Any, module: nn.Module) -> nn.Module:
    """`module` on the device, with the same weights in every process.

    Not DistributedDataParallel: tasks call parts of models, and not all of them in every step.
    """
    module = accelerator.prepare_model(module, evaluation_mode=True)  # the same one, on the device
    if accelerator.num_processes > 1:
        for tensor in module.state_dict().values():
            torch.distributed.broadcast(tensor, 0)
    return module


def average_gradients(accelerator: Any, module: nn.Module) -> None:
    """Give every process the mean gradient."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    if accelerator.num_processes > 1 and gradients:
        together = accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
        for gradient, mean in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def agreed(accelerator: Any, stop: bool, seconds: float) -> tuple[bool, float]:
    """Whether any process is to `stop`, and the main one's `seconds`: all have to do the same at a step."""
    if accelerator.num_processes == 1:
        return stop, seconds
    clock = seconds if accelerator.is_main_process else 0.0
    told = torch.tensor([float(stop), clock], dtype=torch.float32, device=accelerator.device)
    told = accelerator.reduce(told, "sum").cpu()
    return bool(told[0] > 0), float(told[1])
