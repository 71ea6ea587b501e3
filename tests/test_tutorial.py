"""The tutorial's commands, run in their order on a small corpus; and every command in the docs exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer

from voiceswap import audio, cli

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
TUTORIAL = ROOT / "docs" / "tutorial.md"
SAID = (
    "For the twentieth time that evening the two men shook hands.",
    "Gregson shoved back his chair and rose to his feet.",
    "He turned sharply, and faced Gregson across the table.",
)


def blocks(page: Path, language: str) -> list[str]:
    """What stands in the page's code blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def commands(page: Path) -> list[str]:
    """The command lines of a page's consoles, continued lines put together."""
    console = "\n".join(blocks(page, "console")).replace("\\\n", " ")
    plain = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    return re.findall(r"^\$ (.+)$", console, re.M) + re.findall(r"^(?:.*&& )?(voiceswap .+)$", plain, re.M)


def test_the_tutorial_is_read():
    assert [line for line in commands(TUTORIAL) if line.startswith("voiceswap train")]
    assert any("--pieces" in line for line in commands(TUTORIAL))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist_with_their_options(page):
    group = typer.main.get_command(cli.app)
    for line in commands(page):
        words = shlex.split(line, comments=True)
        words = words[words.index("voiceswap") + 1 :] if "voiceswap" in words[:6] else []
        if not words or words[0].startswith("-") or "…" in words:
            continue
        for number, word in enumerate(words):
            if word in ("|", ">", "<", "&", "&&", ";") or word.startswith("2>"):
                words = words[:number]
                break
        try:
            group.commands[words[0]].make_context(words[0], words[1:])
        except Exception as error:  # Typer brings a click of its own
            pytest.fail(f"{page.name}: {line}: {error!r}")


def talk(recordings: list[np.ndarray], count: int) -> np.ndarray:
    """So many recordings one after the other, from the first again after the last, with pauses."""
    pause = np.random.default_rng(0).normal(0, 1e-4, round(0.8 * audio.SAMPLE_RATE)).astype(np.float32)
    parts = [part for number in range(count) for part in (pause, recordings[number % len(recordings)])]
    return np.clip(0.9 * np.concatenate([*parts, pause]), -1, 1)


@pytest.fixture
def recorded(tmp_path: Path, kathleen: list[Path], nathalie: list[Path]) -> Path:
    """A folder with `my-recordings` and `short.wav`, as the tutorial names them, of three people."""
    ada = [audio.level(audio.read(path)) for path in kathleen]
    cleo = [audio.level(audio.read(path)) for path in nathalie]
    # Played faster, somebody is somebody else.
    ben = [audio.resample(samples, 28000, audio.SAMPLE_RATE) for samples in ada]
    for name, samples in (
        ("ada/book-1.mp3", talk(ada, 12)),
        ("ben/talk-1.flac", talk(ben, 2)),
        ("cleo/tuesday.opus", talk(cleo, 2)),
    ):
        path = tmp_path / "my-recordings" / name
        path.parent.mkdir(parents=True)
        kind = {"format": "OGG", "subtype": "OPUS"} if path.suffix == ".opus" else {}
        soundfile.write(path, samples, audio.SAMPLE_RATE, **kind)
    (tmp_path / "my-recordings/ada/book-1.txt").write_text("A title. " + " ".join(SAID * 4))
    (tmp_path / "my-recordings/ben/broken.wav").write_bytes(b"not audio at all")
    soundfile.write(tmp_path / "short.wav", ada[0], audio.SAMPLE_RATE)
    return tmp_path


def run(line: str, place: Path, weights: Path) -> None:
    """One line of the tutorial: voiceswap's commands in this process, as it takes seconds to load torch."""
    from voiceswap.training import voices

    given = re.sub(r"\d{4}-12-31", f"{date.today().year + 1}-12-31", line).replace("$BUNDLED", str(weights))
    given = given.replace("--init bundled", f"--init {weights}/synthesizer.safetensors --weights {weights}")
    words = shlex.split(given)
    if words[0] == "voiceswap":
        if "--steps" in words:
            words[words.index("--steps") + 1] = "2"
        assert cli.main(words[1:]) == 0, line
    elif words[:3] == ["python", "-m", "voiceswap.training.voices"]:
        assert voices.main(words[3:]) == 0, line
    else:
        bash = shutil.which("bash")
        if bash is None:
            pytest.skip("no bash here")
        subprocess.run([bash, "-euc", given], cwd=place, check=True, env=dict(os.environ))


