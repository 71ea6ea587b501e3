"""Training from shards: what they hold, the order of an epoch, several processes, runs that are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

pytest.importorskip("accelerate", reason="needs voiceswap[train]")

from voiceswap.data.batches import load_utterances
from voiceswap.data.features import FeatureStore, append
from voiceswap.data.shards import INDEX, ShardStore, write_shards
from voiceswap.errors import DataError, OptionError
from voiceswap.training.run import run
from voiceswap.training.stream import Rounds, Stream

pytestmark = pytest.mark.filterwarnings("default")

PEOPLE, EACH = 7, 13


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """91 utterances by 7 people, and two by somebody who is never trained on."""
    folder = tmp_path_factory.mktemp("features") / "many"
    rng = np.random.default_rng(0)

    def rows():
        for number in range(PEOPLE * EACH + 2):
            frames = int(rng.integers(30, 90))
            strange = number >= PEOPLE * EACH
            yield {
                **{"id": f"u{number}", "speaker": f"p{number // EACH}", "language": "en", "gender": "f"},
                **{
                    "split": "dev-unseen" if strange else "train",
                    "band": "full",
                    "source": "many",
                    "text": "",
                },
                **{"phonemes": [1, 20, 30, 1], "stress": [0, 1, 0, 0], "durations": [4, 9, frames - 17, 4]},
                "mel": rng.normal(-5, 2, (frames, 80)).astype(np.float16),
                "f0": np.where(rng.random(frames) < 0.7, rng.uniform(100, 300, frames), 0).astype(np.float32),
                "pcm": rng.integers(-9000, 9000, (frames - 1) * 256, dtype=np.int16),
            }

    assert append(rows(), folder) == []
    return FeatureStore(folder)


@pytest.fixture(scope="module")
def shards(store, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    write_shards([store.folder], folder, size=8)
    return folder


def test_shards_hold_what_the_features_hold(store, shards):
    counts = json.loads((shards / INDEX).read_text())
    known = {item.id: item for item in store.items}
    seen = []
    for name, count in counts.items():
        shard = ShardStore(shards / name)
        assert len(shard.items) == count
        for utterance in load_utterances([shard]):
            item, was = utterance.item, known[utterance.item.id]
            assert utterance.held_out == name.startswith("held")
            assert (item.speaker, item.durations, item.samples) == (was.speaker, was.durations, was.samples)
            for read in (FeatureStore.mel, FeatureStore.f0, FeatureStore.audio):
                assert np.array_equal(getattr(shard, read.__name__)(item), read(store, was))
            seen.append(item.id)
    assert sorted(seen) == sorted(item.id for item in store.items if item.split == "train")
    pieces = [{item.speaker for item in ShardStore(shards / n).items} for n in counts if n[0] == "t"]
    assert max(map(len, pieces)) <= 3  # neighbors are of few people


def test_writing_goes_on_where_it_stopped(store, tmp_path):
    write_shards([store.folder], tmp_path, size=30)
    whole = {path.name: path.read_bytes() for path in tmp_path.glob("*.tar")}
    times = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*.tar")}
    (tmp_path / INDEX).unlink()
    (tmp_path / "train-000001.tar").unlink()
    write_shards([store.folder], tmp_path, size=30)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.tar")} == whole
    kept = {p.name for p in tmp_path.glob("*.tar") if p.stat().st_mtime_ns == times[p.name]}
    assert kept == set(whole) - {"train-000001.tar"}
    with pytest.raises(DataError, match="another size"):
        write_shards([store.folder], tmp_path, size=31)


def test_a_shard_that_is_cut_off_is_named(shards, tmp_path):
    broken = tmp_path / "train-000000.tar"
    broken.write_bytes((shards / broken.name).read_bytes()[:70_000])
    with pytest.raises(DataError, match=r"train-000000.tar.*no whole shard"):
        ShardStore(broken)


def drawn(stream, count, steps, *, alike=True):
    """Ids of the utterances of `steps` batches."""
    rng, fed = np.random.default_rng(9), []
    batches = []
    for _ in range(steps):
        stream.advance(lambda utterances, pool: fed.append(pool(utterances)))
        batches.append([u.item.id for u, _ in stream.pool.rows(rng, count, alike=alike)])
    return batches


def test_every_utterance_once_an_epoch_whoever_draws_it(store, shards):
    everything = {u.item.id for u in load_utterances([store]) if not u.held_out}
    alone = Stream(shards, seed=4, window=3)
    batches = []
    while alone.epoch == 0:
        batches += drawn(alone, 6, 1)
    assert Counter(i for batch in batches[:-1] for i in batch) == Counter(everything)
    again = Stream(shards, seed=4, window=3)
    assert drawn(again, 6, len(batches)) == batches
    assert drawn(Stream(shards, seed=5, window=3), 6, len(batches)) != batches

    parts = [Stream(shards, seed=4, window=3) for _ in range(2)]
    for number, part in enumerate(parts):
        part.share = (number, 2)
    halves = [drawn(part, 3, len(batches)) for part in parts]
    assert [one + other for one, other in zip(*halves, strict=True)] == batches  # of 3 each


def test_alike_lengths_lie_together(store):
    utterances = load_utterances([store])
    spread = {}
    for alike in (False, True):
        pool = Rounds(utterances, seed=(1,), share=(0, 1), at=0)
        lengths = []
        while not pool.spent:
            lengths.append([u.item.frames for u, _ in pool.rows(None, 8, alike=alike)])
        spread[alike] = np.mean([np.std(batch) for batch in lengths])
    assert spread[True] < 0.4 * spread[False]


@pytest.mark.parametrize("steps", [1, 4, 5, 11, 14])
def test_a_restored_stream_goes_on(shards, steps):
    whole = drawn(Stream(shards, seed=4, window=2), 4, 30)
    first = Stream(shards, seed=4, window=2)
    assert drawn(first, 4, steps) == whole[:steps]
    second = Stream(shards, seed=4, window=2)
    second.restore(first.state())
    assert drawn(second, 4, 30 - steps) == whole[steps:]


def test_what_is_not_streamed(store, shards, tmp_path):
    with pytest.raises(OptionError, match="all of its people"):
        run("speaker-encoder", preset="tiny", data=[shards], out=tmp_path)
    with pytest.raises(OptionError, match="one folder of shards"):
        run("vocoder", preset="tiny", data=[shards, store.folder], out=tmp_path)
    with pytest.raises(DataError, match="no utterance in it fits"):
        run("synthesizer", preset="tiny", data=[shards], out=tmp_path, task={"languages": ("nl",)})


@pytest.mark.parametrize("kind", ["vocoder", "converter"])
def test_batches_made_ahead_are_the_same(kind, store, shards, tiny_weights, tmp_path):
    for number, data in enumerate([store.folder, shards]):
        ends = []
        for workers in (0, 2):
            out = tmp_path / f"{number}-{workers}"
            task = {"weights": (), "frames": 24, "batch_size": 4}
            for steps, resume in ((3, False), (6, True)):  # what was made ahead of the state is made again
                loop = {"steps": steps, "workers": workers, "log_every": 1, "window": 2}
                options = {"preset": "tiny", "data": [data], "teachers": tiny_weights, "task": task}
                run(kind, out=out, loop=loop, resume=resume, **options)
            rows = map(json.loads, (out / "log.jsonl").read_text().splitlines())
            ends.append([(row["step"], row["mel"]) for row in rows if row["kind"] == "train"])
        assert ends[0] == ends[1]
        assert len(ends[0]) == 6


RUN = """
import json, sys, time
from pathlib import Path
import torch
from accelerate import PartialState
from voiceswap.training import run as runs
from voiceswap.training.tasks.converter import ConverterTask

