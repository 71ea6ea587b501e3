"""How often a recorded statement is taken wrongly: what the thresholds of `voiceswap.statement` rest on.

python benchmarks/statement.py CORPUS

CORPUS is a folder with `manifest.tsv`; its `dev-unseen` people are heard. Nobody in it reads statements, so
their recordings stand for some: what was read, against the same text with words changed where a statement has
its name, scope and day. The thresholds were chosen on the first 30 recordings of each person with a given
text; those are counted apart. Before that, statements themselves, said by the built-in voices, and people
against one another.
"""

from __future__ import annotations

import csv
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import torch
from one_person import Windows, draw

import voiceswap
from voiceswap import audio
from voiceswap.acoustics import log_mel
from voiceswap.enrollment import window_vectors
from voiceswap.statement import SPEAKER, decoys_of, hear, phones
from voiceswap.text import normalize

CHOSEN_ON = 30  # recordings of each person on which the thresholds were chosen
DECOYS = 40
STATEMENT = 12.0  # seconds that a statement lasts about
Row = dict[str, str]
Tally = Counter[tuple[str, str, bool]]


def changed(words: list[str], at: int, gone: int, new: list[str]) -> str:
    """The text with `gone` words from `at` on replaced by `new`."""
    return " ".join([*words[:at], *new, *words[at + gone :]])


def claims(
    words: list[str], other: str, known: list[str], rng: random.Random
) -> Iterator[tuple[str, str, list[str]]]:
    """What is claimed of a recording that says `words`, the claim, and its decoys."""
    own = " ".join(words)
    at = rng.randrange(len(words) - 3)

    def names(text: list[str]) -> list[str]:
        return [changed(text, at, 2, rng.sample(known, 2)) for _ in range(DECOYS)]

    yield "what was read", own, names(words)
    yield "other words, as long", other, names(other.split())
    yield (
        "two words changed (a name), truth not among the decoys",
        changed(words, at, 2, rng.sample(known, 2)),
        names(words),
    )
    yield (
        "one word changed (a day), truth among the decoys",
        changed(words, at, 1, rng.sample(known, 1)),
        [own],
    )
    yield (
        "four words added (a scope), truth among the decoys",
        changed(words, at, 0, rng.sample(known, 4)),
        [own],
    )
    yield "four words left out (a scope), truth among the decoys", changed(words, at, 4, []), [own]
    yield "three words changed, no decoys", changed(words, at, 3, rng.sample(known, 3)), []
    yield "four words left out, no decoys", changed(words, at, 4, []), []


def words_said(corpus: Path, rows: list[Row], recognizer: torch.nn.Module) -> None:
    """Prints how many claims about the recordings of `rows` are taken for true."""
    rng, tally, heard = random.Random(0), Tally(), Counter[str]()
    texts = [re.findall(r"[A-Za-z']+", normalize(row["text"])) for row in rows if row["text"]]
    known = sorted({word for text in texts for word in text if len(word) > 3})
    for row in rows:
        heard[row["speaker"]] += 1
        if row["text_origin"] not in ("given", "machine") or float(row["seconds"]) < 3:
            continue
        words = re.findall(r"[A-Za-z']+", normalize(row["text"]))
        if len(words) < 8:
            continue
        fresh = row["text_origin"] == "machine" or heard[row["speaker"]] > CHOSEN_ON
        group = f"{row['source']}, {row['text_origin']} text" + (
            "" if fresh else ", thresholds chosen on them"
        )
        near = sorted((text for text in texts if text != words), key=lambda text: abs(len(text) - len(words)))
        samples = audio.level(audio.read(corpus / row["path"]))
        for kind, claim, decoys in claims(words, " ".join(rng.choice(near[:5])), known, rng):
            found = hear(samples, phones(claim), [phones(decoy) for decoy in decoys], recognizer=recognizer)
            tally[group, kind, found.said] += 1
            if kind == "what was read" and float(row["seconds"]) >= STATEMENT:
                tally["all of these", f"what was read, {STATEMENT:.0f} s or more", found.said] += 1
    for group, kind in dict.fromkeys((group, kind) for group, kind, _ in tally):
        taken, total = tally[group, kind, True], tally[group, kind, True] + tally[group, kind, False]
        print(f"{group} | {kind} | taken for true: {taken} of {total}")


