"""Training from shards: what they hold, the order of an epoch, several processes, runs that are killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
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
from voiceswap.training.ahead import batches, workers_for
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


def test_shards_of_another_method_are_neither_gone_on_with_nor_learnt(store, shards, tmp_path):
    shutil.copytree(shards, tmp_path / "old")
    (tmp_path / "old" / "method.json").unlink()
    for use in (
        lambda: Stream(tmp_path / "old", seed=4, window=3),
        lambda: write_shards([store.folder], tmp_path / "old", size=8),
    ):
        with pytest.raises(DataError, match="another F0"):
            use()


def test_shards_hold_what_the_features_hold(store, shards):
    counts = json.loads((shards / INDEX).read_text())
    known = {f"many/{item.id}": item for item in store.items}
    seen = []
    for name, count in counts.items():
        shard = ShardStore(shards / name, count)
        for utterance in load_utterances([shard]):
            item, was = utterance.item, known[utterance.item.id]
            assert utterance.held_out == name.startswith("held")
            assert (item.speaker, item.durations, item.samples) == (was.speaker, was.durations, was.samples)
            for read in (FeatureStore.mel, FeatureStore.f0, FeatureStore.audio):
                assert np.array_equal(getattr(shard, read.__name__)(item), read(store, was))
            seen.append(item.id)
    assert sorted(seen) == sorted(name for name, item in known.items() if item.split == "train")
    pieces = [
        {item.speaker for item in ShardStore(shards / n, c).items} for n, c in counts.items() if n[0] == "t"
    ]
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


def test_shards_of_another_alignment_are_others(store, tmp_path):
    copy = shutil.copytree(store.folder, tmp_path / "many")
    write_shards([copy], tmp_path / "shards", size=30)
    durations = {"u3": [5, 5, store.items[3].frames - 15, 5]}
    (copy / "alignments.json").write_text(json.dumps({"durations": durations}))
    with pytest.raises(DataError, match="other data"):
        write_shards([copy], tmp_path / "shards", size=30)
    with pytest.raises(DataError, match=r"many/u.*name of its own"):
        write_shards([store.folder, copy], tmp_path / "both", size=30)


def test_a_shard_that_is_cut_off_is_named(shards, tmp_path):
    broken = tmp_path / "train-000000.tar"
    whole = (shards / broken.name).read_bytes()
    with tarfile.open(shards / broken.name) as tar:
        ends = [entry.offset for entry in tar][8:14]  # between files, where a tar may end
    for end in (70_000, *ends):
        broken.write_bytes(whole[:end])
        with pytest.raises(DataError, match=r"train-000000.tar.*no whole shard"):
            ShardStore(broken, 8)


def drawn(stream, count, steps, *, alike=True):
    """Ids of the utterances of `steps` batches."""
    rng, fed = np.random.default_rng(9), []
    batches = []
    for _ in range(steps):
        stream.advance(lambda utterances, pool: fed.append(pool(utterances)))
        batches.append([u.item.id for u, _ in stream.pool.rows(rng, count, alike=alike)])
    return batches


def test_every_utterance_once_an_epoch_whoever_draws_it(store, shards):
    everything = {f"many/{u.item.id}" for u in load_utterances([store]) if not u.held_out}
    alone = Stream(shards, seed=4, window=3)
    batches = []
    while alone.epoch == 0:
        batches += drawn(alone, 6, 1)
    assert Counter(i for batch in batches[:-1] for i in batch) == Counter(everything)
    again = Stream(shards, seed=4, window=3)
    assert drawn(again, 6, len(batches)) == batches
    assert drawn(Stream(shards, seed=5, window=3), 6, len(batches)) != batches
    following = drawn(alone, 6, len(batches))
    assert [set(batch) for batch in following] != [set(batch) for batch in batches]  # another order

    parts = [Stream(shards, seed=4, window=3) for _ in range(2)]
    for number, part in enumerate(parts):
        part.share = (number, 2)
    halves = [drawn(part, 3, len(batches)) for part in parts]
    assert [one + other for one, other in zip(*halves, strict=True)] == batches  # of 3 each


def test_alike_lengths_lie_together(store):
    utterances = load_utterances([store])
    spread = {}
    for alike in (False, True):
        pool = Rounds(utterances, seed=(1,))
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


def test_cut_for_another_batch_a_window_begins_again(shards):
    first = Stream(shards, seed=4, window=2)
    drawn(first, 4, 2)
    second = Stream(shards, seed=4, window=2)
    second.restore(first.state())
    assert drawn(second, 3, 4) == drawn(Stream(shards, seed=4, window=2), 3, 4)


def test_what_is_not_streamed(store, shards, tiny_weights, tmp_path):
    with pytest.raises(OptionError, match="all of its people"):
        run("speaker-encoder", preset="tiny", data=[shards], out=tmp_path)
    with pytest.raises(OptionError, match="one folder of shards"):
        run("vocoder", preset="tiny", data=[shards, store.folder], out=tmp_path)
    options = {"preset": "tiny", "data": [shards], "teachers": tiny_weights}
    with pytest.raises(DataError, match="none of their recordings fits"):
        run("synthesizer", out=tmp_path, task={"languages": ("nl",)}, loop={"window": 2}, **options)
    with pytest.raises(OptionError, match="window=0: it counts shards"):
        run("vocoder", out=tmp_path, loop={"window": 0}, **options)
    stream = Stream(shards, seed=0, window=2)
    with pytest.raises(DataError, match="no utterance in it fits"):  # what is held out may, the rest not
        stream.advance(lambda utterances, pool: pool([]))


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system does not tell")
def test_as_many_workers_as_a_gpu_has_cores_and_fewer_of_shards(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)))
    gpu = torch.device("cuda")
    assert (workers_for(gpu), workers_for(gpu, sharded=True), workers_for(torch.device("cpu"))) == (8, 2, 0)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "8")
    assert (workers_for(gpu), workers_for(gpu, sharded=True)) == (1, 1)


class Counted:
    """A task whose batches say which one of the stream they are, and who made them."""

    def __init__(self) -> None:
        self.stream, self.drawn = self, 0

    def advance(self, feed):
        assert feed == self.feed

    def feed(self):
        raise AssertionError

    def state(self):
        return {"at": self.drawn}

    def rows(self, rng):
        self.drawn += 1
        return self.drawn

    def batch(self, rng):
        return {"drawn": torch.tensor(self.rows(rng)), "made_by": torch.tensor(os.getpid())}


def test_workers_share_the_batches_of_a_stream():
    made = batches(Counted(), seed=0, first=0, process=0, workers=2)
    found = [next(made) for _ in range(6)]
    assert (
        [int(batch["drawn"]) for batch, _ in found] == [place["at"] for _, place in found] == [*range(1, 7)]
    )
    who = [int(batch["made_by"]) for batch, _ in found]
    assert who == who[:2] * 3
    assert len({*who, os.getpid()}) == 3


@pytest.mark.parametrize("workers", [0, 2])
def test_what_goes_wrong_with_a_batch_is_told_as_it_is(workers, shards, tiny_weights, tmp_path):
    copy = shutil.copytree(shards, tmp_path / "shards")
    for path in copy.glob("train-*.tar"):
        path.write_bytes(path.read_bytes()[:5000])
    options = {"preset": "tiny", "data": [copy], "out": tmp_path / "run", "teachers": tiny_weights}
    with pytest.raises(DataError, match=r"train-.*no whole shard"):
        run("vocoder", loop={"workers": workers, "steps": 2}, **options)


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
            ends.append([(row["kind"], row["step"], row["mel"]) for row in rows])
        assert ends[0] == ends[1]
        assert [end[:2] for end in ends[0] if end[0] == "train"] == [("train", n) for n in range(1, 7)]


RUN = """
import json, sys, time
from pathlib import Path
import torch
from accelerate import PartialState
from voiceswap.training import run as runs
from voiceswap.training.tasks.converter import ConverterTask

