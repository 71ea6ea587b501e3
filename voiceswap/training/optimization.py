"""How a model learns from gradients: settings, rate, optimizer and the average of its weights."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from voiceswap.errors import OptionError


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the loop; a preset is one of these for each model."""

    steps: int = 100_000
    """Where the learning rate has fallen to its end; training stops there."""
    window: int = 8
    """Shards in memory at a time, where the data are shards; as many more are read meanwhile."""
    workers: int | None = None
    """Processes that make batches ahead of their steps; None for up to eight a GPU, and none for a CPU."""
    minutes: float = 0.0
    """If not 0, the end in minutes of training instead of steps (all runs of the folder counted)."""
    learning_rate: float = 1e-3
    warmup: int = 200
    final_rate: float = 0.05
    """Learning rate at the end as a share of the highest; it falls along a cosine in the last half."""
    critic_rate: float = 4e-4
    weight_decay: float = 0.01
    clip: float = 1.0
    ema: float = 0.999
    seed: int = 0
    frozen: tuple[str, ...] = ()
    """Parts of the model that stay as they are, by name: for fine-tuning from other weights."""
    bfloat16: bool = True
    """Matrix products in bfloat16 on CPUs that have instructions for them (`training/products.py`)."""
    log_every: int = 50
    validate_minutes: float = 8.0
    save_minutes: float = 4.0


class Average:
    """Exponential moving average of a model's parameters, with a warm-up of its decay."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Take in the weights that `model` has after a step."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        mine: list[Tensor] = list(self.model.parameters())
        theirs = [p.detach() for p in model.parameters()]
        torch._foreach_lerp_(mine, theirs, weight)
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)


def rate_at(config: TrainingConfig, step: int, seconds: float) -> float:
    """Learning rate as a share of the highest."""
    done = seconds / (60 * config.minutes) if config.minutes else step / config.steps
    fall = max(0.0, min(1.0, 2 * done - 1))
    share = config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * fall))
    return share * min(1.0, (step + 1) / config.warmup)


def part_of(model: nn.Module, name: str) -> nn.Module:
    """The part of a model that is called `name`; OptionError if it has none."""
    parts = dict(model.named_children())
    if name not in parts:
        raise OptionError(
            f"frozen={name!r}", f"the model's parts are {', '.join(parts)}", "Name some of those"
        )
    return parts[name]


def optimizer_for(model: nn.Module, rate: float, config: TrainingConfig) -> torch.optim.Optimizer:
    """AdamW for what of a model is not frozen; biases and gains are not decayed."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.8, 0.99), foreach=True)
