"""Measure what the way to the Converter still tells of who spoke, with a small classifier as a probe.

    python benchmarks/leakage.py CORPUS [--weights FOLDER] [--split train] [--people 30] [--each 16]

The features of a recording are the means and deviations over time of what stands at one place of the way:
its log-mel, the recognizer's content, the converter's bottleneck (with the posteriors of the phones, which
go beside it), and the outline of the spectrum and its moves, which the decoder is told too. A logistic
regression and a network of one hidden layer guess the speaker of the other half of each person's
recordings; and, from one recording each of many people, the gender of those that they were not trained on.
Alain and Bengio, "Understanding intermediate layers using linear classifier probes", 2017. Prints tables for
docs/evaluation.md.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shown import table
from torch import Tensor, nn

import voiceswap
from voiceswap import audio, checkpoint
from voiceswap.acoustics import log_mel
from voiceswap.evaluation.protocol import Recording, read_manifest
from voiceswap.evaluation.stats import Interval, bootstrap
from voiceswap.models.converter import moves_of
from voiceswap.models.dynamics import outline_of
from voiceswap.threads import one_thread

COLLECTIONS = ("librispeech-dev", "common-voice")
"""Those with several recordings of a person."""
SECONDS = 6.0
WEIGHTS = Path(voiceswap.__file__).parent / "weights"
PROBES = {"logistic regression": 0, "one hidden layer": 128}
STEPS = 400  # of a probe's training
FOLDS = 5  # of people, for the gender of those who were not trained on
Features = dict[str, Tensor]


def choose(corpus: Path, split: str, people: int, each: int) -> list[Recording]:
    """`each` recordings of the `people` who have the most in `COLLECTIONS`; an even number of each person."""
    of: dict[str, list[Recording]] = {}
    for recording in read_manifest(corpus, split=split):
        if recording.collection in COLLECTIONS and recording.seconds >= 2:
            of.setdefault(recording.speaker, []).append(recording)
    most = sorted(of, key=lambda name: (-len(of[name]), name))[:people]
    rng = np.random.default_rng(0)
    chosen = []
    for name in most:
        drawn = rng.permutation(len(of[name]))[: min(each, len(of[name])) // 2 * 2]
        chosen += [of[name][i] for i in drawn]
    return chosen


def one_each(corpus: Path, split: str, people: int) -> list[Recording]:
    """A recording of each of `people` people whose gender the corpus tells."""
    of: dict[str, list[Recording]] = {}
    for recording in read_manifest(corpus, split=split):
        if recording.gender in ("f", "m") and recording.seconds >= 2:
            of.setdefault(recording.speaker, []).append(recording)
    rng = np.random.default_rng(0)
    names = rng.permutation(sorted(of))[:people]
    return [of[name][rng.integers(len(of[name]))] for name in names]


def pooled(values: Tensor) -> Tensor:
    """Means and deviations [2 C] of values [T, C] over time."""
    return torch.cat([values.mean(0), values.std(0)])


@torch.inference_mode()
def features_of(recording: Recording, recognizer: Any, converter: Any) -> Features:
    """By place, the features [2 C] of the first `SECONDS` of speech, leveled as for conversion."""
    speech = audio.only_speech(audio.read(recording.path))[: round(SECONDS * audio.SAMPLE_RATE)]
    mel = log_mel(torch.from_numpy(audio.level(speech))[None])
    content, logits = recognizer(mel)
    narrow = torch.tanh(converter.squeeze(content))
    posteriors = logits.softmax(-1)
    outline = outline_of(mel, converter.config.outline)
    moves = moves_of(mel, converter.config.motion)
    # As in Converter.encode: a pair of frames is one step of the content.
    wide = narrow.repeat_interleave(2, 1)[:, : mel.shape[2]]
    found = {
        "log-mel": mel[0].T,
        "content of the recognizer": content[0],
        "bottleneck alone": narrow[0],
        "posteriors alone": posteriors[0],
        "bottleneck and posteriors": torch.cat([narrow, posteriors], -1)[0],
        "outline of the spectrum": outline[0],
        "moves of the outline": moves[0],
        "bottleneck, outline and moves": torch.cat([wide, outline, moves], -1)[0],
    }
    return {place: pooled(values) for place, values in found.items()}


def guess(train: Tensor, labels: Tensor, test: Tensor, *, hidden: int, decay: float = 1.0) -> Tensor:
    """Classes [N'] guessed for features [N', C] by a probe trained on [N, C], all at once."""
    torch.manual_seed(0)
    mean, std = train.mean(0), train.std(0) + 1e-4
    width, classes = train.shape[1], int(labels.max()) + 1
    layers = [nn.Linear(width, hidden), nn.ReLU(), nn.Dropout(0.3)] if hidden else []
    probe = nn.Sequential(*layers, nn.Linear(hidden or width, classes))
    optimizer = torch.optim.AdamW(probe.parameters(), lr=3e-3, weight_decay=decay)
    for _ in range(STEPS):
        loss = nn.functional.cross_entropy(probe((train - mean) / std), labels, label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    probe.eval()
    with torch.inference_mode():
        return probe((test - mean) / std).argmax(1)


def speakers_guessed(values: Tensor, names: Sequence[str], hidden: int) -> Interval:
    """Share of right guesses at the speaker: every other recording of a person teaches, the others test."""
    _, index = np.unique(names, return_inverse=True)
    labels = torch.from_numpy(index)
    seen: Counter[str] = Counter()
    teaches = np.zeros(len(names), bool)
    for number, name in enumerate(names):
        teaches[number] = seen[name] % 2 == 0
        seen[name] += 1
    found = guess(values[teaches], labels[teaches], values[~teaches], hidden=hidden)
    right = (found == labels[~teaches]).numpy()
    return bootstrap(right, clusters=np.array(names)[~teaches].tolist())


def genders_guessed(values: Tensor, genders: Sequence[str], hidden: int) -> Interval:
    """Share of right guesses at the gender of people who taught nothing: every fold of people once.

    Women and men weigh the same, so that chance is a half.
    """
    labels = torch.tensor([gender == "m" for gender in genders]).long()
    folds = np.arange(len(labels)) % FOLDS
    right = np.zeros(len(labels))
    for fold in range(FOLDS):
        test = folds == fold
        found = guess(values[~test], labels[~test], values[test], hidden=hidden)
        right[test] = (found == labels[test]).numpy()
    weight = 1 / np.bincount(labels.numpy())[labels.numpy()]
    return bootstrap(right * weight, weights=weight)


def written(share: Interval) -> str:
    return f"{100 * share.mean:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}]"


def gathered(recordings: Sequence[Recording], models: Sequence[Any]) -> Features:
    """By place, the features [R, 2 C] of all recordings."""
    found = [features_of(recording, *models) for recording in recordings]
    return {place: torch.stack([one[place] for one in found]) for place in found[0]}


def rows(several: Sequence[Recording], single: Sequence[Recording], models: Sequence[Any]) -> list[list[str]]:
    names, genders = [r.speaker for r in several], [r.gender for r in single]
    of_gender = gathered(single, models)
    body = []
    for place, values in gathered(several, models).items():
        half = values.shape[1] // 2  # the means, then the deviations
        cells = [written(speakers_guessed(values, names, hidden)) for hidden in PROBES.values()]
        cells += [
            written(speakers_guessed(part, names, hidden=PROBES["one hidden layer"]))
            for part in (values[:, :half], values[:, half:])
        ]
        cells += [written(genders_guessed(of_gender[place], genders, hidden)) for hidden in PROBES.values()]
        body.append([f"{place} ({half})", *cells])
    return body


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--split", default="train")
    parser.add_argument("--people", type=int, default=30)
    parser.add_argument("--each", type=int, default=16)
    args = parser.parse_args()
    several = choose(args.corpus, args.split, args.people, args.each)
    single = one_each(args.corpus, args.split, 10 * args.people)
    models = [
        checkpoint.load(args.weights / f"{kind}.safetensors", kind)
        for kind in ("phone-recognizer", "converter")
    ]
    with one_thread():
        body = rows(several, single, models)
    people = len({r.speaker for r in several})
    women = sum(r.gender == "f" for r in single)
    print(
        f"{len(several)} recordings of {people} people of `{args.split}`, {SECONDS:g} s of each at most, "
        f"half of each person's to learn from (chance {100 / people:.1f} %); for gender one recording each "
        f"of {women} women and {len(single) - women} men, in {FOLDS} folds of people (chance 50 %)."
    )
    heads = [[f"{what}, {probe}" for probe in PROBES] for what in ("speaker", "gender")]
    parts = ["speaker, means alone", "speaker, deviations alone"]
    print(table(["place (width)", *heads[0], *parts, *heads[1]], body))


if __name__ == "__main__":
    main()
