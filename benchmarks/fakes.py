"""Make synthetic speech of many generators, for the detector of speech without a mark to learn from.

    python benchmarks/fakes.py CORPUS OUT [--count 400] [--split train] [--makers ours-speak griffin-lim ...]

OUT gets a folder for each generator and one of people, `people`; all are Ogg Opus like the corpus, so that
coding does not tell them apart. Copies (`vocoder`, `griffin-lim`, `world`) are of the people's recordings,
readers say `sentences.txt` of the corpus. What is there already is not made again; a generator that is not
installed is skipped. Ours are made without the mark, which the detector must not lean on.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import librosa
import numpy as np
import peers
import soundfile
import torch
from tqdm import tqdm

import voiceswap
from voiceswap import audio
from voiceswap import studio as studio_module
from voiceswap.errors import MissingExtraError

RATE = 24000
Maker = Callable[[int], np.ndarray]


class Sources:
    """What is to be said or copied: recordings of the split, and sentences."""

    def __init__(self, corpus: Path, split: str) -> None:
        with (corpus / "manifest.tsv").open(newline="") as file:
            rows = [row for row in csv.DictReader(file, delimiter="\t") if row["split"] == split]
        rng = np.random.default_rng(0)
        # As many of each person as of any other, in an order that takes them in turns.
        turns: dict[str, int] = {}
        keyed = []
        for row in (rows[i] for i in rng.permutation(len(rows))):
            turns[row["speaker"]] = turns.get(row["speaker"], 0) + 1
            keyed.append((turns[row["speaker"]], row))
        self.paths = [corpus / row["path"] for _, row in sorted(keyed, key=lambda pair: pair[0])]
        sentences = (corpus / "sentences.txt").read_text("utf-8").splitlines()
        lines = [line for line in sentences if 40 < len(line) < 140]
        kept = slice(None, None, 2) if split == "train" else slice(1, None, 2)
        self.sentences = [lines[kept][i] for i in rng.permutation(len(lines[kept]))]

    def recording(self, number: int) -> np.ndarray:
        return audio.level(audio.read(self.paths[number % len(self.paths)]))[: 12 * RATE]

    def sentence(self, number: int) -> str:
        return self.sentences[number % len(self.sentences)]


def griffin_lim(sources: Sources) -> Maker:
    def make(number: int) -> np.ndarray:
        bands = 80 if number % 2 else 128
        mel = librosa.feature.melspectrogram(
            y=sources.recording(number), sr=RATE, n_fft=1024, hop_length=256, n_mels=bands
        )
        return librosa.feature.inverse.mel_to_audio(mel, sr=RATE, n_fft=1024, hop_length=256, n_iter=24)

    return make


def world(sources: Sources) -> Maker:
    toolkit = peers.require("pyworld", package="pyworld")

    def make(number: int) -> np.ndarray:
        wave = sources.recording(number)[: 5 * RATE].astype(np.float64)
        f0, times = toolkit.dio(wave, RATE)
        f0 = toolkit.stonemask(wave, f0, times, RATE) * (1.0 if number % 2 else 1.15)
        parts = toolkit.cheaptrick(wave, f0, times, RATE), toolkit.d4c(wave, f0, times, RATE)
        return toolkit.synthesize(f0, *parts, RATE)

    return make


def reader(name: str) -> Callable[[Sources], Maker]:
    def begin(sources: Sources) -> Maker:
        read_aloud = peers.PEERS[name](None)["builtin"]  # type: ignore[arg-type]

        def make(number: int) -> np.ndarray:
            samples, rate = read_aloud(SimpleNamespace(id=f"x-{number}", text=sources.sentence(number)))  # type: ignore[arg-type]
            return audio.read((samples, rate))

        return make

    return begin


def ours(verb: str, split: str) -> Callable[[Sources], Maker]:
    def begin(sources: Sources) -> Maker:
        studio = voiceswap.load("cpu")
        names = sorted(studio.voices)
        names = names[::2] if split == "train" else names[1::2]

        def make(number: int) -> np.ndarray:
            voice = studio.voices[names[number % len(names)]]
            if verb == "speak":
                return studio.speak(sources.sentence(number), voice, seed=number).samples
            source = (sources.recording(number), RATE)
            return (
                studio.convert(source, voice) if verb == "convert" else studio.resynthesize(source)
            ).samples

        return make

    return begin


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=400)
    parser.add_argument("--split", default="train")
    parser.add_argument("--makers", nargs="*")
    args = parser.parse_args()
    sources = Sources(args.corpus, args.split)
    studio_module.mark = lambda pieces, payload: (samples for samples, _ in pieces if len(samples))  # type: ignore[assignment]
    makers: dict[str, Callable[[Sources], Maker]] = {
        "people": lambda s: s.recording,
        "ours-speak": ours("speak", args.split),
        "ours-convert": ours("convert", args.split),
        "vocoder": ours("copy", args.split),
        "griffin-lim": griffin_lim,
        "world": world,
        **{name: reader(name) for name in ("espeak-ng", "flite", "piper", "hibari", "kokoro")},
    }
    torch.set_num_threads(1)
    for name in args.makers or makers:
        folder: Any = args.out / name
        folder.mkdir(parents=True, exist_ok=True)
        try:
            make = makers[name](sources)
        except MissingExtraError as error:
            print(f"{name} skipped: {error.got}")
            continue
        for number in tqdm(range(args.count), desc=name, disable=None):
            path = folder / f"{number:04}.opus"
            if not path.exists():
                samples = np.asarray(make(number), np.float32)
                peak = max(1e-6, float(np.abs(samples).max()))
                soundfile.write(path, samples / max(1.0, peak), RATE, format="OGG", subtype="OPUS")


if __name__ == "__main__":
    main()
