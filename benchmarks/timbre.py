"""What a voice's timbre brings: conversions and text of unseen people with it and without.

    python benchmarks/timbre.py CORPUS [COUNT]

Of `voiceswap evaluate`'s plan COUNT items a task (50), with the extra `eval`. Prints a Markdown table:
likeness as a share of the way from another person to the same one, by GE2E and by CAM++, the share of
conversions that are nearer to the target than to the source, DNSMOS and Distill-MOS.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

import voiceswap
from voiceswap.evaluation import measure, protocol
from voiceswap.evaluation.generate import enroll
from voiceswap.evaluation.protocol import Item
from voiceswap.voice import Voice

ENCODERS = ("ge2e", "campplus")
COLUMNS = {
    "ge2e_share": "GE2E",
    "campplus_share": "CAM++",
    "ge2e_nearer": "nearer, GE2E",
    "campplus_nearer": "nearer, CAM++",
    "dnsmos": "DNSMOS",
    "distillmos": "Distill-MOS",
}


def chosen(plan: protocol.Plan, count: int) -> tuple[Item, ...]:
    """`count` items of each of the two tasks, spread over the plan."""
    found: list[Item] = []
    for task in ("convert", "speak"):
        items = [item for item in plan.items if item.task == task]
        found += items[:: max(1, len(items) // count)][:count]
    return tuple(found)


def make(studio: voiceswap.Studio, items: Sequence[Item], voices: dict[str, Voice], out: Path) -> None:
    for item in items:
        voice = voices[item.target]
        made = studio.convert(item.source.path, voice) if item.source else studio.speak(item.text, voice)
        made.save(out / f"{item.id}.wav")


def main(corpus: Path, count: int = 50) -> None:
    plan = protocol.plan(corpus, count=200)
    people = measure.vectors_of_people(plan, encoders=ENCODERS)
    recordings = measure.judge_recordings(plan, people)
    plan = replace(plan, items=chosen(plan, count))
    studio = voiceswap.load("cpu")
    voices, _ = enroll(studio, plan)
    print(f"| | {' | '.join(COLUMNS.values())} | items |\n|---|{'---|' * (len(COLUMNS) + 1)}")
    without = {name: replace(voice, timbre=None) for name, voice in voices.items()}
    for label, given in (("without", without), ("with", voices)):
        with TemporaryDirectory() as folder:
            make(studio, plan.items, given, Path(folder))
            verdicts = measure.judge_system(label, Path(folder), plan, people, recordings)
        for task in ("convert", "speak"):
            scores = [v.scores for v in verdicts if v.task == task]
            cells = [f"{np.mean([s.get(key, np.nan) for s in scores]):.2f}" for key in COLUMNS]
            print(f"| {task}, {label} | {' | '.join(cells)} | {len(scores)} |", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
