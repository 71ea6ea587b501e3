"""The command for many texts: `voiceswap speak --batch`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from voiceswap.cli_common import bars


def speak_batch(table: Path, folder: Path, *, defaults: dict[str, Any], **options: Any) -> None:
    """Make the files of a table's rows; `defaults` are of rows, `options` of `voiceswap.batch.run`."""
    from voiceswap import batch

    rows = batch.read(table, **defaults)
    outcomes = batch.run(rows, folder, **options, progress=bars("making speech"))
    states = [outcome.state for outcome in outcomes]
    counts = f"{states.count('made')} made, {states.count('kept')} there already"
    typer.echo(f"{folder}: {counts}, {states.count('failed')} failed")
    for outcome in outcomes:
        if outcome.state == "failed":
            typer.echo(f"voiceswap: row {outcome.id!r}: {outcome.message}", err=True)
    if "failed" in states:
        raise typer.Exit(2)