@pytest.mark.slow
def test_the_tutorial_leads_to_a_model_that_speaks(
    recorded, tiny_weights, bundled_weights, monkeypatch, capsys
):
    for package in ("lhotse", "accelerate", "silero_vad", "rapidfuzz"):
        pytest.importorskip(package, reason="needs voiceswap[train]")
    monkeypatch.chdir(recorded)
    done = []
    for line in commands(TUTORIAL):
        # The longer run is one to wait for; judges are tested in test_evaluation.py.
        if (
            line.startswith(("pip ", "BUNDLED=", "tensorboard ", "voiceswap evaluate "))
            or "--minutes" in line
        ):
            continue
        run(line, recorded, tiny_weights)
        done.append(line)
    printed = capsys.readouterr()
    assert "skipped ben/broken.wav" in printed.err
    assert "aligned" in printed.out
    assert "mine-1" in printed.out
    for name in ("alto.wav", "hello.wav", "hello-ada.wav", "short-as-ada.wav"):
        samples, rate = soundfile.read(recorded / name)
        assert rate == audio.SAMPLE_RATE
        assert np.isfinite(samples).all()
    from voiceswap.evaluation.protocol import read_manifest

    rows = read_manifest(recorded / "features" / "mine", split="train")
    assert {row.speaker for row in rows} == {"ada", "ben", "cleo"}
    assert {soundfile.info(row.path).samplerate for row in rows} == {audio.SAMPLE_RATE}
    assert any(row.text for row in rows)
    assert len(done) > 10


REPEATABLE = (
    "convert notes.m4a",
    "--data my-recordings --out runs/vocoder",
    "--weights runs ",
    "--language fr",
    "Привет",
    "--voice eve.voice",
    "--weights other-voices",
    "--weights other-synthesizer",
)
"""Parts of commands in troubleshooting.md whose faults need no more than a few files."""


def test_messages_are_those_of_the_page(tmp_path, tiny_weights, bundled_weights, monkeypatch, capsys):
    pytest.importorskip("accelerate", reason="needs voiceswap[train]")
    from voiceswap import checkpoint
    from voiceswap.provenance import Consent
    from voiceswap.voice import Voice

    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.m4a").write_bytes(bytes(range(1, 200)) * 20)
    (tmp_path / "my-recordings").mkdir()
    record = {"name": "Eve Example", "scope": ["speak"], "given": ""}
    over = Consent.from_dict(record | {"since": "2024-01-01", "until": "2024-12-31"})
    Voice("Eve Example", np.eye(192)[0], 200.0, 0.2, 13.0, over, "0" * 64).save("eve.voice")
    other = checkpoint.read_header(bundled_weights / "speaker-encoder.safetensors")["sha256"]
    shutil.copytree(tiny_weights, "other-voices")
    shutil.copy(bundled_weights / "voices.json", "other-voices")
    synthesizer = checkpoint.load(tiny_weights / "synthesizer.safetensors", "synthesizer")
    place = Path(shutil.copytree(tiny_weights, "other-synthesizer")) / "synthesizer.safetensors"
    checkpoint.save(synthesizer, place, training={"teachers": {"speaker-encoder": other}})
    console = "\n".join(blocks(ROOT / "docs" / "troubleshooting.md", "console"))
    shown = dict(re.findall(r"^\$ voiceswap (.+)\n(voiceswap: .+)$", console, re.M))
    for part in REPEATABLE:
        line = next(line for line in shown if part in line)
        assert cli.main(shlex.split(line)) == 2, line
        said = re.sub(r"on \d{4}-\d\d-\d\d\. Ask", "on 2026-11-26. Ask", capsys.readouterr().err.strip())
        # A hash is that of the weights at hand.
        assert re.sub(r"\b[0-9a-f]{12}\b", "…", said) == re.sub(r"\b[0-9a-f]{12}\b", "…", shown[line])


def test_init_may_be_the_model_that_ships(tmp_path, monkeypatch):
    pytest.importorskip("accelerate", reason="needs voiceswap[train]")
    from voiceswap.bundle import WEIGHTS
    from voiceswap.training import run as running

    begun = []
    monkeypatch.setattr(running, "run", lambda kind, **given: begun.append(given["init"]))
    for init in ("bundled", "mine/bundled"):
        given = ["--data", str(tmp_path), "--out", str(tmp_path / "run"), "--init", init]
        assert cli.main(["train", "converter", *given]) == 0
    assert begun == [WEIGHTS / "converter.safetensors", Path("mine/bundled")]


def test_a_converter_fits_its_recognizer(tmp_path, bundled_weights, capsys):
    pytest.importorskip("accelerate", reason="needs voiceswap[train]")
    (tmp_path / "index.jsonl").write_text("")
    given = ["--preset", "tiny", "--data", str(tmp_path), "--out", str(tmp_path / "run")]
    assert cli.main(["train", "converter", *given]) == 2
    assert "the recognizer of the weights gives" in capsys.readouterr().err


def test_recipes_of_voices_are_checked(tmp_path, tiny_weights, capsys):
    pytest.importorskip("lhotse", reason="needs voiceswap[train]")
    from voiceswap.training import voices

    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "index.jsonl").write_text("")
    before = (tiny_weights / "voices.json").read_bytes()
    for recipes, said in (
        ('{"mine-1": {"ada": 0.4, "ben": 0.3, "cleo": 0.3}}', "the data has no ada, ben, cleo"),
        ('["ada"]', "they cannot be read"),
        ("no JSON", "they cannot be read"),
    ):
        (tmp_path / "recipes.json").write_text(recipes)
        given = [str(tmp_path / "store"), "--weights", str(tiny_weights)]
        assert voices.main([*given, "--recipes", str(tmp_path / "recipes.json")]) == 2
        assert said in capsys.readouterr().err
    assert (tiny_weights / "voices.json").read_bytes() == before
