"""Write what was measured into docs/results.md, README.md and the models' cards.

    voiceswap evaluate --corpus CORPUS --out measured --other piper=peers/piper …
    python benchmarks/limits.py measured/limits.json
    python benchmarks/publish.py measured --limits measured/limits.json [--parallel FILE] [--runs runs]

`measured` holds the report.json and the pictures of `voiceswap evaluate`; without `--limits` the figures of
benchmarks/limits.py stay away. `--runs` is the folder of the training runs, whose last held-out figures go
into the cards. Every number in those places is written here: between its markers nothing is to be edited.
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cards import card_section
from kept import kept
from shown import (
    CARD_TASKS,
    FLOORS,
    NAMES,
    PICTURES,
    README_LABELS,
    README_ROWS,
    README_TITLES,
    Floor,
    short,
    speed_of,
    table,
)

from voiceswap import checkpoint
from voiceswap.evaluation import tables
from voiceswap.evaluation.measure import RECORDINGS
from voiceswap.evaluation.report import FIGURES, OURS, Report, load

ROOT = Path(__file__).parents[1]
LARGEST_PICTURE = 300_000  # bytes
PLAN = ("corpus", "split", "people", "count", "seed")
"""Settings of a report that say what was measured, whoever judged."""


def joined(report: Report, other: Report) -> Report:
    """`report` with the systems that another run of the same settings measured."""
    if any(report.settings[name] != other.settings[name] for name in PLAN):
        raise SystemExit(f"The two runs differ in one of {', '.join(PLAN)}: measure them alike.")
    known = {figure.system for figure in report.figures}
    more = tuple(figure for figure in other.figures if figure.system not in known)
    return Report(report.settings, report.figures + more, (), {**other.speed, **report.speed}, report.notes)


# ---------------------------------------------------------------- docs/results.md


def reached(report: Report, limits: Mapping[str, Any], floor: Floor) -> tuple[float, str, str] | None:
    """The value, how it is written, and the recordings' own; None where it was not measured."""
    if len(floor.source) == 1:
        found = limits.get(floor.source[0])
        if not found:
            return None
        written = short(found["value"]) + (
            f" (worst of {found['runs']}: {short(found['worst'])})" if found["runs"] > 1 else ""
        )
        return found["value"], written, "–"
    task, name = floor.source
    value, *others = (figure_of(report, system, task, name) for system in (OURS, *floor.beside))
    if value is None:
        return None
    if floor.beside:
        known = [other for other in others if other is not None]
        if len(known) < len(others):
            return None
        best = max(known) if floor.at_least else min(known)
        value = value / best if floor.relative else value - best
        return value, f"{value:.2f}", "–"
    if name == "speed":
        return value, short(value), "–"
    measured, own = report.figure(OURS, task, name), tables._own(report, task, name)
    assert measured is not None
    if floor.relative:
        if own is None:
            return None
        value = measured.mean / own.mean
        return value, short(value), "1"
    return value, tables._cell(name, measured), tables._cell(name, own)


def figure_of(report: Report, system: str, task: str, name: str) -> float | None:
    """A mean, in % where it is written so, or the speed."""
    if name == "speed":
        return speed_of(report, system, task)
    found = report.figure(system, task, name)
    return None if found is None else found.mean * (100 if name in tables.PERCENT else 1)


def floors_table(report: Report, limits: Mapping[str, Any]) -> str:
    body = []
    for floor in FLOORS:
        bound = f"{'≥' if floor.at_least else '≤'} {floor.floor:g}{floor.unit}"
        found = reached(report, limits, floor)
        if found is None:
            body.append([floor.label, "not measured", "–", bound, "–"])
            continue
        value, written, own = found
        # A hair below a floor is below it: the full value decides, not the written one.
        met = value >= floor.floor if floor.at_least else value <= floor.floor
        body.append([floor.label, written, own, bound, "met" if met else "**not met**"])
    return table(["figure", "measured", "recordings", "goal", ""], body)


def limits_table(records: Sequence[Mapping[str, Any]]) -> str:
    """A row a limit, a column a machine."""
    columns = [{one["name"]: one for one in record["limits"]} for record in records]
    labels = {name: one for column in columns for name, one in column.items()}
    body = [
        [f"{one['label']}, {one['unit']}", *(spread(column.get(name)) for column in columns)]
        for name, one in labels.items()
    ]
    return table(["", *(machine(record["machine"]) for record in records)], body)


def spread(one: Mapping[str, Any] | None) -> str:
    if one is None:
        return "–"
    return short(one["value"]) + (f" ({short(one['worst'])})" if one["runs"] > 1 else "")


