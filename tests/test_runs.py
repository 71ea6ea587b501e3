"""Runs that are stopped, starved and broken: what is left of them, and how they go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("accelerate", reason="needs voiceswap[train]")

from voiceswap import checkpoint
from voiceswap.errors import CheckpointError, OptionError, OutputError, TrainingError
from voiceswap.models.vocoder import SIZES, Vocoder
from voiceswap.training.loop import Report, Task, train
from voiceswap.training.optimization import TrainingConfig

STEPS = 60
RUN = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from test_runs import Drawn, CONFIG
from voiceswap.training.loop import train
train(Drawn(pause={pause}), Path({out!r}), config=CONFIG, resume={resume}, record={{"seed": 0}})
"""
CONFIG = TrainingConfig(steps=STEPS, save_minutes=0.0, log_every=1, validate_minutes=100.0)


@dataclass(frozen=True)
class Settings:
    batch_size: int = 8


class Drawn(Task):
    """A vocoder's weights drawn towards noise: small, fast, and different in every step."""

    def __init__(self, *, pause: float = 0.0, judged: tuple[float, ...] = ()) -> None:
        torch.manual_seed(3)
        self.model = Vocoder(SIZES["tiny"])
        self.config = Settings()
        self.critic = nn.Linear(4, 1)
        self.pause, self.judged, self.seen = pause, list(judged), []

    def batch(self, rng):
        self.seen.append(int(rng.integers(10**6)))
        return {"wanted": torch.from_numpy(rng.normal(size=(self.config.batch_size, 1)).astype(np.float32))}

    def losses(self, model, batch, step):
        time.sleep(self.pause)
        dropped = nn.functional.dropout(batch["wanted"], 0.5)  # what the process draws counts as well
        return {"far": sum((p - dropped.mean()).square().mean() for p in model.parameters())}, dropped

    def critic_losses(self, critic, seen):
        return {"critic": critic(seen[:4].T).square().mean()}

    def validate(self, model):
        return Report({"mel": 1.0}, judged=self.judged.pop(0) if self.judged else None)


def started(out, *, resume, pause=0.02):
    code = RUN.format(tests=str(Path(__file__).parent), out=str(out), resume=resume, pause=pause)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def rows(out):
    return [
        {name: value for name, value in json.loads(line).items() if name != "seconds"}
        for line in (out / "log.jsonl").read_text().split("\n")[:-1]
    ]


def state(out, name="last.pt"):
    return torch.load(out / name, weights_only=True)


def same(one, other):
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[n], other[n]) for n in one if n != "seconds")
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other


def test_killed_at_any_moment_a_run_ends_as_if_nothing_had_been(tmp_path):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(Drawn(), tmp_path / "whole", config=CONFIG, record={"seed": 0})
    finally:
        torch.set_num_threads(threads)
    out = tmp_path / "killed"
    for number, how in enumerate([signal.SIGKILL, signal.SIGTERM]):
        process = started(out, resume=number > 0)
        while not (out / "log.jsonl").is_file() or len(rows(out)) < 20 * (number + 1):
            assert process.poll() is None
            time.sleep(0.003)
        process.send_signal(how)
        said = process.communicate()[0]
        assert process.returncode == (-9 if how == signal.SIGKILL else 143)
        assert ("go on with --resume" in said) == (how == signal.SIGTERM)
        assert 0 < state(out)["step"] < STEPS
    process = started(out, resume=True, pause=0.0)
    process.communicate()
    assert process.returncode == 0
    assert same(state(out), state(tmp_path / "whole"))
    assert rows(out) == rows(tmp_path / "whole")  # every step once
    record = json.loads((out / "run.json").read_text())
    assert len(record["sessions"]) == 3
    assert record["sessions"][0]["versions"]["torch"] == torch.__version__


def test_states_before_the_last_are_kept_and_used(tmp_path, capsys):
    train(Drawn(), tmp_path, config=replace(CONFIG, steps=5))
    assert [state(tmp_path, name)["step"] for name in ("last.pt", "last-1.pt", "last-2.pt")] == [5, 5, 4]
    (tmp_path / "last.pt").write_bytes(b"half of a sta")
    (tmp_path / "last-1.pt").unlink()
    train(Drawn(), tmp_path, config=replace(CONFIG, steps=7), resume=True)
    assert "going on from last-2.pt" in capsys.readouterr().out
    assert [row["step"] for row in rows(tmp_path) if row["kind"] == "train"] == [1, 2, 3, 4, 5, 6, 7]
    for path in tmp_path.glob("last*.pt"):
        path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged"):
        train(Drawn(), tmp_path, config=CONFIG, resume=True)


