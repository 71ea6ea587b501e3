"""A blind listening test: one page to put to listeners, and what their answers say.

Two kinds of question. *Rate*: how natural is one sound, on the five grades of ITU-T P.800 (absolute category
rating, whose mean is the MOS); recordings of people are among them, as the anchor that nobody is told of.
*Compare* (ABX of likeness): which of A and B sounds more like the person of a recording X. The page knows its
sounds by numbers alone; which system made what is in the key, a file that stays with whoever asks.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from voiceswap.errors import DataError, OptionError
from voiceswap.evaluation.judge import Verdict, recording_in
from voiceswap.evaluation.measure import RECORDINGS
from voiceswap.evaluation.protocol import Recording, read_manifest
from voiceswap.evaluation.report import OURS, Report, check_names
from voiceswap.evaluation.sounds import ogg
from voiceswap.evaluation.stats import Interval, bootstrap

QUESTIONS = 24
"""Of each kind, by default: a quarter of an hour."""
LONGEST = 12.0
"""Seconds of a sound, at most: a page has to be passed on, and a listener's patience ends as well."""
PAGE, KEY = "listening.html", "listening-key.json"
_COMMENT = "part of a blind listening test: a recording of a person, or synthetic speech"
TASKS = ("speak", "convert")


@dataclass(frozen=True)
class Result:
    """What the listeners said."""

    ratings: Mapping[str, Interval]
    """Mean opinion by system, 1 to 5."""
    preferences: Mapping[tuple[str, str], Interval]
    """Share of comparisons of two systems that the first one won; half of one where nobody could tell."""
    listeners: int
    repeated: Interval
    """Grades by which a listener differs from themselves on the sound that is asked about twice."""


