"""Measure the judges of voice and words on the corpus' own recordings, for docs/evaluation.md.

    python benchmarks/judges.py CORPUS [--split dev-unseen] [--texts 40]

Speaker encoders: the equal error rate over all pairs of the plan's reference recordings. Recognizers:
character errors on recordings that came with their text, drawn by a seed. Needs `voiceswap[eval]`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from shown import table

from voiceswap.audio import SAMPLE_RATE, read
from voiceswap.evaluation import intelligibility, protocol, similarity
from voiceswap.evaluation.stats import bootstrap
from voiceswap.threads import one_thread

RECOGNIZERS = {
    "Whisper tiny.en": intelligibility.transcribe,
    "Moonshine tiny": intelligibility.transcribe_again,
}


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """Share of errors at the threshold where misses and false alarms are alike."""
    thresholds = np.sort(np.concatenate([same, different]))
    missed = np.searchsorted(np.sort(same), thresholds) / len(same)
    alarms = 1 - np.searchsorted(np.sort(different), thresholds) / len(different)
    best = np.abs(missed - alarms).argmin()
    return float(missed[best] + alarms[best]) / 2


def encoders(plan: protocol.Plan) -> list[list[str]]:
    """A row an encoder: mean cosines within and between people, equal error rate, speed."""
    recordings = [r for person in plan.people.values() for r in person.references]
    waves = [read(r.path) for r in recordings]
    speakers = np.array([r.speaker for r in recordings])
    above = np.triu_indices(len(speakers), 1)
    same = (speakers[:, None] == speakers)[above]
    rows = []
    for name in similarity.installed()[0]:
        start = time.process_time()
        vectors = np.stack([similarity.embed(wave, SAMPLE_RATE, encoder=name) for wave in waves])
        speed = sum(map(len, waves)) / SAMPLE_RATE / (time.process_time() - start)
        cosine = (vectors @ vectors.T)[above]
        error = equal_error_rate(cosine[same], cosine[~same])
        means = f"{cosine[same].mean():.2f} / {cosine[~same].mean():.2f}"
        rows.append([name, means, f"{100 * error:.2f} %", f"{speed:.0f} ×"])
    print(f"{len(waves)} recordings of {len(plan.people)} people: {same.sum()} pairs and {(~same).sum()}")
    return rows


def recognizers(recordings: list[protocol.Recording]) -> list[list[str]]:
    """A row a recognizer: character errors with their interval over speakers, speed."""
    waves = [read(r.path) for r in recordings]
    rows = []
    for name, hear in RECOGNIZERS.items():
        start = time.process_time()
        heard = [hear(wave, SAMPLE_RATE) for wave in waves]
        speed = sum(map(len, waves)) / SAMPLE_RATE / (time.process_time() - start)
        pairs = zip(recordings, heard, strict=True)
        counts = [intelligibility.character_errors(r.text, words or "") for r, words in pairs]
        errors, lengths = np.array(counts).T
        rate = bootstrap(errors, weights=lengths, clusters=[r.speaker for r in recordings])
        written = f"{100 * rate.mean:.1f} % [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
        rows.append([name, written, f"{speed:.0f} ×"])
    print(f"{len(waves)} recordings of {len({r.speaker for r in recordings})} people with given text")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--split", default="dev-unseen")
    parser.add_argument("--texts", type=int, default=40, help="recordings for the recognizers")
    args = parser.parse_args()
    given = [r for r in protocol.read_manifest(args.corpus, split=args.split) if r.text]
    chosen = np.random.default_rng(0).permutation(len(given))[: args.texts]
    with one_thread():
        found = encoders(protocol.plan(args.corpus, split=args.split))
        print(table(["encoder", "one person / two people", "equal error rate", "real time"], found))
        heard = recognizers([given[i] for i in sorted(chosen)])
        print(table(["recognizer", "character errors", "real time"], heard))


if __name__ == "__main__":
    main()
