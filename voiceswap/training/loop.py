"""The one training loop, on HF Accelerate: read it from top to bottom.

A `Task` owns a model and knows its batches and losses. A batch is a function of (seed, step, process), or of
the place in a stream of shards, so a resumed run sees the batches that the uninterrupted one would have seen
and reaches the same losses.
"""

from __future__ import annotations

import copy
import math
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from voiceswap import checkpoint
from voiceswap.data.batches import Pool, Utterance
from voiceswap.errors import OptionError, OutputError, VoiceswapError
from voiceswap.training.ahead import Place, batches, chances, workers_for
from voiceswap.training.folder import Log, RunFolder
from voiceswap.training.products import use_bfloat16_products
from voiceswap.training.stream import Stream
from voiceswap.training.trouble import HOPELESS, agreed, asked_to_stop, hopeless, too_large, written

Batch = dict[str, Tensor]


@dataclass
class Report:
    """What a validation found: numbers, pictures [H, W] in 0…1, and 24 kHz audio [N]."""

    metrics: dict[str, float]
    judged: float | None = None
    """The figure by which weights are the best so far; less is better."""
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    audio: dict[str, np.ndarray] = field(default_factory=dict)


class Task(ABC):
    """One model's training: its batches, its losses, its held-out measurements."""

    model: nn.Module
    critic: nn.Module | None = None
    """A discriminator, trained in turn with the model whenever `losses` gives it something to see."""
    stream: Stream | None = None
    """Where the data are shards, of which `feed` gets a window at a time."""

    def feed(self, utterances: Sequence[Utterance], pool: Callable[[Sequence[Utterance]], Pool]) -> None:
        """Draw from `utterances` from now on, of those that fit by what `pool` makes of them."""
        raise NotImplementedError

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


def _part(model: nn.Module, name: str) -> nn.Module:
    parts = dict(model.named_children())
    if name not in parts:
        raise OptionError(
            f"frozen={name!r}", f"the model's parts are {', '.join(parts)}", "Name some of those"
        )
    return parts[name]


def _optimizer(model: nn.Module, rate: float, config: TrainingConfig) -> torch.optim.Optimizer:
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.8, 0.99), foreach=True)


def _weight(accelerator: Any, task: Task, batch: Batch) -> float:
    """Of a process' losses in the mean of all: the batches that a stream cuts differ by a row."""
    if task.stream is None or accelerator.num_processes == 1:
        return 1.0
    rows = torch.tensor(float(len(next(iter(batch.values())))), device=accelerator.device)
    return float(rows / accelerator.reduce(rows, "mean"))


def _spread(accelerator: Any, module: nn.Module) -> nn.Module:
    """`module` on the device, with the same weights in every process.

    Not DistributedDataParallel: tasks call parts of models, and not all of them in every step.
    """
    module = accelerator.prepare_model(module, evaluation_mode=True)  # the same one, on the device
    if accelerator.num_processes > 1:
        for tensor in module.state_dict().values():
            torch.distributed.broadcast(tensor, 0)
    return module


