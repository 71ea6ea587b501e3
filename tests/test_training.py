"""Training: forced alignment, the losses, and the loop with the tiny preset of every model."""

from __future__ import annotations

import copy
import json
import math
import shutil
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file
from scipy.signal import firwin

pytest.importorskip("accelerate", reason="needs voiceswap[train]")
pytest.importorskip("lhotse", reason="needs voiceswap[train]")

import voiceswap
from voiceswap import audio, checkpoint
from voiceswap.acoustics import log_mel
from voiceswap.bundle import WEIGHTS
from voiceswap.data import corpora, features
from voiceswap.data.batches import Utterance, load_utterances
from voiceswap.data.features import FeatureStore, Item, padded
from voiceswap.data.perturb import warp_formants
from voiceswap.errors import CheckpointError, ConsentError, DataError, OptionError, VoiceFileError
from voiceswap.models.alignment import forced_durations
from voiceswap.models.converter import Converter
from voiceswap.models.dynamics import as_loud, loudness_of, loudness_quantiles
from voiceswap.models.phone_recognizer import CLASSES, SIZES, PhoneRecognizer, to_class
from voiceswap.models.synthesizer import Synthesizer
from voiceswap.models.timbre import OF_CONVERSIONS, ONCE, add_lacking, remembered, tables_of
from voiceswap.models.vocoder import Vocoder
from voiceswap.nn.discriminators import WaveDiscriminator, match_features
from voiceswap.text.phonemes import parse
from voiceswap.training import presets
from voiceswap.training import run as run_module
from voiceswap.training.adapt import adapt
from voiceswap.training.alignment import align_store
from voiceswap.training.imitation import Imitation
from voiceswap.training.lessons import WIDTH
from voiceswap.training.optimization import TrainingConfig
from voiceswap.training.products import use_bfloat16_products
from voiceswap.training.run import align, run, stores
from voiceswap.training.speakers import SpeakerTable, store_vectors
from voiceswap.training.spoken import speak
from voiceswap.training.tasks import references
from voiceswap.training.tasks.adapter import AdapterTask, AdapterTraining
from voiceswap.training.tasks.converter import ConverterTask, ConverterTraining, dynamics_of, partners, tracts
from voiceswap.training.tasks.judging import misunderstood, unlike
from voiceswap.training.tasks.phone_recognizer import (
    PhoneRecognizerTask,
    PhoneRecognizerTraining,
    collapse,
    edit_distance,
    frame_labels,
)
from voiceswap.training.tasks.references import disguised
from voiceswap.training.tasks.speaker_encoder import equal_error_rate
from voiceswap.training.tasks.synthesizer import (
    SynthesizerTask,
    SynthesizerTraining,
    band_weights,
    phone_rate,
)
from voiceswap.training.tasks.vocoder import spectral_losses

# Of the libraries that train: deprecated parts of each other.
pytestmark = pytest.mark.filterwarnings("default")

KINDS = tuple(kind for kind in checkpoint.MODELS if kind != "detector")  # which hears recordings
SPOKEN = "Not at this particular case, Tom."
SPELLED = "h ə l ˈoʊ | ð ˈɛ ɹ ."


@pytest.fixture(scope="module")
def data(tmp_path_factory, kathleen, nathalie):
    """Two stores of short pieces: one with durations, as of a teacher, and one of people with texts."""
    root = tmp_path_factory.mktemp("data")
    pieces = {
        name: [
            wave[start : start + 19200]
            for path in paths
            for wave in [audio.read(path)]
            for start in range(4800, len(wave) - 19200, 16000)
        ]
        for name, paths in (("t000", kathleen), ("t001", nathalie))
    }
    teacher = root / "corpora" / "teacher"
    people = root / "corpora" / "people"
    (teacher / "wav").mkdir(parents=True)
    people.mkdir()
    taught, told = (
        ["id\tvoice\ttext\tphones\tframes"],
        ["\t".join("id path speaker gender language source split band text".split())],
    )
    frames = "3 2 3 4 1 3 4 6 6"
    for voice, waves in pieces.items():
        for i, wave in enumerate(waves):
            name = f"{voice}{i}"
            soundfile.write(teacher / f"wav/{i:05d}_{voice}.flac", wave, 24000)
            soundfile.write(people / f"{name}.wav", wave, 24000)
            taught.append(f"{i:05d}\t{voice}\thello\t{SPELLED}\t{frames}")
            for split in ("train", "dev-unseen"):
                told.append(
                    "\t".join(
                        [
                            f"{name}-{split}",
                            f"{name}.wav",
                            f"{voice}-{split}",
                            "f",
                            "en",
                            "people",
                            split,
                            "8k",
                            SPOKEN,
                        ]
                    )
                )
    (teacher / "manifest.tsv").write_text("\n".join(taught) + "\n")
    (people / "manifest.tsv").write_text("\n".join(told) + "\n")
    assert features.compute(corpora.prepare_teacher(teacher), root / "stores/teacher") == []
    assert features.compute(corpora.prepare_tsv(people), root / "stores/people") == []
    return root / "stores"


@pytest.fixture(scope="module")
def teachers(tmp_path_factory):
    """Weights of an untrained tiny recognizer and speaker encoder."""
    folder = tmp_path_factory.mktemp("teachers")
    torch.manual_seed(5)
    for kind in ("phone-recognizer", "speaker-encoder"):
        model = checkpoint.MODELS[kind][0](presets.find(kind, "tiny").model)
        checkpoint.save(model, folder / f"{kind}.safetensors")
    return folder


def train(kind, data, teachers, out, *, seed=1, **options):
    torch.manual_seed(seed)  # the same initial weights every time
    return run(kind, preset="tiny", data=[data], out=out, teachers=teachers, **options)


def log(out, kind="train"):
    rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [row for row in rows if row["kind"] == kind]


