"""What README and examples show, run as a reader would: in a folder that holds the files they name."""

from __future__ import annotations

import ast
import csv
import os
import re
import shlex
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)
PYTHON = [text for language, text in BLOCKS if language == "python"]
# what follows the installation, in command blocks of the README's own program
COMMANDS = [
    text
    for text in (block.removeprefix("pip install . && ") for language, block in BLOCKS if language == "bash")
    if text.startswith("voiceswap ")
]
CORPUS_COLUMNS = ["id", "path", "speaker", "gender", "language", "source", "split", "seconds", "band"]
CORPUS_COLUMNS += ["text_origin", "text"]
SENTENCES = [
    "For the twentieth time that evening the two men shook hands.",
    "Gregson shoved back his chair and rose to his feet.",
    "He turned sharply, and faced Gregson across the table.",
]


@pytest.fixture
def place(tmp_path: Path, kathleen: list[Path], nathalie: list[Path], bundled_weights: Path) -> Path:
    """A folder with the recordings, the text and the corpus that README and examples name."""
    spoken = [soundfile.read(path)[0] for path in kathleen]
    rate = soundfile.info(kathleen[0]).samplerate
    for number in (1, 2):  # shorter references would bring a warning
        soundfile.write(tmp_path / f"me-{number}.wav", np.concatenate(spoken[number - 1 : number + 1]), rate)
    samples, rate = soundfile.read(nathalie[0])
    soundfile.write(tmp_path / "talk.mp3", samples, rate)
    (tmp_path / "chapter.txt").write_text("It was late. The rain had stopped.\n", encoding="utf-8")
    write_corpus(tmp_path / "my-corpus", kathleen)
    for name, paths, times in (("ada-talks", kathleen, 12), ("grace-talks", nathalie, 18)):
        (tmp_path / name).mkdir()
        for number in range(times):
            shutil.copy(paths[number % len(paths)], tmp_path / name / f"{number:02}.opus")
    return tmp_path


def write_corpus(folder: Path, recordings: list[Path]) -> None:
    """A corpus of two speakers: the recordings, and the same played faster under another name."""
    folder.mkdir()
    rows = []
    for speaker, stretch in (("kathleen", 1.0), ("faster", 1.2)):
        for path, text in zip(recordings, SENTENCES, strict=True):
            samples, rate = soundfile.read(path)
            name = f"{speaker}-{path.stem}"
            soundfile.write(folder / f"{name}.flac", samples, int(rate * stretch))
            split = "dev" if path == recordings[-1] else "train"
            seconds = f"{len(samples) / rate / stretch:.2f}"
            row = [name, f"{name}.flac", speaker, "f", "en", "mine", split, seconds, "full", "given", text]
            rows.append(dict(zip(CORPUS_COLUMNS, row, strict=True)))
    with (folder / "manifest.tsv").open("w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, CORPUS_COLUMNS, delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def current(text: str) -> str:
    """`text` with the last day of some year, up to which its consent runs, moved to next year."""
    return re.sub(r"\b\d{4}-12-31\b", f"{date.today().year + 1}-12-31", text)


def run(command: list[str], place: Path) -> None:
    """Run `command` in `place`, with the scripts of this interpreter's environment first on the path."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        command, cwd=place, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def check_audio(place: Path, before: set[Path]) -> None:
    """Every new audio file in `place` holds sound, is signed, and is marked as far as can be told."""
    from voiceswap import audio
    from voiceswap.provenance import manifest, watermark

    for path in set(place.rglob("*")) - before:
        if path.suffix in {".wav", ".flac", ".mp3", ".opus", ".ogg"}:
            samples, _ = soundfile.read(path)
            assert np.isfinite(samples).all(), path
            assert np.abs(samples).max() > 0.01, path
            signed = manifest.read(path)
            assert signed is not None, path
            assert (signed.claims["made_by"], signed.own, signed.faults) == ("voiceswap", True, ()), path
            assert watermark.detect(audio.read(path)).verdict != "not marked", path


def test_readme_shows_both_ways():
    assert PYTHON
    assert COMMANDS


@pytest.mark.slow
def test_readme_python(place, monkeypatch):
    before = set(place.rglob("*"))
    monkeypatch.chdir(place)
    exec(compile(current("\n".join(PYTHON)), "README.md", "exec"), {"__name__": "readme"})
    check_audio(place, before)


@pytest.mark.slow
@pytest.mark.parametrize("block", COMMANDS, ids=lambda text: text.split("\n")[0][:40])
def test_readme_commands(block, place):
    before = set(place.rglob("*"))
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash here")
    run([bash, "-euc", current(block)], place)
    check_audio(place, before)


def example_command(path: Path) -> list[str]:
    """The arguments that an example's docstring shows, after the name of its file."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    found = re.search(rf"^python examples/{path.name}(.*)$", doc, re.M)
    assert found, f"{path.name}: its docstring shows no line 'python examples/{path.name} …'"
    return shlex.split(found[1])


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_is_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) < 40


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_runs(path, place):
    before = set(place.rglob("*"))
    run([sys.executable, str(path), *example_command(path)], place)
    check_audio(place, before)
