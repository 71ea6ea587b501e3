"""The one training loop, on HF Accelerate: read it from top to bottom.

A `Task` owns a model and knows its batches and losses. A batch is a function of (seed, step, process), so a
resumed run sees the batches that the uninterrupted one would have seen and reaches the same losses.
"""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from voiceswap import checkpoint
from voiceswap.errors import CheckpointError
from voiceswap.training.products import use_bfloat16_products

Batch = dict[str, Tensor]


@dataclass
class Report:
    """What a validation found: numbers, pictures [H, W] in 0…1, and 24 kHz audio [N]."""

    metrics: dict[str, float]
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    audio: dict[str, np.ndarray] = field(default_factory=dict)


class Task(ABC):
    """One model's training: its batches, its losses, its held-out measurements."""

    model: nn.Module
    critic: nn.Module | None = None
    """A discriminator, trained in turn with the model whenever `losses` gives it something to see."""

    @abstractmethod
    def batch(self, rng: np.random.Generator) -> Batch:
        """A fresh training batch on the CPU."""

    @abstractmethod
    def losses(self, model: nn.Module, batch: Batch, step: int) -> tuple[dict[str, Tensor], Any]:
        """Named, weighted loss terms, whose sum is minimized, and what the critic is to see, or None."""

    def critic_losses(self, critic: nn.Module, seen: Any) -> dict[str, Tensor]:
        """Named loss terms of the discriminator; only asked for where there is one."""
        raise NotImplementedError

    @abstractmethod
    def validate(self, model: nn.Module) -> Report:
        """Held-out figures of `model` (the averaged weights)."""

    def state(self) -> dict[str, Tensor]:
        """What training changes beside the weights, for `restore` in a resumed run."""
        return {}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Take back what `state` gave; what an older checkpoint lacks stays as it is."""
        return

    def shipped(self, model: nn.Module) -> nn.Module | None:
        """The part of the averaged module that is exported: all of it, unless training adds to it.

        None where the task itself keeps what it wants of it.
        """
        return model


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of the loop; a preset is one of these for each model."""

    steps: int = 100_000
    """Where the learning rate has fallen to its end; training stops there."""
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
    bfloat16: bool = True
    """Matrix products in bfloat16 on CPUs that have instructions for them (`training/products.py`)."""
    log_every: int = 50
    validate_minutes: float = 8.0
    save_minutes: float = 4.0