def without_time(rows):
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("kind", KINDS)
def test_tiny_training(kind, data, teachers, tmp_path, capsys):
    metrics = train(kind, data, teachers, tmp_path)
    assert metrics
    assert all(math.isfinite(value) for value in metrics.values())
    rows = log(tmp_path)
    assert [row["step"] for row in rows] == [5, 10, 15, 20]
    assert all(math.isfinite(value) for row in rows for value in row.values() if not isinstance(value, str))
    assert log(tmp_path, "held-out")[-1]["step"] == 20
    model = checkpoint.load(tmp_path / f"{kind}.safetensors", kind)
    assert model.config == presets.find(kind, "tiny").model
    header = checkpoint.read_header(tmp_path / f"{kind}.safetensors")
    training = json.loads(header["training"])
    assert (training["steps"], training["data"], training["preset"]) == (20, ["people", "teacher"], "tiny")
    assert any(path.name.startswith("events.out.tfevents") for path in tmp_path.iterdir())
    said = capsys.readouterr().out
    assert "steps/s" in said
    assert "min left" in said
    assert "held-out at step 20" in said


def test_vocoder_learns(data, teachers, tmp_path):
    loop = {"steps": 30, "log_every": 10, "learning_rate": 3e-3}
    metrics = train("vocoder", data, teachers, tmp_path, loop=loop)
    totals = [sum(row[name] for name in ("mel", "log", "linear")) for row in log(tmp_path)]
    assert totals[-1] < 0.97 * totals[0]
    assert metrics["mel"] < 2


def test_vocoder_learns_with_every_number_of_corrections(data, teachers, tmp_path, monkeypatch):
    asked, forward = [], Vocoder.forward

    def spied(model, mel, f0, **options):
        if model.training:
            asked.append(options["corrections"])
        return forward(model, mel, f0, **options)

    monkeypatch.setattr(Vocoder, "forward", spied)
    train("vocoder", data, teachers, tmp_path, loop={"steps": 8})
    assert [asked.count(number) for number in range(6)] == [0, 2, 2, 2, 2, 0]


class Killed(Exception):
    pass


@pytest.mark.parametrize(
    ("kind", "steps", "task"),
    [
        *((kind, 20, {}) for kind in KINDS),
        ("vocoder", 6, {"adversarial_from": 1}),
        ("converter", 6, {"adversarial_from": 1}),
        ("converter", 6, {"hidden": 0.0}),
    ],
)
def test_resumed_run_reaches_the_same_losses(kind, steps, task, data, teachers, tmp_path, monkeypatch):
    from voiceswap.training import loop as loop_module

    loop = {"steps": steps, "log_every": 1, "save_minutes": 0.0}
    train(kind, data, teachers, tmp_path / "whole", loop=loop, task=task)
    rate = loop_module.rate_at

    def killed(config, step, seconds):
        if step == steps // 2:
            raise Killed
        return rate(config, step, seconds)

    monkeypatch.setattr(loop_module, "rate_at", killed)
    with pytest.raises(Killed):
        train(kind, data, teachers, tmp_path / "parts", loop=loop, task=task)
    monkeypatch.setattr(loop_module, "rate_at", rate)
    # Nothing may hang on the state of the process.
    train(kind, data, teachers, tmp_path / "parts", loop=loop, task=task, resume=True, seed=99)
    whole, parts = without_time(log(tmp_path / "whole")), without_time(log(tmp_path / "parts"))
    assert [row["step"] for row in parts] == list(range(1, steps + 1))
    if torch.cuda.is_available():  # sums in another order
        for one, other in zip(whole, parts, strict=True):
            assert one == pytest.approx(other, rel=0.05)
    else:
        assert parts == whole
        one, other = (load_file(tmp_path / name / f"{kind}.safetensors") for name in ("whole", "parts"))
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_vocoder_imitates_the_acoustic_models(data, tiny_weights, tmp_path):
    torch.manual_seed(1)
    utterances = load_utterances([data / "teacher", data / "people"])
    imitation = Imitation(
        lambda kind: checkpoint.load(tiny_weights / f"{kind}.safetensors", kind), utterances
    )
    spoken, told = (
        next(u for u in utterances if bool(u.item.durations) == taught) for taught in (True, False)
    )
    for utterance in (spoken, told):
        rng = np.random.default_rng(3)
        mels = [imitation.mel(utterance, start, 20, rng) for start in (0, 11, utterance.item.frames - 20)]
        assert all(mel.shape == (20, 80) and np.isfinite(mel).all() for mel in mels)
    # The same frames, however the crop lies.
    whole = imitation.mel(told, 0, told.item.frames, np.random.default_rng(4))
    part = imitation.mel(told, 20, 16, np.random.default_rng(4))
    assert np.abs(part - whole[20:36]).max() < 0.05
    metrics = run(
        "vocoder", preset="tiny", data=[data], out=tmp_path, teachers=tiny_weights, task={"imitated": 0.5}
    )
    assert math.isfinite(metrics["mel"])


@pytest.fixture
def talks(tmp_path, kathleen):
    """A folder with 40 s of one woman's speech."""
    folder = tmp_path / "talks"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number:02}.opus").write_bytes(kathleen[number % 3].read_bytes())
    (folder / "00.txt").write_text("What is said lies beside it.")
    return folder


def test_an_adapter_brings_the_decoder_nearer_to_the_person(
    tiny_studio, tiny_weights, kathleen, talks, tmp_path
):
    consent = voiceswap.Consent("Ada Example", "convert,train", None)
    voice = replace(tiny_studio.voices["alto-1"], consent=consent, builtin=False)
    adapt(voice, talks, tmp_path / "run-of-one", steps=1, weights=tiny_weights)
    adapted = adapt(voice, talks, tmp_path / "run", steps=40, weights=tiny_weights)
    before, after = (log(tmp_path / name, "held-out")[-1]["mel"] for name in ("run-of-one", "run"))
    assert after < 0.998 * before  # it has learned nothing else, and its last layer is small
    assert adapted.adapter is not None
    assert np.abs(adapted.adapter.offsets).max() > 0.01
    assert adapted.adapter.timbre is not None
    adapted.save(tmp_path / "ada.voice")
    again = voiceswap.Voice.load(tmp_path / "ada.voice")
    np.testing.assert_array_equal(again.adapter.offsets, adapted.adapter.offsets)
    np.testing.assert_array_equal(again.adapter.timbre.lacking, adapted.adapter.timbre.lacking)
    plain = tiny_studio.convert(kathleen[0], voice).samples
    moved = tiny_studio.convert(kathleen[0], again).samples
    assert len(plain) == len(moved)
    assert np.abs(plain - moved).max() > 1e-3
    without = replace(again, adapter=replace(again.adapter, timbre=None))
    assert np.abs(tiny_studio.convert(kathleen[0], without).samples - moved).max() > 1e-3
    foreign = replace(again, adapter=replace(again.adapter, converter="0" * 64))
    with pytest.raises(VoiceFileError, match="Adapt it again"):
        tiny_studio.convert(kathleen[0], foreign)


