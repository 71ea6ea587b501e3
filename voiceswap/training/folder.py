"""A run's folder: states to go on from, weights, the record of what the run is, and its curves.

======================  ==========================================================================
``run.json``            what the run is: settings, data with fingerprints, and every session's versions
``last.pt``             all that is needed to resume; ``last-1.pt``, ``last-2.pt`` are the ones before
``KIND.safetensors``    averaged weights, fp16: what the library loads
``best/``               the same of the validation with the best held-out figure
``log.jsonl``           losses and held-out figures; TensorBoard's events say the same
======================  ==========================================================================

Every file but the log is written aside and renamed, so whatever stops a run leaves the one before.
"""

from __future__ import annotations

import json
import os
import pickle
import platform
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import voiceswap
from voiceswap.errors import CheckpointError, OptionError, OutputError

KEPT = 3
"""States that are kept, the newest included."""
_TOLD = 5  # differences that a message names


class RunFolder:
    """`path`, written by the main process alone (`active`)."""

    def __init__(self, path: Path, *, active: bool) -> None:
        self.path, self.active = path, active
        self.states = [path / ("last.pt" if age == 0 else f"last-{age}.pt") for age in range(KEPT)]
        path.mkdir(parents=True, exist_ok=True)

    def _known(self) -> dict[str, Any]:
        """What `record` wrote last; nothing where the run has no record."""
        path = self.path / "run.json"
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}

    def compare(self, what: Mapping[str, Any]) -> None:
        """A run that is resumed has to be what it was; OptionError naming what differs.

        Batches follow from settings and data, so the losses would not be those that the run would have
        reached; weights of another model do not even fit.
        """
        differing = _differing(self._known().get("what", _read_again(what)), _read_again(what))
        if not differing:
            return
        more = f"; and {len(differing) - _TOLD} more" if len(differing) > _TOLD else ""
        fits = not any(line.startswith(("kind:", "model.")) for line in differing)
        raise OptionError(
            "; ".join(differing[:_TOLD]) + more,
            "a run goes on with the settings and data that it began with",
            f"Give those, {'resume with --changed, ' * fits}or begin another run with --init",
        )

    def record(self, what: Mapping[str, Any], notes: Mapping[str, Any], *, resume: bool) -> dict[str, Any]:
        """Write down what the run is and what changed, and give back its notes, the earlier ones included."""
        path = self.path / "run.json"
        known = self._known() if resume else {}
        what = _read_again(what)
        notes = {**known.get("notes", {}), **notes}
        differing = _differing(known.get("what", what), what)
        session = {
            "started": datetime.now().astimezone().isoformat(timespec="seconds"),
            "versions": {
                "voiceswap": voiceswap.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            "changed": differing,
        }
        sessions = [*known.get("sessions", []), session]
        text = json.dumps({"what": what, "notes": notes, "sessions": sessions}, indent=1)
        self._replace(path, f"{text}\n")
        return notes

    def load(self, restore: Callable[[dict[str, Any]], None]) -> None:
        """Give `restore` the newest state that it takes; CheckpointError if there is none.

        It may raise RuntimeError, ValueError or KeyError for a state that does not fit.
        """
        there = [path for path in self.states if path.is_file()]
        if not there:
            raise CheckpointError(
                str(self.states[0]), "there is nothing to resume from", "train without --resume first"
            )
        errors: list[Exception] = []
        for path in there:
            try:
                # Our own file from our own run folder; weights_only keeps a foreign one from running code.
                restore(torch.load(path, map_location="cpu", weights_only=True))
            except (RuntimeError, ValueError, KeyError, EOFError, pickle.UnpicklingError) as error:
                errors.append(error)
            else:
                if errors and self.active:
                    print(f"{there[0].name} cannot be read; going on from {path.name}", flush=True)
                return
        why = (str(errors[0]) or repr(errors[0])).splitlines()[0]
        raise CheckpointError(
            str(there[0]),
            f"it is damaged, or of another model or preset ({why:.200})",
            "resume with the preset that began the run, or begin another in a new folder",
        ) from errors[0]

    def save(self, state: Mapping[str, Any]) -> bool:
        """Write `state` as the newest; False, with the older ones left as they are, where it has no room."""
        partial = self.path / "last.pt.partial"
        try:
            torch.save(state, partial)
        except (OSError, RuntimeError) as error:  # torch reports a full disk as either
            free = shutil.disk_usage(self.path).free / 1e6  # before the part that was written is taken away
            partial.unlink(missing_ok=True)
            why = f"{str(error).splitlines()[0]:.200}; {free:.1f} MB are left on this disk"
            print(f"{self.states[0]} could not be written ({why})", flush=True)
            return False
        for newer, older in reversed(list(zip(self.states, self.states[1:], strict=False))):
            if newer.is_file():
                os.replace(newer, older)
        os.replace(partial, self.states[0])
        return True

    def cut_log(self, step: int) -> None:
        """Forget what was logged after `step`, from which the run goes on."""
        path = self.path / "log.jsonl"
        if self.active and path.is_file():
            kept = [line for line in _lines(path) if json.loads(line)["step"] <= step]
            self._replace(path, "".join(f"{line}\n" for line in kept))

    def _replace(self, path: Path, text: str) -> None:
        if not self.active:
            return
        partial = path.with_name(f"{path.name}.partial")
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
        except OSError as error:  # before the first step: nothing is lost
            partial.unlink(missing_ok=True)
            raise OutputError(
                str(path), f"it cannot be written ({error.strerror})", "Make room, and start again"
            ) from None


def _lines(path: Path) -> list[str]:
    """The whole rows of a log; the last one may have been cut off."""
    return path.read_text("utf-8").split("\n")[:-1]


def _differing(one: Any, other: Any, name: str = "") -> list[str]:
    """What two records say differently, as `NAME: before → now`."""
    if isinstance(one, dict) and isinstance(other, dict):
        names = dict.fromkeys([*one, *other])
        return [
            line
            for key in names
            for line in _differing(one.get(key), other.get(key), f"{name}.{key}".strip("."))
        ]
    return [] if one == other else [f"{name}: {_short(one)} → {_short(other)}"]


def _read_again(what: Mapping[str, Any]) -> Any:
    """As JSON gives it back: tuples are lists."""
    return json.loads(json.dumps(what))


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) < 60 else f"{text[:57]}…"


