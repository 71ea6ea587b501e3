"""What is said, by whom and from which recordings: the same plan for every system that is measured."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np

from voiceswap.errors import DataError, OptionError

TASKS = ("builtin", "speak", "convert", "copy")
"""Text in built-in voices; text in an enrolled person's voice; a recording moved into an enrolled person's
voice; a recording taken apart and put together again."""
ENROLL_SECONDS = 10.0
REFERENCES = 6
"""Recordings of a person, at most, that likeness is measured against."""


@dataclass(frozen=True)
class Recording:
    """One row of a corpus' manifest."""

    id: str
    path: Path
    speaker: str
    gender: str
    seconds: float
    text: str
    """What is said where the corpus came with it; empty for a recognizer's guess or none."""
    collection: str = ""
    """The collection that the corpus took it from, where the manifest has a column `source`."""


@dataclass(frozen=True)
class Person:
    """Someone enrolled from about 10 s; `references` are other recordings, for comparing with."""

    name: str
    gender: str
    enrollment: tuple[Recording, ...]
    references: tuple[Recording, ...]


@dataclass(frozen=True)
class Item:
    """One recording to be made, as ID.wav: `text` or `source` goes in, the voice of `target` comes out."""

    id: str
    task: str
    text: str
    target: str = ""
    source: Recording | None = None


@dataclass(frozen=True)
class Plan:
    """Everything that a measurement asks of a system."""

    people: Mapping[str, Person]
    items: tuple[Item, ...]
    skipped: tuple[str, ...]
    """Speakers with too little speech to be enrolled and compared."""


def read_manifest(corpus: Path, *, split: str = "dev-unseen") -> list[Recording]:
    """The recordings of one split of `corpus`/manifest.tsv; raises `DataError` if there are none."""
    path = corpus / "manifest.tsv"
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
        found = [
            Recording(
                id=row["id"],
                path=corpus / row["path"],
                speaker=row["speaker"],
                gender=row["gender"],
                seconds=float(row["seconds"]),
                text=row["text"] if row["text_origin"] == "given" else "",
                collection=row.get("source") or "",
            )
            for row in rows
            if row["split"] == split
        ]
    except (OSError, KeyError, TypeError, ValueError) as error:
        columns = "id, path, speaker, gender, split, seconds, text_origin and text"
        why = error.strerror if isinstance(error, OSError) else error
        why = f"it has no column {error}" if isinstance(error, KeyError) else why
        raise DataError(
            f"{path} ({why})",
            f"a corpus has a manifest.tsv with {columns}",
            "`voiceswap prepare DIR --pieces` makes one of a folder of recordings",
        ) from error
    if not found:
        raise DataError(
            str(path), f"has no row whose split is {split!r}", "Mark the speakers to measure with it"
        )
    return sorted(found, key=lambda recording: recording.id)


def bundled_sentences() -> list[str]:
    """Two hundred ordinary English sentences written for measuring; they are in no training text."""
    text = resources.files("voiceswap.evaluation").joinpath("sentences.txt").read_text(encoding="utf-8")
    return text.splitlines()


def _person(
    recordings: Sequence[Recording], rng: np.random.Generator
) -> tuple[Person | None, list[Recording]]:
    """A person and the recordings not used to enroll them; None where there is too little."""
    shuffled = [recordings[i] for i in rng.permutation(len(recordings))]
    chosen: list[Recording] = []
    total = 0.0
    for recording in shuffled:
        if total < 0.9 * ENROLL_SECONDS and total + recording.seconds <= 1.3 * ENROLL_SECONDS:
            chosen.append(recording)
            total += recording.seconds
    rest = [recording for recording in shuffled if recording not in chosen and recording.seconds >= 1.5]
    if total < 0.6 * ENROLL_SECONDS or len(rest) < 2:
        return None, rest
    gender = next((recording.gender for recording in recordings if recording.gender), "")
    return Person(recordings[0].speaker, gender, tuple(chosen), tuple(rest[:REFERENCES])), rest


