"""The one training loop, on HF Accelerate: read it from top to bottom.

A `Task` owns a model and knows its batches and losses. A batch is a function of (seed, step, process), or of
the place in a stream of shards, so a resumed run sees the batches that the uninterrupted one would have seen
and reaches the same losses.
"""

from __future__ import annotations

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
from voiceswap.errors import OutputError, VoiceswapError
from voiceswap.training.ahead import Place, batches, chances, workers_for
from voiceswap.training.folder import Log, RunFolder
from voiceswap.training.optimization import Average, TrainingConfig, optimizer_for, part_of, rate_at
from voiceswap.training.processes import agreed, average_gradients, spread, weight_of
from voiceswap.training.products import use_bfloat16_products
from voiceswap.training.stream import Stream
from voiceswap.training.trouble import HOPELESS, asked_to_stop, hopeless, too_large, written

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

    def rows(self, rng: np.random.Generator) -> Sequence[tuple[Utterance, np.random.Generator]]:
        """What `batch` makes the next one of; only asked for where there is a stream."""
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
        part_of(task.model, name).requires_grad_(False)
    folder = RunFolder(out, active=accelerator.is_main_process)
    average = Average(task.model.to(accelerator.device), config.ema)
    model = spread(accelerator, task.model)
    optimizer = accelerator.prepare(optimizer_for(task.model, config.learning_rate, config))
    critic = critic_optimizer = None
    if task.critic is not None:
        critic = spread(accelerator, task.critic)
        critic_optimizer = accelerator.prepare(optimizer_for(task.critic, config.critic_rate, config))
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
        workers = config.workers
        if workers is None:
            workers = workers_for(accelerator.device, sharded=task.stream is not None)
        coming = batches(
            task,
            seed=config.seed,
            first=step,
            process=accelerator.process_index,
            workers=workers,
        )
        if compared and step == 0 and accelerator.is_main_process:
            metrics = validate()
        started = time.monotonic()
        saved = validated = seconds  # by the main process' clock, as all that depends on time
        while seconds < 60 * config.minutes if config.minutes else step < config.steps:
            torch.manual_seed(chances(config.seed, step, accelerator.process_index)[1])
            share = rate_at(config, step, seconds)
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * share
            made, following = next(coming)
            if isinstance(made, VoiceswapError):
                raise made
            batch = {n: value.to(accelerator.device, non_blocking=True) for n, value in made.items()}
            try:
                with accelerator.autocast():
                    losses, seen = task.losses(model, batch, step)
                weight = weight_of(accelerator, batch)
                losses = {name: value * weight for name, value in losses.items()}
                optimizer.zero_grad()
                accelerator.backward(torch.stack(list(losses.values())).sum())
            except torch.OutOfMemoryError as error:
                optimizer.zero_grad()
                raise too_large(task, model, batch, step, accelerator) from error
            average_gradients(accelerator, model)
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
                average_gradients(accelerator, critic)
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
