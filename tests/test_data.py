"""Corpora, feature stores, perturbation and batches."""

from __future__ import annotations

import csv
import json
import logging
import os
import shutil
import signal
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import soundfile
import torch

from voiceswap import audio, cli
from voiceswap.acoustics import log_mel
from voiceswap.batch import cluster
from voiceswap.data import batches, corpora, features, perturb
from voiceswap.data.durations import frames_of
from voiceswap.data.features import FeatureStore, Item
from voiceswap.errors import DataError
from voiceswap.text.phonemes import BOUNDARY, FIRST_PHONE, INVENTORY

pytest.importorskip("lhotse", reason="needs voiceswap[train]")
# lhotse's own: a module of its dependency that Python 3.13 drops, and the like
pytestmark = pytest.mark.filterwarnings("default")

TEXTS = (
    "Author of the danger trail, Philip Steels.",
    "Not at this particular case, Tom.",
    "Lord, but I'm glad.",
)


@pytest.fixture(scope="module")
def waves(kathleen):
    """The three recordings of one woman at 24 kHz, the first 1.5 s of each."""
    return [audio.read(path)[:36000] for path in kathleen]


def write(path, samples, rate=24000):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, audio.resample(samples, 24000, rate), rate)


def break_(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("this is no audio")


def fields(cut):
    segment = cut.supervisions[0]
    found = (segment.speaker, segment.text, segment.language, segment.gender)
    return found, {name: segment.custom[name] for name in ("split", "band", "source")}


def make_tsv(folder, waves):
    columns = "id path speaker gender language source split seconds band text_origin text".split()
    with (folder / "manifest.tsv").open("w", newline="") as handle:
        table = csv.writer(
            handle, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\", lineterminator="\n"
        )
        table.writerow(columns)
        for i, (wave, text) in enumerate(zip(waves, TEXTS, strict=True)):
            write(folder / f"audio/{i}.wav", wave)
            table.writerow(
                [f"k{i}", f"audio/{i}.wav", "kathleen", "f", "en", "k", "train", 1.5, "full", "read", text]
            )
    return folder


def test_tsv(tmp_path, waves):
    cuts = list(corpora.prepare_tsv(make_tsv(tmp_path, waves)))
    assert [cut.id for cut in cuts] == ["k0", "k1", "k2"]
    assert fields(cuts[0]) == (
        ("kathleen", TEXTS[0], "en", "f"),
        {"split": "train", "band": "full", "source": "k"},
    )
    assert cuts[0].duration == pytest.approx(1.5)


def test_tsv_without_a_column(tmp_path):
    (tmp_path / "manifest.tsv").write_text("id\tpath\ttext\n1\t1.wav\thello\n")
    with pytest.raises(DataError, match="lacks band, gender, language"):
        corpora.prepare_tsv(tmp_path)


def test_teacher(tmp_path, waves):
    write(tmp_path / "wav/s00007_t000.flac", waves[0])
    write(tmp_path / "wav/s00008_t000.flac", waves[1])
    (tmp_path / "manifest.tsv").write_text(
        "id\tvoice\ttext\tseconds\tphones\tframes\n"
        "s00007\tt000\tHi.\t1.5\th ˈaɪ .\t20 30 10\n"
        "s00008\tt000\tHi.\t1.5\th ˈaɪ .\t20 30 10\n"
    )
    first, second = corpora.prepare_teacher(tmp_path)
    custom = first.supervisions[0].custom
    assert (custom["phones"], custom["ends"]) == (["h", "ˈaɪ", "."], [0.5, 1.25, 1.5])
    assert [cut.supervisions[0].custom["split"] for cut in (first, second)] == ["dev", "train"]
    assert first.supervisions[0].speaker == f"{tmp_path.name}-t000"


def make_ljspeech(folder, waves):
    lines = []
    for i, (wave, text) in enumerate(zip(waves, TEXTS, strict=True)):
        write(folder / f"wavs/LJ001-000{i}.wav", wave, 22050)
        lines.append(f"LJ001-000{i}|{text.replace('Tom', 'T. 2')}|{text}\n")
    (folder / "metadata.csv").write_text("".join(lines))
    return folder


def test_ljspeech(tmp_path, waves):
    cuts = list(corpora.prepare_ljspeech(make_ljspeech(tmp_path, waves)))
    assert [cut.id for cut in cuts] == [f"ljspeech-LJ001-000{i}" for i in range(3)]
    assert fields(cuts[1]) == (
        ("ljspeech", TEXTS[1], "en", "f"),
        {"split": "train", "band": "11k", "source": "ljspeech"},
    )


def make_vctk(folder, waves):
    (folder / "speaker-info.txt").write_text(
        "ID  AGE  GENDER  ACCENTS  REGION COMMENTS\np225  23  F    English    Southern  England\n"
        "p226  22  M    English    Surrey\n"
    )
    for speaker, number in (("p225", "001"), ("p225", "002"), ("p226", "001")):
        name = f"{speaker}_{number}"
        (folder / f"txt/{speaker}").mkdir(parents=True, exist_ok=True)
        (folder / f"txt/{speaker}/{name}.txt").write_text(TEXTS[0] + "\n")
        for mic in ("mic1", "mic2"):
            write(folder / f"wav48_silence_trimmed/{speaker}/{name}_{mic}.flac", waves[0], 48000)
    return folder


def test_vctk_takes_the_first_microphone(tmp_path, waves):
    cuts = sorted(corpora.prepare_vctk(make_vctk(tmp_path, waves)), key=lambda cut: cut.id)
    assert [cut.id for cut in cuts] == [f"vctk-{name}_mic1" for name in ("p225_001", "p225_002", "p226_001")]
    assert fields(cuts[2]) == (
        ("vctk-p226", TEXTS[0], "en", "m"),
        {"split": "train", "band": "full", "source": "vctk"},
    )
    assert all(cut.recording.sources[0].source.startswith(str(tmp_path.resolve())) for cut in cuts)


def test_vctk_without_a_recording(tmp_path, waves):
    folder = make_vctk(tmp_path, waves)
    (folder / "wav48_silence_trimmed/p225/p225_002_mic1.flac").unlink()
    break_(folder / "wav48_silence_trimmed/p226/p226_001_mic1.flac")
    skipped: list[str] = []
    assert len(corpora.prepare_vctk(folder, skipped=skipped)) == 1
    assert [line.rsplit("/", 1)[1] for line in skipped] == [
        "p225_002.txt: its recording is missing",
        "p226_001_mic1.flac: it cannot be read as audio",
    ]


def make_libritts(folder, waves):
    (folder / "SPEAKERS.txt").write_text(
        ";ID  |SEX| SUBSET |MINUTES| NAME\n84 | F | dev-clean | 8.02 | Some One\n"
    )
    for part, speaker in (("dev-clean", "84"), ("train-clean-100", "19")):
        place = folder / part / speaker / "121"
        rows, book = [], []
        for i, (wave, text) in enumerate(zip(waves[:2], TEXTS[:2], strict=True)):
            name = f"{speaker}_121_000007_00000{i}"
            write(place / f"{name}.wav", wave)
            rows.append(f"{name}\t{text.upper()}\t{text}\n")
            book.append(f"{name}\t{text}\t0.0\t20.5\n")
        (place / f"{speaker}_121.trans.tsv").write_text("".join(rows))
        (place / f"{speaker}_121.book.tsv").write_text("".join(book))
    return folder


def test_libritts_takes_every_part(tmp_path, waves):
    cuts = {cut.id: cut for cut in corpora.prepare_libritts(make_libritts(tmp_path, waves))}
    assert len(cuts) == 4
    assert fields(cuts["libritts-84_121_000007_000001"]) == (
        ("libritts-84", TEXTS[1], "en", "f"),
        {"split": "dev", "band": "full", "source": "libritts"},
    )
    assert fields(cuts["libritts-19_121_000007_000000"])[1]["split"] == "train"


@pytest.mark.parametrize(
    ("make", "prepare", "broken", "left"),
    [
        (make_tsv, corpora.prepare_tsv, "audio/1.wav", 2),
        (make_ljspeech, corpora.prepare_ljspeech, "wavs/LJ001-0001.wav", 2),
        (make_libritts, corpora.prepare_libritts, "dev-clean/84/121/84_121_000007_000000.wav", 3),
    ],
)
def test_broken_file_is_reported(tmp_path, waves, make, prepare, broken, left):
    folder = make(tmp_path, waves)
    break_(folder / broken)
    skipped: list[str] = []
    cuts = list(prepare(folder, skipped=skipped))
    assert len(cuts) == left
    assert len(skipped) == 1
    assert broken in skipped[0]
    for cut in cuts:  # the corpus' own files, not temporary ones
        assert soundfile.info(cut.recording.sources[0].source).frames > 0


@pytest.mark.parametrize("kind", corpora.RECIPES)
def test_folder_that_is_no_such_corpus(tmp_path, kind):
    with pytest.raises(DataError, match="Name the folder"):
        corpora.RECIPES[kind](tmp_path)


def moved(cut, path):
    recording = cut.recording
    return replace(cut, recording=replace(recording, sources=[replace(recording.sources[0], source=path)]))


def test_cuts_with_relative_paths(tmp_path, waves):
    cuts = corpora.prepare_ljspeech(make_ljspeech(tmp_path, waves))
    shutil.move(tmp_path / "wavs", tmp_path / "moved")
    parts = [moved(cut, f"moved/LJ001-000{i}.wav") for i, cut in enumerate(cuts)]
    type(cuts).from_cuts(parts).to_file(tmp_path / "cuts.jsonl.gz")
    (tmp_path / "moved/LJ001-0002.wav").unlink()
    skipped: list[str] = []
    again = list(corpora.prepare_cuts(tmp_path, skipped=skipped))
    assert [fields(cut) for cut in again] == [fields(cut) for cut in cuts][:2]
    assert "LJ001-0002.wav" in skipped[0]


def test_parts_of_a_recording_are_refused(tmp_path, waves):
    cuts = corpora.prepare_ljspeech(make_ljspeech(tmp_path, waves))
    cuts.truncate(max_duration=1.0, offset_type="start").to_file(tmp_path / "parts.jsonl.gz")
    with pytest.raises(DataError, match="whole recordings"):
        corpora.prepare_cuts(tmp_path / "parts.jsonl.gz")


def test_something_else_called_cuts(tmp_path):
    (tmp_path / "cuts.jsonl.gz").write_bytes(b"\x1f\x8b nothing")
    with pytest.raises(DataError, match="cannot read it as a CutSet"):
        corpora.prepare_cuts(tmp_path)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory, waves):
    """A corpus of three recordings, and its store."""
    corpus = make_tsv(tmp_path_factory.mktemp("corpus"), waves)
    out = tmp_path_factory.mktemp("store") / "k"
    seen: list[int] = []

    def progress(rows, total):
        seen.append(total)
        yield from rows

    assert features.compute(corpora.prepare_tsv(corpus), out, progress=progress) == []
    assert seen == [3]
    return corpus, out


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_cluster_computes_the_same_though_a_worker_dies(prepared, tmp_path):
    distributed = pytest.importorskip("distributed")
    corpus, out = prepared
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
    ) as there:
        address = there.scheduler_address
        with cluster.client(1, address) as client:

            def progress(rows, total):
                for number, row in enumerate(rows):
                    if number == 0:  # the others are made, or being made, by one of the two
                        os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
                    yield row

            each = partial(cluster.in_order, client=client, given_up=features.given_up)
            skipped = features.compute(
                corpora.prepare_tsv(corpus), tmp_path / "k", each=each, progress=progress
            )
        command = ["prepare", "tsv", str(corpus), "--out", str(tmp_path / "by-command")]
        assert cli.main([*command, "--scheduler", address]) == 0
    assert skipped == []
    assert content(tmp_path / "k") == content(tmp_path / "by-command") == content(out)


