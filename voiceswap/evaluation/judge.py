"""All judges on one recording, and on a folder: `python -m voiceswap.evaluation.judge DIR --texts FILE.tsv`.

The folder form is for a quick look while something is being made; `voiceswap evaluate` is the measurement.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voiceswap.errors import DataError
from voiceswap.evaluation import intelligibility, pitch, quality, similarity
from voiceswap.evaluation.stats import Interval, bootstrap
from voiceswap.threads import one_thread

SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3")
COUNTS = {
    "character_error_rate": "errors",
    "character_error_rate_above": "errors_above",
    "moonshine_error_rate": "moonshine_errors",
    "moonshine_error_rate_above": "moonshine_errors_above",
}
"""Rates by the score that counts for them; they are taken over `characters`."""
Vectors = Mapping[str, np.ndarray]
"""Reference recordings of a person: unit vectors [R, E] by name of the encoder."""


@dataclass(frozen=True)
class Verdict:
    """What the judges say of one recording."""

    id: str
    scores: Mapping[str, float]
    """Figures by name; those that had nothing to compare with are missing."""
    text: str = ""
    heard: str = ""
    """What Whisper heard, where there was a text."""
    system: str = ""
    task: str = ""
    speaker: str = ""
    """Whose voice it is or should be; empty for a built-in voice."""
    heard_again: str = ""
    """What Moonshine heard."""

    def figure(self, name: str) -> float | None:
        """One figure, error rates as the share of this text's characters; None where there is none."""
        value = self.scores.get(COUNTS.get(name, name), float("nan"))
        if name in COUNTS:
            value /= max(self.scores.get("characters", 1), 1)
        return None if np.isnan(value) else value


def recording_in(folder: Path, id: str) -> Path | None:
    """The recording of one item in `folder`, in any format that is read; None if it is not there."""
    return next((path for suffix in SUFFIXES if (path := folder / f"{id}{suffix}").is_file()), None)


def vectors_of(waves: Sequence[np.ndarray], sample_rate: int, *, encoders: Sequence[str]) -> Vectors:
    """The vectors of a person's recordings [N] each."""
    return {
        name: np.stack([similarity.embed(w, sample_rate, encoder=name) for w in waves]) for name in encoders
    }


def understood(samples: np.ndarray, sample_rate: int, text: str) -> tuple[dict[str, str], dict[str, float]]:
    """`heard` and `heard_again`; `errors`, `moonshine_errors` and `characters` against `text`.

    Nothing without a text, and nothing of Moonshine's where it is not installed.
    """
    if not text:
        return {}, {}
    heard = intelligibility.transcribe(samples, sample_rate)
    errors, characters = intelligibility.character_errors(text, heard)
    scores = {"errors": float(errors), "characters": float(characters)}
    again = intelligibility.transcribe_again(samples, sample_rate)
    if again is not None:
        scores["moonshine_errors"] = float(intelligibility.character_errors(text, again)[0])
    return {"heard": heard, "heard_again": again or ""}, scores


def likeness(samples: np.ndarray, sample_rate: int, people: Mapping[str, Vectors]) -> dict[str, float]:
    """Mean cosine to the recordings of each of `people`, as `ENCODER_PERSON`."""
    scores: dict[str, float] = {}
    for encoder in sorted({name for vectors in people.values() for name in vectors}):
        vector = similarity.embed(samples, sample_rate, encoder=encoder)
        for person, vectors in people.items():
            if len(vectors[encoder]):
                scores[f"{encoder}_{person}"] = float((vectors[encoder] @ vector).mean())
    return scores


def heard_quality(samples: np.ndarray, sample_rate: int) -> dict[str, float]:
    """`dnsmos` and `distillmos`, which need no reference."""
    return {
        "dnsmos": quality.dnsmos(samples, sample_rate),
        "distillmos": quality.distillmos(samples, sample_rate),
    }


def melody(samples: np.ndarray, source: np.ndarray, sample_rate: int) -> dict[str, float]:
    """The figures of `pitch.compare` against a `source` of the same timing."""
    return pitch.compare(pitch.track(source, sample_rate), pitch.track(samples, sample_rate))


def liveliness(samples: np.ndarray, sample_rate: int) -> dict[str, float]:
    """`f0_spread`, that of the sentence in semitones; nothing where hardly anything is voiced."""
    spread = pitch.spread(pitch.track(samples, sample_rate))
    return {} if np.isnan(spread) else {"f0_spread": spread}