def test_an_adapter_leaves_bands_alone_that_its_recordings_do_not_carry(tiny_weights):
    converter, recognizer = (
        checkpoint.load(tiny_weights / f"{kind}.safetensors", kind)
        for kind in ("converter", "phone-recognizer")
    )
    noise = 0.05 * np.random.default_rng(0).standard_normal(4 * audio.SAMPLE_RATE)
    below = firwin(255, 3000, fs=audio.SAMPLE_RATE, window="blackman")
    dull = np.convolve(noise, below)
    vector = np.eye(converter.config.speaker, dtype=np.float32)[0]
    task = AdapterTask(converter, recognizer, vector, [dull.astype(np.float32)], AdapterTraining(2, 64))
    taught = task.taught[:, 0]
    assert taught[:40].all()
    assert not taught[70:].any()
    batch = task.batch(np.random.default_rng(0))
    with torch.no_grad():
        bare = task.losses(task.model, batch, 0)[0]["mel"]
        batch["mel"][:, ~taught] -= 5.0
        assert torch.isclose(task.losses(task.model, batch, 0)[0]["mel"], bare, atol=0.05)
        batch["mel"][:, taught] -= 5.0
        assert task.losses(task.model, batch, 0)[0]["mel"] > bare + 1
        # Where nothing is taught, every move away from what was made before counts.
        task.taught[:] = False
        assert task.losses(task.model, batch, 0)[0]["mel"] == 0
        task.model.offsets += 1.0
        assert task.losses(task.model, batch, 0)[0]["mel"] > 0.01


def test_what_nobody_is_adapted_to(tiny_studio, tiny_weights, kathleen, talks, tmp_path):
    consent = voiceswap.Consent("Ada Example", "convert", None)
    voice = replace(tiny_studio.voices["alto-1"], consent=consent, builtin=False)
    with pytest.raises(ConsentError, match="train"):
        adapt(voice, talks, tmp_path / "run", steps=1, weights=tiny_weights)
    voice = replace(voice, consent=voiceswap.Consent("Ada Example", "train", None))
    with pytest.raises(DataError, match="at least 30 s"):
        adapt(voice, kathleen[0], tmp_path / "run", steps=1, weights=tiny_weights)
    with pytest.raises(VoiceFileError, match="embedding space"):
        adapt(replace(voice, space="0" * 64), talks, tmp_path / "run", steps=1, weights=tiny_weights)
    assert not (tmp_path / "run").exists()


def test_init_starts_from_weights(data, teachers, tmp_path):
    torch.manual_seed(7)
    model = checkpoint.MODELS["vocoder"][0](presets.find("vocoder", "tiny").model)
    checkpoint.save(model, tmp_path / "start.safetensors")
    run(
        "vocoder",
        preset="base",
        data=[data],
        out=tmp_path / "run",
        init=tmp_path / "start.safetensors",
        loop={"steps": 1, "learning_rate": 0.0},
        task={"batch_size": 2, "frames": 24},
    )
    start, end = load_file(tmp_path / "start.safetensors"), load_file(tmp_path / "run/vocoder.safetensors")
    assert all(torch.equal(start[name], end[name]) for name in start)  # so the weights' size won, too
    header = checkpoint.read_header(tmp_path / "run/vocoder.safetensors")
    assert json.loads(header["training"])["from"].endswith("start.safetensors")
    with pytest.raises(CheckpointError, match="holds a vocoder"):
        train("converter", data, teachers, tmp_path / "other", init=tmp_path / "start.safetensors")


def test_weights_belong_to_those_that_they_were_trained_with(data, teachers, tmp_path):
    folder = shutil.copytree(teachers, tmp_path / "weights")
    hashes = {path.stem: checkpoint.read_header(path)["sha256"] for path in folder.iterdir()}
    for kind, known in (("synthesizer", {"speaker-encoder"}), ("converter", {*hashes})):
        train(kind, data, teachers, tmp_path / kind, loop={"steps": 1})
        shutil.copy(tmp_path / kind / f"{kind}.safetensors", folder)
        model = checkpoint.load_from(folder, kind)
        assert model.teachers == {name: hashes[name] for name in known}
    torch.manual_seed(8)
    for other, refused in (
        ("phone-recognizer", {"converter"}),
        ("speaker-encoder", {"converter", "synthesizer"}),
    ):
        checkpoint.save(
            checkpoint.MODELS[other][0](presets.find(other, "tiny").model), folder / f"{other}.safetensors"
        )
        for kind in ("synthesizer", "converter"):
            with (
                pytest.raises(CheckpointError, match="trained with the") if kind in refused else nullcontext()
            ):
                checkpoint.load_from(folder, kind)