class _Test:
    """Questions as they are drawn, and the key to them."""

    def __init__(self, recordings: Mapping[str, Recording], folders: Mapping[str, Path], seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.recordings, self.folders = recordings, folders
        self.sounds: dict[Path, str] = {}
        self.questions: list[dict[str, Any]] = []
        self.key: dict[str, dict[str, Any]] = {}

    def path(self, system: str, item: str) -> Path | None:
        """The sound of `item` by `system`; of RECORDINGS it is the recording of that id."""
        if system == RECORDINGS:
            return self.recordings[item].path if item in self.recordings else None
        return recording_in(self.folders[system], item)

    def ask(self, kind: str, paths: Sequence[Path], **told: Any) -> None:
        """Add a question on the sounds at `paths`, which `told` is kept of."""
        number = f"q{len(self.questions) + 1}"
        sounds = [self.sounds.setdefault(path, f"s{len(self.sounds) + 1}") for path in paths]
        self.questions.append({"id": number, "kind": kind, "sounds": sounds})
        self.key[number] = {"kind": kind, **told}


def write(
    report: Report,
    corpus: Path,
    out: Path,
    *,
    others: Mapping[str, Path] | None = None,
    questions: int = QUESTIONS,
) -> Path:
    """Write `out`/listening.html and its key; return the page's path.

    `report` is what `evaluate` measured on `corpus` and generated into `out`; `others` are the folders of the
    systems that are to be heard beside. `questions` of each kind are drawn by the report's seed, in turn
    through people and systems. Raises `DataError` where there is nothing to ask about, `OptionError` for
    fewer than one question or a name that is taken.
    """
    if questions < 1:
        raise OptionError(f"questions {questions}", "a test has one of each kind or more", "Pass 1 or more")
    check_names(others or ())
    recordings = {r.id: r for r in read_manifest(corpus, split=report.settings["split"])}
    folders = {OURS: out / OURS, **(others or {})}
    test = _Test(recordings, {n: f for n, f in folders.items() if f.is_dir()}, report.settings["seed"])
    items = [v for v in report.verdicts if v.system != RECORDINGS and v.task in TASKS and v.speaker]
    items = list({(v.task, v.id): v for v in items}.values())  # every item once, whoever made it
    of: dict[str, list[str]] = defaultdict(list)
    for v in report.verdicts:
        if v.task == "references" and v.id in recordings:
            of[v.speaker].append(v.id)
    drawn = _in_turn([v for v in items if len(of[v.speaker]) > 1], test.rng)
    if not drawn:
        raise DataError(
            str(out),
            "its report holds no text or conversion in anybody's voice",
            "Measure without --others-only",
        )
    _ratings(test, drawn, of, questions)
    _comparisons(test, drawn, of, questions)
    name = secrets.token_hex(8)
    sounds = {number: _sound(path) for path, number in test.sounds.items()}
    told = json.dumps({"id": name, "questions": test.questions, "sounds": sounds}).replace("</", "<\\/")
    page = resources.files("voiceswap.evaluation").joinpath(PAGE).read_text(encoding="utf-8")
    out.mkdir(parents=True, exist_ok=True)
    (out / KEY).write_text(json.dumps({"id": name, "questions": test.key}, indent=1), encoding="utf-8")
    (out / PAGE).write_text(page.replace("{{test}}", told), encoding="utf-8")
    return out / PAGE


def _in_turn(items: Sequence[Verdict], rng: np.random.Generator) -> list[Verdict]:
    """`items` in random order, but everybody once before anybody comes again."""
    turns: Counter[str] = Counter()
    placed = []
    for verdict in (items[i] for i in rng.permutation(len(items))):
        placed.append((turns[verdict.speaker], verdict))
        turns[verdict.speaker] += 1
    return [verdict for _, verdict in sorted(placed, key=lambda pair: pair[0])]


def _made_by(test: _Test, item: Verdict) -> Iterator[tuple[str, Path]]:
    for system in test.folders:
        if path := test.path(system, item.id):
            yield system, path


def _ratings(test: _Test, items: Sequence[Verdict], of: Mapping[str, list[str]], count: int) -> None:
    """`count` sounds to rate, systems and recordings in turn, and the first of them once more."""
    turns: Counter[str] = Counter()
    asked: list[tuple[Path, str, str]] = []
    for number in range(count):
        item = items[number % len(items)]
        there = dict(_made_by(test, item))
        reference = of[item.speaker][number // len(items) % len(of[item.speaker])]
        there[RECORDINGS] = test.recordings[reference].path
        system = min(there, key=lambda name: (turns[name], name))
        turns[system] += 1
        asked.append((there[system], system, item.id if system != RECORDINGS else reference))
    for path, system, id in [*asked, asked[0]]:
        test.ask("rate", [path], system=system, item=id)


def _comparisons(test: _Test, items: Sequence[Verdict], of: Mapping[str, list[str]], count: int) -> None:
    """`count` pairs of sounds of one item beside a recording of its person, all pairs of systems in turn."""
    turns: Counter[tuple[str, str]] = Counter()
    for number in range(count):
        item = items[number % len(items)]
        person, other = (test.recordings[of[item.speaker][n]].path for n in (0, 1))
        there = {**dict(_made_by(test, item)), RECORDINGS: other}
        pair = min(combinations(sorted(there), 2), key=lambda names: (turns[names], names))
        turns[pair] += 1
        a, b = (pair[i] for i in test.rng.permutation(2))
        test.ask("compare", [person, there[a], there[b]], A=a, B=b, item=item.id)


def _sound(path: Path) -> str:
    """A sound at one loudness: the louder one sounds better to everybody."""
    from voiceswap.audio import SAMPLE_RATE, level, read

    return ogg(level(read(path))[: int(LONGEST * SAMPLE_RATE)], _COMMENT)


def read_back(out: Path, files: Sequence[Path]) -> Result:
    """What the answers in `files` say to the test whose key is in `out`.

    Raises `DataError` for a file that holds no answers, that belongs to another test or is there twice.
    """
    try:
        key = json.loads((out / KEY).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{out / KEY}: {error}", "a test has its key there", "Name its folder") from error
    ratings: dict[str, list[tuple[float, str]]] = defaultdict(list)
    wins: dict[tuple[str, str], list[tuple[float, str]]] = defaultdict(list)
    repeated: list[float] = []
    listeners: set[str] = set()
    for path in files:
        listener, answers = _answers(path, key)
        if listener in listeners:
            raise DataError(str(path), "this listener's answers are there twice", "Name every file once")
        listeners.add(listener)
        grades: dict[tuple[str, str], list[float]] = defaultdict(list)
        for number, answer in answers.items():
            told = key["questions"][number]
            if told["kind"] == "rate":
                grades[told["system"], told["item"]].append(float(answer))
            else:
                pair = tuple(sorted((told["A"], told["B"])))
                won = {"A": told["A"], "B": told["B"]}.get(answer)
                wins[pair[0], pair[1]].append((0.5 if won is None else float(won == pair[0]), listener))
        for (system, _), given in grades.items():
            ratings[system].append((float(np.mean(given)), listener))
            repeated += [abs(given[0] - given[1])] if len(given) == 2 else []
    return Result(
        {system: _interval(values) for system, values in sorted(ratings.items())},
        {pair: _interval(values) for pair, values in sorted(wins.items())},
        len(listeners),
        bootstrap(repeated),
    )


def _interval(values: Sequence[tuple[float, str]]) -> Interval:
    """Over listeners, who differ more than sentences; over answers where there is one listener."""
    said, who = zip(*values, strict=True)
    return bootstrap(said, clusters=who if len(set(who)) > 1 else None)


def _answers(path: Path, key: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """Who answered, and the answers by question; all of it checked."""
    try:
        told = json.loads(path.read_text("utf-8"))
        rows = [(str(row["question"]), str(row["answer"])) for row in told["answers"]]
        test, listener = str(told["test"]), str(told["listener"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: {error!r}", "it holds no answers to a listening test", "Name what the page saved"
        ) from error
    if test != key["id"]:
        raise DataError(str(path), f"it answers another test than {KEY} is the key to", "Name its folder")
    allowed = {"rate": {"1", "2", "3", "4", "5"}, "compare": {"A", "B", ""}}
    for number, answer in rows:
        question = key["questions"].get(number)
        if question is None or answer not in allowed[question["kind"]]:
            raise DataError(
                f"{path}: {number}={answer!r}",
                "the page gives no such answer",
                "Leave the file as it was saved",
            )
    return listener, dict(rows)


def markdown(result: Result) -> str:
    """Tables of a result."""
    lines = [
        f"{result.listeners} listeners; brackets hold 95 % confidence intervals, bootstrapped over them.",
        "",
        "| system | mean opinion (1 to 5) | answers |",
        "|---|---|---|",
        *(f"| {name} | {_written(v, 2)} | {v.count} |" for name, v in result.ratings.items()),
        "",
        "| more like the person | than | share of comparisons, % | answers |",
        "|---|---|---|---|",
        *(
            f"| {one} | {other} | {_written(v, 0, 100)} | {v.count} |"
            for (one, other), v in result.preferences.items()
        ),
    ]
    if result.repeated.count:
        lines += ["", f"The sound that was asked about twice: {result.repeated.mean:.2f} grades apart."]
    return "\n".join(lines) + "\n"


def _written(value: Interval, digits: int, scale: float = 1.0) -> str:
    low, mean, high = (f"{scale * x:.{digits}f}" for x in (value.low, value.mean, value.high))
    return f"{mean} [{low}, {high}]"
