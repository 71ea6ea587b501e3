"""The measurement of a set of models beside recordings of people and other systems: `voiceswap evaluate`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voiceswap.errors import DataError, OptionError
from voiceswap.evaluation import intelligibility, judge, measure, protocol, similarity
from voiceswap.evaluation.generate import SPEED_FILE, generate
from voiceswap.evaluation.judge import Verdict
from voiceswap.evaluation.measure import RECORDINGS
from voiceswap.evaluation.similarity import ENCODERS
from voiceswap.evaluation.stats import Interval
from voiceswap.threads import one_thread

if TYPE_CHECKING:
    from voiceswap.studio import Studio

OURS = "voiceswap"


def _by_each(*kinds: str) -> tuple[str, ...]:
    """Figures of these kinds by each encoder."""
    return tuple(f"{encoder}_{kind}" for kind in kinds for encoder in ENCODERS)


FIGURES: dict[str, tuple[str, ...]] = {
    "builtin": ("character_error_rate", "moonshine_error_rate", "f0_spread", "dnsmos", "distillmos"),
    "speak": (
        *("character_error_rate", "moonshine_error_rate"),
        *_by_each("share", "target"),
        *("f0_spread", "dnsmos", "distillmos"),
    ),
    "convert": (
        *("character_error_rate", "character_error_rate_above"),
        *("moonshine_error_rate", "moonshine_error_rate_above"),
        *_by_each("share", "target", "source", "nearer", "nearer_across"),
        *(
            "f0_correlation",
            "f0_correlation_all",
            "f0_slips",
            "voicing_error",
            "dnsmos",
            "distillmos",
        ),
    ),
    "copy": (
        *_by_each("share"),
        "pesq",
        "mel_distance",
        "f0_correlation",
        "f0_correlation_all",
        "f0_slips",
        "voicing_error",
        "dnsmos",
        "distillmos",
    ),
    "references": (
        *("character_error_rate", "moonshine_error_rate"),
        *_by_each("target", "other"),
        *("f0_spread", "dnsmos", "distillmos"),
    ),
    "sources": ("character_error_rate", "moonshine_error_rate"),
}
"""What is reported of each task, in this order."""


@dataclass(frozen=True)
class Figure:
    """One number of the report with its 95 % confidence interval."""

    system: str
    task: str
    name: str
    value: Interval


@dataclass(frozen=True)
class Report:
    """Everything that was measured; `save` writes it, `tables.markdown` and `tables.rich_tables` show it."""

    settings: Mapping[str, Any]
    figures: tuple[Figure, ...]
    verdicts: tuple[Verdict, ...]
    speed: Mapping[str, Mapping[str, Any]]
    """By system what its speed.json says."""
    notes: tuple[str, ...] = field(default=())
    """What was left out, and why."""

    def figure(self, system: str, task: str, name: str) -> Interval | None:
        """One figure; None where it was not measured."""
        return next(
            (f.value for f in self.figures if (f.system, f.task, f.name) == (system, task, name)),
            None,
        )

    def worst(
        self, task: str, name: str, *, system: str = OURS, count: int = 10
    ) -> list[tuple[Verdict, float]]:
        """The verdicts of one task that one judge likes least, with its figure, worst first."""
        high_is_bad = name in (*judge.COUNTS, "mel_distance", "voicing_error")
        scored = [
            (verdict, value)
            for verdict in self.verdicts
            if (verdict.system, verdict.task) == (system, task)
            if (value := verdict.figure(name)) is not None
        ]
        return sorted(scored, key=lambda pair: -pair[1] if high_is_bad else pair[1])[:count]

    def to_dict(self) -> dict[str, Any]:
        """Plain values; nan, which JSON has not, becomes None."""
        figures = [{**asdict(f), **asdict(f.value)} for f in self.figures]
        for figure in figures:
            del figure["value"]
        return dict(
            _plain(
                {
                    "settings": dict(self.settings),
                    "figures": figures,
                    "speed": dict(self.speed),
                    "notes": list(self.notes),
                    "verdicts": [asdict(verdict) for verdict in self.verdicts],
                }
            )
        )

    def save(self, out: Path) -> None:
        """Write report.json and report.md into `out`."""
        from voiceswap.evaluation.tables import markdown

        out.mkdir(parents=True, exist_ok=True)
        (out / "report.json").write_text(json.dumps(self.to_dict(), indent=1), encoding="utf-8")
        (out / "report.md").write_text(markdown(self), encoding="utf-8")


def load(folder: Path) -> Report:
    """The report that `Report.save` wrote into `folder`; raises `DataError` where there is none."""
    path = folder / "report.json"
    try:
        stored = _restored(json.loads(path.read_text(encoding="utf-8")))
        values = [[f.pop(part) for part in ("mean", "low", "high", "count")] for f in stored["figures"]]
        return Report(
            stored["settings"],
            tuple(Figure(**f, value=Interval(*v)) for f, v in zip(stored["figures"], values, strict=True)),
            tuple(Verdict(**verdict) for verdict in stored["verdicts"]),
            stored["speed"],
            tuple(stored["notes"]),
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise DataError(
            f"{path}: {error!r}", "a report is what `voiceswap evaluate --out` wrote", "Measure first"
        ) from error


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _restored(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_restored(inner) for inner in value]
    return float("nan") if value is None else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and value != value else value


def figures_of(verdicts: Sequence[Verdict]) -> list[Figure]:
    """All figures of `FIGURES` that something was measured for."""
    groups: dict[tuple[str, str], list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault((verdict.system, verdict.task), []).append(verdict)
    return [
        Figure(system, task, name, value)
        for (system, task), chosen in groups.items()
        for name in FIGURES[task]
        # Built-in voices are the ones there are, not a sample of people: only sentences vary.
        if (value := judge.mean_of(chosen, name, by_speaker=task != "builtin")).count
    ]


def check_names(others: Iterable[str]) -> None:
    """Raises `OptionError` where another system has a name that a report has for itself."""
    reserved = {RECORDINGS, OURS} & set(others)
    if reserved:
        raise OptionError(
            f"a system named {reserved.pop()!r}", "that name is taken by the report", "Choose another"
        )


def _bar(label: str, items: Iterable[Any], show: bool, total: int | None = None) -> Iterable[Any]:
    from rich.progress import track

    return track(items, description=label, disable=not show, total=total)


def _alone() -> None:
    import torch

    torch.set_num_threads(1)


@contextmanager
def _workers(jobs: int, show: bool) -> Iterator[Callable[[str], measure.Each]]:
    """By label, a `map` with a progress bar over `jobs` processes of one thread each."""
    pool = None
    if jobs > 1:
        # Not forked: the judges' runtimes have threads of their own.
        pool = ProcessPoolExecutor(jobs, get_context("spawn"), _alone)

    def labelled(label: str) -> measure.Each:
        def each(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterable[Any]:
            todo = list(items)
            return _bar(label, (pool.map if pool else map)(function, todo), show, len(todo))

        return each

    try:
        with one_thread():
            yield labelled
    finally:
        if pool:
            pool.shutdown(cancel_futures=True)


def evaluate(
    studio: Studio | None,
    corpus: Path,
    out: Path,
    *,
    count: int = 100,
    seed: int = 0,
    speakers: Sequence[str] = (),
    split: str = "dev-unseen",
    others: Mapping[str, Path] | None = None,
    pictures: bool = True,
    progress: bool = True,
    jobs: int = 1,
) -> Report:
    """Measure `studio` on `corpus` with `count` recordings of each task, and `others` on what they made.

    What the studio makes goes to `out`/voiceswap, the report to `out`/report.json, report.md and pictures.
    `others` are folders by name of a system, of recordings named as in `protocol.plan`; without a studio only
    they are measured. `jobs` processes judge; one makes what is timed. The plan depends on `corpus`, `count`,
    `seed`, `speakers` and `split` alone. Raises `MissingExtraError` where a judge is not installed,
    `DataError` for a corpus or a folder that cannot be used, `OptionError` for a `count` below 1 or a speaker
    that is not in the corpus.
    """
    check_names(others or ())
    plan = protocol.plan(corpus, count=count, seed=seed, speakers=speakers, split=split)
    encoders, notes = similarity.installed()
    notes += intelligibility.second_notes()
    notes += [f"{name}: too little speech to enroll and compare" for name in plan.skipped]
    folders: dict[str, Path] = {}
    if studio is not None:
        folders[OURS] = out / OURS
        refused = generate(
            studio, plan, folders[OURS], track=lambda items: _bar("making speech", items, progress)
        )
        notes += [f"{name} was not enrolled: {reason}" for name, reason in refused.items()]
    folders |= others or {}
    with _workers(jobs, progress) as each:
        people = measure.vectors_of_people(plan, encoders=encoders, each=each("references"))
        recordings = measure.judge_recordings(plan, people, each=each("judging recordings"))
        verdicts = list(recordings)
        for name, folder in folders.items():
            verdicts += measure.judge_system(
                name, folder, plan, people, recordings, each=each(f"judging {name}")
            )
    settings = {
        "corpus": corpus.name,
        "split": split,
        "people": sorted(plan.people),
        "count": count,
        "seed": seed,
        "likeness": measure.reference_span(recordings),
        "pairs": protocol.pairs(plan),
    }
    speed = {name: _speed(folder) for name, folder in folders.items()}
    report = Report(settings, tuple(figures_of(verdicts)), tuple(verdicts), speed, tuple(notes))
    report.save(out)
    if pictures:
        from voiceswap.evaluation.plots import draw

        draw(report, plan, folders, out)
    return report


def _speed(folder: Path) -> dict[str, Any]:
    path = folder / SPEED_FILE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else {}