def machine(found: Mapping[str, Any]) -> str:
    place = found["cpu"] if found["device"] == "CPU" else f"{found['device']} with {found['cpu']}"
    return f"{place}, {found['cores']} cores, torch {found['torch']}"


def commands(report: Report, with_limits: bool, with_parallel: bool) -> str:
    settings = report.settings
    others = [name for name in report.speed if name != OURS]
    size = f"--count {settings['count']} --seed {settings['seed']}"
    lines = ["pip install '.[eval]'"]
    if others:
        lines.append(
            f"python benchmarks/peers.py {settings['corpus']} peers {size} --peers {' '.join(others)}"
        )
    named = [f"    --other {name}=peers/{name}" for name in others]
    lines.append(
        " \\\n".join(
            [
                f"voiceswap evaluate --corpus {settings['corpus']} --split {settings['split']} {size}",
                "    --out measured",
                *named,
            ]
        )
    )
    last = "python benchmarks/publish.py measured"
    if with_limits:
        lines.append("python benchmarks/limits.py measured/limits.json")
        last += " --limits measured/limits.json"
    if with_parallel:
        lines.append("python benchmarks/parallel.py ONE OTHER... --more FOLDER --out measured/parallel.json")
        last += " --parallel measured/parallel.json"
    lines.append(last)
    return "```console\n" + "\n".join(f"$ {line}" for line in lines) + "\n```"


def renamed(head: str) -> str:
    """A system's column head with the name that people know it by."""
    name, _, count = head.partition(" (")
    return f"{NAMES.get(name, name)} ({count}" if count else head


def results(
    report: Report,
    records: Sequence[Mapping[str, Any]],
    weights: Path,
    pictures: Sequence[str],
    parallel: Mapping[str, float],
) -> str:
    """docs/results.md."""
    settings = report.settings
    size = sum(path.stat().st_size for path in weights.glob("*.safetensors")) / 1e6
    limits: dict[str, Any] = {"weights_mb": {"value": size, "runs": 1}}
    limits |= {name: {"value": value, "runs": 1} for name, value in parallel.items()}
    limits |= {one["name"]: one for record in records[:1] for one in record["limits"]}
    own = [
        [tables.LABELS[name], tables._cell(name, value)]
        for name in FIGURES["references"]
        if (value := report.figure(RECORDINGS, "references", name))
    ]
    span = ", ".join(
        f"{name} {low:.2f} (two people) to {high:.2f} (one person)"
        for name, (low, high) in settings["likeness"].items()
    )
    made_with = [
        [kind, f"{path.stat().st_size / 1e6:.1f}", f"`{checkpoint.read_header(path)['sha256'][:16]}`"]
        for kind in checkpoint.MODELS
        if (path := weights / f"{kind}.safetensors").is_file()
    ]
    parts = [
        "# Results",
        "Written by `benchmarks/publish.py` from what was measured; nothing here is edited by hand. "
        "What each figure means and who judges: [evaluation.md](evaluation.md).",
        f"{len(settings['people'])} people of the corpus' split `{settings['split']}`, none of them "
        f"trained on, each enrolled from about 10 s; {settings['count']} items a task, seed "
        f"{settings['seed']}. {tables.pairs_note(settings)}{tables.JUDGES_NOTE} The ends of that scale "
        f"here: {span}.",
        "## Goals",
        floors_table(report, limits),
        *(
            f"## {title}\n\n{table([renamed(head) for head in heads], body)}"
            for task, title in tables.TITLES.items()
            for heads, body in [tables.rows(report, task)]
            if body
        ),
        f"## The recordings themselves\n\n{table(['', 'recordings'], own)}",
    ]
    if records:
        load = ", ".join(f"{record['load_at_start']:.1f}" for record in records)
        parts += [
            "## Starting, streaming, speed and memory",
            f"Medians, in brackets the worst run. Programs waiting for a core when it began: {load}.",
            limits_table(records),
        ]
    if made_with:
        parts += [
            "## The weights in the package when this was written",
            table(["model", "MB", "SHA-256, beginning"], made_with),
        ]
    if report.notes:
        parts += ["## Left out", "\n".join(f"- {note}" for note in report.notes)]
    if pictures:
        parts += ["## Pictures", *(f"![{PICTURES[name]}](pictures/{name})" for name in pictures)]
    parts += ["## The same again", commands(report, bool(records), bool(parallel))]
    return "\n\n".join(parts) + "\n"


