"""Compare `voiceswap.acoustics.f0_track` with WORLD's harvest and dio, and with Praat on recordings.

    pip install hibari-tts onnx onnxruntime pyworld 'setuptools<81'
    python benchmarks/f0.py TEACHER SENTENCES [--count 24] [--vary UNVOICED 0.3 0.38] [--vary WINDOW 0.024]
                            [--recordings CORPUS]

TEACHER is the folder of speak.py, whose `Heart` speaks from source-filter parameters, F0 among them.
SENTENCES (a text file, one a line) are rendered in 32 voices with warped vocal tracts and melodies, and get
noise at -55 dBFS. `--vary` measures the tracker again with a constant of voiceswap/acoustics.py (without its
underscore) set to other values.

Of the frames that both call voiced, `gross` lie over 0.2 octaves off, and `octave` of those within 0.2
octaves of a whole number; `fine` is the median error of the others. `false voiced` and `false unvoiced` are
shares of all frames. `speed` is in times real time, with the threads that OMP_NUM_THREADS allows.
With `--recordings` the same is said about recordings of 48 people of a corpus' training part, Praat's track
being taken for the truth, which it is not: in creaky and breathy voice all trackers differ.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyworld

from voiceswap import acoustics, audio
from voiceswap.acoustics import ACOUSTICS
from voiceswap.evaluation import pitch

Speech = tuple[np.ndarray, np.ndarray]
"""Samples [N] at 24 kHz, and the true F0 [T] in Hz at our frames, 0 where unvoiced."""
Tracker = Callable[[np.ndarray], np.ndarray]

_PARAMETER_HOP = 300  # samples between the teacher's frames
_VOICED_HZ = 40  # the teacher's F0 below this is none
_GROSS_OCTAVES = 0.2


def speak(teacher: Path, sentences: Path, count: int) -> list[Speech]:
    """`count` sentences, spread evenly over the file, each in a voice drawn from 32."""
    sys.path.insert(0, str(teacher))
    script: Any = importlib.import_module("speak")
    lines = [line.strip() for line in sentences.read_text("utf-8").splitlines() if line.strip()]
    heart, rng, made = script.Heart(32, 1), np.random.default_rng(0), []
    for line in lines[:: max(1, len(lines) // count)][:count]:
        chunks = heart.text.phonemize(line)
        if len(chunks) != 1:
            continue
        symbols = [heart.vocab[c] for c in chunks[0] if c in heart.vocab]
        inputs = {"ids": np.array([[0, *symbols, 0]]), "speed": np.ones(1, np.float32)}
        outputs = [array[0] for array in heart.session.run(None, inputs)[:-1]]
        voice = heart.voices[int(rng.integers(len(heart.voices)))]
        wave = script.render(outputs, voice, rng)
        wave = wave + rng.normal(0, 10 ** (-55 / 20), len(wave))
        made.append((wave.astype(np.float32), true_f0(outputs[5], voice, len(wave))))
    return made


def true_f0(f0: np.ndarray, voice: dict[str, float], samples: int) -> np.ndarray:
    """The F0 that `render` gives a voice, at our frames."""
    voiced = f0 > _VOICED_HZ
    if not voice["vtl"] == voice["f0"] == 1.0:
        center = np.exp(np.log(f0[voiced]).mean())
        f0 = center * (np.maximum(f0, 1) / center) ** voice["range"] * voice["f0"]
    places = np.arange(samples // ACOUSTICS.hop + 1) * ACOUSTICS.hop / _PARAMETER_HOP - 0.5
    return np.where(voiced, f0, 0.0)[np.clip(np.round(places), 0, len(f0) - 1).astype(int)]


def recordings(corpus: Path, people: int = 48) -> list[Speech]:
    """At most 8 s of a recording of each of so many people who may be trained on, and Praat's F0."""
    chosen: dict[str, str] = {}
    with (corpus / "manifest.tsv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            if row["split"] == "train" and row["language"] == "en" and float(row["seconds"]) > 3:
                chosen.setdefault(row["speaker"], row["path"])
    made = []
    for speaker in sorted(chosen)[:: max(1, len(chosen) // people)][:people]:
        samples = audio.level(audio.read(corpus / chosen[speaker]))[: 8 * ACOUSTICS.sample_rate]
        found = pitch.track(samples, ACOUSTICS.sample_rate)
        # Praat centres its frames: as much is left over at either end.
        first = (len(samples) / ACOUSTICS.sample_rate - (len(found) - 1) * pitch.FRAME_SECONDS) / 2
        times = np.arange(len(samples) // ACOUSTICS.hop + 1) / ACOUSTICS.frame_rate
        places = np.round((times - first) / pitch.FRAME_SECONDS).clip(0, len(found) - 1)
        made.append((samples, found[places.astype(int)]))
    return made


def harvest(wave: np.ndarray) -> np.ndarray:
    f0, _ = pyworld.harvest(
        wave.astype(np.float64),
        ACOUSTICS.sample_rate,
        ACOUSTICS.f0_min,
        ACOUSTICS.f0_max,
        1000 / ACOUSTICS.frame_rate,
    )
    return f0


def dio(wave: np.ndarray) -> np.ndarray:
    wide, rate = wave.astype(np.float64), ACOUSTICS.sample_rate
    f0, times = pyworld.dio(
        wide, rate, ACOUSTICS.f0_min, ACOUSTICS.f0_max, frame_period=1000 / ACOUSTICS.frame_rate
    )
    return pyworld.stonemask(wide, f0, times, rate)


def measure(name: str, tracker: Tracker, speech: list[Speech]) -> None:
    """Print a row of the table."""
    started = time.perf_counter()
    tracks = [tracker(wave) for wave, _ in speech]
    taken = time.perf_counter() - started
    lengths = [min(len(track), len(truth)) for track, (_, truth) in zip(tracks, speech, strict=True)]
    found = np.concatenate([track[:n] for track, n in zip(tracks, lengths, strict=True)])
    truth = np.concatenate([truth[:n] for (_, truth), n in zip(speech, lengths, strict=True)])
    both = (found > 0) & (truth > 0)
    octaves = np.log2(found[both] / truth[both])
    gross = np.abs(octaves) > _GROSS_OCTAVES
    octave = gross & (np.abs(octaves - np.round(octaves)) < _GROSS_OCTAVES)
    fine = 1200 * np.median(np.abs(octaves[~gross]))
    falsely_voiced, falsely_unvoiced = (
        ((found > 0) & (truth == 0)).mean(),
        ((found == 0) & (truth > 0)).mean(),
    )
    speed = sum(len(wave) for wave, _ in speech) / ACOUSTICS.sample_rate / taken
    print(
        f"{name:24s} gross {gross.mean():6.2%}  octave {octave.mean():6.2%}  fine {fine:5.1f} cents"
        f"  false voiced {falsely_voiced:6.2%}  false unvoiced {falsely_unvoiced:6.2%}  speed {speed:4.0f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("teacher", type=Path, help="folder of speak.py")
    parser.add_argument("sentences", type=Path, help="text file, one sentence a line")
    parser.add_argument("--count", type=int, default=24, help="sentences")
    parser.add_argument("--vary", nargs="+", action="append", default=[], metavar=("NAME", "VALUE"))
    parser.add_argument("--recordings", type=Path, metavar="CORPUS")
    arguments = parser.parse_args()
    speech = {"synthetic": speak(arguments.teacher, arguments.sentences, arguments.count)}
    if arguments.recordings:
        speech["recorded"] = recordings(arguments.recordings)
    acoustics.f0_track(speech["synthetic"][0][0])  # imports are not timed
    for kind, spoken in speech.items():
        print(f"\n{kind}, {sum(len(wave) for wave, _ in spoken) / ACOUSTICS.sample_rate:.0f} s")
        for name, tracker in {"voiceswap": acoustics.f0_track, "harvest": harvest, "dio": dio}.items():
            measure(name, tracker, spoken)
        for name, *values in arguments.vary:
            kept = getattr(acoustics, f"_{name}")
            for value in values:
                setattr(acoustics, f"_{name}", type(kept)(value))
                measure(f"voiceswap, {name} {value}", acoustics.f0_track, spoken)
            setattr(acoustics, f"_{name}", kept)


if __name__ == "__main__":
    main()
