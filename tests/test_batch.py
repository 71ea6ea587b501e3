"""Many texts to many files: tables, and that each row is made exactly once whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile

import voiceswap
from voiceswap import Studio, batch, cli
from voiceswap.batch import cluster, table, work
from voiceswap.batch.ledger import NAME, Ledger
from voiceswap.errors import (
    FileError,
    InputError,
    MissingExtraError,
    OptionError,
    OutputError,
    VoiceswapError,
)
from voiceswap.provenance import Consent
from voiceswap.speech import SpeechWriter

Make = Callable[..., list[batch.Outcome]]
LONG = "For the twentieth time that evening the two men shook hands, and nobody said a word. " * 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "made"


@pytest.fixture
def make(folder: Path, tiny_weights: Path) -> Make:
    return lambda rows, **options: batch.run(rows, folder, weights=tiny_weights, device="cpu", **options)


@pytest.fixture
def not_made_again(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Has any speech made from now on fail the test."""

    def forbid() -> None:
        def stop(self: object, speech: object) -> None:
            raise AssertionError("it was made again")

        monkeypatch.setattr(SpeechWriter, "write", stop)

    return forbid


def rows_of(**texts: str) -> list[batch.Row]:
    return [batch.Row(id=name, text=text, voice="alto-1") for name, text in texts.items()]


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / NAME).read_text("utf-8").splitlines()]


def states(outcomes: list[batch.Outcome]) -> str:
    return " ".join(outcome.state for outcome in outcomes)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def times(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.wav")}


def samples(path: Path) -> np.ndarray:
    return soundfile.read(path, dtype="int16")[0]


def check_marked_and_signed(path: Path) -> None:
    found = voiceswap.verify(path)
    assert found.mark.verdict == "marked"
    assert found.manifest is not None
    assert (found.manifest.own, found.manifest.faults) == (True, ())
    assert found.manifest.claims["verb"] == "speak"


# Tables


def test_both_kinds_of_table_say_the_same(tmp_path: Path) -> None:
    header = "\ufeffid\ttext\tvoice\tspeed\tlike\r\n"
    content = 'one\tSay "so".\t\t1.5\t\r\n\r\ntwo\tA\u2028B\tada.voice\t\tme.wav\r\n'
    (tmp_path / "a.tsv").write_bytes((header + content).encode())
    objects = [
        {"id": "one", "text": 'Say "so".', "speed": 1.5, "like": None},
        {"id": "two", "text": "A\u2028B", "voice": "ada.voice", "like": "me.wav"},
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, objects)), encoding="utf-8")
    expected = [
        batch.Row(id="one", text='Say "so".', voice="alto-1", speed=1.5, pitch=2.0, seed=7),
        batch.Row(id="two", text="A\u2028B", voice="ada.voice", pitch=2.0, seed=7, like="me.wav"),
    ]
    for name in ("a.tsv", "a.jsonl"):
        assert batch.read(tmp_path / name, voice="alto-1", pitch=2.0, seed=7, like=None) == expected


