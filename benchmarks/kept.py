"""Figures of other systems as docs/results.md gives them, where they were not measured anew."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shown import NAMES

from voiceswap.evaluation import tables
from voiceswap.evaluation.measure import RECORDINGS
from voiceswap.evaluation.report import FIGURES, OURS, Figure, Report
from voiceswap.evaluation.stats import Interval

_CELL = re.compile(r"(-?[\d.]+) \[(-?[\d.]+), (-?[\d.]+)\]")


def kept(page: Path, settings: Mapping[str, Any]) -> Report:
    """A report of the systems other than ours in the tables of `page`, with as many digits as stand there.

    They may have been measured on fewer of the same items, or more: heads of columns say on how many.
    """
    measured = f"items a task, seed {settings['seed']}."
    if measured not in page.read_text(encoding="utf-8"):
        raise SystemExit(f"{page} is of other settings than {measured} Measure the others again.")
    called = {shown: name for name, shown in NAMES.items()}
    text = page.read_text(encoding="utf-8")
    figures: list[Figure] = []
    speed: dict[str, dict[str, dict[str, dict[str, float]]]] = {}
    for task, title in tables.TITLES.items():
        section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
        lines = [line for line in (section[1] if section else "").splitlines() if line.startswith("|")]
        if not lines:
            continue
        head, _, *body = ([cell.strip() for cell in line.strip("|").split(" | ")] for line in lines)
        systems = {}
        for column, cell in enumerate(head):
            found = re.fullmatch(r"(.+) \((\d+)\)", cell)
            if found and found[1] not in (OURS, RECORDINGS):
                systems[column] = (called.get(found[1], found[1]), int(found[2]))
        names = iter(FIGURES[task])
        for label, *cells in body:
            if label == tables.LABELS["speed"]:
                for column, (system, _) in systems.items():
                    if re.fullmatch(r"[\d.]+", cells[column - 1]):
                        speed.setdefault(system, {"speed": {}})["speed"][task] = {
                            **{"audio_seconds": float(cells[column - 1]), "cpu_seconds": 1.0, "seconds": 1.0}
                        }
                continue
            name = next(name for name in names if tables.LABELS[name] == label)
            scale = 0.01 if name in tables.PERCENT else 1.0
            for column, (system, count) in systems.items():
                if found := _CELL.fullmatch(cells[column - 1]):
                    mean, low, high = (scale * float(value) for value in found.groups())
                    figures.append(Figure(system, task, name, Interval(mean, low, high, count)))
    return Report(settings, tuple(figures), (), speed, ())
