"""Look for the built-in voices: blends of synthetic speakers that sound best, one for each register.

    python benchmarks/voices.py FEATURES SENTENCES RECIPES.json [--weights FOLDER] [--candidates 10]
        [--sentences 4] [--finalists 3] [--heard 12] [--registers bass-1 …]

Random blends of three or four of the speakers in FEATURES (folders of features of speech that nobody said,
such as heart and kokoro) whose pitch fits a register speak some SENTENCES (a text file, one a line, not those
of the evaluation). Of each register the finalists with the best Distill-MOS + 2 DNSMOS speak more of
them, Whisper base listens as well, and the best that is like none of those chosen before is written to
RECIPES.json, the others as they ship, for `python -m voiceswap.training.voices`. Needs `voiceswap[eval]`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

import voiceswap
from voiceswap import checkpoint
from voiceswap.bundle import WEIGHTS
from voiceswap.data.batches import load_utterances
from voiceswap.evaluation import intelligibility, quality
from voiceswap.training import voices
from voiceswap.training.run import stores
from voiceswap.training.speakers import SpeakerTable

REGISTERS = {
    **{"soprano-1": (222, 250), "soprano-2": (205, 222), "alto-1": (187, 205), "alto-2": (168, 187)},
    **{"tenor-1": (140, 165), "tenor-2": (122, 140), "baritone-1": (100, 118), "bass-1": (80, 98)},
}
"""Voice → lowest and highest median F0 in Hz."""
ALIKE = 0.9
"""Cosine of two voices' vectors from which they are too much alike."""

Recipe = dict[str, float]


def candidates(
    table: SpeakerTable, register: tuple[float, float], rng: np.random.Generator
) -> Iterator[Recipe]:
    """Blends without end whose median F0 lies in the register; of neighbours, as far voices blend badly.

    Who was heard more often in training is better known, and gets more of a chance and of a share.
    """
    low, high = register
    near = [n for n in table.names if low / 1.25 < table.pitch[n][0] < high * 1.25]
    known = np.log([1 + len(table.vectors[n]) for n in near])
    while True:
        chosen = rng.choice(len(near), int(rng.integers(3, 5)), replace=False, p=known / known.sum())
        shares = 0.5 * rng.dirichlet(known[chosen]) + 0.5 * known[chosen] / known[chosen].sum()
        named = {near[i]: round(float(share), 2) for i, share in zip(chosen, shares, strict=True)}
        median = np.exp(
            sum(share * np.log(table.pitch[n][0]) for n, share in named.items()) / sum(named.values())
        )
        if max(named.values()) <= sum(named.values()) / 2 and low <= median <= high:
            yield named


def judged(studio: voiceswap.Studio, name: str, texts: Sequence[str], *, heard: bool) -> dict[str, float]:
    """A voice's means over `texts`, spoken: Distill-MOS, DNSMOS, and if `heard` the character errors in %."""
    judges = (quality.distillmos, quality.dnsmos)
    rows = []
    errors = characters = 0.0
    for number, text in enumerate(texts):
        speech = studio.speak(text, studio.voices[name], seed=number)
        samples = np.asarray(speech.samples, np.float32)
        rows.append([judge(samples, speech.sample_rate) for judge in judges])
        if heard:
            said = intelligibility.transcribe(samples, speech.sample_rate)
            wrong, length = intelligibility.character_errors(text, said)
            errors, characters = errors + wrong, characters + length
    distill, dnsmos = np.mean(rows, 0)
    figures = {"distillmos": float(distill), "dnsmos": float(dnsmos)}
    return figures | ({"cer": 100 * errors / characters} if heard else {})


def score(figures: Mapping[str, float]) -> float:
    """One number: a point of character errors weighs as much as a tenth of Distill-MOS."""
    return figures["distillmos"] + 2 * figures["dnsmos"] - 0.1 * figures.get("cer", 0.0)


def apart(row: Mapping[str, object], chosen: Sequence[Mapping[str, object]]) -> bool:
    """Whether a row of voices.json is unlike those chosen."""
    mine = np.asarray(row["vector"], float)
    return all(float(mine @ np.asarray(other["vector"], float)) < ALIKE for other in chosen)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("features", type=Path, nargs="+")
    parser.add_argument("sentences", type=Path)
    parser.add_argument("recipes", type=Path)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--candidates", type=int, default=10)
    parser.add_argument("--sentences", dest="few", type=int, default=4)
    parser.add_argument("--finalists", type=int, default=3)
    parser.add_argument("--heard", type=int, default=12)
    parser.add_argument("--registers", nargs="+", choices=REGISTERS, default=list(REGISTERS))
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    lines = [line.strip() for line in given.sentences.read_text("utf-8").splitlines()]
    lines = [line for line in lines if 50 < len(line) < 110 and line.endswith(".")]
    texts = [lines[i] for i in rng.permutation(len(lines))[: given.few + given.heard]]
    encoder = checkpoint.load_from(given.weights, "speaker-encoder")
    folders = [folder for path in given.features for folder in stores(path)]
    table = SpeakerTable(encoder, load_utterances(folders, lambda item: True))
    recipes: dict[str, Recipe] = dict(voices.RECIPES)  # what ships has to be beaten
    for register in given.registers:
        found = candidates(table, REGISTERS[register], rng)
        recipes |= {f"{register}/{number}": next(found) for number in range(given.candidates)}
    rows = {name: voices.blended(table, name, recipe) for name, recipe in recipes.items()}
    chosen = {name: name for name in REGISTERS if name not in given.registers}
    with tempfile.TemporaryDirectory() as folder:
        for path in given.weights.glob("*.safetensors"):
            shutil.copy(path, folder)
        (Path(folder) / "voices.json").write_text(json.dumps(list(rows.values())), "utf-8")
        studio = voiceswap.load("cpu", weights=Path(folder))
        wanted = [name for name in rows if name.split("/")[0] in given.registers]
        first = {n: judged(studio, n, texts[: given.few], heard=False) for n in tqdm(wanted)}
        for register in given.registers:
            taken = [rows[name] for name in chosen.values()]
            own = [n for n in wanted if n.startswith(f"{register}/") and apart(rows[n], taken)]
            own = [*sorted(own, key=lambda n: -score(first[n]))[: given.finalists], register]
            heard = {n: judged(studio, n, texts[given.few :], heard=True) for n in own}
            for name, figures in sorted(heard.items(), key=lambda pair: -score(pair[1])):
                told = ", ".join(f"{what} {value:.2f}" for what, value in figures.items())
                print(f"{name:14} {rows[name]['f0_median']:6} Hz  {told}  {recipes[name]}", flush=True)
            chosen[register] = max(own, key=lambda n: score(heard[n]))
    best = {register: recipes[chosen[register]] for register in REGISTERS}
    given.recipes.write_text(json.dumps(best, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