TABLES: dict[str, tuple[str, str]] = {
    "empty.tsv": ("\n", "it has no rows"),
    "header.tsv": ("id\ttext\n\n", "it has no rows"),
    "column.tsv": ("id\ttext\ttempo\n", "'tempo': rows have id, text"),
    "twice.tsv": ("id\ttext\tid\n", "two columns 'id'"),
    "textless.tsv": ("id\tvoice\n", "has no 'text'"),
    "cells.tsv": ("id\ttext\na\tHi.\nb\tHi.\tthere\n", "line 3 of .* has 3 cells: the header names 2"),
    "slash.tsv": ("id\ttext\n../a\tHi.\n", "line 2 of .*: the id '../a': it names a file"),
    "backslash.tsv": ("id\ttext\na\\b\tHi.\n", "it names a file"),
    "dot.tsv": ("id\ttext\n.a\tHi.\n", "it names a file"),
    "nameless.tsv": ("id\ttext\n\tHi.\n", "it names a file"),
    "tail.jsonl": ('{"id": "a\\n", "text": "Hi."}', "it names a file"),
    "long.tsv": (f"id\ttext\n{'é' * 101}\tHi.\n", "at most 200 bytes"),
    "same.tsv": ("id\ttext\na\tHi.\nA\tHi.\n", "line 3 of .*: the id 'A': it is that of line 2 of"),
    "speed.tsv": ("id\ttext\tspeed\na\tHi.\t1,1\n", "line 2 of .*: speed='1,1': it is a number"),
    "json.jsonl": ('{"id": "a", "text": "Hi."}\n{"id": ', "line 2 of .* is not JSON"),
    "list.jsonl": ("[1]", "is no object"),
    "key.jsonl": ('{"id": "a", "text": "Hi.", "tempo": 1}', "'tempo'"),
    "text.jsonl": ('{"id": "a", "text": 5}', "the text 5 of 'a': it is a string"),
    "null.jsonl": ('{"id": "a", "text": null}', "lacks an id or a text"),
    "id.jsonl": ('{"id": 1, "text": "Hi."}', "the id 1"),
    "true.jsonl": ('{"id": "a", "text": "Hi.", "pitch": true}', "pitch=True: it is a number"),
    "voice.jsonl": ('{"id": "a", "text": "Hi.", "voice": 3}', "voice=3: it is a string"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables_that_cannot_be_used(tmp_path: Path, name: str) -> None:
    content, message = TABLES[name]
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=message):
        batch.read(tmp_path / name, voice="alto-1")


def test_tables_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileError, match="cannot be read"):
        batch.read(tmp_path / "none.tsv")
    (tmp_path / "a.tsv").write_bytes(b"id\ttext\na\tCaf\xe9\n")
    with pytest.raises(InputError, match=r"not UTF-8 \(byte 13\)"):
        batch.read(tmp_path / "a.tsv")
    (tmp_path / "a.tsv").write_text("id\ttext\na\tHi.\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"line 2 of .* names no voice"):
        batch.read(tmp_path / "a.tsv", voice=None)
    monkeypatch.setattr(table, "LARGEST", 5)
    with pytest.raises(InputError, match="longer than 5 bytes"):
        batch.read(tmp_path / "a.tsv")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"voice": "nobody"}, "row 'b': the voice 'nobody': built in are alto-1, tenor-1"),
        ({"voice": "none.voice"}, "row 'b': 'none.voice' does not exist"),
        ({"speed": 3.0}, "row 'b': speed=3.0"),
        ({"pitch": float("nan")}, "row 'b': pitch=nan"),
        ({"language": "fr"}, "row 'b': language='fr'"),
        ({"seed": -1}, "row 'b': seed=-1"),
        ({"like": "none.wav"}, "row 'b': the recording 'none.wav': it cannot be read"),
        ({"like": __file__, "speed": 2.0}, "row 'b': speed=2.0 with like"),
        ({"id": "A"}, "row 2: the id 'A'"),
    ],
)
def test_faults_are_found_before_anything_is_made(
    folder: Path, make: Make, changes: dict[str, object], message: str
) -> None:
    first, second = rows_of(a="Hello.", b="Hello.")
    with pytest.raises(VoiceswapError) as caught:
        make([first, replace(second, **changes)])  # type: ignore[arg-type]
    assert str(caught.value).startswith(message)
    assert not folder.exists()


# One process


def test_a_row_is_made_once(folder: Path, make: Make, tiny_studio: Studio) -> None:
    rows = rows_of(a=LONG, b="Good morning.")
    rows[1] = replace(rows[1], voice="tenor-1", speed=1.5, pitch=-3, seed=4)
    outcomes = make(rows)
    assert states(outcomes) == "made made"
    assert names(folder) == ["a.wav", "b.wav", NAME]
    check_marked_and_signed(folder / "a.wav")
    spoken = tiny_studio.speak("Good morning.", tiny_studio.voices["tenor-1"], speed=1.5, pitch=-3, seed=4)
    np.testing.assert_allclose(samples(folder / "b.wav") / 2**15, spoken.samples, atol=1e-4)
    assert [(line["id"], line["file"], line["state"]) for line in lines(folder)] == [
        ("a", "a.wav", "made"),
        ("b", "b.wav", "made"),
    ]
    assert lines(folder)[1]["seconds"] == pytest.approx(spoken.duration, abs=1e-3)

    before, log = times(folder), (folder / NAME).read_bytes()
    assert states(make([*rows_of(c="More."), *rows])) == "made kept kept"
    assert times(folder) | before == times(folder)
    assert (folder / NAME).read_bytes().startswith(log)
    assert len(lines(folder)) == 3

    changed = [rows[0], replace(rows[1], text="Good evening.")]
    with pytest.raises(OutputError, match=r"'b\.wav' in the folder came of another text"):
        make(changed)
    assert times(folder) | before == times(folder)
    assert states(make(changed, force=True)) == "kept made"
    assert times(folder)["a.wav"] == before["a.wav"]
    assert times(folder)["b.wav"] != before["b.wav"]

    (folder / "a.wav").unlink()
    assert states(make(changed)) == "made kept"