class _Average:
    """Exponential moving average of a model's parameters, with a warm-up of its decay."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        mine: list[Tensor] = list(self.model.parameters())
        theirs = [p.detach() for p in model.parameters()]
        torch._foreach_lerp_(mine, theirs, weight)
        for own, other in zip(self.model.buffers(), model.buffers(), strict=True):
            own.copy_(other)


def _rate(config: TrainingConfig, step: int, seconds: float) -> float:
    """Learning rate as a share of the highest."""
    done = seconds / (60 * config.minutes) if config.minutes else step / config.steps
    fall = max(0.0, min(1.0, 2 * done - 1))
    share = config.final_rate + (1 - config.final_rate) * 0.5 * (1 + math.cos(math.pi * fall))
    return share * min(1.0, (step + 1) / config.warmup)


def _optimizer(model: nn.Module, rate: float, config: TrainingConfig) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.8, 0.99), foreach=True)


def _average_gradients(accelerator: Any, model: nn.Module) -> None:
    """Give every process the mean gradient: DDP does not where a task calls parts of the model directly."""
    if accelerator.num_processes > 1:
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.grad = accelerator.reduce(parameter.grad, "mean")


def train(
    task: Task,
    out: Path,
    *,
    config: TrainingConfig,
    resume: bool = False,
    notes: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Train `task` into the run folder `out`; return the last held-out metrics.

    Writes ``last.pt`` (everything needed to resume), ``KIND.safetensors`` (averaged weights, fp16),
    ``log.jsonl`` and TensorBoard events. `notes` go into the weights' header. Runs on whatever
    Accelerate finds: CPU, one GPU (bf16), or several by `accelerate launch`.
    """
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    mixed = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "no"
    accelerator = Accelerator(mixed_precision=mixed)
    set_seed(config.seed)
    out.mkdir(parents=True, exist_ok=True)
    state_path = out / "last.pt"
    average = _Average(task.model.to(accelerator.device), config.ema)
    model, optimizer = accelerator.prepare(task.model, _optimizer(task.model, config.learning_rate, config))
    critic = critic_optimizer = None
    if task.critic is not None:
        critic, critic_optimizer = accelerator.prepare(
            task.critic, _optimizer(task.critic, config.critic_rate, config)
        )
    step, seconds = 0, 0.0
    if resume:
        if not state_path.is_file():
            raise CheckpointError(
                str(state_path), "there is nothing to resume from", "train without --resume first"
            )
        try:
            # Our own file from our own run folder; weights_only keeps a foreign one from running code.
            state = torch.load(state_path, map_location=accelerator.device, weights_only=True)
            accelerator.unwrap_model(model).load_state_dict(state["model"])
            average.model.load_state_dict(state["average"])
            optimizer.load_state_dict(state["optimizer"])
            if critic is not None and critic_optimizer is not None and "critic" in state:
                accelerator.unwrap_model(critic).load_state_dict(state["critic"])
                critic_optimizer.load_state_dict(state["critic_optimizer"])
            task.restore(state.get("task", {}))
            step, seconds = state["step"], state["seconds"]
        except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
            raise CheckpointError(
                str(state_path),
                f"it is damaged, or of another model or preset ({str(error).splitlines()[0]:.200})",
                "resume with the preset that began the run, or begin another in a new folder",
            ) from error

    if config.bfloat16:
        for part in vars(task).values():  # the model, its critic, and what is frozen
            if isinstance(part, nn.Module):
                use_bfloat16_products(part)
    log = _Log(out, accelerator.is_main_process)

    def save() -> None:
        if not accelerator.is_main_process:
            return
        state = {
            "model": accelerator.unwrap_model(model).state_dict(),
            "average": average.model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "task": task.state(),
            "step": step,
            "seconds": seconds,
        }
        if critic is not None and critic_optimizer is not None:
            state |= {
                "critic": accelerator.unwrap_model(critic).state_dict(),
                "critic_optimizer": critic_optimizer.state_dict(),
            }
        torch.save(state, f"{state_path}.partial")
        os.replace(f"{state_path}.partial", state_path)
        training = {**(notes or {}), "steps": step, "hours": round(seconds / 3600, 3)}
        shipped = task.shipped(average.model)
        if shipped is not None:
            checkpoint.save(shipped, out / f"{shipped.kind}.safetensors", training=training)

    metrics: dict[str, float] = {}
    saved = validated = time.monotonic()
    started, first = time.monotonic(), step
    before = seconds
    while seconds < 60 * config.minutes if config.minutes else step < config.steps:
        rng = np.random.default_rng((config.seed, step, accelerator.process_index))
        torch.manual_seed(int(rng.integers(2**31)))
        share = _rate(config, step, seconds)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * share
        batch = {name: value.to(accelerator.device) for name, value in task.batch(rng).items()}

        with accelerator.autocast():
            losses, seen = task.losses(model, batch, step)
        optimizer.zero_grad()
        accelerator.backward(torch.stack(list(losses.values())).sum())
        _average_gradients(accelerator, model)
        norm = accelerator.clip_grad_norm_(model.parameters(), config.clip)
        if torch.isfinite(norm):  # one bad batch must not end a night's run
            optimizer.step()
            average.update(accelerator.unwrap_model(model), step)

        if critic is not None and critic_optimizer is not None and seen is not None:
            for group in critic_optimizer.param_groups:
                group["lr"] = config.critic_rate * share
            with accelerator.autocast():
                critic_losses = task.critic_losses(critic, seen)
            critic_optimizer.zero_grad()
            accelerator.backward(torch.stack(list(critic_losses.values())).sum())
            accelerator.clip_grad_norm_(critic.parameters(), config.clip)
            critic_optimizer.step()
            losses |= critic_losses

        step += 1
        seconds = before + time.monotonic() - started
        log.add(losses, norm)
        if step % config.log_every == 0:
            speed = (step - first) / (seconds - before)
            left = max(
                0.0, 60 * config.minutes - seconds if config.minutes else (config.steps - step) / speed
            )
            log.losses(step, seconds, speed=speed, left=left)
        if time.monotonic() - validated > 60 * config.validate_minutes:
            metrics = log.report(step, seconds, task.validate(average.model))
            validated = time.monotonic()
        if time.monotonic() - saved > 60 * config.save_minutes:
            save()
            saved = time.monotonic()
    save()
    if accelerator.is_main_process:
        metrics = log.report(step, seconds, task.validate(average.model))
    return metrics


class _Log:
    """Prints, appends to log.jsonl and feeds TensorBoard."""

    def __init__(self, out: Path, active: bool) -> None:
        self.active = active
        self.sums: dict[str, float] = {}
        self.count = 0
        self.path = out / "log.jsonl"
        self.board: Any = None
        if active:
            try:
                from torch.utils.tensorboard import SummaryWriter

                self.board = SummaryWriter(str(out))
            except ImportError:
                print("tensorboard is not installed: curves go to log.jsonl only")

    def add(self, losses: Mapping[str, Tensor], norm: Tensor) -> None:
        for name, value in {**losses, "gradient": norm}.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())
        self.count += 1

    def losses(self, step: int, seconds: float, *, speed: float, left: float) -> None:
        means = {name: value / self.count for name, value in self.sums.items()}
        self.sums, self.count = {}, 0
        self._write("train", step, seconds, means)
        if self.active:
            terms = " ".join(f"{name} {value:.4f}" for name, value in means.items())
            print(f"step {step:6d}  {terms}  {speed:.2f} steps/s  {left / 60:.0f} min left", flush=True)

    def report(self, step: int, seconds: float, report: Report) -> dict[str, float]:
        self._write("held-out", step, seconds, report.metrics)
        if self.active:
            terms = " ".join(f"{name} {value:.4f}" for name, value in report.metrics.items())
            print(f"held-out at step {step}: {terms}", flush=True)
        if self.board is not None:
            for name, picture in report.pictures.items():
                self.board.add_image(name, picture, step, dataformats="HW")
            for name, samples in report.audio.items():
                self.board.add_audio(name, samples, step, sample_rate=24000)
            self.board.flush()
        return report.metrics

    def _write(self, kind: str, step: int, seconds: float, values: Mapping[str, float]) -> None:
        if not self.active:
            return
        with self.path.open("a") as handle:
            handle.write(
                json.dumps({"kind": kind, "step": step, "seconds": round(seconds, 1), **values}) + "\n"
            )
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, step)
