"""A folder of long, untidy recordings becomes a corpus, and the report says what became of every piece."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile

pytest.importorskip("lhotse", reason="needs voiceswap[train]")
pytest.importorskip("silero_vad", reason="needs voiceswap[train]")
pytest.importorskip("rapidfuzz", reason="needs voiceswap[train]")

from voiceswap import audio, checkpoint, cli
from voiceswap.bundle import WEIGHTS
from voiceswap.data.corpora import prepare_tsv
from voiceswap.data.features import FeatureStore, read_index
from voiceswap.data.pieces import LONGEST, MARGIN, Piece, cut, pieces_of, signal_of, stretches
from voiceswap.errors import AudioError, DataError
from voiceswap.evaluation.protocol import read_manifest
from voiceswap.text.phonemes import FIRST_PHONE, phonemize
from voiceswap.training import raw
from voiceswap.training.raw import prepare
from voiceswap.training.transcripts import lay_beside, transcript_of

RATE = 24000
SAID = (
    "For the twentieth time that evening the two men shook hands.",
    "Gregson shoved back his chair and rose to his feet.",
    "He turned sharply, and faced Gregson across the table.",
)


# ---------------------------------------------------------------- pieces


def test_stretches_begin_high_and_end_low():
    chance = np.array([0.1, 0.4, 0.6, 0.4, 0.36, 0.3, 0.9, 0.9])
    assert stretches(chance, 0.5) == [(1.0, 2.5), (3.0, 4.0)]


def test_pieces_are_put_together_over_breaths_and_cut_at_the_longest_pause():
    speech = [(1.0, 5.0), (5.3, 9.0), (9.5, 16.0), (20.0, 20.4), (30.0, 50.0), (60.0, 62.0)]
    assert pieces_of(speech, 70.0) == [
        Piece(1.0 - MARGIN, 9.0 + MARGIN),
        Piece(9.5 - MARGIN, 16.0 + MARGIN),  # 20.0 is too short; 30.0 too long, with no pause to cut at
        Piece(60.0 - MARGIN, 62.0 + MARGIN),
    ]
    close = pieces_of([(0.05, 12.0), (12.21, 24.0)], 24.1)
    assert close == [Piece(0.0, pytest.approx(12.105)), Piece(pytest.approx(12.105), 24.1)]
    assert all(piece.seconds <= LONGEST + 2 * MARGIN for piece in close)


def test_cutting_reads_a_file_once_and_exactly(tmp_path):
    samples = np.random.default_rng(0).normal(0, 0.1, 70 * RATE).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", samples, RATE, subtype="FLOAT")
    pieces = [Piece(0.0, 1.5), Piece(1.5, 2.0), Piece(29.5, 31.0), Piece(61.25, 69.0)]
    for piece, got in zip(pieces, cut(tmp_path / "long.wav", pieces), strict=True):
        assert np.array_equal(got, samples[round(piece.start * RATE) : round(piece.end * RATE)])


def test_the_signal_of_a_piece(kathleen):
    clean = audio.level(audio.read(kathleen[0]))
    assert signal_of(clean).faults == []
    assert signal_of(clean).band == "full"
    low = audio.resample(audio.resample(clean, RATE, 16000), 16000, RATE)
    assert signal_of(low).band == "8k"
    telephone = audio.resample(audio.resample(clean, RATE, 8000), 8000, RATE)
    assert [fault[:6] for fault in signal_of(telephone).faults] == ["narrow"]
    hiss = np.random.default_rng(0).normal(0, 10 ** (-28 / 20), len(clean)).astype(np.float32)
    assert [fault[:5] for fault in signal_of(clean + hiss).faults] == ["noisy"]
    assert [fault[:7] for fault in signal_of(np.clip(clean, -0.08, 0.08)).faults] == ["clipped"]
    assert "too quiet" in signal_of(clean * 1e-3).faults[0]


# ---------------------------------------------------------------- transcripts


def classes(text: str) -> list[int]:
    return [i - FIRST_PHONE + 1 for i in phonemize(text).ids if i >= FIRST_PHONE]


def test_words_are_found_in_what_was_read_with_errors():
    rng = np.random.default_rng(0)
    said = ["the old man went home", "and nobody saw him again", "until the summer came"]
    read = []
    for text in said:
        phones = classes(text)
        for place in rng.choice(len(phones), len(phones) // 5, replace=False):
            phones[place] = int(rng.integers(1, 60))
        read.append(phones)
    read.insert(2, classes("nobody wrote these words down"))
    transcript = "Chapter one. The old man went home, and nobody saw him again. Until the summer came!"
    found = lay_beside(read, transcript, "en")
    assert found[0].text.endswith("old man went home,")
    assert found[1].text == "and nobody saw him again."
    assert found[3].text == "Until the summer came!"
    assert all(found[i].mismatch < 0.45 for i in (1, 3))
    assert found[2] is None or found[2].mismatch > 0.45


def test_transcripts_beside_a_recording(tmp_path):
    assert transcript_of(tmp_path / "a.wav") is None
    cues = ("<i>He had 3 dogs.</i>", "Yes.")
    times = [f"{n}\n00:00:0{n},000 --> 00:00:0{n},500\n{cue}\n\n" for n, cue in enumerate(cues, 1)]
    (tmp_path / "a.srt").write_text("".join(times))
    assert transcript_of(tmp_path / "a.wav") == "He had 3 dogs. Yes."
    (tmp_path / "b.vtt").write_text("WEBVTT\n\n00:01.000 --> 00:02.500\nOne  day\n")
    assert transcript_of(tmp_path / "b.mp3") == "One day"


# ---------------------------------------------------------------- a folder


@pytest.fixture(scope="module")
def untidy(tmp_path_factory, kathleen, nathalie):
    """Two people's folders: an hour's sins in a minute."""
    folder = tmp_path_factory.mktemp("untidy")
    (folder / "ann").mkdir()
    (folder / "bea").mkdir()
    ann = [audio.level(audio.read(path)) for path in kathleen]
    bea = [audio.level(audio.read(path)) for path in nathalie]
    pause = np.random.default_rng(0).normal(0, 1e-4, RATE).astype(np.float32)
    telephone = audio.resample(audio.resample(ann[0], RATE, 8000), 8000, RATE)

    def write(name, *parts):
        between = [part for one in parts for part in (one, pause)]
        soundfile.write(folder / name, np.clip(0.9 * np.concatenate([pause, *between]), -1, 1), RATE)

    write("ann/talk.flac", ann[0], telephone, ann[1], np.clip(ann[2], -0.08, 0.08), ann[2])
    write("ann/visit.wav", ann[0], bea[0], ann[2], ann[1])
    write("bea/note.ogg", *bea)
    (folder / "ann/visit.txt").write_text(f"{SAID[0]} {SAID[2]} This was never spoken. {SAID[1]}")
    (folder / "bea" / "broken.wav").write_bytes(b"RIFF and no more")
    (folder / "bea" / "readme.md").write_text("not sound")
    return folder


@pytest.fixture(scope="module")
def models():
    kinds = ("speaker-encoder", "phone-recognizer")
    return [checkpoint.load(WEIGHTS / f"{kind}.safetensors", kind).eval() for kind in kinds]


@pytest.mark.slow
def test_a_folder_becomes_a_corpus(untidy, models, tmp_path, monkeypatch):
    before = {path: path.read_bytes() for path in untidy.rglob("*") if path.is_file()}
    out = tmp_path / "corpus"
    found = prepare(untidy, out, encoder=models[0], recognizer=models[1])
    assert {path: path.read_bytes() for path in untidy.rglob("*") if path.is_file()} == before
    why = " | ".join(fault for f in found for fault in f.faults)
    for reason in ("narrow", "clipped", "another person than most"):
        assert reason in why
    kept = [f for f in found if not f.faults]
    assert {f.speaker for f in kept} == {"ann", "bea"}
    assert [f.text for f in kept if f.path == "ann/visit.wav"] == [SAID[0], SAID[2], SAID[1]]
    store = FeatureStore(out)
    assert [item.id for item in store.items] == [f.id for f in kept]
    seconds = sum(f.piece.seconds for f in kept)
    assert sum(item.frames for item in store.items) / 93.75 == pytest.approx(seconds, rel=0.02)
    # The pieces are where the manifest says.
    from lhotse import CutSet

    for entry in CutSet.from_file(out / "cuts.jsonl.gz"):
        item = next(item for item in store.items if item.id == entry.id)
        assert entry.supervisions[0].speaker == item.speaker
        assert entry.duration == pytest.approx(item.samples / RATE, abs=0.02)
    report = (out / "report.md").read_text()
    assert "broken.wav" in report
    assert (out / "speaker-1.png").stat().st_size > 3000
    dropped = (out / "dropped.tsv").read_text().splitlines()
    assert len(dropped) == 1 + len(found) - len(kept)
    # Again: nothing is computed twice, whatever is heard from the models.

    def never(path, *given):
        assert path.name == "broken.wav"
        raise AudioError("broken.wav", "it is broken", "Export it again")

    monkeypatch.setattr(raw, "_heard", never)
    size = (out / "mel.f16").stat().st_size
    assert prepare(untidy, out, encoder=models[0], recognizer=models[1]) == found
    assert (out / "mel.f16").stat().st_size == size


@pytest.mark.slow
def test_stopped_half_way_it_goes_on(untidy, models, tmp_path, monkeypatch):
    class Stop(Exception): ...

    heard, names = raw._heard, []

    def once(path, *given):
        names.append(path.name)
        if len(names) == 2:
            raise Stop
        return heard(path, *given)

    monkeypatch.setattr(raw, "_heard", once)
    with pytest.raises(Stop):
        prepare(untidy, tmp_path, encoder=models[0], recognizer=models[1])
    prepare(untidy, tmp_path, encoder=models[0], recognizer=models[1])
    assert names == ["talk.flac", "visit.wav", "visit.wav", "broken.wav", "note.ogg"]


def test_what_is_in_another_language_is_dropped(untidy, models, tmp_path):
    heard = iter([("de", 0.97), ("de", 0.4), ("en", 0.99)])
    found = prepare(
        untidy,
        tmp_path,
        encoder=models[0],
        recognizer=models[1],
        hear=lambda samples, rate: next(heard, ("en", 0.9)),
    )
    foreign = [f for f in found if any("another language (de, 97% sure)" in fault for fault in f.faults)]
    assert foreign == [f for f in found if f.language == ("de", 0.97)]
    assert len(foreign) == 1  # not the one that nobody is sure of
    assert foreign[0].id not in {row["id"] for row in read_index(tmp_path)}
    options = {"encoder": models[0], "recognizer": models[1]}
    with pytest.raises(DataError, match=r"holds .* dropped this time \(another language"):
        prepare(untidy, tmp_path, hear=lambda samples, rate: ("nl", 0.99), language="de", **options)


def test_pieces_are_a_corpus_for_measuring_and_preparing(models, kathleen, tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    out = folder / "features"  # what is written there is no recording
    told, untold = (audio.read(kathleen[number]) for number in (0, 1))
    soundfile.write(folder / "told.wav", told, RATE)
    soundfile.write(folder / "untold.wav", untold, RATE)
    (folder / "told.txt").write_text(SAID[0])
    given = {"encoder": models[0], "recognizer": models[1]}
    found = prepare(folder, out, **given, transcribe=lambda samples, rate: "So it\nwas written.")
    assert [f.text_origin for f in found] == ["given", "machine"]
    assert not (out / "pieces").exists()
    assert not (out / "manifest.tsv").exists()
    for _ in range(2):
        assert prepare(folder, out, **given, pieces=True) == found
    rows = read_manifest(out, split="train")
    assert [(row.id, row.text, row.collection) for row in rows] == [
        ("told-00000", SAID[0], "mine"),
        ("untold-00000", "", "mine"),  # no judge compares with what a machine wrote
    ]
    store = FeatureStore(out)
    for row, item, whole in zip(rows, store.items, (told, untold), strict=True):
        assert row.seconds == pytest.approx(item.samples / RATE, abs=0.01)
        assert np.array_equal(soundfile.read(row.path, dtype="int16")[0], store.audio(item))
        assert row.seconds < len(whole) / RATE + 0.01
    cuts = prepare_tsv(out)
    assert [cut.supervisions[0].text for cut in cuts] == [SAID[0], "So it was written."]
    assert {cut.supervisions[0].language for cut in cuts} == {"en"}
    assert not list(out.rglob("*partial*"))


def test_recordings_without_a_piece_are_listed(models, kathleen, tmp_path, capsys):
    folder, out = tmp_path / "mixed", tmp_path / "out"
    (folder / "ann").mkdir(parents=True)
    soundfile.write(folder / "ann/talk.wav", audio.read(kathleen[0]), RATE)
    soundfile.write(folder / "ann/silent.wav", np.zeros(2 * RATE), RATE)
    for name in ("broken.mp3", "memo.M4A", "film.mp4", "talk.m4a"):  # the last one lies converted beside
        (folder / "ann" / name).write_bytes(bytes(range(1, 200)))
    skipped = []
    prepare(folder, out, encoder=models[0], recognizer=models[1], skipped=skipped)
    listed = [line[2:] for line in (out / "report.md").read_text().splitlines() if line.startswith("- ")]
    assert listed == skipped
    assert [line.split(": ")[0] for line in skipped] == [
        f"ann/{name}" for name in ("broken.mp3", "film.mp4", "memo.M4A", "silent.wav")
    ]
    assert "cannot be read as audio" in skipped[0]
    assert ".M4A is not read. Convert to FLAC first" in skipped[2]
    assert "no speech of 1 to 14 s was found" in skipped[3]
    for path in folder.glob("ann/*.*"):
        if path.suffix not in (".M4A", ".mp4"):
            path.unlink()
    assert cli.main(["prepare", str(folder), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "its recordings (.m4a, .mp4) are not read. Convert to FLAC first" in said


def test_the_command(tmp_path, capsys):
    assert cli.main(["prepare", str(tmp_path / "nothing"), "--out", str(tmp_path / "out")]) == 2
    assert "no folder of recordings, and no kind of corpus" in capsys.readouterr().err
    assert cli.main(["prepare", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "holds no recordings" in capsys.readouterr().err
    assert cli.main(["prepare", str(tmp_path), "--out", str(tmp_path / "out"), "--language", "fr"]) == 2
    assert "Choose one of en, de, nl" in capsys.readouterr().err
