"""Pictures of a report: mels side by side, F0 curves, and the spread by speaker."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from voiceswap.acoustics import ACOUSTICS, log_mel
from voiceswap.evaluation import pitch
from voiceswap.evaluation.extras import require
from voiceswap.evaluation.judge import recording_in
from voiceswap.evaluation.protocol import Item, Plan
from voiceswap.evaluation.report import OURS, Report

EXAMPLES = 3


def _figure(height: float) -> Any:
    # The object interface needs no display and leaves the user's pyplot alone.
    figure = require("matplotlib.figure", package="matplotlib").Figure(
        figsize=(11, height), layout="constrained"
    )
    require("matplotlib.backends.backend_agg", package="matplotlib").FigureCanvasAgg(figure)
    return figure


def draw(report: Report, plan: Plan, folders: Mapping[str, Path], out: Path) -> list[Path]:
    """Write mels.png, f0.png and speakers.png into `out`; those with nothing to show are left out."""
    made: list[Path] = []
    pairs = [(item, path) for item in plan.items if item.source and (path := _made(item, folders))]
    chosen = [
        pair for task in ("convert", "copy") for pair in [p for p in pairs if p[0].task == task][:EXAMPLES]
    ]
    if chosen:
        made += [_mels(chosen, out / "mels.png"), _f0(chosen, out / "f0.png")]
    if any(v.system == OURS and v.speaker for v in report.verdicts):
        made.append(_speakers(report, out / "speakers.png"))
    return made


def _made(item: Item, folders: Mapping[str, Path]) -> Path | None:
    files = (recording_in(folder, item.id) for folder in folders.values())
    return next((path for path in files if path), None)


def _mels(pairs: list[tuple[Item, Path]], path: Path) -> Path:
    import torch

    from voiceswap.audio import read

    figure = _figure(2.2 * len(pairs))
    axes = figure.subplots(len(pairs), 2, squeeze=False, sharey=True)
    for row, (item, made) in zip(axes, pairs, strict=True):
        for axis, file, title in zip(
            row, (item.source.path if item.source else made, made), ("", item.id), strict=True
        ):
            mel = log_mel(torch.from_numpy(read(file))[None])[0].numpy()
            seconds = mel.shape[1] / ACOUSTICS.frame_rate
            axis.imshow(mel, origin="lower", aspect="auto", extent=(0, seconds, 0, len(mel)), vmin=-9, vmax=2)
            axis.set_title(title or (item.source.id if item.source else ""), fontsize=8)
        row[0].set_ylabel("mel band")
    axes[-1][0].set_xlabel("seconds")
    figure.savefig(path, dpi=90)
    return path


def _f0(pairs: list[tuple[Item, Path]], path: Path) -> Path:
    from voiceswap.audio import SAMPLE_RATE, read

    figure = _figure(1.8 * len(pairs))
    axes = figure.subplots(len(pairs), 1, squeeze=False)[:, 0]
    for axis, (item, made) in zip(axes, pairs, strict=True):
        for file, label in ((item.source.path if item.source else made, "source"), (made, "made")):
            f0 = pitch.track(read(file), SAMPLE_RATE)
            axis.semilogy(np.arange(len(f0)) * pitch.FRAME_SECONDS, np.where(f0 > 0, f0, np.nan), label=label)
        axis.set_title(item.id, fontsize=8)
        axis.set_ylabel("F0, Hz")
    axes[0].legend(fontsize=8)
    axes[-1].set_xlabel("seconds")
    figure.savefig(path, dpi=90)
    return path


def _speakers(report: Report, path: Path) -> Path:
    """A row for each figure, a dot for each recording: speakers side by side, text left, conversion right."""
    names = sorted({v.speaker for v in report.verdicts if v.system == OURS and v.speaker})
    kinds = ("ge2e_target", "character_error_rate", "dnsmos")
    figure = _figure(3.0 * len(kinds))
    axes = figure.subplots(len(kinds), 1, sharex=True)
    for axis, kind in zip(axes, kinds, strict=True):
        for task, shift, color in (("speak", -0.15, "tab:blue"), ("convert", 0.15, "tab:orange")):
            scored = report.worst(task, kind, count=len(report.verdicts))
            places = [names.index(verdict.speaker) + shift for verdict, _ in scored]
            axis.plot(places, [value for _, value in scored], ".", color=color, alpha=0.7, label=task)
        axis.set_ylabel(kind)
        axis.grid(axis="y", alpha=0.3)
    floor, ceiling = report.settings["likeness"]["ge2e"]
    for level, label in ((floor, "two people"), (ceiling, "the same person")):
        axes[0].axhline(level, linestyle="--", color="gray")
        axes[0].annotate(label, (0, level), fontsize=8, va="bottom")
    axes[0].legend(fontsize=8)
    axes[-1].set_xticks(range(len(names)), names, rotation=60, fontsize=8)
    figure.savefig(path, dpi=90)
    return path
