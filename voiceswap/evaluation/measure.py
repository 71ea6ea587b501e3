"""Judge a folder of recordings made after a plan, and the plan's own recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from voiceswap.errors import DataError
from voiceswap.evaluation import judge
from voiceswap.evaluation.judge import Vectors, Verdict
from voiceswap.evaluation.protocol import Item, Person, Plan, Recording

RECORDINGS = "recordings"
"""The system that no system surpasses: the people themselves."""

Each = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]
"""Like `map`: the results in order, computed wherever."""


def vectors_of_people(plan: Plan, *, encoders: Sequence[str], each: Each = map) -> dict[str, Vectors]:
    """The vectors of every person's reference recordings."""
    people = list(plan.people.values())
    vectors = each(partial(_vectors_of_person, encoders=encoders), people)
    return {person.name: found for person, found in zip(people, vectors, strict=True)}


def _vectors_of_person(person: Person, encoders: Sequence[str]) -> Vectors:
    from voiceswap.audio import SAMPLE_RATE, read

    return judge.vectors_of([read(r.path) for r in person.references], SAMPLE_RATE, encoders=encoders)


def judge_recordings(plan: Plan, people: Mapping[str, Vectors], *, each: Each = map) -> list[Verdict]:
    """The plan's own recordings: task `references`, what likeness is compared with, and task `sources`.

    References get `ENCODER_target`, the mean cosine to the person's other references (the ceiling), and
    `ENCODER_other`, the same to those of other people (the floor).
    """
    references = [(p.name, n) for p in plan.people.values() for n in range(len(p.references))]
    sources = {item.source.id: item.source for item in plan.items if item.task == "convert" and item.source}
    return [
        *each(partial(_judge_reference, persons=plan.people, people=people), references),
        *each(_judge_source, sources.values()),
    ]


def _judge_reference(
    which: tuple[str, int], persons: Mapping[str, Person], people: Mapping[str, Vectors]
) -> Verdict:
    from voiceswap.audio import SAMPLE_RATE, read

    person, number = which
    recording = persons[person].references[number]
    samples = read(recording.path)
    words, scores = judge.understood(samples, SAMPLE_RATE, recording.text)
    scores |= judge.heard_quality(samples, SAMPLE_RATE) | judge.liveliness(samples, SAMPLE_RATE)
    for encoder in people[person]:
        cosines = {name: people[name][encoder] @ people[person][encoder][number] for name in people}
        scores[f"{encoder}_target"] = float(np.delete(cosines.pop(person), number).mean())
        scores[f"{encoder}_other"] = float(np.mean([cosine.mean() for cosine in cosines.values()]))
    return _own_verdict(recording, "references", words, scores)


def _judge_source(source: Recording) -> Verdict:
    from voiceswap.audio import SAMPLE_RATE, read

    return _own_verdict(source, "sources", *judge.understood(read(source.path), SAMPLE_RATE, source.text))


def _own_verdict(
    recording: Recording, task: str, words: Mapping[str, str], scores: Mapping[str, float]
) -> Verdict:
    return Verdict(
        recording.id,
        scores,
        text=recording.text,
        system=RECORDINGS,
        task=task,
        speaker=recording.speaker,
        **words,
    )


def judge_system(
    system: str,
    folder: Path,
    plan: Plan,
    people: Mapping[str, Vectors],
    recordings: Sequence[Verdict],
    *,
    each: Each = map,
) -> list[Verdict]:
    """The verdicts on every item of `plan` that `folder` holds as ID.wav (or flac, ogg, opus, mp3).

    Likeness is given by `ENCODER_target` and `ENCODER_source`, cosines, and `ENCODER_share`, the way from two
    people (0) to one person (1); `ENCODER_nearer` is 1 where a conversion is nearer to the target, and
    `ENCODER_nearer_across` is the same for pairs of a woman and a man, by the corpus' own word. Raises
    `DataError` when the folder holds none of the items.
    """
    found = [(item, path) for item in plan.items if (path := judge.recording_in(folder, item.id))]
    if not found:
        example = f"{plan.items[0].id}.wav"
        raise DataError(
            str(folder), f"holds none of the plan's recordings, as {example}", "See docs/evaluation.md"
        )
    span = reference_span(recordings)
    own = {v.id: v.scores for v in recordings if v.task == "sources"}
    verdict = partial(_judge_item, system=system, persons=plan.people, people=people, sources=own, span=span)
    return list(each(verdict, found))