def test_what_is_frozen_stays(data, teachers, tmp_path):
    out, more = tmp_path / "before", tmp_path / "after"
    train("synthesizer", data, teachers, out)
    weights = out / "synthesizer.safetensors"
    fresh = {"learning_rate": 0.05, "warmup": 1, "frozen": ("decoder", "speaker")}
    train("synthesizer", data, teachers, more, init=weights, loop={"steps": 3, **fresh})
    was, now = (load_file(path) for path in (weights, more / "synthesizer.safetensors"))
    kept = {name.split(".")[0] for name, value in now.items() if torch.equal(value, was[name])}
    changed = {name.split(".")[0] for name, value in now.items() if not torch.equal(value, was[name])}
    assert {"decoder", "speaker"} <= kept - changed
    assert {"text", "duration", "pitch"} <= changed
    assert [row["step"] for row in log(more, "held-out")] == [0, 3]  # before and after
    with pytest.raises(OptionError, match="batch_size=None: it is a whole number, here"):
        train("synthesizer", data, teachers, tmp_path / "x", task={"batch_size": None})
    train("synthesizer", data, teachers, tmp_path / "x", task={"adversarial_from": None}, loop={"steps": 1})
    with pytest.raises(OptionError, match="parts are symbol"):
        train("synthesizer", data, teachers, tmp_path / "x", loop={"frozen": ("nose",)})


def test_what_cannot_be_trained(data, teachers, tmp_path):
    with pytest.raises(OptionError, match="Choose one of vocoder, phone-recognizer"):
        run("parrot", preset="tiny", data=[data], out=tmp_path)
    with pytest.raises(OptionError, match="Choose one of tiny, base, large"):
        run("vocoder", preset="huge", data=[data], out=tmp_path)
    with pytest.raises(OptionError, match=r"batchsize.*Choose from.*batch_size"):
        train("vocoder", data, teachers, tmp_path, task={"batchsize": 3})
    with pytest.raises(DataError, match="voiceswap prepare"):
        train("vocoder", tmp_path, teachers, tmp_path)
    with pytest.raises(CheckpointError, match="nothing to resume"):
        train("vocoder", data, teachers, tmp_path / "new", resume=True)
    with pytest.raises(CheckpointError, match="no such weights file"):
        train("converter", data, tmp_path, tmp_path / "new")
    with pytest.raises(DataError, match="none of their recordings"):  # people without alignments
        train("synthesizer", data / "people", teachers, tmp_path / "new")


@pytest.mark.parametrize("name", presets.NAMES)
def test_presets_have_every_model(name):
    for kind, (_, config) in checkpoint.MODELS.items():
        preset = presets.find(kind, name)
        assert isinstance(preset.model, config)
        assert isinstance(preset.loop, TrainingConfig)


def test_stores_below_a_folder(data):
    assert stores(data) == [data / "people", data / "teacher"]
    assert stores(data / "people") == [data / "people"]


class Recognizer:
    """A recognizer that is sure of a path of classes, one a pair of frames."""

    weights_hash = "fake"

    def __init__(self, *runs):
        classes = [self.of(symbol) for symbol, count in runs for _ in range(count)]
        self.logits = torch.nn.functional.one_hot(torch.tensor(classes), CLASSES).float()[None] * 12

    @staticmethod
    def of(symbol):
        return int(to_class(torch.tensor(parse(symbol).ids))[0]) if symbol else 0

    def __call__(self, mel):
        assert mel.shape[1:] == (80, mel.shape[2])
        return None, self.logits[:, : (mel.shape[2] + 1) // 2]


def aligned(runs, text, frames):
    return forced_durations(Recognizer(*runs), torch.zeros(80, frames), padded(list(parse(text).ids)))


def test_alignment_of_a_known_path():
    runs = [("", 3), ("h", 2), ("ə", 3), ("", 4), ("l", 2), ("oʊ", 4), ("", 3)]
    durations, likelihood = aligned(runs, "h ə | l oʊ", 42)
    #                    |  h  ə  |  l  oʊ |
    assert durations == [6, 4, 6, 8, 4, 8, 6]
    assert likelihood > -0.01


def test_short_silence_belongs_to_the_sound_before():
    runs = [("h", 3), ("", 2), ("ə", 4), ("", 3), ("l", 3)]
    assert aligned(runs, "h | ə l", 30)[0] == [0, 10, 0, 14, 6, 0]  # and a long one where there is no mark


def test_pause_goes_to_the_last_mark():
    runs = [("h", 3), ("", 6), ("ə", 3)]
    assert aligned(runs, "h , | ə", 24)[0] == [0, 6, 0, 12, 6, 0]


def test_the_same_sound_twice():
    runs = [("l", 3), ("", 1), ("l", 4)]
    assert aligned(runs, "l | l", 16)[0] == [0, 8, 0, 8, 0]


def test_durations_of_an_odd_count_add_up():
    runs = [("", 2), ("h", 4), ("ə", 5)]
    durations, _ = aligned(runs, "h ə", 21)
    assert sum(durations) == 21
    assert durations[:2] == [4, 8]


def test_what_cannot_be_aligned():
    assert aligned([("h", 2)], "h ə l oʊ", 4) is None  # fewer frames than sounds
    assert aligned([("h", 9)], "", 18) is None
    _, unlikely = aligned([("h", 5), ("ə", 5)], "l oʊ", 20)
    assert unlikely < -5


def test_alignment_of_a_store(data, teachers, tmp_path):
    import shutil

    shutil.copytree(data / "people", tmp_path / "people")
    counts = align([tmp_path], teachers=teachers, progress=lambda rows, total: rows)
    assert set(counts) == {str(tmp_path / "people")}
    store = FeatureStore(tmp_path / "people")
    recognizer = checkpoint.load(teachers / "phone-recognizer.safetensors", "phone-recognizer")
    scores = align_store(recognizer, store, lowest=-100.0)  # this one has learned nothing
    assert set(scores) == {item.id for item in store.items}
    for item in FeatureStore(tmp_path / "people").items:
        assert sum(item.durations) == item.frames
        assert len(item.durations) == len(item.phonemes) == len(item.stress)
        assert min(item.durations) >= 0
    assert align_store(recognizer, store, lowest=0.0) == scores
    assert not any(item.durations for item in FeatureStore(tmp_path / "people").items)


def test_speaker_table(data, teachers):
    encoder = checkpoint.load(teachers / "speaker-encoder.safetensors", "speaker-encoder")
    found = load_utterances([data / "teacher"])
    store = found[0].store
    vectors = store_vectors(encoder, store)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-4)
    assert np.array_equal(store_vectors(encoder, store), vectors)  # from the file beside the store
    table = SpeakerTable(encoder, found)
    assert set(table.vectors) == {"teacher-t000", "teacher-t001"}
    assert sum(map(len, table.vectors.values())) == len(found)
    rng = np.random.default_rng(0)
    own = table.vectors[found[0].item.speaker][table.own[found[0].item.id]]
    for _ in range(20):
        vector = table.vector(found[0], rng)
        assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
        assert not np.allclose(vector, own)
    alone = SpeakerTable(encoder, found[:1])
    assert np.allclose(alone.vector(found[0], rng), own, atol=1e-5)  # there is no other
    heard = [alone.warped_vector(found[0], factor, rng) for factor in (1.0, 1.15)]
    assert np.allclose(heard[0], own, atol=1e-2)  # of its first 300 frames
    assert np.linalg.norm(heard[1]) == pytest.approx(1, abs=1e-4)
    assert heard[0] @ heard[1] < heard[0] @ own