def test_half_a_character_stops_no_batch(folder: Path, make: Make) -> None:
    """JSON may hold one half of a pair that UTF-16 writes a character with."""
    assert states(make(rows_of(a="Hello \udcff there.", b="\udcff"))) == "made failed"


def test_a_format_of_its_own(folder: Path, make: Make) -> None:
    assert states(make(rows_of(a="Hello."), format="flac")) == "made"
    assert soundfile.info(folder / "a.flac").format == "FLAC"
    with pytest.raises(OptionError, match=r"format='opus': it is not written\. Choose one of wav, flac, mp3"):
        make(rows_of(a="Hello."), format="opus")


def test_a_file_of_someone_else_is_kept(folder: Path, make: Make) -> None:
    folder.mkdir()
    (folder / "b.wav").write_text("mine")
    with pytest.raises(OutputError, match=r"'b\.wav' in the folder came of .* no batch"):
        make(rows_of(a="Hello.", b="Hello."))
    assert names(folder) == ["b.wav", NAME]
    assert (folder / "b.wav").read_text() == "mine"
    assert states(make(rows_of(a="Hello.", b="Hello."), force=True)) == "made made"


@pytest.mark.parametrize("step", ["line", "move"])
def test_what_lies_there_whole_is_not_made_again(
    folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch, not_made_again: Callable[[], None], step: str
) -> None:
    """The process dies after the row was made: before its line is written, or before its file is moved."""

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        if step == "line":
            patch.setattr(Ledger, "add", die)
        else:
            patch.setattr(batch, "_move", die)
        with pytest.raises(KeyboardInterrupt):
            make(rows_of(a="Hello."))
    assert not (folder / "a.wav").exists()
    not_made_again()
    assert states(make(rows_of(a="Hello."))) == "made"
    assert names(folder) == ["a.wav", NAME]
    assert len(lines(folder)) == 1
    assert states(make(rows_of(a="Hello."))) == "kept"