def plan(
    corpus: Path, *, count: int = 100, seed: int = 0, speakers: Sequence[str] = (), split: str = "dev-unseen"
) -> Plan:
    """The plan for `count` items of each task on `corpus`; the same arguments always give the same plan.

    `speakers` picks some of the split's people (all by default). Sources of conversions are recordings that
    came with their text. Raises `OptionError` for an unknown speaker or a `count` below 1.
    """
    if count < 1:
        raise OptionError(
            f"count {count}", "at least one sentence is measured", "Pass 1 or more, 100 to report"
        )
    rng = np.random.default_rng(seed)
    by_speaker: dict[str, list[Recording]] = {}
    for recording in read_manifest(corpus, split=split):
        by_speaker.setdefault(recording.speaker, []).append(recording)
    unknown = sorted(set(speakers) - set(by_speaker))
    if unknown:
        raise OptionError(
            f"speakers {', '.join(unknown)}", f"known are {', '.join(by_speaker)}", "Name some of those"
        )
    people: dict[str, Person] = {}
    rest: dict[str, list[Recording]] = {}
    for name in speakers or sorted(by_speaker):
        person, rest[name] = _person(by_speaker[name], rng)
        if person:
            people[name] = person
    if len(people) < 2:
        raise DataError(
            f"{len(people)} speakers with enough speech", "comparing needs two or more", "Add recordings"
        )
    items = [*_reading(people, count), *_conversions(people, rest, count, rng), *_copies(people, rest, count)]
    return Plan(people, tuple(items), tuple(name for name in rest if name not in people))


def _reading(people: Mapping[str, Person], count: int) -> list[Item]:
    sentences, names = bundled_sentences(), list(people)
    texts = [(k + 1, sentences[k % len(sentences)]) for k in range(count)]
    in_turn = [(names[(k - 1) % len(names)], k, text) for k, text in texts]
    return [
        *(Item(f"builtin-{k:03d}", "builtin", text) for k, text in texts),
        *(Item(f"speak-{k:03d}-{name}", "speak", text, target=name) for name, k, text in in_turn),
    ]


def _conversions(
    people: Mapping[str, Person],
    rest: Mapping[str, Sequence[Recording]],
    count: int,
    rng: np.random.Generator,
) -> list[Item]:
    """Pairs in turn: every speaker with texts is a source, everyone is a target, nobody meets themselves."""
    usable = {name: [r for r in rest[name] if r.text and 2.0 <= r.seconds <= 15.0] for name in people}
    names = [name for name in people if usable[name]]
    targets: list[str] = []
    items: dict[str, Item] = {}
    for k in range(3 * count if names else 0):  # a pair drawn twice is drawn again
        name = names[k % len(names)]
        source = usable[name][k // len(names) % len(usable[name])]
        if not any(target != name for target in targets):
            order = list(people)
            targets += [order[i] for i in rng.permutation(len(order))]
        target = targets.pop(next(i for i, target in enumerate(targets) if target != name))
        item = Item(f"convert-{source.id}-to-{target}", "convert", source.text, target=target, source=source)
        items[item.id] = item
    return list(items.values())[:count]


def _copies(people: Mapping[str, Person], rest: Mapping[str, Sequence[Recording]], count: int) -> list[Item]:
    """Everyone's recordings in turn, the references first."""
    longest = max(len(rest[name]) for name in people)
    in_turn = [rest[name][n] for n in range(longest) for name in people if n < len(rest[name])]
    return [Item(f"copy-{r.id}", "copy", r.text, target=r.speaker, source=r) for r in in_turn[:count]]


def pairs(plan: Plan) -> dict[str, int]:
    """How many conversions are `across` genders, `within` one, and of `unknown` kind, by the corpus' word."""
    counts = {"across": 0, "within": 0, "unknown": 0}
    for item in plan.items:
        if item.task == "convert" and item.source:
            genders = {plan.people[name].gender for name in (item.source.speaker, item.target)}
            known = genders <= {"f", "m"}
            counts[("within" if len(genders) == 1 else "across") if known else "unknown"] += 1
    return counts