def test_the_best_weights_are_kept(tmp_path):
    config = replace(CONFIG, steps=4, validate_minutes=0.0)
    train(Drawn(judged=(3.0, 1.0, 2.0, 5.0)), tmp_path, config=config)
    header = checkpoint.read_header(tmp_path / "best/vocoder.safetensors")
    assert json.loads(header["training"])["steps"] == 2
    config = replace(config, steps=6)
    train(Drawn(judged=(1.5, 0.5)), tmp_path, config=config, resume=True)  # what was best is known again
    header = checkpoint.read_header(tmp_path / "best/vocoder.safetensors")
    assert json.loads(header["training"])["steps"] == 6


def test_a_full_disk_ends_no_run_and_breaks_no_state(tmp_path, monkeypatch, capsys):
    whole, room = torch.save, {"bytes": None}

    def save(value, path):
        whole(value, path)
        if room["bytes"] is not None:
            os.truncate(path, room["bytes"])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", save)
    train(Drawn(), tmp_path, config=replace(CONFIG, steps=2))
    room["bytes"] = 100
    with pytest.raises(OutputError, match="Make room"):
        train(Drawn(), tmp_path, config=replace(CONFIG, steps=4), resume=True)
    assert "No space left" in capsys.readouterr().out
    assert state(tmp_path)["step"] == 2
    assert not list(tmp_path.glob("*.partial"))
    room["bytes"] = None
    write = Path.write_text

    def refuse(path, text, **given):  # not even the record of the run has room
        write(path, "", **given)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Path, "write_text", refuse)
        with pytest.raises(OutputError, match="Make room, and start again"):
            train(Drawn(), tmp_path, config=replace(CONFIG, steps=4), resume=True)
    assert not list(tmp_path.glob("*.partial"))
    task = Drawn()
    train(task, tmp_path, config=replace(CONFIG, steps=4), resume=True)
    assert state(tmp_path)["step"] == 4
    assert len(task.seen) == 2


def test_losses_that_stay_infinite_end_a_run_with_weights_as_they_were(tmp_path):
    class Broken(Drawn):
        def losses(self, model, batch, step):
            losses, seen = super().losses(model, batch, step)
            return {**losses, "odd": losses["far"] * (float("nan") if step >= 3 else 1)}, seen

    task = Broken()
    with pytest.raises(TrainingError, match=r"far, odd|odd not finite, 50 times"):
        train(task, tmp_path, config=replace(CONFIG, steps=200, save_minutes=100.0))
    assert all(bool(p.isfinite().all()) for p in task.model.parameters())
    healthy = Drawn()
    train(healthy, tmp_path / "healthy", config=replace(CONFIG, steps=3))
    # The rate of a run of 3 steps falls, that of the broken one did not: near, not equal.
    pairs = zip(task.model.parameters(), healthy.model.parameters(), strict=True)
    assert all(torch.allclose(one, other, atol=0.01) for one, other in pairs)


def test_a_batch_without_room_says_what_would_fit(tmp_path):
    class Small(Drawn):
        def losses(self, model, batch, step):
            if len(batch["wanted"]) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().losses(model, batch, step)

    with pytest.raises(TrainingError, match=r"batch_size=8: .*Set batch_size=2, which fits"):
        train(Small(), tmp_path, config=CONFIG)


def test_a_run_goes_on_as_it_began_or_says_what_changed(tmp_path):
    record = {"task": {"batch_size": 8, "weights": (("a", 1.0),)}, "data": {"x": "12"}}
    train(Drawn(), tmp_path, config=replace(CONFIG, steps=1), record=record, notes={"from": "begin"})
    other = {**record, "task": {"batch_size": 4, "weights": (("a", 1.0),)}}
    logged = (tmp_path / "log.jsonl").read_text() + '{"kind": "train", "step": 9, "seconds": 1.0}\n'
    (tmp_path / "log.jsonl").write_text(logged)
    with pytest.raises(OptionError, match=r"task.batch_size: 8 → 4.*--changed"):
        train(Drawn(), tmp_path, config=CONFIG, record=other, resume=True)
    assert (tmp_path / "log.jsonl").read_text() == logged  # what is refused changes nothing
    train(Drawn(), tmp_path, config=replace(CONFIG, steps=2), record=record, resume=True)
    train(Drawn(), tmp_path, config=replace(CONFIG, steps=3), record=other, resume=True, changed=True)
    told = json.loads((tmp_path / "run.json").read_text())
    assert told["what"]["task"]["batch_size"] == 4
    assert [session["changed"] for session in told["sessions"]] == [[], [], ["task.batch_size: 8 → 4"]]
    training = json.loads(checkpoint.read_header(tmp_path / "vocoder.safetensors")["training"])
    assert training["from"] == "begin"  # also after it was resumed