class Log:
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
        """Take one step's terms into the means of the next row."""
        for name, value in {**losses, "gradient": norm}.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())
        self.count += 1

    def losses(
        self, step: int, seconds: float, *, speed: float, left: float, mean: Callable[[Tensor], Tensor]
    ) -> None:
        """Means since the last row, of all processes by what `mean` makes of each one's."""
        names = sorted(self.sums)  # in whatever order this process came upon them
        everywhere = mean(torch.tensor([self.sums[name] / self.count for name in names]))
        of_all = dict(zip(names, everywhere.tolist(), strict=True))
        means = {name: of_all[name] for name in self.sums}
        self.sums, self.count = {}, 0
        self._write("train", step, seconds, means)
        if self.active:
            terms = " ".join(f"{name} {value:.4f}" for name, value in means.items())
            print(f"step {step:6d}  {terms}  {speed:.2f} steps/s  {left / 60:.0f} min left", flush=True)

    def report(
        self,
        step: int,
        seconds: float,
        metrics: dict[str, float],
        pictures: Mapping[str, np.ndarray],
        audio: Mapping[str, np.ndarray],
    ) -> dict[str, float]:
        """Held-out figures, pictures [H, W] and 24 kHz audio [N]."""
        self._write("held-out", step, seconds, metrics)
        if self.active:
            terms = " ".join(f"{name} {value:.4f}" for name, value in metrics.items())
            print(f"held-out at step {step}: {terms}", flush=True)
        if self.board is not None:
            for name, picture in pictures.items():
                self.board.add_image(name, picture, step, dataformats="HW")
            for name, samples in audio.items():
                self.board.add_audio(name, samples, step, sample_rate=24000)
            self.board.flush()
        return metrics

    def _write(self, kind: str, step: int, seconds: float, values: Mapping[str, float]) -> None:
        if not self.active:
            return
        row = json.dumps({"kind": kind, "step": step, "seconds": round(seconds, 1), **values})
        try:
            with self.path.open("a") as handle:
                handle.write(f"{row}\n")
        except OSError as error:  # a curve with a gap is no reason to end a run
            print(f"{self.path} could not be written ({error})", flush=True)
        if self.board is not None:
            for name, value in values.items():
                self.board.add_scalar(f"{kind}/{name}", value, step)
