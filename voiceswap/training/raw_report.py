"""What was found in a folder of recordings: a table and a picture by speaker, and why pieces were dropped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from voiceswap.data.pieces import Piece, Signal


@dataclass(frozen=True)
class Found:
    """A piece of a recording and what was found out about it."""

    id: str
    path: str
    speaker: str
    piece: Piece
    signal: Signal
    alike: float
    """Cosine of its halves; 1 where it is too short to tell."""
    vector: tuple[float, ...]
    phones: tuple[int, ...]
    language: tuple[str, float] = ("", 0.0)
    """Which it is in, and how sure that is, where somebody listened for it."""
    text: str = ""
    text_origin: str = ""
    """`given` beside the recording, or written by a `machine`; empty without a text."""
    faults: tuple[str, ...] = field(default=())
    """Why it is not kept; empty where it is."""


def write_report(found: Sequence[Found], unused: Mapping[str, str], title: str, out: Path) -> None:
    """`report.md`, a picture of every speaker, and `dropped.tsv` with the reason of every piece.

    `unused` are recordings without a piece, and why.
    """
    speakers = sorted({f.speaker for f in found})
    lines = [
        f"# {title}",
        "",
        "| speaker | recordings | pieces | kept | minutes kept | with text | dropped |",
        "|---|---|---|---|---|---|---|",
    ]
    for speaker in speakers:
        mine = [f for f in found if f.speaker == speaker]
        kept = [f for f in mine if not f.faults]
        why = Counter(fault.split(" (", 1)[0] for f in mine for fault in f.faults[:1])
        lines.append(
            f"| {speaker} | {len({f.path for f in mine})} | {len(mine)} | {len(kept)} "
            f"| {sum(f.piece.seconds for f in kept) / 60:.1f} | {sum(bool(f.text) for f in kept)} "
            f"| {', '.join(f'{count} {reason}' for reason, count in why.most_common()) or '–'} |"
        )
    for number, speaker in enumerate(speakers):
        picture = f"speaker-{number + 1}.png"
        _draw([f for f in found if f.speaker == speaker], out / picture, speaker)
        lines += ["", f"![{speaker}]({picture})"]
    if unused:
        lines += ["", "Nothing was taken of:", "", *(f"- {name}: {why}" for name, why in unused.items())]
    lines += ["", "Why each piece was dropped is in dropped.tsv."]
    (out / "report.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = [
        "\t".join((f.id, f.path, f"{f.piece.start:.2f}", f"{f.piece.end:.2f}", "; ".join(f.faults)))
        for f in found
        if f.faults
    ]
    text = "\n".join(("id\tpath\tstart\tend\twhy", *(row.replace("\n", " ") for row in rows))) + "\n"
    (out / "dropped.tsv").write_text(text, encoding="utf-8")


def _draw(found: Sequence[Found], path: Path, speaker: str) -> None:
    """How long, noisy, wide and fast the pieces of a speaker are; what is dropped in another color."""
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(12, 2.6), layout="constrained")
    kinds = [("kept", [f for f in found if not f.faults]), ("dropped", [f for f in found if f.faults])]
    seen: tuple[tuple[str, Callable[[Found], float], tuple[int, int]], ...] = (
        ("seconds", lambda f: f.piece.seconds, (0, 15)),
        ("level over pauses, dB", lambda f: f.signal.noise_db, (0, 80)),
        ("sound up to, kHz", lambda f: f.signal.highest_hz / 1000, (0, 12)),
        ("phones a second", lambda f: len(f.phones) / f.piece.seconds, (0, 25)),
    )
    for axes, (label, value, limits) in zip(figure.subplots(1, len(seen)), seen, strict=True):
        values = [np.clip([value(f) for f in of], *limits) for _, of in kinds]
        axes.hist(values, bins=24, range=limits, stacked=True, color=["#0b57a4", "#d98324"])
        axes.set_xlabel(label)
    figure.suptitle(f"{speaker}: {len(kinds[0][1])} pieces kept (blue), {len(kinds[1][1])} dropped (orange)")
    figure.savefig(path, dpi=80)