def test_a_recording_that_kills_its_workers_is_given_up():
    pytest.importorskip("distributed")

    def deadly(task):
        import os
        import signal

        if task["id"] == "b":
            os.kill(os.getpid(), signal.SIGKILL)
        return task["id"]

    with cluster.client(2, None) as client:
        tasks = [{"id": name} for name in "abc"]
        found = list(cluster.in_order(deadly, tasks, client, given_up=features.given_up))
    assert found[0] == "a"
    assert found[2] == "c"
    assert found[1] == {"id": "b", "error": "the processes that read it died"}


def test_a_cluster_is_for_a_corpus(tmp_path, capsys):
    arguments = ["prepare", str(tmp_path), "--out", str(tmp_path / "out"), "--scheduler", "tcp://127.0.0.1:1"]
    assert cli.main(arguments) == 2
    assert "a corpus of a known kind" in capsys.readouterr().err


def test_store_holds_what_was_computed(prepared):
    corpus, out = prepared
    store = FeatureStore(out)
    item = store.items[1]
    samples = audio.level(audio.read(corpus / "audio/1.wav"))
    assert (item.id, item.speaker, item.text, item.samples) == ("k1", "kathleen", TEXTS[1], len(samples))
    assert len(item.phonemes) == len(item.stress) > 10
    assert np.allclose(store.audio(item) / 32767, samples, atol=2e-5)
    wanted = log_mel(torch.from_numpy(samples)[None])[0].T.numpy()
    assert np.allclose(store.mel(item), wanted, atol=0.01)
    assert store.f0(item).shape == (item.frames,) == (len(samples) // 256 + 1,)
    assert 120 < np.median(store.f0(item)[store.f0(item) > 0]) < 300


@pytest.mark.parametrize("keep", [0.4, 0.9])
def test_interrupted_run_goes_on(prepared, tmp_path, keep):
    corpus, out = prepared
    shutil.copytree(out, tmp_path / "cut")
    (tmp_path / "cut" / "method.json").rename(tmp_path / "method.json")  # whole before there are rows
    for path in (tmp_path / "cut").iterdir():  # killed: data beyond the last whole row, and half a row
        size = int(path.stat().st_size * (keep if path.name == "index.jsonl" else 0.95))
        path.write_bytes(path.read_bytes()[:size])
    (tmp_path / "method.json").rename(tmp_path / "cut" / "method.json")
    assert features.compute(corpora.prepare_tsv(corpus), tmp_path / "cut") == []
    assert content(tmp_path / "cut") == content(out)


@pytest.mark.parametrize("method", [None, '{"f0": "another"}', "no JSON"])
def test_features_of_another_method_are_neither_mixed_nor_learnt(prepared, tmp_path, method):
    corpus, out = prepared
    shutil.copytree(out, tmp_path / "old")
    (tmp_path / "old" / "method.json").unlink()
    if method is not None:
        (tmp_path / "old" / "method.json").write_text(method)
    before = content(tmp_path / "old")
    for use in (
        lambda: features.FeatureStore(tmp_path / "old"),
        lambda: features.compute(corpora.prepare_tsv(corpus), tmp_path / "old"),
    ):
        with pytest.raises(DataError, match=r"another F0 .* Prepare the corpus anew"):
            use()
    assert content(tmp_path / "old") == before


def test_complete_store_is_left_alone(prepared, tmp_path):
    corpus, out = prepared
    before = content(out)
    assert features.compute(corpora.prepare_tsv(corpus), out) == []
    assert content(out) == before


def test_files_that_break_later_are_skipped(tmp_path, waves):
    corpus = make_tsv(tmp_path, waves)
    whole = (corpus / "audio/1.wav").read_bytes()
    (corpus / "audio/1.wav").write_bytes(whole[: len(whole) // 2])  # a sound header, half the data
    skipped = features.compute(corpora.prepare_tsv(corpus), tmp_path / "store")
    assert len(skipped) == 1
    assert skipped[0].startswith("k1: ")
    assert [item.id for item in FeatureStore(tmp_path / "store").items] == ["k0", "k2"]


def test_folder_without_features(tmp_path):
    with pytest.raises(DataError, match="voiceswap prepare"):
        FeatureStore(tmp_path)


def test_alignments_are_read_with_the_items(prepared, tmp_path):
    shutil.copytree(prepared[1], tmp_path / "aligned")
    raw = FeatureStore(tmp_path / "aligned").items[0]
    durations = [1] * (len(raw.phonemes) + 1) + [raw.frames - len(raw.phonemes) - 1]
    (tmp_path / "aligned/alignments.json").write_text(
        json.dumps({"model": "", "durations": {raw.id: durations}})
    )
    store = FeatureStore(tmp_path / "aligned")
    assert store.raw_items[0] == raw
    assert store.items[0].durations == durations
    assert [INVENTORY[i] for i in (store.items[0].phonemes[0], store.items[0].phonemes[-1])] == [BOUNDARY] * 2
    assert store.items[0].phonemes[1:-1] == raw.phonemes


def sounding(frames, silence=()):
    """A log-mel [frames, 80] that is loud everywhere but in the frames of `silence`."""
    mel = np.full((frames, 80), -2.0, np.float32)
    mel[list(silence)] = -11.0
    return mel


def seconds(*ends):
    return [end * 256 / 24000 for end in ends]


def test_alignment_keeps_a_pause():
    ids, stress, counts = frames_of(
        ["h", "ˈaɪ", "|", "h", "."], seconds(10, 20, 30, 40, 50), sounding(50, range(20, 30))
    )
    assert [INVENTORY[i] for i in ids] == ["h", "aɪ", "|", "h", "."]
    assert stress == [0, 1, 0, 0, 0]
    assert counts == [10, 10, 10, 20, 0]  # the full stop is loud, so its frames are the sound's before it


def test_alignment_gives_a_loud_boundary_to_its_neighbors():
    ids, _, counts = frames_of(["h", "|", "h"], seconds(10, 17, 30), sounding(30))
    assert counts == [13, 0, 17]
    assert len(ids) == 3


def test_alignment_splits_a_pair_of_sounds():
    ids, _, counts = frames_of(["ˈɚ", '"', "t"], seconds(11, 14, 20), sounding(20))
    assert [INVENTORY[i] for i in ids] == [
        "ə",
        "ɹ",
        "t",
    ]  # the quotation mark's time is the sound's before it
    assert sum(counts) == 20
    assert counts == [6, 8, 6]


def test_alignment_of_a_broken_row_is_refused():
    with pytest.raises(DataError, match="2 phones with 1 ends"):
        frames_of(["h", "iː"], [0.2], np.zeros((20, 80), np.float32))


def test_alignment_keeps_the_total():
    rng = np.random.default_rng(0)
    phones = ["|", "h", "ə", ",", "|", "l", "oʊ", "”", ".", "|"]
    for _ in range(20):
        ends = np.sort(rng.uniform(0, 1.2, len(phones)))
        frames = int(ends[-1] * 93.75) + int(rng.integers(1, 4))
        mel = sounding(frames, np.flatnonzero(rng.random(frames) < 0.4))
        ids, stress, counts = frames_of(phones, list(ends), mel)
        assert sum(counts) == frames
        assert min(counts) >= 0
        assert len(ids) == len(stress) == len(counts)


def item(name, frames, *, source="a", offset=7, split="train"):
    return Item(name, name, "en", "f", split, "full", source, "", frames, offset, 0, 0)


def utterances(*items):
    return [batches.Utterance(i, None) for i in items]  # type: ignore[arg-type]  # nothing is read


def test_pool_draws_by_length_and_weight():
    rng = np.random.default_rng(0)
    pool = batches.Pool(utterances(item("short", 100), item("long", 300), item("other", 50, source="b")))
    assert np.allclose(pool.chance, [100 / 450, 300 / 450, 50 / 450])
    pool = batches.Pool(pool.utterances, {"a": 1.0, "*": 3.0})
    assert np.allclose(pool.chance, [0.25 / 4, 0.75 / 4, 0.75])
    names = [u.item.id for u in pool.draw(rng, 4000)]
    assert names.count("other") == pytest.approx(3000, abs=120)
    assert {u.item.id for u in batches.Pool(pool.utterances, {"b": 1.0}).draw(rng, 50)} == {"other"}


def test_pool_draws_alike():
    rng = np.random.default_rng(0)
    pool = batches.Pool(utterances(*(item(str(n), n) for n in range(100, 1000))))
    spans = [np.ptp([u.item.frames for u in pool.draw_alike(rng, 8)]) for _ in range(50)]
    assert np.mean(spans) < 0.35 * 900


@pytest.mark.parametrize("weights", [None, {"elsewhere": 1.0}])
def test_pool_without_anything(weights):
    with pytest.raises(DataError):
        batches.Pool([] if weights is None else utterances(item("a", 100)), weights)


def test_held_out():
    kept, every_fortieth, dev = utterances(item("a", 99), item("b", 99, offset=0), item("c", 99, split="dev"))
    assert (kept.held_out, every_fortieth.held_out, dev.held_out) == (False, True, True)


def test_unseen_people_are_not_loaded(prepared, tmp_path):
    shutil.copytree(prepared[1], tmp_path / "store")
    index = tmp_path / "store/index.jsonl"
    index.write_text(index.read_text().replace('"split": "train"', '"split": "dev-unseen"', 1))
    assert [u.item.id for u in batches.load_utterances([tmp_path / "store"])] == ["k1", "k2"]


def test_crop_and_pad(prepared):
    found = batches.load_utterances([prepared[1]])[0]
    rng = np.random.default_rng(0)
    mel, f0, start = batches.crop(found, 50, rng)
    assert np.array_equal(mel, found.mel()[start : start + 50])
    assert np.array_equal(f0, found.f0()[start : start + 50])
    mel, f0, start = batches.crop(found, 1000, rng)  # longer than it is: repeated
    assert mel.shape == (1000, 80)
    assert f0.shape == (1000,)
    padded = batches.pad([np.ones((2, 3), np.float32), np.ones((4, 3), np.float32)], -1.0)
    assert padded.shape == (2, 4, 3)
    assert padded[0, :, 0].tolist() == [1, 1, -1, -1]


def test_formants_move_by_the_factor():
    bands = np.arange(80)
    mel = np.exp(-0.5 * ((bands - 40) / 3) ** 2)[None].astype(np.float32)
    for factor in (0.88, 1.0, 1.15):
        assert perturb.warp_formants(mel, factor)[0].argmax() == pytest.approx(40 * factor, abs=0.6)


def test_stretch_changes_the_length_and_keeps_a_ramp():
    ramp = np.linspace(0, 1, 100, dtype=np.float32)[:, None]
    longer = perturb.stretch(ramp, 1.2)
    assert longer.shape == (120, 1)
    assert np.allclose(longer[:, 0], np.linspace(0, 1, 120), atol=1e-6)


def test_perturbed_mel_stays_a_mel(prepared):
    mel = batches.load_utterances([prepared[1]])[0].mel()
    before = mel.copy()
    outs = [perturb.perturb(mel, np.random.default_rng(seed)) for seed in range(20)]
    for out in outs:
        assert (out.shape, out.dtype) == (mel.shape, np.float32)
        assert np.isfinite(out).all()
        assert out.min() >= np.log(1e-5) - 1e-5
    assert np.array_equal(mel, before)
    assert len({out.tobytes() for out in outs}) == 20
    assert np.array_equal(outs[3], perturb.perturb(mel, np.random.default_rng(3)))
    masked = perturb.mask_patches(mel, np.random.default_rng(0))
    assert 0 < (masked != mel).mean() < 0.5
    assert np.array_equal(mel, before)


def test_every_phoneme_of_a_text_is_in_the_store(prepared):
    for found in FeatureStore(prepared[1]).items:
        assert sum(i >= FIRST_PHONE for i in found.phonemes) > 8