def test_disguised_utterances(data, teachers):
    encoder = checkpoint.load(teachers / "speaker-encoder.safetensors", "speaker-encoder")
    found = load_utterances([data / "teacher"])
    task = SimpleNamespace(config=SimpleNamespace(pseudo=1.0), table=SpeakerTable(encoder, found))
    mel, f0 = found[0].mel(), found[0].f0()
    moved_mel, moved, vector, factor = disguised(task, found[0], mel, f0, np.random.default_rng(1))
    assert factor != 1
    assert 0.86 < factor < 1.17
    assert np.allclose(moved, f0 * factor, rtol=1e-4)
    assert np.allclose(moved_mel, warp_formants(mel, factor), atol=1e-3)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-4)
    assert disguised(task, found[0], mel, f0, None) == (mel, f0, None, 1.0)
    task.config.pseudo = 0.0
    assert disguised(task, found[0], mel, f0, np.random.default_rng(1)) == (mel, f0, None, 1.0)


def test_bfloat16_products_are_those_of_float32(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    torch.manual_seed(0)
    exact = torch.nn.Sequential(torch.nn.Linear(24, 48), torch.nn.SiLU(), torch.nn.Linear(48, 8, bias=False))
    fast = copy.deepcopy(exact)
    assert use_bfloat16_products(fast)
    x = torch.randn(3, 5, 24, requires_grad=True)
    made = []
    for model in (exact, fast):
        x.grad = None
        y = model(x)
        y.square().mean().backward()
        made.append([y, x.grad, *(p.grad for p in model.parameters())])
    for one, other in zip(*made, strict=True):
        assert one.dtype == other.dtype == torch.float32
        assert not torch.equal(one, other)
        assert (one - other).norm() < 0.02 * one.norm()
    critic = WaveDiscriminator(channels=8)
    wave = torch.randn(1, 6000) * 0.1
    exactly = critic(wave)
    assert use_bfloat16_products(critic)
    nearly = critic(wave)
    assert nearly[0][0].dtype == torch.float32
    assert nearly[1][0].dtype == torch.bfloat16
    assert match_features(exactly, nearly) < 0.02
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert not use_bfloat16_products(exact)


def test_whole_recordings_are_labelled_where_they_are_aligned(data):
    model = PhoneRecognizer(SIZES["tiny"])
    task = PhoneRecognizerTask(
        model, [data / "teacher", data / "people"], PhoneRecognizerTraining(aligned=2, frames=32, spoken=2)
    )
    for number, utterance in enumerate(task.spoken.utterances):
        item = utterance.item
        each = item.frames // len(item.phonemes)
        aligned = replace(item, durations=(each,) * len(item.phonemes))
        task.spoken.utterances[number] = replace(utterance, item=aligned)
    batch = task.batch(np.random.default_rng(0))
    labels = batch["ctc_labels"]
    assert labels.shape == (2, (batch["ctc_mel"].shape[1] + 1) // 2)
    for row, frames, phones in zip(labels, batch["ctc_frames"], batch["phones"], strict=True):
        heard = (int(frames) + 1) // 2
        assert (row[:heard] >= 0).all()
        assert (row[heard:] == -100).all()  # what is padding teaches nothing
        order = [int(c) for c in torch.unique_consecutive(row[:heard]) if c]
        said = [int(c) for c in torch.unique_consecutive(phones) if c]
        assert order == said[: len(order)]


def test_lessons_are_heard_where_the_crop_lies(data, tmp_path):
    folder = tmp_path / "taught"
    shutil.copytree(data / "teacher", folder)
    items = FeatureStore(folder).items
    places, frames = {}, []
    for item in items[1:]:  # the first one has none
        count = item.frames * 256 // 576  # 24 ms each
        places[item.id] = [sum(map(len, frames)), count]
        when = (np.arange(count) * 384 + 447) / 16000
        frames.append(np.repeat(when[:, None], WIDTH, 1).astype(np.float16))
    np.concatenate(frames).tofile(folder / "moonshine.f16")
    (folder / "moonshine.json").write_text(json.dumps(places))
    torch.manual_seed(0)
    model = PhoneRecognizer(replace(SIZES["tiny"], channels=WIDTH))
    config = PhoneRecognizerTraining(aligned=6, frames=32, spoken=0, taught=2.0)
    task = PhoneRecognizerTask(model, [folder], config)
    for utterance in task.aligned.utterances:
        lesson = task._lesson(utterance, 10, 44, 40)
        assert lesson.shape == (20, WIDTH)
        if utterance.item.id not in places:
            assert np.isnan(lesson).all()
            continue
        middles = (10 + np.arange(0, 40, 2) * 1.1 + 0.5) * 256 / 24000
        known = middles < 0.024 * (places[utterance.item.id][1] - 1)
        assert np.abs(lesson[known, 0] - middles[known]).max() < 0.002  # float16
    batch = task.batch(np.random.default_rng(0))
    assert batch["lesson"].shape == (6, 16, WIDTH)
    losses, _ = task.losses(model, batch, 0)
    with torch.no_grad():
        wanted = batch["lesson"][~batch["lesson"][..., 0].isnan()]
        made = model.understand(batch["mel"].transpose(1, 2))[~batch["lesson"][..., 0].isnan()]
    assert float(losses["taught"]) == pytest.approx(
        2 * float(((made - wanted) ** 2).sum() / (wanted**2).sum()), rel=1e-3
    )
    batch["lesson"].fill_(float("nan"))
    assert float(task.losses(model, batch, 0)[0]["taught"]) == 0
    small = PhoneRecognizer(SIZES["tiny"])
    with pytest.raises(OptionError, match="288"):
        PhoneRecognizerTask(small, [folder], config)
    with pytest.raises(DataError, match="recognizer_teacher"):
        PhoneRecognizerTask(model, [data / "teacher"], config)


def test_the_synthesizer_speaks_for_the_recognizer(data, tiny_weights, tmp_path):
    encoder, synthesizer = (
        checkpoint.load(tiny_weights / f"{kind}.safetensors", kind)
        for kind in ("speaker-encoder", "synthesizer")
    )
    table = SpeakerTable(encoder, load_utterances([data / "teacher"]))
    texts = ["Twelve of them.", "Not one! Or two?"]
    assert features.append(speak(texts, synthesizer, table, seed=3), tmp_path) == []
    store = FeatureStore(tmp_path)
    assert [item.text for item in store.items] == ["Twelve of them.", "Not one!", "Or two?"]
    for item in store.items:
        assert len(item.phonemes) == len(item.stress) == len(item.durations)
        assert sum(item.durations) == item.frames == len(store.f0(item)) > 0
        assert np.isfinite(store.mel(item)).all()
        assert len(store.audio(item)) == 0
    again = list(speak(texts, synthesizer, table, seed=3))
    assert [row["durations"] for row in again] == [item.durations for item in store.items]
    # It goes on behind what is there.
    assert features.append(speak(texts[:1], synthesizer, table, seed=4), tmp_path) == []
    assert len(FeatureStore(tmp_path).items) == 4


def test_labels_and_rate_of_an_aligned_utterance(data):
    utterance = load_utterances([data / "teacher"])[0]
    labels = frame_labels(utterance)
    assert labels.shape == (utterance.item.frames,)
    assert labels[0] == Recognizer.of("h")
    assert labels.max() < CLASSES
    item = Item(
        "i",
        "s",
        "en",
        "",
        "train",
        "full",
        "",
        "",
        100,
        7,
        0,
        0,
        list(parse("h | ə").ids),
        [0, 0, 0],
        [20, 50, 30],
    )
    assert phone_rate(Utterance(item, None)) == pytest.approx(2 * 93.75 / 50)  # type: ignore[arg-type]


def test_spectral_losses():
    torch.manual_seed(0)
    wave = torch.randn(2, 6000) * 0.1
    full = torch.full((2,), 12000.0)
    assert all(float(value) < 1e-4 for value in spectral_losses(wave, wave, full).values())
    assert all(float(value) > 0.05 for value in spectral_losses(wave, wave * 0.5, full).values())
    time = torch.arange(6000) / 24000
    high = wave + 0.1 * torch.sin(2 * math.pi * 10000 * time)
    heard, unheard = (
        spectral_losses(high, wave, torch.full((2,), hertz))["log"] for hertz in (12000.0, 7400.0)
    )
    assert unheard < 0.3 * heard


def test_band_weights():
    weights = band_weights(["full", "8k", "6k"])
    assert weights.shape == (3, 80, 1)
    totals = weights.sum((1, 2)).tolist()
    assert totals[0] == 80 > totals[1] > totals[2] > 60


def test_edit_distance_and_collapse():
    assert edit_distance([1, 2, 3], [1, 2, 3]) == 0
    assert edit_distance([1, 2, 3], []) == 3
    assert edit_distance(list(b"kitten"), list(b"sitting")) == 3
    assert collapse(np.array([0, 3, 3, 0, 3, 5, 5, 0])) == [3, 3, 5]


def test_equal_error_rate():
    rng = np.random.default_rng(0)
    assert equal_error_rate(np.full(50, 0.9), np.full(50, 0.1)) < 0.02
    same, different = rng.normal(1, 1, 20000), rng.normal(-1, 1, 20000)
    assert equal_error_rate(same, different) == pytest.approx(
        0.1587, abs=0.01
    )  # the normal distribution beyond 1


@pytest.mark.gpu
def test_training_on_a_gpu(data, teachers, tmp_path):
    for kind in KINDS:
        metrics = train(kind, data, teachers, tmp_path / kind, loop={"steps": 5})
        assert all(math.isfinite(value) for value in metrics.values())
        assert (
            next(checkpoint.load(tmp_path / kind / f"{kind}.safetensors", kind).parameters()).device.type
            == "cpu"
        )


def test_a_synthesizer_reads_what_it_has_learnt(tmp_path):
    dutch = SynthesizerTraining(languages=("nl",))
    sizes = presets.find("synthesizer", "tiny").model
    begun = run_module._begun("synthesizer", None, sizes, dutch)
    assert begun.config.languages == ("nl",)  # and no English, which it has never heard
    checkpoint.save(begun, tmp_path / "dutch.safetensors")
    further = run_module._begun("synthesizer", tmp_path / "dutch.safetensors", sizes, SynthesizerTraining())
    assert (further.config.languages, further.training) == (("nl", "en"), True)


def test_a_run_goes_on_with_its_teachers(data, teachers, tmp_path):
    others = tmp_path / "others"
    others.mkdir()
    model = checkpoint.load(teachers / "speaker-encoder.safetensors", "speaker-encoder")
    checkpoint.save(model, others / "speaker-encoder.safetensors", training={"steps": 9})
    train("synthesizer", data, teachers, tmp_path / "run", loop={"steps": 1})
    with pytest.raises(OptionError, match=r"teachers\.speaker-encoder: .*--changed"):
        train("synthesizer", data, others, tmp_path / "run", loop={"steps": 2}, resume=True)
    train("synthesizer", data, others, tmp_path / "run", loop={"steps": 2}, resume=True, changed=True)


def test_damaged_or_foreign_run_is_refused(data, teachers, tmp_path):
    train("vocoder", data, teachers, tmp_path / "run", loop={"steps": 1})
    state = tmp_path / "run" / "last.pt"
    whole = state.read_bytes()
    state.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        train("vocoder", data, teachers, tmp_path / "run", loop={"steps": 2}, resume=True)
    state.write_bytes(whole)
    before = (tmp_path / "run/run.json").read_bytes()
    with pytest.raises(OptionError, match=r'kind: "vocoder" → "speaker-encoder"; .*; and \d+ more: a run'):
        train("speaker-encoder", data, teachers, tmp_path / "run", loop={"steps": 2}, resume=True)
    with pytest.raises(OptionError, match=r'preset: "tiny" → "base"; model\.\w+: .*\. Give those, or begin'):
        run("vocoder", preset="base", data=[data], out=tmp_path / "run", resume=True)
    with pytest.raises(CheckpointError, match="another model"):
        train("speaker-encoder", data, teachers, tmp_path / "run", resume=True, changed=True)
    assert (tmp_path / "run/run.json").read_bytes() == before
    (tmp_path / "run/run.json").unlink()
    with pytest.raises(CheckpointError, match="another model"):
        train("speaker-encoder", data, teachers, tmp_path / "run", loop={"steps": 2}, resume=True)
    train("vocoder", data, teachers, tmp_path / "run", loop={"steps": 2}, resume=True)


def test_misunderstood_is_what_other_phones_are_heard(kathleen):
    recognizer = checkpoint.load(WEIGHTS / "phone-recognizer.safetensors", "phone-recognizer")
    said, other = (log_mel(torch.from_numpy(audio.read(path)[:24_000])[None]) for path in kathleen[:2])
    torch.manual_seed(0)
    quiet = said - 0.5  # the same words, less loud
    made = torch.cat([quiet, other]).requires_grad_()
    same, different = (misunderstood(recognizer, m[None], said) for m in made)
    assert 0 <= same.item() < 0.3 * different.item()
    different.backward()
    assert made.grad[1].abs().sum() > 0


def test_what_is_left_of_the_source_counts_beside_what_lacks_of_the_target():
    wanted, source = torch.eye(4)[:1], torch.eye(4)[1:2]

    def heard(vector):
        vector = torch.nn.functional.normalize(torch.tensor([vector]), dim=-1)
        mel = torch.zeros(1, 80, 10)
        return [
            unlike(lambda *_: vector, mel, wanted, unwanted=unwanted).item() for unwanted in (None, source)
        ]

    assert heard([1.0, 0.0, 0.0, 0.0]) == [0.0, 0.0]
    alone, beside = heard([1.0, 0.3, 0.0, 0.0])
    assert alone == 0.0 < beside  # near enough to the target, and the source is heard
    alone, beside = heard([1.0, -0.9, 0.0, 0.0])
    assert 0.0 < alone == beside
    close = torch.nn.functional.normalize(wanted + source, dim=-1)  # two people who sound alike
    assert unlike(lambda *_: wanted, torch.zeros(1, 80, 10), wanted, unwanted=close).item() == 0.0


def test_every_other_one_is_converted_to_whoever_is_most_alike():
    speakers = torch.nn.functional.normalize(
        torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.05, 0.0], [0.0, 1.0, 0.0], [0.7, 0.0, 0.9], [0.0, 1.0, 0.9]]),
        dim=-1,
    )
    # 1 may be 0 himself, 3 is the most like them and is like 4; the others become the one before.
    assert partners(speakers, 5).tolist() == [3, 0, 4, 2, 2]