def main(shards, weights, out, batch, resume, pause, steps, terms, workers="0"):
    torch.set_num_threads(1)
    state = PartialState(cpu=True)
    inner = ConverterTask.collate
    seen = open(f"{out}.seen-{state.process_index}", "a")
    def collate(self, rows, table, **options):
        if options["perturbed"]:
            print(json.dumps([u.item.id for u, _ in rows]), file=seen, flush=True)
            time.sleep(float(pause))
        return inner(self, rows, table, **options)
    ConverterTask.collate = collate
    runs.run(
        "converter", preset="tiny", data=[Path(shards)], out=Path(out), teachers=Path(weights),
        resume=resume == "1",
        loop=dict(steps=int(steps), save_minutes=0.0, log_every=1, validate_minutes=99.0, window=2, warmup=1,
                  bfloat16=False, workers=int(workers)),
        task=dict(batch_size=int(batch), frames=24, weights=(), adversarial_from=2) | json.loads(terms),
    )
    if state.num_processes > 1:
        torch.distributed.destroy_process_group()

if __name__ == "__main__":
    main(*sys.argv[1:])
"""
BY_ROW = '{"hidden": 0.0, "consistency": 0.0, "adversarial_from": null}'
"""The terms of which each row has its own part: the others draw noise, or compare a batch's rows."""
ALL = "{}"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.py"
    path.write_text(RUN)
    return path


