from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceswap import __version__, audio, cli
from voiceswap.errors import ConsentError
from voiceswap.voice import Voice

TOMORROW = str(date.today() + timedelta(days=1))
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kathleen: list[Path]) -> Path:
    """An own folder to work in, with some recordings."""
    monkeypatch.chdir(tmp_path)
    for number, path in enumerate(kathleen, start=1):
        shutil.copy(path, tmp_path / f"me-{number}.opus")
    return tmp_path


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tiny_weights: Path) -> Command:
    """Runs a command with the tiny models: exit code, standard output, standard error."""

    def run(name: str, *arguments: str) -> tuple[int, str, str]:
        own = ["--weights", str(tiny_weights)] if name in ("speak", "convert", "enroll", "voices") else []
        code = cli.main([name, *own, *arguments])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(result: tuple[int, str, str], *words: str) -> None:
    """Exit code 2, nothing on standard output, and one line on standard error with these words in it."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("voiceswap: ")
    assert err.count("\n") == 1
    for word in words:
        assert word in err, err


def in_fresh_process(commands: list[list[str]]) -> tuple[list[int], str]:
    """Exit codes and standard error of commands in one interpreter that has not loaded torch after them."""
    code = """
import json, sys
from voiceswap import cli
codes = [cli.main(arguments) for arguments in json.loads(sys.argv[1])]
assert not {"torch", "librosa", "lhotse", "accelerate"} & set(sys.modules)
print(json.dumps(codes))
"""
    started = [sys.executable, "-c", code, json.dumps(commands)]
    done = subprocess.run(started, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def test_version_and_help_need_no_torch() -> None:
    assert in_fresh_process([["--version"], ["--help"], ["speak", "--help"]]) == ([0, 0, 0], "")
    consent = ["--name", "Ada", "--scope", "speak", "--until", TOMORROW]
    assert in_fresh_process([["statement", *consent]]) == ([0], "")


def test_both_ways_to_start() -> None:
    for module in ("voiceswap", "voiceswap.cli"):
        done = subprocess.run(
            [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True
        )
        assert done.stdout == f"voiceswap {__version__}\n"


@pytest.mark.parametrize(
    "name",
    ["speak", "convert", "enroll", "statement", "revoke", "voices", "prepare", "train", "evaluate"],
)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([name, "--help"]) == 0
    assert f"voiceswap {name}" in capsys.readouterr().out


def test_voices_are_listed(command: Command) -> None:
    code, out, err = command("voices")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()[1:]] == [["alto-1", "200"], ["tenor-1", "120"]]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "opus", "mp3"])
def test_speak_writes_every_format(place: Path, command: Command, suffix: str) -> None:
    code, out, err = command("speak", "Hello there.", "--voice", "alto-1", "-o", f"hello.{suffix}")
    assert (code, err) == (0, "")
    assert out.startswith(f"hello.{suffix}: ")
    assert len(audio.read(place / f"hello.{suffix}")) > 4800


def test_speak_is_what_the_studio_says(place: Path, command: Command, tiny_studio: object) -> None:
    options = ["--speed", "1.5", "--pitch", "-3", "--seed", "4", "--device", "cpu"]
    code, _, _ = command("speak", "One. Two.", "--voice", "tenor-1", "--out", "a.wav", *options)
    assert code == 0
    voice = tiny_studio.voices["tenor-1"]  # type: ignore[attr-defined]
    expected = tiny_studio.speak("One. Two.", voice, speed=1.5, pitch=-3, seed=4)  # type: ignore[attr-defined]
    np.testing.assert_allclose(audio.read(place / "a.wav"), expected.samples, atol=1e-4)


def test_text_comes_from_a_file_or_from_standard_input(
    place: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = "\ufeffHello there.\n".encode()
    (place / "text.txt").write_bytes(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    for file, out in (("text.txt", "a.wav"), ("-", "b.wav")):
        assert command("speak", "--file", file, "--voice", "alto-1", "-o", out)[0] == 0
    assert command("speak", "Hello there.", "--voice", "alto-1", "-o", "c.wav")[0] == 0
    first, second, third = (soundfile.read(place / f"{name}.wav")[0] for name in "abc")
    assert np.array_equal(first, second)
    assert np.array_equal(first, third)


def test_convert_keeps_the_length(place: Path, command: Command) -> None:
    code, out, err = command("convert", "me-1.opus", "--voice", "tenor-1", "-o", "a.wav", "--pitch", "2")
    assert (code, err) == (0, "")
    assert len(audio.read("a.wav")) == len(audio.read("me-1.opus"))
    assert out == f"a.wav: {len(audio.read('a.wav')) / 24000:.1f} s\n"


def test_a_person_is_enrolled_speaks_and_is_asked_again(place: Path, command: Command) -> None:
    consent = ["--name", "Ada Example", "--scope", "speak", "--until", TOMORROW, "--given", "by e-mail"]
    code, out, _ = command("enroll", "me-1.opus", "me-2.opus", "me-3.opus", *consent, "-o", "ada.voice")
    assert code == 0
    assert out.startswith("ada.voice: Ada Example, ")
    voice = Voice.load("ada.voice")
    assert voice.consent is not None
    assert (voice.consent.scope, str(voice.consent.until), voice.consent.given) == (
        ("speak",),
        TOMORROW,
        "by e-mail",
    )
    assert command("speak", "Hello.", "--voice", "ada.voice", "-o", "a.wav")[0] == 0
    shutil.copy("ada.voice", "ada")
    assert command("speak", "Hello.", "--voice", "./ada", "-o", "b.wav")[0] == 0
    refused(
        command("convert", "me-1.opus", "--voice", "ada.voice", "-o", "c.wav"),
        "does not cover 'convert'",
        "Ask",
    )
    assert "c.wav" not in names(place)


def test_a_statement_is_printed_and_heard(place: Path, command: Command) -> None:
    consent = ["--name", "Ada Example", "--scope", "speak", "--until", "2097-12-31"]
    assert command("statement", *consent) == (
        0,
        "My name is Ada Example. I agree that voiceswap copies my voice, to speak any text. "
        "My consent ends after the thirty-first of December, twenty ninety-seven.\n",
        "",
    )
    enroll = ["enroll", "me-1.opus", "me-2.opus", *consent, "-o", "ada.voice", "--statement"]
    refused(command(*enroll, "me-3.opus"), "does not say the words", '"My name is Ada Example. I agree')
    refused(command(*enroll, "none.wav"), "none.wav' does not exist")
    assert "ada.voice" not in names(place)


def test_a_revoked_voice_is_refused_from_any_file(
    place: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOICESWAP_HOME", str(tmp_path / "home"))
    consent = ["--name", "Ada Example", "--scope", "speak", "--until", TOMORROW]
    assert command("enroll", "me-1.opus", "me-2.opus", *consent, "-o", "ada.voice")[0] == 0
    shutil.copy("ada.voice", "copy.voice")
    assert command("speak", "Hello.", "--voice", "copy.voice", "-o", "a.wav")[0] == 0
    assert command("revoke", "ada.voice") == (0, "ada.voice: revoked on this computer\n", "")
    for file in ("ada.voice", "copy.voice"):
        refused(command("speak", "Hello.", "--voice", file, "-o", "b.wav"), "'Ada Example' was revoked on")
    refused(command("enroll", "me-1.opus", *consent, "-o", "new.voice"), "was revoked on")
    refused(command("revoke", "me-1.opus"), "is no voice")
    assert {"b.wav", "new.voice"}.isdisjoint(names(place))


def test_warnings_are_shown_as_such(place: Path, command: Command) -> None:
    consent = ["--name", "Ada", "--scope", "speak", "--until", TOMORROW]
    code, _, err = command("enroll", "me-1.opus", *consent, "-o", "ada.voice")
    assert code == 0
    assert err.startswith("voiceswap: warning: ")
    assert "s of speech" in err
    assert "UserWarning" not in err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["''", "empty"]),
        ("  \n ", ["empty or blank"]),
        ("?! …", ["'?! …'", "only punctuation or pictures", "at least one word"]),
        ("😀🎉", ["only punctuation or pictures"]),
        ("Это текст", ["'Это'", "script", "Latin letters"]),
        ("[[h ə ʘ]]", ["'ʘ'", "not in the inventory", "use the symbols of"]),
        ("Say [[h ə l", ["never closed"]),
        ("\udcff", ["only punctuation or pictures"]),
    ],
)
def test_text_that_cannot_be_spoken(place: Path, command: Command, text: str, words: list[str]) -> None:
    before = names(place)
    refused(command("speak", "--voice", "alto-1", "-o", "a.wav", "--", text), *words)
    (place / "text.txt").write_text(text, encoding="utf-8", errors="replace")
    refused(command("speak", "--file", "text.txt", "--voice", "alto-1", "-o", "a.wav"))
    assert names(place) == sorted([*before, "text.txt"])


def make_sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, ["cannot be read", "No such file"]),
        (lambda path: path.mkdir(), ["cannot be read"]),
        (lambda path: path.write_bytes(b"Caf\xe9"), ["is not UTF-8 (byte 3)"]),
        (lambda path: make_sparse(path, 10**9), ["longer than 16000000 bytes", "in parts"]),
        (lambda path: make_sparse(path, 10**6), ["only punctuation or pictures"]),
        (lambda path: path.write_bytes(b""), ["empty"]),
    ],
)
def test_text_files_that_cannot_be_spoken(
    place: Path, command: Command, make: Callable[[Path], object], words: list[str]
) -> None:
    make(place / "text.txt")
    before = names(place)
    refused(command("speak", "--file", "text.txt", "--voice", "alto-1", "-o", "a.wav"), *words)
    assert names(place) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--speed", "0.4"], ["speed=0.4", "0.5 to 2.0"]),
        (["--speed", "0"], ["speed=0.0"]),
        (["--speed", "nan"], ["speed=nan"]),
        (["--pitch", "25"], ["pitch=25.0", "-24.0 to 24.0"]),
        (["--seed", "-1"], ["seed=-1"]),
        (["--seed", "9" * 30], ["seed=9999"]),
        (["--device", "tpu"], ["device='tpu'", "auto"]),
        (["--voice", "nobody"], ["'nobody'", "alto-1, tenor-1", ".voice file"]),
        (["--voice", "nobody.voice"], ["'nobody.voice' does not exist"]),
        (["--voice", "./me-1.opus"], ["me-1.opus' is no voice"]),
        (["-o", "none/a.wav"], ["'none' is not a directory"]),
        (["-o", "a.aac"], ["'.aac'", ".wav, .flac"]),
        (["-o", "me-1.opus"], ["'me-1.opus' exists already", "force"]),
        (["-o", "."], ["the suffix ''"]),
        (["-o", "folder.wav", "--force"], ["'folder.wav' is a directory"]),
    ],
)
def test_options_that_cannot_be_used(
    place: Path, command: Command, options: list[str], words: list[str]
) -> None:
    (place / "folder.wav").mkdir()
    before = names(place)
    content = (place / "me-1.opus").read_bytes()
    refused(command("speak", "Hello.", "--voice", "alto-1", "-o", "a.wav", *options), *words)
    assert names(place) == before
    assert (place / "me-1.opus").read_bytes() == content


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["speak", "Hello."],
        ["speak", "Hello.", "--voice", "alto-1"],
        ["speak", "--voice", "alto-1", "-o", "a.wav"],
        ["speak", "Hello.", "--file", "text.txt", "--voice", "alto-1", "-o", "a.wav"],
        ["speak", "Hello.", "--voice", "alto-1", "-o", "a.wav", "--speed", "fast"],
        ["speak", "Hello.", "--voice", "alto-1", "-o", "a.wav", "--loud"],
        ["shout", "Hello."],
        ["enroll", "--name", "Ada", "--scope", "speak", "--until", TOMORROW, "-o", "a.voice"],
        ["prepare", "tsv", "corpus", "--out", "features", "--jobs", "0"],
        ["train", "vocoder", "--data", "f", "--out", "run", "--steps", "2", "--minutes", "3"],
        ["train", "vocoder", "--data", "f", "--out", "run", "--set", "steps"],
        ["train", "converter"],
        ["train", "converter", "--voice", "ada.voice"],
        ["train", "vocoder", "--voice", "ada.voice", "--recordings", "talks"],
        ["evaluate", "--corpus", "c", "--out", "o", "--other", "piper"],
    ],
)
def test_wrong_usage(place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    before = names(place)
    assert cli.main(arguments) == 2
    assert "Usage: voiceswap" in "".join(capsys.readouterr())
    assert names(place) == before


def bad_recordings(folder: Path, good: np.ndarray) -> None:
    tone = 0.3 * np.sin(np.arange(24000) / 10)
    for name, samples in {
        "none": np.zeros(0),
        "one": np.zeros(1),
        "nan": np.r_[good, np.nan],
        "silent": np.zeros(48000),
        "hum": np.tile(tone, 4),
    }.items():
        soundfile.write(folder / f"{name}.wav", samples, 24000, subtype="FLOAT")
    soundfile.write(folder / "whole.wav", good, 24000)
    (folder / "cut.wav").write_bytes((folder / "whole.wav").read_bytes()[:50000])
    (folder / "text.wav").write_text("some words " * 1000)
    (folder / "directory.wav").mkdir()
    make_sparse(folder / "zeros.wav", 10**9)


BAD_RECORDINGS = {
    "none": "has 0 samples",
    "one": "has 1 sample ",
    "nan": "NaN or infinite",
    "silent": "",
    "hum": "",
    "cut": "its header promises",
    "text": "cannot be read as audio",
    "directory": "is a directory",
    "zeros": "cannot be read as audio",
    "missing": "does not exist",
}


@pytest.fixture
def bad_place(place: Path) -> Path:
    bad_recordings(place, audio.read("me-1.opus"))
    return place


@pytest.mark.parametrize("name", BAD_RECORDINGS)
def test_recordings_that_cannot_be_used(bad_place: Path, command: Command, name: str) -> None:
    before = names(bad_place)
    recording, message = f"{name}.wav", BAD_RECORDINGS[name]
    refused(command("convert", recording, "--voice", "alto-1", "-o", "a.flac"), recording, message)
    consent = ["--name", "Ada", "--scope", "speak", "--until", TOMORROW]
    refused(command("enroll", "me-2.opus", recording, *consent, "-o", "ada.voice"), recording, message)
    assert names(bad_place) == before


@pytest.mark.parametrize(
    ("consent", "words"),
    [
        ({"--until": "2001-01-01"}, ["2001-01-01"]),
        ({"--until": "tomorrow"}, ["until='tomorrow'", "2027-12-31"]),
        ({"--scope": "everything"}, ["'everything'", "speak, convert, train"]),
        ({"--scope": ""}, ["speak, convert, train"]),
        ({"--name": " "}, ["name=' '"]),
        ({"-o": "me-1.opus"}, ["exists already"]),
        ({"-o": "none/ada.voice"}, ["'none' is not a directory"]),
    ],
)
def test_enrolling_without_what_it_needs(
    place: Path, command: Command, consent: dict[str, str], words: list[str]
) -> None:
    before = names(place)
    given = {"--name": "Ada", "--scope": "speak", "--until": TOMORROW, "-o": "ada.voice"} | consent
    refused(command("enroll", "me-1.opus", *(part for pair in given.items() for part in pair)), *words)
    assert names(place) == before


def test_outputs_are_kept_unless_forced(place: Path, command: Command) -> None:
    for name in ("a.wav", "ada.voice"):
        (place / name).write_text("mine")
    speak = ["speak", "Hello.", "--voice", "alto-1", "-o", "a.wav"]
    convert = ["convert", "me-1.opus", "--voice", "alto-1", "-o", "a.wav"]
    enroll = [
        "enroll",
        "me-1.opus",
        "--name",
        "Ada",
        "--scope",
        "speak",
        "--until",
        TOMORROW,
        "-o",
        "ada.voice",
    ]
    for arguments in (speak, convert, enroll):
        refused(command(*arguments), "exists already", "force")
        assert Path(arguments[-1]).read_text() == "mine"
        assert command(*arguments, "--force")[0] == 0
        assert Path(arguments[-1]).read_bytes() != b"mine"
        Path(arguments[-1]).write_text("mine")


def test_files_are_checked_before_models_are_loaded(place: Path) -> None:
    codes, err = in_fresh_process(
        [
            ["speak", "Hello.", "--voice", "alto-1", "-o", "me-1.opus"],
            ["speak", "--file", "none.txt", "--voice", "alto-1", "-o", "a.wav"],
            ["speak", "Hello.", "--voice", "none.voice", "-o", "a.wav"],
            ["convert", "me-1.opus", "--voice", "alto-1", "-o", "none/a.wav"],
            [
                "enroll",
                "me-1.opus",
                "--name",
                "A",
                "--scope",
                "speak",
                "--until",
                TOMORROW,
                "-o",
                "me-1.opus",
            ],
        ]
    )
    assert codes == [2] * 5
    assert err.count("voiceswap: ") == err.count("\n") == 5


def test_voices_of_other_models_are_refused(place: Path, command: Command, tiny_weights: Path) -> None:
    import torch

    from voiceswap import checkpoint

    enroll = ["me-1.opus", "--name", "Ada", "--scope", "speak", "--until", TOMORROW, "-o", "ada.voice"]
    assert command("enroll", *enroll)[0] == 0
    other = shutil.copytree(tiny_weights, place / "other")
    encoder = checkpoint.load(other / "speaker-encoder.safetensors", "speaker-encoder")
    torch.nn.init.ones_(encoder.leave.bias)
    checkpoint.save(encoder, other / "speaker-encoder.safetensors")
    arguments = ["speak", "Hello.", "--voice", "ada.voice", "-o", "a.wav", "--weights", str(other)]
    assert cli.main(arguments) == 2
    assert not (place / "a.wav").exists()


@pytest.mark.parametrize("damage", ["missing", "flipped", "other kind", "pickle"])
def test_weights_that_cannot_be_used(
    place: Path, tiny_weights: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    import torch

    folder = shutil.copytree(tiny_weights, place / "weights")
    vocoder = folder / "vocoder.safetensors"
    if damage == "missing":
        vocoder.unlink()
    elif damage == "flipped":
        content = bytearray(vocoder.read_bytes())
        content[-5000] ^= 1
        vocoder.write_bytes(content)
    elif damage == "other kind":
        shutil.copy(folder / "synthesizer.safetensors", vocoder)
    else:
        torch.save({"model": 1}, vocoder)
    before = names(place)
    for arguments in (["speak", "Hello."], ["convert", "me-1.opus"]):
        code = cli.main([*arguments, "--voice", "alto-1", "-o", "a.wav", "--weights", "weights"])
        refused((code, *capsys.readouterr()), "vocoder.safetensors")
    assert names(place) == before


def test_an_interruption_leaves_nothing(
    place: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from voiceswap.speech import SpeechWriter

    write = SpeechWriter.write

    def interrupted(self: SpeechWriter, speech: object) -> None:
        write(self, speech)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(SpeechWriter, "write", interrupted)
    before = names(place)
    assert command("speak", "Hello. And more.", "--voice", "alto-1", "-o", "a.wav")[0] == 130
    assert names(place) == before


def test_errors_of_any_kind_are_one_line(
    place: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise ConsentError("the voice", "it may not be used", "Ask")

    monkeypatch.setattr("voiceswap.studio.load", refuse)
    refused(command("voices"), "the voice: it may not be used. Ask.")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_bar_is_shown_on_a_terminal(
    place: Path, tiny_weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr("sys.stderr", Terminal())
    for arguments in (["speak", "Hello."], ["convert", "me-1.opus"]):
        voice = ["--voice", "alto-1", "-o", f"{arguments[0]}.wav", "--weights", str(tiny_weights)]
        assert cli.main([*arguments, *voice]) == 0
        assert "making speech" in sys.stderr.getvalue()  # type: ignore[attr-defined]


def write_corpus(folder: Path, recordings: list[Path]) -> None:
    columns = ["id", "path", "speaker", "gender", "language", "source", "split", "seconds", "band"]
    columns += ["text_origin", "text"]
    folder.mkdir()
    (folder / "broken.wav").write_text("no sound")
    rows = []
    for number, path in enumerate([*recordings, folder / "broken.wav"]):
        split = "dev" if number == 2 else "train"
        row = [
            f"r{number}",
            str(path.resolve()),
            f"s{number % 2}",
            "f",
            "en",
            "mine",
            split,
            "3",
            "full",
            "given",
        ]
        rows.append([*row, "He turned sharply."])
    with (folder / "manifest.tsv").open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle, delimiter="\t", lineterminator="\n").writerows([columns, *rows])


def test_a_corpus_is_prepared_and_a_model_trained(
    place: Path, command: Command, kathleen: list[Path]
) -> None:
    pytest.importorskip("lhotse")
    pytest.importorskip("accelerate")
    write_corpus(place / "corpus", kathleen)
    prepare = ["prepare", "tsv", "corpus", "--out", "features", "--jobs", "1"]
    code, out, err = command(*prepare)
    assert (code, out) == (0, "features: 3 recordings, 1 skipped\n")
    assert "broken.wav" in err
    before = (place / "features" / "mel.f16").read_bytes()
    assert command(*prepare)[0] == 0
    assert (place / "features" / "mel.f16").read_bytes() == before
    settings = ["--set", "batch_size=2", "--set", "learning_rate=1e-3", "--set", "seed=3"]
    train = ["train", "vocoder", "--preset", "tiny", "--data", "features", "--out", "run"]
    code, out, _ = command(*train, "--steps", "2", *settings)
    assert code == 0
    assert "held-out" in out
    assert out.endswith("run/vocoder.safetensors\n")
    again = ["--steps", "3", "--resume", *settings]
    assert command(*train, *again)[0] == 0
    refused(command(*train, "--steps", "4"), "a run is in it already", "--resume")  # not overwritten
    fresh = [*train[:-1], "fresh"]
    refused(command(*fresh, "--steps", "1", "--set", "bath_size=2"), "bath_size", "batch_size")
    refused(command(*fresh, "--steps", "1", "--set", "batch_size=two"), "batch_size", "a whole number")
    refused(command(*fresh, "--steps", "1", "--init", "none.safetensors"), "none.safetensors")
    from_weights = ["--steps", "1", "--init", "run/vocoder.safetensors", "--set", "adversarial_from=null"]
    assert command(*fresh, *from_weights, *settings)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prepare", "mine", "corpus", "--out", "features"], ["'mine'", "tsv", "vctk"]),
        (["prepare", "tsv", "none", "--out", "features"], ["none"]),
        (["train", "singer", "--data", "features", "--out", "run"], ["'singer'", "vocoder"]),
        (["train", "vocoder", "--data", "none", "--out", "run"], ["none", "prepare"]),
        (["train", "vocoder", "--data", "none", "--out", "run", "--preset", "huge"], ["'huge'", "base"]),
    ],
)
def test_training_without_what_it_needs(
    place: Path, command: Command, arguments: list[str], words: list[str]
) -> None:
    pytest.importorskip("lhotse")
    pytest.importorskip("accelerate")
    before = names(place)
    refused(command(*arguments), *words)
    assert names(place) == before


def test_an_extra_that_is_not_installed_is_named(
    place: Path, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    refused(command("prepare", "tsv", "corpus", "--out", "features"), "'lhotse'", "voiceswap[train]")
    refused(command("train", "vocoder", "--data", "f", "--out", "run"), "'accelerate'", "voiceswap[train]")


def test_a_voice_is_adapted(place: Path, command: Command, kathleen: list[Path], tiny_weights: Path) -> None:
    pytest.importorskip("accelerate")
    (place / "talks").mkdir()
    for number in range(12):
        shutil.copy(kathleen[number % 3], place / "talks" / f"{number:02}.opus")
    consent = ["--name", "Ada Example", "--until", TOMORROW, "--scope"]
    for scope, out in (("convert,train", "ada.voice"), ("convert", "eve.voice")):
        assert command("enroll", "me-1.opus", "me-2.opus", *consent, scope, "-o", out)[0] == 0
    adapt = ["train", "converter", "--recordings", "talks", "--steps", "2"]
    adapt += ["--weights", str(tiny_weights), "--voice"]
    code, out, _ = command(*adapt, "ada.voice")
    assert (code, out.splitlines()[-1]) == (0, "ada.voice: Ada Example, with an adapter for `convert`")
    assert Voice.load("ada.voice").adapter is not None
    assert command("convert", "me-3.opus", "--voice", "ada.voice", "-o", "a.wav")[0] == 0
    before = (place / "eve.voice").read_bytes()
    refused(command(*adapt, "eve.voice"), "does not cover 'train'", "Ask")
    assert (place / "eve.voice").read_bytes() == before
    assert not (place / "eve.voice.run").exists()


def test_speaking_like_a_recording_of_something_else(place: Path, command: Command) -> None:
    like = ["--like", "me-1.opus", "--voice", "alto-1", "-o", "a.wav"]
    refused(command("speak", "Hello.", *like), "me-1.opus", "does not say the words")
    assert "a.wav" not in names(place)


def test_evaluate_hands_everything_on(place: Path, command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from voiceswap.evaluation import report

    seen: dict[str, object] = {}

    def evaluate(studio: object, corpus: Path, out: Path, **options: object) -> report.Report:
        seen.update(options, studio=studio, corpus=corpus, out=out)
        return report.Report({}, (), (), {})

    monkeypatch.setattr(report, "evaluate", evaluate)
    options = [
        "--other",
        "piper=made/piper",
        "--other",
        "world=w",
        "--others-only",
        "--count",
        "7",
        "--seed",
        "1",
    ]
    options += ["--speaker", "a", "--speaker", "b", "--split", "dev", "--no-pictures"]
    code, out, _ = command("evaluate", "--corpus", "corpus", "--out", "out", *options)
    assert (code, out) == (0, "out/report.md\n")
    assert seen == {
        **{
            "studio": None,
            "corpus": Path("corpus"),
            "out": Path("out"),
            "count": 7,
            "seed": 1,
            "split": "dev",
        },
        **{"speakers": ["a", "b"], "others": {"piper": Path("made/piper"), "world": Path("w")}},
        **{"pictures": False, "progress": False, "jobs": 2},
    }
