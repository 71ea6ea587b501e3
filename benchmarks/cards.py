"""What benchmarks/publish.py writes into the models' cards."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from shown import CARD_FIGURES, CARD_TASKS, README_TITLES, short, speed_of, table

from voiceswap import checkpoint
from voiceswap.evaluation import tables
from voiceswap.evaluation.measure import RECORDINGS
from voiceswap.evaluation.report import FIGURES, OURS, Report

_HELD_OUT = "held out, at step"


def card_section(kind: str, report: Report, weights: Path, runs: Path | None) -> str:
    """What was measured of one model: its training, its size, and the figures that hang on it."""
    facts = list(training_facts(weights / f"{kind}.safetensors", runs and runs / kind / "log.jsonl"))
    if facts and not facts[-1][0].startswith(_HELD_OUT):
        facts += held_out_before(weights / f"{kind}.md", facts[-1])
    body = []
    for task in CARD_TASKS[kind]:
        for name in CARD_FIGURES.get(kind, FIGURES[task]):
            if name in FIGURES[task] and (value := report.figure(OURS, task, name)):
                own = tables._cell(name, tables._own(report, task, name))
                body.append([f"{README_TITLES[task]}: {tables.LABELS[name]}", tables._cell(name, value), own])
        speed = speed_of(report, OURS, task)
        if speed is not None:
            body.append([f"{README_TITLES[task]}: {tables.LABELS['speed']}", short(speed), "–"])
    settings = report.settings
    people = f"{len(settings['people'])} people never trained on, {settings['count']} items a task"
    parts = [table(["", ""], facts)] if facts else []
    if kind == "voices":
        parts.append(voices_table(weights / "voices.json"))
    if body:
        parts.append(f"By `voiceswap evaluate`, {people}; all models together, brackets are 95 % intervals:")
        parts.append(table(["", OURS, RECORDINGS], body))
    return "\n\n".join(parts)


def training_facts(path: Path, log: Path | None) -> Iterator[list[str]]:
    """Size and training of a weights file by its header, and the run's last held-out figures."""
    if not path.is_file():
        return
    header = checkpoint.read_header(path)
    training = json.loads(header["training"])
    data = training.get("data", "")
    config = ", ".join(f"{name} {value}" for name, value in json.loads(header["config"]).items())
    yield ["size", f"{path.stat().st_size / 1e6:.1f} MB, fp16"]
    yield ["configuration", config]
    if "steps" in training:
        chain = [training]
        while "steps" in chain[-1].get("before", {}):
            chain.append(chain[-1]["before"])
        yield ["steps", " + ".join(f"{part['steps']:,}" for part in reversed(chain))]
        yield ["hours of training", " + ".join(f"{part['hours']:.2g}" for part in reversed(chain))]
    if data:
        yield ["feature folders", data if isinstance(data, str) else ", ".join(data)]
    yield ["SHA-256, beginning", f"`{header['sha256'][:16]}`"]
    if log and log.is_file():
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        for line in [line for line in lines if line["kind"] == "held-out"][-1:]:
            figures = {key: value for key, value in line.items() if key not in ("kind", "step", "seconds")}
            written = ", ".join(f"{key} {value:.3g}" for key, value in figures.items())
            yield [f"{_HELD_OUT} {line['step']:,}", written]


def held_out_before(card: Path, hashed: list[str]) -> list[list[str]]:
    """The held-out figures that a card has, if it is of the weights of this hash: their run may be gone."""
    rows = [line.strip("| ").split(" | ") for line in card.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row[0].startswith(_HELD_OUT)] if hashed in rows else []


def voices_table(path: Path) -> str:
    from voiceswap.training.voices import RECIPES

    rows = json.loads(path.read_text(encoding="utf-8"))
    body = [
        [
            row["name"],
            f"{row['f0_median']:.0f}",
            ", ".join(f"{share:.0%} {speaker}" for speaker, share in RECIPES.get(row["name"], {}).items()),
        ]
        for row in rows
    ]
    return table(["voice", "median F0, Hz", "blend"], body)
