"""A report as Markdown and on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from voiceswap.evaluation.judge import COUNTS
from voiceswap.evaluation.measure import RECORDINGS
from voiceswap.evaluation.report import FIGURES, OURS, Report
from voiceswap.evaluation.similarity import ENCODERS
from voiceswap.evaluation.stats import Interval

if TYPE_CHECKING:
    from rich.table import Table

TITLES = {
    "builtin": "Text in built-in voices",
    "speak": "Text in the voices of people enrolled from 10 s",
    "convert": "Recordings converted into the voices of other people",
    "copy": "Copy-synthesis: recordings taken apart and put together",
}
_ENCODER_NAMES = {
    "ge2e": "GE2E",
    "campplus": "CAM++ (independent)",
    "dvector": "d-vector (took part in training)",
}
_LIKENESS = {
    "share": "likeness by {}, 0 another person, 1 the same",
    "target": "cosine to the person, {}",
    "source": "cosine to the source's speaker, {}",
    "other": "cosine to other people, {}",
    "nearer": "nearer to the target than to the source, {}, %",
    "nearer_across": "nearer to the target, woman and man alone, {}, %",
}
LABELS = {
    "character_error_rate": "character error rate, %",
    "character_error_rate_above": "character error rate above the source's own, points",
    "moonshine_error_rate": "character error rate by Moonshine, %",
    "moonshine_error_rate_above": "the same above the source's own, points",
    **{
        f"{encoder}_{kind}": label.format(name)
        for kind, label in _LIKENESS.items()
        for encoder, name in _ENCODER_NAMES.items()
    },
    "f0_correlation": "F0 correlation with the source",
    "f0_correlation_all": "the same, octave slips included",
    "f0_slips": "octave slips, % of voiced frames",
    "f0_spread": "spread of F0 within a sentence, semitones",
    "voicing_error": "voicing error, %",
    "pesq": "PESQ, wide band",
    "mel_distance": "mel distance, dB",
    "dnsmos": "DNSMOS, overall",
    "distillmos": "Distill-MOS",
    "speed": "seconds of audio from a second of one processor core",
    "memory": "peak memory, MB",
}
PERCENT = (
    *COUNTS,
    *(f"{encoder}_{kind}" for encoder in ENCODERS for kind in ("nearer", "nearer_across")),
    "f0_slips",
    "voicing_error",
)
_OWN_TASK = {name: {"convert": "sources"} for name in ("character_error_rate", "moonshine_error_rate")}
_WORST = ("character_error_rate", "ge2e_target", "f0_correlation", "pesq", "dnsmos", "distillmos")
JUDGES_NOTE = (
    "Likeness is the cosine to other recordings of the person, on a scale from the mean between two people "
    "(0) to the mean between one person's own recordings (1). GE2E and CAM++ are independent judges. The "
    "d-vector encoder teaches the models' speaker encoder: its figures show how well that was learnt and are "
    "no independent evidence. Character errors are Whisper's unless Moonshine is named, which taught the "
    "phone recognizer and is no independent judge of conversions. F0 is Praat's; "
    "correlations leave out octave slips unless they say so. Brackets hold 95 % confidence intervals, "
    "bootstrapped over speakers (over sentences for built-in voices)."
)


def _cell(name: str, value: Interval | None) -> str:
    if value is None:
        return "–"
    return f"{written(name, value.mean)} [{written(name, value.low)}, {written(name, value.high)}]"


def written(name: str, value: float) -> str:
    """A figure with the digits that it is given with, shares as percentages."""
    return f"{value * 100:.1f}" if name in PERCENT else f"{value:.2f}"


def _own(report: Report, task: str, name: str) -> Interval | None:
    """The recordings' own figure that stands beside a system's: the ceiling for a likeness."""
    name = name.replace("_source", "_target")
    return report.figure(RECORDINGS, _OWN_TASK.get(name, {}).get(task, "references"), name)


def rows(report: Report, task: str) -> tuple[list[str], list[list[str]]]:
    """The heads and the rows of one task's table, text only; no rows where no system did the task."""
    systems = list(dict.fromkeys(f.system for f in report.figures if f.task == task))
    body = []
    for name in FIGURES[task]:
        values = [report.figure(system, task, name) for system in systems]
        if any(values):
            cells = [_cell(name, value) for value in (_own(report, task, name), *values)]
            body.append([LABELS[name], *cells])
    fast = [report.speed.get(system, {}).get("speed", {}).get(task) for system in systems]
    if any(fast):
        cells = [f"{s['audio_seconds'] / max(s['cpu_seconds'], 1e-9):.0f}" if s else "–" for s in fast]
        body.append([LABELS["speed"], "–", *cells])
    counts = [
        max((f.value.count for f in report.figures if (f.system, f.task) == (s, task)), default=0)
        for s in systems
    ]
    heads = [f"{name} ({count})" for name, count in zip(systems, counts, strict=True)]
    return ["", "recordings", *heads], body