def test_a_conversion_in_training_may_not_sound_like_its_source(data, teachers):
    class HearsTheSource(torch.nn.Module):
        def forward(self, mel, mask=None):
            return source.expand(len(mel), -1)

    frozen = [checkpoint.load_from(teachers, kind) for kind in ("phone-recognizer", "speaker-encoder")]
    config = ConverterTraining(batch_size=3, frames=24, swapped=0.4, consistency=0.3, hidden=0.0)
    task = ConverterTask(Converter(presets.find("converter", "tiny").model), *frozen, stores(data), config)
    batch = task.batch(np.random.default_rng(0))
    task.encoder = HearsTheSource()
    source, other, third = torch.nn.functional.pad(
        torch.tensor([[1.0, 0.0], [0.5, 0.75**0.5], [0.0, 1.0]]), (0, batch["speaker"].shape[1] - 2)
    )
    batch["speaker"] = torch.stack([source, third, other])
    swapped = task.losses(task.model, batch, 0)[0]["swapped"]
    # To the more alike of two: 0.4 is lacking of 0.9, and of the source half is there beyond what they share.
    assert swapped.item() == pytest.approx(0.3 * (0.4 + 3 * 0.5))


class Listens(torch.nn.Module):
    """An encoder that hears nobody, and keeps what it was given."""

    def __init__(self, vector):
        super().__init__()
        self.vector, self.heard = vector, []

    def forward(self, mel, mask=None):
        self.heard.append(mel.detach())
        return torch.zeros(len(mel), self.vector)


