"""Print the table of docs/presets.md: `python benchmarks/presets.py`.

`--trace FEATURES` trains every model of one preset for a few steps instead, and says what a step takes of the
processor (which other work on the machine hardly changes) and how much memory a run needs; on Linux alone.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from voiceswap import checkpoint
from voiceswap.nn.discriminators import MelDiscriminator, WaveDiscriminator
from voiceswap.training import presets

ORDER = ("speaker-encoder", "phone-recognizer", "vocoder", "synthesizer", "converter", "detector")
_HALF, _STATE, _CRITIC = 2, 16, 12  # bytes a weight: fp16; weights, average, two moments; without the average


def size(module: Any) -> int:
    """How many weights it has."""
    return sum(parameter.numel() for parameter in module.parameters())


def batch_of(task: Any) -> str:
    """What a batch is, in the task's own words."""
    names = ("batch_size", "aligned", "spoken", "frames", "segment", "longest", "seconds")
    return ", ".join(f"{name} {getattr(task, name)}" for name in names if hasattr(task, name))


def critic_of(kind: str, task: Any, model: Any) -> int:
    """Weights of the discriminator that a run of this preset has; 0 for none."""
    if getattr(task, "adversarial_from", None) is None:
        return 0
    return size(WaveDiscriminator() if kind == "vocoder" else MelDiscriminator(model.config.speaker))


def table() -> str:
    """All models of all presets as a Markdown table."""
    lines = [
        "| preset | model | weights, million | file, MB | its judge, million | state, MB | batch | steps |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name in presets.NAMES:
        for kind in ORDER:
            preset = presets.find(kind, name)
            model = checkpoint.MODELS[kind][0](preset.model)
            own, critic = size(model), critic_of(kind, preset.task, model)
            state = (_STATE * own + _CRITIC * critic) / 1e6
            lines.append(
                f"| {name} | {kind} | {own / 1e6:.2f} | {_HALF * own / 1e6:.1f} "
                f"| {f'{critic / 1e6:.2f}' if critic else '–'} | {state:.0f} "
                f"| {batch_of(preset.task)} | {preset.loop.steps:,} |"
            )
    return "\n".join(lines)


def trace(data: Path, name: str, steps: int) -> str:
    """Seconds a step and the largest memory of training each model on `data`, each in its own process."""
    lines = ["| model | CPU seconds a step | memory, GiB |", "|---|---|---|"]
    for kind in ORDER[:-1]:  # the detector hears other folders
        with tempfile.TemporaryDirectory() as out:
            command = [sys.executable, __file__, "--one", kind, "--trace", str(data), "--preset", name]
            done = subprocess.run(
                [*command, "--steps", str(steps), "--out", out], capture_output=True, text=True, check=False
            )
        if done.returncode:  # such as a tiny converter, which needs a tiny recognizer
            print(f"{kind}: {done.stderr.splitlines()[-1]}", file=sys.stderr)
        else:
            lines.append(done.stdout.splitlines()[-1])
    return "\n".join(lines)


def one(kind: str, data: Path, name: str, steps: int, out: Path) -> str:
    """A row of `trace`."""
    from voiceswap.training import loop

    times: list[float] = []

    class Timed(loop.Log):
        def losses(self, *given: Any, **named: Any) -> None:
            times.append(time.process_time())

    loop.Log = Timed  # type: ignore[misc]
    from voiceswap.training.run import run

    run(kind, preset=name, data=[data], out=out, loop={"steps": steps, "log_every": 1})
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # Linux gives KiB
    return f"| {kind} | {(times[-1] - times[0]) / (len(times) - 1):.2f} | {memory:.1f} |"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trace", type=Path, metavar="FEATURES")
    parser.add_argument("--preset", default="base")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(one(given.one, given.trace, given.preset, given.steps, given.out))
    else:
        print(trace(given.trace, given.preset, given.steps) if given.trace else table())