def copy_picture(source: Path, target: Path) -> None:
    """Copy a PNG with a palette, made smaller until it has fewer than `LARGEST_PICTURE` bytes."""
    from PIL import Image

    with Image.open(source) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    for percent in range(100, 9, -10):
        smaller = picture.resize((width * percent // 100, height * percent // 100))
        written = io.BytesIO()
        smaller.quantize(128).save(written, "png", optimize=True)
        if written.tell() < LARGEST_PICTURE:
            break
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(written.getvalue())


# ---------------------------------------------------------------- README.md and everything


def readme_table(report: Report) -> str:
    """A row a figure, a column a system; means alone."""
    systems = list(dict.fromkeys(f.system for f in report.figures if f.system != RECORDINGS))
    systems.sort(key=lambda name: name != OURS)
    body = []
    for task, names in README_ROWS.items():
        rows = []
        for name in names:
            values = [report.figure(system, task, name) for system in systems]
            if any(values):
                cells = [tables._own(report, task, name), *values]
                rows.append([README_LABELS[name], *(tables._cell(name, v).split(" [")[0] for v in cells)])
        speeds = [speed_of(report, system, task) for system in systems]
        if task != "copy" and any(speeds):
            rows.append(
                ["times real time on one core", "–", *("–" if s is None else f"{s:.0f}" for s in speeds)]
            )
        body += [[f"{README_TITLES[task]}: {row[0]}", *row[1:]] for row in rows]
    return table(["", RECORDINGS, *(NAMES.get(name, name) for name in systems)], body)


def readme_section(report: Report) -> str:
    settings = report.settings
    return (
        f"{settings['count']} sentences or recordings a task, {len(settings['people'])} people that were "
        f"never trained on, by `voiceswap evaluate`. Confidence intervals, memory and the commands: "
        f"[docs/results.md](docs/results.md).\n\n{readme_table(report)}"
    )


def replace_section(path: Path, marker: str, text: str) -> None:
    """Put `text` between `<!-- marker -->` and `<!-- /marker -->` of a file; exits where they are missing."""
    before, start, rest = path.read_text(encoding="utf-8").partition(f"<!-- {marker} -->")
    _, end, after = rest.partition(f"<!-- /{marker} -->")
    if not start or not end:
        raise SystemExit(
            f"{path}: it lacks the markers <!-- {marker} --> and <!-- /{marker} -->; put them in"
        )
    path.write_text(f"{before}{start}\n{text}\n{end}{after}", encoding="utf-8")


def publish(
    measured: Path,
    *,
    peers: Sequence[Path] = (),
    keep: bool = False,
    limits: Sequence[Path] = (),
    runs: Path | None = None,
    parallel: Path | None = None,
    root: Path = ROOT,
) -> Iterator[Path]:
    """Write all places below `root`; yields each file as it is done."""
    report = load(measured)
    page = root / "docs" / "results.md"
    for folder in peers:
        report = joined(report, load(folder))
    if keep:
        report = joined(report, kept(page, report.settings))
    records = [json.loads(path.read_text(encoding="utf-8")) for path in limits]
    weights = root / "voiceswap" / "weights"
    pictures = [name for name in PICTURES if (measured / name).is_file()]
    for name in pictures:
        copy_picture(measured / name, root / "docs" / "pictures" / name)
        yield root / "docs" / "pictures" / name
    falls = json.loads(parallel.read_text(encoding="utf-8")) if parallel else {}
    page.write_text(results(report, records, weights, pictures, falls), encoding="utf-8")
    yield page
    replace_section(root / "README.md", "results", readme_section(report))
    yield root / "README.md"
    for kind in CARD_TASKS:
        replace_section(weights / f"{kind}.md", "measured", card_section(kind, report, weights, runs))
        yield weights / f"{kind}.md"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("measured", type=Path, help="what `voiceswap evaluate --out` wrote")
    parser.add_argument(
        "--peers",
        type=Path,
        nargs="*",
        default=[],
        help="the same for other systems, if they were measured apart",
    )
    parser.add_argument(
        "--keep", action="store_true", help="other systems' figures that stand in docs/results.md stay there"
    )
    parser.add_argument(
        "--limits", type=Path, nargs="*", default=[], help="of benchmarks/limits.py; goals by the first"
    )
    parser.add_argument("--runs", type=Path, help="folder of the training runs")
    parser.add_argument("--parallel", type=Path, help="what benchmarks/parallel.py --out wrote")
    for path in publish(**vars(parser.parse_args())):
        print(path)


if __name__ == "__main__":
    main()