def test_conversions_in_training_are_given_the_timbre_of_who_is_wanted(data, teachers):
    frozen = [checkpoint.load_from(teachers, kind) for kind in ("phone-recognizer", "speaker-encoder")]
    config = ConverterTraining(batch_size=4, frames=24, swapped=0.5, pseudo=0.0, hidden=0.0, remembered=200)
    task = ConverterTask(Converter(presets.find("converter", "tiny").model), *frozen, stores(data), config)
    batch = task.batch(np.random.default_rng(0))
    task.encoder = Listens(batch["speaker"].shape[1])
    assert batch["known"].all()
    for known in (True, False):
        torch.manual_seed(0)  # of the noise through which the encoder listens
        task.losses(task.model, batch | {"known": torch.full((4,), known)}, 0)
    given, own, bare, own_again = task.encoder.heard
    assert torch.equal(own, own_again)  # what is said in the speaker's own voice is judged as it is
    rows = partners(batch["speaker"], 2)
    mel, f0 = batch["reference"][rows], batch["reference_f0"][rows]
    with torch.no_grad():
        told = *frozen[0](mel), f0, mel, loudness_of(mel), batch["speaker"][rows], batch["quality"][rows]
        made = task.model(*told)
        inputs = *frozen[0](batch["heard"]), batch["f0"], batch["outlined"], loudness_of(batch["mel"])
        loudness, outline = dynamics_of(batch, rows, inputs[-1][:2], task.model.config.outline)
        said = task.model(
            *(x[:2] for x in inputs[:-1]),
            *(loudness, batch["speaker"][rows], batch["quality"][:2]),
            moving=batch["moving"][:2],
            outline=outline,
        )
    known = [tables_of(*remembered(*kept)) for kept in zip(made, mel, f0, strict=True)]
    wanted = add_lacking(said, batch["f0"][:2], known, OF_CONVERSIONS) - said
    assert wanted.abs().mean() > 0.1
    torch.testing.assert_close(given - bare, wanted, atol=1e-3, rtol=1e-3)


