"""What an adapter brings: recordings of others in one person's voice, zero-shot and adapted.

    python benchmarks/adapter.py CORPUS PERSON... [--count 20] [--minutes 12] [--out FOLDER]

Each PERSON is one of the corpus' `dev-unseen` people, enrolled from about 10 s as `voiceswap evaluate` does.
The adapter is trained for `--minutes` on their other recordings, those left out that likeness is measured
against. Then COUNT recordings of the others are converted with it and without. Needs the extra `eval`.
Prints a Markdown table: likeness as a share of the way from another person to the same one, by GE2E and by
CAM++, the rate of character errors above the source's own, DNSMOS and Distill-MOS. FOLDER, `adapter-runs`
unless given, keeps runs, voices and sounds; an adapter that is there is used again.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from datetime import date
from pathlib import Path

from parallel import adapted

import voiceswap
from voiceswap.evaluation import judge, measure, protocol
from voiceswap.evaluation.protocol import Item, Plan
from voiceswap.provenance import Consent
from voiceswap.voice import Voice

COLUMNS = {
    "ge2e_share": "GE2E",
    "campplus_share": "CAM++",
    "character_error_rate_above": "character errors above the source",
    "dnsmos": "DNSMOS",
    "distillmos": "Distill-MOS",
}


def conversions(plan: Plan, target: str, count: int) -> tuple[Item, ...]:
    """The plan's first `count` sources that others speak, to be converted to `target`."""
    sources = {item.source.id: item.source for item in plan.items if item.task == "convert" and item.source}
    chosen = [source for source in sources.values() if source.speaker != target][:count]
    return tuple(
        Item(f"convert-{source.id}-to-{target}", "convert", source.text, target=target, source=source)
        for source in chosen
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("people", nargs="+", metavar="PERSON")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--out", type=Path, default=Path("adapter-runs"))
    args = parser.parse_args()
    plan = protocol.plan(args.corpus, count=200)
    plan = replace(plan, items=tuple(i for name in args.people for i in conversions(plan, name, args.count)))
    studio = voiceswap.load("cpu")
    voices: dict[str, list[Voice]] = {}
    for name in args.people:
        person = plan.people[name]
        consent = Consent(name, ("convert", "train"), date.today(), given="the open licence of the corpus")
        known = {recording.id for recording in (*person.enrollment, *person.references)}
        every = [r for r in protocol.read_manifest(args.corpus) if r.speaker == name]
        voice = studio.enroll([recording.path for recording in person.enrollment], consent=consent)
        more = [recording for recording in every if recording.id not in known]
        print(f"{name}: {sum(r.seconds for r in more) / 60:.1f} minutes to adapt from", flush=True)
        voices[name] = [voice, adapted(voice, [r.path for r in more], args.out, args.minutes)]
    people = measure.vectors_of_people(plan, encoders=("ge2e", "campplus"))
    recordings = measure.judge_recordings(plan, people)
    print(f"| | | {' | '.join(COLUMNS.values())} | items |\n|---|---|{'---|' * (len(COLUMNS) + 1)}")
    for number, label in enumerate(("zero-shot", "adapted")):
        out = args.out / label
        out.mkdir(parents=True, exist_ok=True)
        for item in plan.items:
            assert item.source is not None
            made = studio.convert(item.source.path, voices[item.target][number])
            made.save(out / f"{item.id}.wav", force=True)
        verdicts = measure.judge_system(label, out, plan, people, recordings)
        for name in args.people:
            found = [verdict for verdict in verdicts if verdict.speaker == name]
            cells = " | ".join(f"{judge.mean_of(found, key).mean:.3f}" for key in COLUMNS)
            print(f"| {name} | {label} | {cells} | {len(found)} |", flush=True)


if __name__ == "__main__":
    main()