def markdown(report: Report) -> str:
    """The whole report: a table for each task, the people's own figures, and the ten worst by each judge."""
    own = [
        [LABELS[name], _cell(name, value)]
        for name in FIGURES["references"]
        if (value := report.figure(RECORDINGS, "references", name))
    ]
    memory = {s: r["peak_memory_mb"] for s, r in report.speed.items() if r.get("peak_memory_mb")}
    settings = report.settings
    parts = [
        "# Evaluation",
        f"{len(settings['people'])} people of `{settings['corpus']}`, split `{settings['split']}`; "
        f"{settings['count']} items a task, seed {settings['seed']}. {pairs_note(settings)}{JUDGES_NOTE}",
        *(
            f"## {TITLES[task]}\n\n{_markdown_table(*table)}"
            for task in TITLES
            if (table := rows(report, task))[1]
        ),
        f"## The recordings themselves\n\n{_markdown_table(['', 'recordings'], own)}",
        *(
            f"Peak memory of {system} while making all this: {value:.0f} MB."
            for system, value in memory.items()
        ),
        *(f"Left out: {note}" for note in report.notes),
        *_worst(report),
    ]
    return "\n\n".join(parts) + "\n"


def pairs_note(settings: Mapping[str, Any]) -> str:
    """What kinds of pairs the conversions are; nothing for reports of before that was kept."""
    if not settings.get("pairs"):
        return ""
    counts = settings["pairs"]
    return (
        f"Of the conversions {counts['across']} are between a woman and a man, {counts['within']} within one "
        f"gender, and of {counts['unknown']} the corpus does not tell. "
    )


def _markdown_table(heads: list[str], body: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _worst(report: Report) -> Iterator[str]:
    for task in TITLES:
        for name in _WORST:
            worst = report.worst(task, name)
            if name not in FIGURES[task] or not worst:
                continue
            scale = 100 if name in PERCENT else 1
            lines = [
                f"| {verdict.id} | {value * scale:.2f} |"
                + (f" {verdict.text} | {verdict.heard} |" if name == "character_error_rate" else "")
                for verdict, value in worst
            ]
            extra = " text | heard |" if name == "character_error_rate" else ""
            rule = "|---" * (lines[0].count("|") - 1) + "|"
            head = f"| {OURS} | {LABELS[name]} |{extra}\n{rule}\n"
            yield f"### Worst: {TITLES[task]}, {LABELS[name]}\n\n{head}" + "\n".join(lines)


def rich_tables(report: Report) -> list[Table]:
    """The tables of the tasks for a terminal."""
    from rich.table import Table

    tables = []
    for task, title in TITLES.items():
        heads, body = rows(report, task)
        if not body:
            continue
        table = Table(title=title, title_justify="left")
        for number, head in enumerate(heads):
            table.add_column(head, justify="right" if number else "left")
        for row in body:
            table.add_row(*row)
        tables.append(table)
    return tables