def test_conversions_in_training_are_told_the_dynamics_of_who_is_wanted(data, teachers):
    frozen = [checkpoint.load_from(teachers, kind) for kind in ("phone-recognizer", "speaker-encoder")]
    config = ConverterTraining(batch_size=4, frames=200, swapped=0.5, pseudo=0.0, hidden=0.0)
    task = ConverterTask(Converter(presets.find("converter", "tiny").model), *frozen, stores(data), config)
    batch, told = task.batch(np.random.default_rng(0)), []

    def listening(*given, outline=None, **others):
        told.append((given[4], outline))
        return task.model(*given, outline=outline, **others)

    whose = partners(batch["speaker"], 2)
    for higher in (0.0, 1.0):
        other = batch["mel"].clone()
        other[whose] += higher
        task.losses(listening, batch | {"mel": torch.cat([batch["mel"][:2], other[2:]])}, 0)
    (own, _), (loudness, outline), _, (louder, _) = told
    assert own.shape[0] == 4
    assert outline.shape == (2, 200, task.model.config.outline)
    plain = loudness_of(batch["mel"])[:2]
    for row, wanted in enumerate(whose.tolist()):
        quantiles = [loudness_quantiles(batch["mel"][n], batch["f0"][n]) for n in (row, wanted)]
        assert torch.equal(loudness[row], as_loud(plain[row], *quantiles))
    raised = louder - loudness  # of those who are converted to somebody who speaks louder now
    assert [round(float(x), 3) for x in raised.mean(1)] == [0.5 * (n >= 2) for n in whose.tolist()]


def test_who_is_disguised_has_a_reference_of_the_same_tract(data, teachers, monkeypatch):
    frozen = [checkpoint.load_from(teachers, kind) for kind in ("phone-recognizer", "speaker-encoder")]
    config = ConverterTraining(batch_size=3, frames=24, pseudo=1.0, remembered=200)
    task = ConverterTask(Converter(presets.find("converter", "tiny").model), *frozen, stores(data), config)
    batch = task.batch(np.random.default_rng(0))
    assert batch["known"].all()
    monkeypatch.setattr(references, "warped", lambda mel, f0, factor: (mel, f0))
    as_recorded = task.batch(np.random.default_rng(0))
    factors = batch["f0"].sum(1) / as_recorded["f0"].sum(1)
    assert ((factors - 1).abs() > 0.01).all()
    torch.testing.assert_close(batch["reference_f0"].sum(1) / as_recorded["reference_f0"].sum(1), factors)
    told = zip(batch["reference"], as_recorded["reference"], factors.tolist(), strict=True)
    for mel, recorded, factor in told:
        torch.testing.assert_close(
            mel.T, torch.from_numpy(warp_formants(recorded.T.numpy(), factor)), atol=1e-2, rtol=0
        )


def test_text_in_training_is_given_the_timbre_of_people_but_not_of_teachers(data, teachers, monkeypatch):
    kinds = ("speaker-encoder", "phone-recognizer")
    encoder, recognizer = (checkpoint.load_from(teachers, kind) for kind in kinds)
    frozen = recognizer, Converter(presets.find("converter", "tiny").model)
    config = SynthesizerTraining(batch_size=4, pseudo=0.0, remembered=200, understood=1.0)
    model = Synthesizer(presets.find("synthesizer", "tiny").model)
    task = SynthesizerTask(model, encoder, stores(data), config, None, *frozen)
    batch = task.batch(np.random.default_rng(0))
    assert not batch["known"].any()  # the only texts with durations are a teacher's
    for utterance in task.pool.utterances:
        utterance.store.forced = frozenset(item.id for item in utterance.store.items)
    batch = task.batch(np.random.default_rng(0))
    assert batch["known"].all()
    task.encoder = Listens(batch["speaker"].shape[1])
    losses = []
    for known in (True, False):
        torch.manual_seed(0)  # of the segments, and of the noise through which is listened
        losses.append(task.losses(task.model, batch | {"known": torch.full((4,), known)}, 0)[0])
    given, bare = task.encoder.heard
    assert (given - bare).abs().mean() > 0.1
    assert losses[0]["mel"] < losses[1]["mel"]
    assert losses[0]["understood"] > 0
    assert "understood" not in task.losses(task.model, batch, -1)[0]
    # The recognizer alone hears as much of the timbre as people are given who are enrolled.
    monkeypatch.setattr("voiceswap.training.tasks.synthesizer.OF_TEXT", ONCE)
    torch.manual_seed(0)
    once = task.losses(task.model, batch, 0)[0]
    assert once["mel"] == losses[0]["mel"]
    assert once["understood"] != losses[0]["understood"]


def test_outline_and_moves_are_told_of_different_tracts():
    mel = np.random.default_rng(0).normal(-5, 1, (40, 80)).astype(np.float32)
    told = [tracts(mel, np.random.default_rng(seed)) for seed in range(8)]
    for outlined, moving in told:
        assert outlined.shape == moving.shape == mel.shape
        assert np.abs(outlined - moving).mean() > 0.01
        assert min(np.abs(outlined - mel).mean(), np.abs(moving - mel).mean()) > 0.01