def test_a_replacement_that_was_about_to_be_moved(
    folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch, not_made_again: Callable[[], None]
) -> None:
    """The line speaks of the new file while the old one lies there still."""
    make(rows_of(a="Hello."))
    old = samples(folder / "a.wav")

    def die(*arguments: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(batch, "_move", die)
        with pytest.raises(KeyboardInterrupt):
            make(rows_of(a="Good morning to all."), force=True)
    assert np.array_equal(samples(folder / "a.wav"), old)
    not_made_again()
    assert states(make(rows_of(a="Good morning to all."))) == "made"
    assert not np.array_equal(samples(folder / "a.wav"), old)


def test_a_torn_line_is_passed_over(folder: Path, make: Make) -> None:
    make(rows_of(a="Hello.", b="Hello."))
    (folder / "b.wav").unlink()
    content = (folder / NAME).read_bytes()
    (folder / NAME).write_bytes(content[:-20])
    assert states(make(rows_of(a="Hello.", b="Hello."))) == "kept made"
    assert (folder / NAME).read_bytes().splitlines()[-1] == content.splitlines()[-1]


def test_one_process_fills_a_folder(folder: Path, make: Make) -> None:
    folder.mkdir()
    with Ledger(folder), pytest.raises(OutputError, match="another process is filling"):
        make(rows_of(a="Hello."))
    assert states(make(rows_of(a="Hello."))) == "made"


# The command


@pytest.fixture
def command(tmp_path: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> int:
        given = ["speak", "--batch", "lines.tsv", "-o", "made", "--weights", str(tiny_weights)]
        return cli.main([*given, "--device", "cpu", *arguments])

    return run


def write(tmp_path: Path, *rows: str) -> None:
    (tmp_path / "lines.tsv").write_text("\n".join(["id\ttext\tvoice", *rows]), encoding="utf-8")


def test_the_command_goes_on_after_a_row_that_fails(
    tmp_path: Path, folder: Path, command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "a\tHello.\t", "b\t?!\t", "c\tGood morning.\ttenor-1", "d\t\t")
    assert command("--voice", "alto-1") == 2
    out, err = capsys.readouterr()
    assert out == "made: 2 made, 0 there already, 2 failed\n"
    assert [line[:20] for line in err.splitlines()] == ["voiceswap: row 'b': ", "voiceswap: row 'd': "]
    assert "only punctuation or pictures" in err
    assert names(folder) == ["a.wav", NAME, "c.wav"]
    before = times(folder)
    write(tmp_path, "a\tHello.\t", "b\tSo.\t", "c\tGood morning.\ttenor-1")
    assert command("--voice", "alto-1") == 0
    assert capsys.readouterr() == ("made: 1 made, 2 there already, 0 failed\n", "")
    assert times(folder) | before == times(folder)


def test_the_command_goes_on_after_an_interruption(
    tmp_path: Path,
    folder: Path,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write(tmp_path, "a\tHello.\t", "b\tGood morning.\t")
    begin, begun = SpeechWriter.__enter__, []

    def interrupted(self: SpeechWriter) -> SpeechWriter:
        begun.append(self)
        if len(begun) == 2:
            raise KeyboardInterrupt
        return begin(self)

    with monkeypatch.context() as patch:
        patch.setattr(SpeechWriter, "__enter__", interrupted)
        assert command("--voice", "alto-1") == 130
    assert names(folder) == ["a.wav", NAME]
    before = times(folder)
    assert "Traceback" not in capsys.readouterr().err
    assert command("--voice", "alto-1") == 0
    assert names(folder) == ["a.wav", "b.wav", NAME]
    assert times(folder) | before == times(folder)


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        (["a/b\tHello.\talto-1"], [], ["line 2 of 'lines.tsv': the id 'a/b'"]),
        (["a\tHello.\t"], [], ["line 2 of 'lines.tsv' names no voice"]),
        (["a\tHello.\tnobody"], [], ["row 'a': the voice 'nobody'"]),
        (["a\tHello.\talto-1"], ["--speed", "9"], ["row 'a': speed=9.0"]),
        (["a\tHello.\talto-1"], ["--format", "aac"], ["format='aac'"]),
        (["a\tHello.\talto-1"], ["--batch", "none.tsv"], ["the table 'none.tsv': it cannot be read"]),
        (["a\tHello.\talto-1"], ["-o", "lines.tsv"], ["lines.tsv' could not be written"]),
    ],
)
def test_the_command_refuses(
    tmp_path: Path,
    command: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    rows: list[str],
    options: list[str],
    words: list[str],
) -> None:
    write(tmp_path, *rows)
    before = names(tmp_path)
    assert command(*options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("voiceswap: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err
    assert names(tmp_path) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["--batch", "lines.tsv", "Hello.", "-o", "made"],
        ["--batch", "lines.tsv", "-o", "made", "--jobs", "2", "--scheduler", "tcp://127.0.0.1:1"],
        ["--batch", "lines.tsv", "-o", "made", "--jobs", "0"],
        ["Hello.", "--voice", "alto-1", "-o", "a.wav", "--jobs", "2"],
        ["Hello.", "--voice", "alto-1", "-o", "a.wav", "--format", "flac"],
    ],
)
def test_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert cli.main(["speak", *arguments]) == 2
    assert "Usage: voiceswap" in "".join(capsys.readouterr())


# Several processes


def test_dask_is_an_extra(folder: Path, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "find_spec", lambda name: None)
    for options in ({"jobs": 2}, {"scheduler": "tcp://127.0.0.1:1"}):
        with pytest.raises(MissingExtraError, match=r"voiceswap\[cluster\]"):
            make(rows_of(a="Hello."), **options)
    assert not folder.exists()
    assert states(make(rows_of(a="Hello."))) == "made"


def test_jobs_and_scheduler_exclude_each_other(make: Make) -> None:
    for options in ({"jobs": 0}, {"jobs": 2, "scheduler": "tcp://127.0.0.1:1"}):
        with pytest.raises(OptionError, match="at least one"):
            make(rows_of(a="Hello."), **options)


def deadly(task: work.Task, place: work.Place, really: Any = work.make_one) -> Any:
    """As `make_one`, but for the row d: what Dask raises of one that killed all who made it."""
    if task.row.id == "d":
        from distributed import KilledWorker

        raise KilledWorker("d", SimpleNamespace(address="tcp://here:1"), 2)
    return really(task, place)


def test_a_cluster_that_exists_is_used(
    folder: Path, tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None
    ) as there:
        address = there.scheduler_address
        assert states(make(rows_of(a="Hello.", b="?!"), scheduler=address)) == "made failed"
        assert states(make(rows_of(a="Hello.", c="More."), scheduler=address)) == "kept made"
        assert names(folder) == ["a.wav", NAME, "c.wav"]

        with monkeypatch.context() as patch:
            patch.setattr(work, "make_one", deadly)
            outcomes = make(rows_of(d="Hello.", e="Hello."), scheduler=address)
        assert states(outcomes) == "failed made"
        assert "died" in str(outcomes[0].message)

        place = work.Place(staging=tmp_path / "elsewhere", weights=None, weights_hash="", device="cpu")
        with (
            cluster.client(1, address) as client,
            pytest.raises(OutputError, match="a worker does not see"),
        ):
            list(cluster.spread([], place, client))


def test_a_scheduler_that_does_not_answer(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "_PATIENCE", 0.3)
    for address in ("tcp://127.0.0.1:1", "nonsense://here"):
        with pytest.raises(OptionError, match=f"scheduler='{address}': it does not answer"):
            make(rows_of(a="Hello."), scheduler=address)


def test_a_worker_is_told_of_other_weights(tiny_weights: Path, tmp_path: Path) -> None:
    place = work.Place(staging=tmp_path, weights=tiny_weights, weights_hash="0" * 64, device="cpu")
    with pytest.raises(voiceswap.CheckpointError, match="the batch is made with 000000000000"):
        place.prepare()


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_a_killed_worker_loses_nothing_and_makes_nothing_twice(
    folder: Path,
    tmp_path: Path,
    make: Make,
    tiny_studio: Studio,
    tiny_weights: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("distributed")
    import psutil

    consent = Consent("Ada", "speak", date.today() + timedelta(days=7))
    person = replace(tiny_studio.voices["alto-1"], name="Ada", consent=consent, builtin=False)
    sentence = LONG[: LONG.index(".") + 1]
    rows = rows_of(**{f"row-{number}": f"Number {number}. {sentence}" for number in range(5)}, row=LONG)
    rows[0] = replace(rows[0], voice=person)
    killed: list[str] = []  # names of what the worker was writing

    def kill() -> None:
        """Once a row is there, kill a worker in the middle of another."""
        until = time.monotonic() + 300
        while time.monotonic() < until and not killed:
            time.sleep(0.02)
            if not any(folder.glob("*.wav")):
                continue
            for process in psutil.Process().children(recursive=True):
                try:
                    parts = [file.path for file in process.open_files() if file.path.endswith(".part")]
                except psutil.Error:
                    continue
                if parts:
                    os.kill(process.pid, signal.SIGKILL)
                    killed.extend(parts)
                    return

    murderer = threading.Thread(target=kill)
    murderer.start()
    outcomes = make(rows, jobs=2)
    murderer.join()
    assert len(killed) == 1
    assert capfd.readouterr() == ("", "")  # nothing tears the progress bar
    assert states(outcomes) == " ".join(["made"] * len(rows))
    assert names(folder) == sorted([NAME, *(f"{row.id}.wav" for row in rows)])
    assert sorted(str(line["id"]) for line in lines(folder)) == sorted(row.id for row in rows)

    batch.run(rows[:3], tmp_path / "alone", weights=tiny_weights, device="cpu")
    for row in rows[:3]:
        made, expected = (samples(place / f"{row.id}.wav") for place in (folder, tmp_path / "alone"))
        assert np.array_equal(made, expected), row.id
    check_marked_and_signed(folder / "row.wav")
    assert states(make(rows)) == " ".join(["kept"] * len(rows))