def statements_said(studio: voiceswap.Studio) -> None:
    """Prints the same of statements that the built-in voices say."""
    tally = Tally()
    records = [("Ada Example", "speak,convert", 31, 12), ("Miguel Santos", "speak", 13, 3)]
    records += [("Ingrid Bergstrom", "speak,convert,train", 30, 6), ("Chidi Eze", "convert", 2, 11)]
    ahead = date.today().year + 1
    for name, scope, day, month in records:
        consent = voiceswap.Consent(name, scope, date(ahead, month, day))
        wrong = {
            "what was said": consent,
            "another name": replace(consent, name="Tobias Grunwald"),
            "another scope": replace(
                consent, scope="speak,convert,train" if "train" not in scope else "speak"
            ),
            "another year": replace(consent, until=date(ahead + 4, month, day)),
            "another day": replace(consent, until=date(ahead, month, day - 1)),
            "no end": replace(consent, until=None),
        }
        for voice in studio.voices.values():
            said = studio.speak(consent.statement, voice)
            samples = audio.level(audio.read((said.samples, said.sample_rate)))
            for kind, claim in wrong.items():
                found = hear(
                    samples, phones(claim.statement), decoys_of(claim), recognizer=studio._models.recognizer
                )
                tally["built-in voices", kind, found.said] += 1
    for _, kind in dict.fromkeys((group, kind) for group, kind, _ in tally):
        taken, total = (
            tally["built-in voices", kind, True],
            sum(tally["built-in voices", kind, x] for x in (True, False)),
        )
        print(f"statements by the built-in voices | {kind} | taken for true: {taken} of {total}")


@torch.inference_mode()
def speakers(corpus: Path, rows: list[Row], encoder: torch.nn.Module) -> None:
    """Prints how often a statement of about 7 s passes for a person enrolled from about 10 s of others."""
    people: dict[str, Windows] = {}
    gender: dict[str, str] = {}
    for row in rows:
        mine = people.setdefault(row["speaker"], [])
        gender[row["speaker"]] = gender.get(row["speaker"]) or row["gender"]
        speech = audio.only_speech(audio.read(corpus / row["path"]))
        if len(mine) < CHOSEN_ON and len(speech) > audio.SAMPLE_RATE:
            mel = log_mel(torch.from_numpy(audio.level(speech))[None])
            mine.append((len(speech) / audio.SAMPLE_RATE, window_vectors(mel, encoder)))
    rng = np.random.default_rng(0)

    def mean_of(recordings: Windows, seconds: float) -> np.ndarray:
        mean = np.mean(draw(recordings, seconds, rng), 0)
        return mean / np.linalg.norm(mean)

    found: dict[str, list[float]] = {
        "the person": [],
        "someone else": [],
        "someone else of the same gender": [],
    }
    for name, recordings in people.items():
        for _ in range(60):
            order = rng.permutation(len(recordings))
            enrolled = mean_of([recordings[i] for i in order[: len(order) // 2]], 10)
            found["the person"].append(
                enrolled @ mean_of([recordings[i] for i in order[len(order) // 2 :]], 7)
            )
            for other in rng.choice([key for key in people if key != name], 6, replace=False):
                alike = enrolled @ mean_of(people[other], 7)
                found["someone else"].append(alike)
                if gender[name] and gender[name] == gender[other]:
                    found["someone else of the same gender"].append(alike)
    for kind, values in found.items():
        passed = {t: f"{int((np.array(values) >= t).sum())}" for t in (0.5, 0.6, SPEAKER, 0.7, 0.75)}
        print(f"speaker | {kind} | of {len(values)} trials reach {passed}")


def main(corpus: Path) -> None:
    studio = voiceswap.load("cpu")
    with (corpus / "manifest.tsv").open(encoding="utf-8", newline="") as handle:
        rows = list(csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    rows = [row for row in rows if row["split"] == "dev-unseen"]
    statements_said(studio)
    speakers(corpus, rows, studio._models.encoder)
    words_said(corpus, rows, studio._models.recognizer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