def main(shards, weights, out, batch, resume, pause):
    torch.set_num_threads(1)
    state = PartialState(cpu=True)
    inner = ConverterTask.collate
    seen = open(f"{out}.seen-{state.process_index}", "a")
    def collate(self, rows, **options):
        if options["perturbed"]:
            print(json.dumps([u.item.id for u, _ in rows]), file=seen, flush=True)
            time.sleep(float(pause))
        return inner(self, rows, **options)
    ConverterTask.collate = collate
    runs.run(
        "converter", preset="tiny", data=[Path(shards)], out=Path(out), teachers=Path(weights),
        resume=resume == "1",
        loop=dict(steps=16, save_minutes=0.0, log_every=1, validate_minutes=99.0, window=2, warmup=1,
                  bfloat16=False),
        # The terms of which each row has its own part: the others draw noise, or compare a batch's rows.
        task=dict(batch_size=int(batch), frames=24, hidden=0.0, consistency=0.0, weights=()),
    )
    if state.num_processes > 1:
        torch.distributed.destroy_process_group()

if __name__ == "__main__":
    main(*sys.argv[1:])
"""


def launched(script, processes, *arguments):
    """The script in so many processes under torchrun, which talk by gloo."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node"]
    command += [str(processes), str(script), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finished(process):
    said = process.communicate(timeout=240)[0].decode()
    assert process.returncode == 0, said[-3000:]


def curve(out):
    rows = map(json.loads, (out / "log.jsonl").read_text().splitlines())
    return [row["mel"] for row in rows if row["kind"] == "train"]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_twice_the_batch_and_survive_a_kill(
    shards, tiny_weights, tmp_path
):
    script = tmp_path / "script.py"
    script.write_text(RUN)
    one, two, killed = (tmp_path / name for name in ("one", "two", "killed"))
    finished(launched(script, 1, shards, tiny_weights, one, 8, 0, 0))
    finished(launched(script, 2, shards, tiny_weights, two, 4, 0, 0))
    assert len(curve(one)) == 16
    assert Path(f"{two}.seen-1").is_file()  # there were two
    assert np.allclose(curve(one), curve(two), rtol=1e-4)
    states = [torch.load(out / "last.pt", weights_only=True) for out in (one, two)]
    moved = 0.0
    for name, value in states[0]["model"].items():
        assert torch.allclose(value, states[1]["model"][name], atol=1e-4), name
        moved = max(moved, float((value - states[0]["average"][name]).abs().max()))
    assert moved > 1e-3  # so the losses after the first are of weights that were learnt

    process = launched(script, 2, shards, tiny_weights, killed, 4, 0, 0.3)
    while not (killed / "log.jsonl").is_file() or len(curve(killed)) < 6:
        assert process.poll() is None
        time.sleep(0.02)
    workers = psutil.Process(process.pid).children()
    workers[1].send_signal(signal.SIGKILL)  # one of the two; the other cannot go on alone
    process.communicate(timeout=240)
    assert process.returncode != 0
    assert 0 < torch.load(killed / "last.pt", weights_only=True)["step"] < 16
    before = [len(Path(f"{killed}.seen-{part}").read_text().splitlines()) for part in (0, 1)]
    at = torch.load(killed / "last.pt", weights_only=True)["step"]
    finished(launched(script, 2, shards, tiny_weights, killed, 4, 1, 0))
    assert curve(killed) == curve(two)
    ends = [torch.load(out / "last.pt", weights_only=True)["model"] for out in (killed, two)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    for part in (0, 1):  # what was learnt from: up to the state, and what came after it
        rows = Path(f"{killed}.seen-{part}").read_text().splitlines()
        learnt = rows[:at] + rows[before[part] :]
        assert learnt == Path(f"{two}.seen-{part}").read_text().splitlines()