def _average_gradients(accelerator: Any, module: nn.Module) -> None:
    """Give every process the mean gradient."""
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    if accelerator.num_processes > 1 and gradients:
        together = accelerator.reduce(torch.cat([g.flatten() for g in gradients]), "mean")
        for gradient, mean in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def train(
    task: Task,
    out: Path,
    *,
    config: TrainingConfig,
    resume: bool = False,
    changed: bool = False,
    compared: bool = False,
    notes: Mapping[str, Any] | None = None,
    record: Mapping[str, Any] | None = None,
) -> dict[str, float]:
    """Train `task` into the run folder `out` (see `training/folder.py`); return the last held-out metrics.

    Where `compared`, the held-out figures of the beginning are told as well. `notes` go into the weights'
    header, `record` into run.json: a resumed run has to have the same, unless `changed`. Runs on whatever
    Accelerate finds: CPU, one GPU (bf16), or several by `accelerate launch` or torchrun. SIGTERM and Ctrl-C
    save and then raise SystemExit. Raises CheckpointError for a state that does not fit, OptionError for
    another record, OutputError where the end cannot be written, and TrainingError for losses that stay
    infinite and for a batch that the GPU has no memory for.
    """
    from accelerate import Accelerator
    from accelerate.utils import set_seed

    mixed = "bf16" if torch.cuda.is_available() and torch.cuda.is_bf16_supported() else "no"
    accelerator = Accelerator(mixed_precision=mixed)
    set_seed(config.seed)
    for name in config.frozen:
        _part(task.model, name).requires_grad_(False)
    folder = RunFolder(out, active=accelerator.is_main_process)
    average = _Average(task.model.to(accelerator.device), config.ema)
    model = _spread(accelerator, task.model)
    optimizer = accelerator.prepare(_optimizer(task.model, config.learning_rate, config))
    critic = critic_optimizer = None
    if task.critic is not None:
        critic = _spread(accelerator, task.critic)
        critic_optimizer = accelerator.prepare(_optimizer(task.critic, config.critic_rate, config))
    step, seconds, best = 0, 0.0, math.inf
    place: Place | None = None

    def restore(state: dict[str, Any]) -> None:
        nonlocal step, seconds, best, place
        task.model.load_state_dict(state["model"])
        average.model.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        if critic is not None and critic_optimizer is not None and "critic" in state:
            critic.load_state_dict(state["critic"])
            critic_optimizer.load_state_dict(state["critic_optimizer"])
        task.restore(state.get("task", {}))
        if task.stream is not None and "stream" in state:
            place = state["stream"]
            task.stream.restore(place)
        step, seconds, best = state["step"], state["seconds"], state.get("best", math.inf)

    record = dict(record or {})
    if task.stream is not None:  # cuts its batches for so many
        record["processes"] = accelerator.num_processes
    if resume:
        if not changed:  # before the state, of which torch would only say that it does not fit
            folder.compare(record)
        folder.load(restore)
    notes = folder.record(record, notes or {}, resume=resume)
    if resume:  # only now: a run that is refused keeps its log
        folder.cut_log(step)

    if task.stream is not None:
        task.stream.share = (accelerator.process_index, accelerator.num_processes)
    if config.bfloat16:
        for part in vars(task).values():  # the model, its critic, and what is frozen
            if isinstance(part, nn.Module):
                use_bfloat16_products(part)
    log = Log(out, accelerator.is_main_process)

    def export(where: Path) -> None:
        training = {**notes, "steps": step, "hours": round(seconds / 3600, 3)}
        shipped = task.shipped(average.model)
        if shipped is not None:
            where.mkdir(exist_ok=True)
            checkpoint.save(shipped, where / f"{shipped.kind}.safetensors", training=training)

    def save() -> bool:
        """False where it could not be written; the states before are there then."""
        if not accelerator.is_main_process:
            return True
        state = {
            "model": task.model.state_dict(),
            "average": average.model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "task": task.state(),
            "step": step,
            "seconds": seconds,
            "best": best,
        }
        if place is not None:
            state["stream"] = place
        if critic is not None and critic_optimizer is not None:
            state |= {
                "critic": critic.state_dict(),
                "critic_optimizer": critic_optimizer.state_dict(),
            }
        return folder.save(state) and written(export, out)

    def validate() -> dict[str, float]:
        nonlocal best
        report = task.validate(average.model)
        if report.judged is not None and report.judged < best:
            best = report.judged
            written(export, out / "best")
        return log.report(step, seconds, report.metrics, report.pictures, report.audio)

    def everywhere(values: Tensor) -> Tensor:
        mean: Tensor = accelerator.reduce(values.to(accelerator.device), "mean")
        return mean

    metrics: dict[str, float] = {}
    before, first = seconds, step
    infinite = 0
    with asked_to_stop() as signals:
        coming = batches(
            task,
            seed=config.seed,
            first=step,
            process=accelerator.process_index,
            workers=workers_for(accelerator.device) if config.workers is None else config.workers,
        )
        if compared and step == 0 and accelerator.is_main_process:
            metrics = validate()
        started = time.monotonic()
        saved = validated = seconds  # by the main process' clock, as all that depends on time
        while seconds < 60 * config.minutes if config.minutes else step < config.steps:
            torch.manual_seed(chances(config.seed, step, accelerator.process_index)[1])
            share = _rate(config, step, seconds)
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * share
            made, following = next(coming)
            if isinstance(made, VoiceswapError):
                raise made
            batch = {n: value.to(accelerator.device, non_blocking=True) for n, value in made.items()}
            try:
                with accelerator.autocast():
                    losses, seen = task.losses(model, batch, step)
                weight = _weight(accelerator, task, batch)
                losses = {name: value * weight for name, value in losses.items()}
                optimizer.zero_grad()
                accelerator.backward(torch.stack(list(losses.values())).sum())
            except torch.OutOfMemoryError as error:
                optimizer.zero_grad()
                raise too_large(task, model, batch, step, accelerator) from error
            _average_gradients(accelerator, model)
            norm = accelerator.clip_grad_norm_(model.parameters(), config.clip)
            infinite = 0 if torch.isfinite(norm) else infinite + 1
            if not infinite:  # one bad batch must not end a night's run
                optimizer.step()
                average.update(task.model, step)
            elif infinite == HOPELESS:
                raise hopeless(losses, step)

            if critic is not None and critic_optimizer is not None and seen is not None:
                for group in critic_optimizer.param_groups:
                    group["lr"] = config.critic_rate * share
                with accelerator.autocast():
                    critic_losses = task.critic_losses(critic, seen)
                critic_losses = {name: value * weight for name, value in critic_losses.items()}
                critic_optimizer.zero_grad()
                accelerator.backward(torch.stack(list(critic_losses.values())).sum())
                _average_gradients(accelerator, critic)
                if torch.isfinite(accelerator.clip_grad_norm_(critic.parameters(), config.clip)):
                    critic_optimizer.step()
                losses |= critic_losses

            step, place = step + 1, following
            stop, seconds = agreed(accelerator, bool(signals), before + time.monotonic() - started)
            log.add(losses, norm)
            if step % config.log_every == 0:
                speed = (step - first) / (seconds - before)
                left = max(
                    0.0, 60 * config.minutes - seconds if config.minutes else (config.steps - step) / speed
                )
                log.losses(step, seconds, speed=speed, left=left, mean=everywhere)
            if stop:
                save()
                print(f"stopped at step {step}; go on with --resume", flush=True)
                raise SystemExit(128 + (signals or [signal.SIGTERM])[0])
            if seconds - validated > 60 * config.validate_minutes:
                metrics = validate() if accelerator.is_main_process else {}
                validated = seconds
            if seconds - saved > 60 * config.save_minutes:
                save()
                saved = seconds
    if accelerator.is_main_process:
        metrics = validate()
    if not save():
        raise OutputError(str(out), "the end of the run could not be written", "Make room, and resume")
    return metrics
