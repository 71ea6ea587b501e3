"""The command that measures: its options in, tables and pages out."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from voiceswap.cli_common import DeviceOption, SeedOption, WeightsOption, load_studio, pair


def evaluate(
    *,
    corpus: Annotated[
        Path | None,
        typer.Option(help="Folder with manifest.tsv and its recordings, but for --listened."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the report and what is made for it.")],
    count: Annotated[int, typer.Option(help="Items of each task.")] = 100,
    seed: SeedOption = 0,
    speaker: Annotated[
        list[str] | None, typer.Option(help="Only this speaker; may be given several times.")
    ] = None,
    split: Annotated[str, typer.Option(help="The speakers' split in the manifest.")] = "dev-unseen",
    other: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="Recordings by another system; several times."),
    ] = None,
    others_only: Annotated[bool, typer.Option("--others-only", help="Measure those alone.")] = False,
    pictures: Annotated[bool, typer.Option(help="Draw mels, F0 and spread by speaker.")] = True,
    page: Annotated[
        bool, typer.Option("--page", help="Write page.html, sounds to listen to in at most 5 MB.")
    ] = False,
    page_only: Annotated[
        bool, typer.Option("--page-only", help="Only that page, of the report that is in OUT already.")
    ] = False,
    listening: Annotated[
        bool,
        typer.Option("--listening", help="Only a blind test for listeners, of the report that is in OUT."),
    ] = False,
    listened: Annotated[
        list[Path] | None, typer.Option(help="Only what a listener answered to that test; several times.")
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Processes that judge.")] = os.cpu_count() or 1,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
) -> None:
    """Measure the models beside recordings of people, and beside other systems."""
    others = {name: Path(folder) for name, folder in (pair(given, "--other") for given in other or [])}
    from voiceswap.evaluation import listening as blind

    if listened:
        said = blind.markdown(blind.read_back(out, listened))
        (out / "listening.md").write_text(said, encoding="utf-8")
        typer.echo(said)
        return
    if corpus is None:
        raise typer.BadParameter("give the folder of the recordings", param_hint="--corpus")
    if others_only and (page or page_only):
        raise typer.BadParameter("a page is of our own recordings: leave out --others-only")
    from rich.console import Console

    from voiceswap.evaluation import page as page_of_sounds
    from voiceswap.evaluation import report, tables

    if listening:
        written = blind.write(report.load(out), corpus, out, others=others)
        typer.echo(f"{written}\n{out / blind.KEY}: keep it; what listeners save is read with --listened")
        return
    if page_only:
        typer.echo(f"{page_of_sounds.write(report.load(out), corpus, out, others=others)}")
        return
    measured = report.evaluate(
        None if others_only else load_studio(device, weights),
        corpus,
        out,
        count=count,
        seed=seed,
        speakers=speaker or (),
        split=split,
        others=others,
        pictures=pictures,
        progress=sys.stderr.isatty(),
        jobs=jobs,
    )
    for table in tables.rich_tables(measured):
        Console().print(table)
    typer.echo(f"{out / 'report.md'}")
    if page:
        typer.echo(f"{page_of_sounds.write(measured, corpus, out, others=others)}")