def launched(script, processes, *arguments):
    """The script in so many processes under torchrun, which talk by gloo."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node"]
    command += [str(processes), str(script), *map(str, arguments)]
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finished(process):
    said = process.communicate(timeout=240)[0].decode()
    assert process.returncode == 0, said[-3000:]


def reached(process, out, steps):
    while not (out / "log.jsonl").is_file() or len(curve(out)) < steps:
        assert process.poll() is None
        time.sleep(0.02)


def curve(out):
    rows = map(json.loads, (out / "log.jsonl").read_text().splitlines())
    return [row["mel"] for row in rows if row["kind"] == "train"]


def state(out):
    return torch.load(out / "last.pt", weights_only=True)


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_from_twice_the_batch(script, shards, tiny_weights, tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    finished(launched(script, 1, shards, tiny_weights, one, 8, 0, 0, 12, BY_ROW))
    finished(launched(script, 2, shards, tiny_weights, two, 4, 0, 0, 12, BY_ROW))
    assert Path(f"{two}.seen-1").is_file()  # there were two
    assert len(curve(one)) == 12
    assert np.allclose(curve(one), curve(two), rtol=1e-4)
    moved = 0.0
    for name, value in state(one)["model"].items():
        assert torch.allclose(value, state(two)["model"][name], atol=5e-5), name
        moved = max(moved, float((value - state(one)["average"][name]).abs().max()))
    assert moved > 2e-4  # so the losses after the first are of weights that were learnt


@pytest.mark.slow
def test_with_one_of_two_processes_killed_a_run_ends_as_if_nothing_had_been(
    script, shards, tiny_weights, tmp_path
):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finished(launched(script, 2, shards, tiny_weights, whole, 4, 0, 0, 12, ALL))
    process = launched(script, 2, shards, tiny_weights, killed, 4, 0, 0.3, 12, ALL)
    reached(process, killed, 5)
    psutil.Process(process.pid).children()[1].send_signal(signal.SIGKILL)  # the other cannot go on alone
    process.communicate(timeout=240)
    assert process.returncode != 0
    before = [len(Path(f"{killed}.seen-{part}").read_text().splitlines()) for part in (0, 1)]
    at = state(killed)["step"]
    assert 0 < at < 12
    finished(launched(script, 2, shards, tiny_weights, killed, 4, 1, 0, 12, ALL))
    assert curve(killed) == curve(whole)
    for part in ("model", "critic"):
        ends = [state(out)[part] for out in (killed, whole)]
        assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    for part in (0, 1):  # what was learnt from: up to the state, and what came after it
        rows = Path(f"{killed}.seen-{part}").read_text().splitlines()
        learnt = rows[:at] + rows[before[part] :]
        assert learnt == Path(f"{whole}.seen-{part}").read_text().splitlines()


@pytest.mark.slow
def test_a_signal_to_all_processes_lets_the_one_that_trains_save(script, shards, tiny_weights, tmp_path):
    out = tmp_path / "run"
    arguments = [shards, tiny_weights, out, 4, 0, 0.1, 1000, ALL, 1]
    process = subprocess.Popen(
        [sys.executable, str(script), *map(str, arguments)],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    reached(process, out, 3)
    os.killpg(process.pid, signal.SIGTERM)
    said = process.communicate(timeout=60)[0].decode()
    assert process.returncode == 143
    assert f"stopped at step {state(out)['step']}; go on with --resume" in said