def _judge_item(
    which: tuple[Item, Path],
    system: str,
    persons: Mapping[str, Person],
    people: Mapping[str, Vectors],
    sources: Mapping[str, Mapping[str, float]],
    span: Mapping[str, tuple[float, float]],
) -> Verdict:
    from voiceswap.audio import SAMPLE_RATE, read

    item, path = which
    samples = read(path)
    verdict = Verdict(
        item.id, judge.heard_quality(samples, SAMPLE_RATE), item.text, "", system, item.task, item.target
    )
    near: dict[str, Vectors] = {"target": people[item.target]} if item.target else {}
    if item.source:
        speaker = persons[item.source.speaker]
        others = [n for n, r in enumerate(speaker.references) if r.id != item.source.id]
        own = {name: vectors[others] for name, vectors in people[speaker.name].items()}
        near["target" if item.task == "copy" else "source"] = own
    scores = judge.likeness(samples, SAMPLE_RATE, near)
    if near:
        scores |= _compared(scores, span, across=_across(item, persons))
    if item.task == "copy" and item.source:
        original = read(item.source.path)
        scores |= judge.fidelity(samples, original, SAMPLE_RATE) | judge.melody(
            samples, original, SAMPLE_RATE
        )
        return replace(verdict, scores={**verdict.scores, **scores})
    words, understood = judge.understood(samples, SAMPLE_RATE, item.text)
    if not item.source:
        scores |= judge.liveliness(samples, SAMPLE_RATE)
    else:
        scores |= judge.melody(samples, read(item.source.path), SAMPLE_RATE)
        for errors in {"errors", "moonshine_errors"} & set(understood):
            scores[f"{errors}_above"] = understood[errors] - sources[item.source.id][errors]
    return replace(verdict, **words, scores={**verdict.scores, **understood, **scores})


def _across(item: Item, persons: Mapping[str, Person]) -> bool:
    """Whether a woman's recording is to become a man's voice or the other way, by the corpus' own word."""
    genders = {persons[name].gender for name in (item.source.speaker, item.target)} if item.source else set()
    return genders == {"f", "m"}


def _compared(
    cosines: Mapping[str, float], span: Mapping[str, tuple[float, float]], *, across: bool
) -> dict[str, float]:
    """Shares of the way to the target, and whether it is nearer than the source, where there is one."""
    scores: dict[str, float] = {}
    for encoder, (floor, ceiling) in span.items():
        target, source = cosines[f"{encoder}_target"], cosines.get(f"{encoder}_source")
        scores[f"{encoder}_share"] = (target - floor) / (ceiling - floor)
        if source is not None:
            scores[f"{encoder}_nearer"] = float(target > source)
            if across:
                scores[f"{encoder}_nearer_across"] = float(target > source)
    return scores


def reference_span(recordings: Sequence[Verdict]) -> dict[str, tuple[float, float]]:
    """By encoder, the mean cosine between two people's recordings and between one person's own.

    Every person counts alike, however many recordings there are of them.
    """
    references = [v for v in recordings if v.task == "references"]
    names = sorted({v.speaker for v in references})
    encoders = [
        key[: -len("_other")]
        for key in (references[0].scores if references else ())
        if key.endswith("_other")
    ]

    def mean(key: str) -> float:
        return float(np.mean([np.mean([v.scores[key] for v in references if v.speaker == n]) for n in names]))

    return {encoder: (mean(f"{encoder}_other"), mean(f"{encoder}_target")) for encoder in encoders}