def fidelity(samples: np.ndarray, original: np.ndarray, sample_rate: int) -> dict[str, float]:
    """`pesq` and `mel_distance` against the `original` that was copied."""
    return {
        "pesq": quality.pesq(original, samples, sample_rate),
        "mel_distance": quality.mel_distance(original, samples, sample_rate),
    }


def read_texts(path: Path) -> dict[str, str]:
    """Texts by id from a tab-separated file: columns `id` and `text` of a header, or else the first two."""
    with path.open(encoding="utf-8", newline="") as handle:
        rows = list(csv.reader(handle, delimiter="\t", quoting=csv.QUOTE_NONE))
    head = rows[0] if rows else []
    named = "id" in head and "text" in head
    key, value = (head.index("id"), head.index("text")) if named else (0, 1)
    return {row[key]: row[value] for row in rows[int(named) :] if len(row) > max(key, value)}


def judge_folder(
    folder: Path, *, texts: Mapping[str, str] | None = None, references: Sequence[Path] = (), limit: int = 0
) -> list[Verdict]:
    """Verdicts on the recordings in `folder` by name, at most `limit` (0 for all).

    A text belongs to `ID.wav` and to `ID_anything.wav`. `references` are recordings of the speaker that the
    folder is meant to sound like. Raises `DataError` when the folder holds no recordings.
    """
    from rich.progress import track

    from voiceswap.audio import SAMPLE_RATE, read

    files = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if not files:
        raise DataError(str(folder), f"holds no {', '.join(SUFFIXES)} files", "Name a folder of recordings")
    verdicts = []
    with one_thread():
        waves = [read(path) for path in references]
        encoders = similarity.installed()[0] if waves else []
        people = {"target": vectors_of(waves, SAMPLE_RATE, encoders=encoders)} if waves else {}
        for path in track(files[: limit or None], description=folder.name, transient=True):
            samples, known = read(path), texts or {}
            text = known.get(path.stem) or known.get(path.stem.rsplit("_", 1)[0], "")
            words, scores = understood(samples, SAMPLE_RATE, text)
            scores |= heard_quality(samples, SAMPLE_RATE) | likeness(samples, SAMPLE_RATE, people)
            verdicts.append(Verdict(path.stem, scores, text=text, **words))
    return verdicts


def mean_of(verdicts: Sequence[Verdict], name: str, *, by_speaker: bool = False) -> Interval:
    """The figure `name` over `verdicts`; an error rate is that of all their characters together."""
    chosen = [v for v in verdicts if COUNTS.get(name, name) in v.scores]
    return bootstrap(
        [v.scores[COUNTS.get(name, name)] for v in chosen],
        weights=[v.scores["characters"] for v in chosen] if name in COUNTS else None,
        clusters=[v.speaker for v in chosen] if by_speaker else None,
    )


def main() -> None:
    """Parse, judge and print."""
    parser = argparse.ArgumentParser(description="Judge a folder of recordings.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--texts", type=Path, help="tab-separated: id, text")
    parser.add_argument(
        "--references", type=Path, nargs="*", default=[], help="recordings of the intended speaker"
    )
    parser.add_argument("--limit", type=int, default=0)
    args = parser.parse_args()
    texts = read_texts(args.texts) if args.texts else {}
    verdicts = judge_folder(args.folder, texts=texts, references=args.references, limit=args.limit)
    for verdict in sorted(verdicts, key=lambda v: -v.scores.get("errors", 0) / v.scores.get("characters", 1))[
        :10
    ]:
        if verdict.scores.get("errors"):
            share = f"{verdict.scores['errors']:.0f}/{verdict.scores['characters']:.0f}"
            print(f"{verdict.id}\t{share}\t{verdict.text}\n\t\t{verdict.heard}")  # noqa: T201
    counted = {"characters", *COUNTS.values()}
    for name in (*COUNTS, *sorted({n for v in verdicts for n in v.scores} - counted)):
        figure = mean_of(verdicts, name)
        if figure.count:
            print(f"{name:22} {figure.mean:.4f}  [{figure.low:.4f}, {figure.high:.4f}]  n={figure.count}")  # noqa: T201


if __name__ == "__main__":
    main()
