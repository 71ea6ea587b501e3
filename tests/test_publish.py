"""What was measured gets into the documents, between their markers, and nothing else changes there."""

from __future__ import annotations

import importlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from voiceswap import checkpoint
from voiceswap.evaluation.report import FIGURES, Figure, Report, load
from voiceswap.evaluation.stats import Interval

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def publish() -> Iterator[ModuleType]:
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks do not come with the source distribution")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("publish")


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    """A report in which every figure of ours is 0.5, with one peer, pictures and limits."""
    half = Interval(0.5, 0.4, 0.6, 100)
    tasks = ("builtin", "speak", "convert", "copy")
    figures = [Figure("voiceswap", task, name, half) for task in tasks for name in FIGURES[task]]
    figures += [
        Figure("recordings", task, name, half) for task in ("references", "sources") for name in FIGURES[task]
    ]
    figures.append(Figure("piper", "builtin", "dnsmos", Interval(3.25, 3.2, 3.3, 100)))
    figures += [
        Figure(system, "builtin", "character_error_rate", Interval(mean, 0.0, 1.0, 100))
        for system, mean in (("hibari", 0.48), ("piper", 0.495), ("kokoro", 0.52))
    ]
    settings = {"corpus": "corpus", "split": "dev-unseen", "people": ["ann", "bob"], "count": 100, "seed": 0}
    watch = {"audio_seconds": 90.0, "seconds": 4.0, "cpu_seconds": 3.0}
    report = Report(
        {**settings, "likeness": {"ge2e": (0.55, 0.87)}},
        tuple(figures),
        (),
        {
            "voiceswap": {"speed": {"builtin": watch, "speak": watch, "convert": watch}},
            "piper": {},
            "hibari": {"speed": {"builtin": {**watch, "cpu_seconds": 1.0}}},
        },
        ("dan: too little speech",),
    )
    folder = tmp_path / "measured"
    report.save(folder)
    image = pytest.importorskip("PIL.Image")
    noise = np.random.default_rng(0).integers(0, 255, (700, 700, 3), np.uint8)
    image.fromarray(noise).save(folder / "mels.png")
    limits = [
        {"name": name, "label": name, "unit": "s", "value": value, "worst": 2 * value, "runs": 5}
        for name, value in (("start_seconds", 5.0), ("first_long_2_seconds", 0.31))
    ]
    machine = {"device": "CPU", "cpu": "abacus", "cores": 2, "python": "3.11", "torch": "2", "date": ""}
    record = {"machine": machine, "load_at_start": 0.1, "limits": limits}
    (folder / "limits.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


@pytest.fixture
def root(tmp_path: Path, tiny_weights: Path) -> Path:
    """The documents of this repository, beside tiny weights."""
    folder = tmp_path / "root"
    shutil.copytree(tiny_weights, folder / "voiceswap" / "weights")
    for card in (ROOT / "voiceswap" / "weights").glob("*.md"):
        shutil.copy(card, folder / "voiceswap" / "weights")
    (folder / "docs").mkdir()
    shutil.copy(ROOT / "README.md", folder)
    return folder


def rows(text: str) -> dict[str, list[str]]:
    """Cells of the tables' rows by the first one."""
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]
    return {cells[0]: cells[1:] for cells in lines}


def test_every_place_is_written_and_the_floors_are_judged(
    publish: ModuleType, measured: Path, root: Path, tmp_path: Path
) -> None:
    parallel = tmp_path / "parallel.json"
    parallel.write_text('{"parallel_adapted": 31.5}', encoding="utf-8")
    options = {"limits": [measured / "limits.json"], "parallel": parallel}
    written = list(publish.publish(measured, **options, root=root))
    assert all(path.is_file() for path in written)
    text = (root / "docs" / "results.md").read_text(encoding="utf-8")
    found = rows(text)
    assert found["likeness of spoken text, GE2E"] == ["0.50 [0.40, 0.60]", "–", "≥ 0.65", "**not met**"]
    assert found["copy-synthesis PESQ, wide band"][-1] == "**not met**"
    assert found["character error rate, built-in voices"][0] == "50.0 [40.0, 60.0]"
    assert found["speed on one core, text to waveform"] == ["30.0", "–", "≥ 20 ×", "met"]
    assert found["first piece of `stream`, long sentence, 2 cores"][-1] == "**not met**"
    assert found["`voiceswap speak` of one word, a new process"][-1] == "met"
    assert found["peak memory, 30,000 words of text"][0] == "not measured"
    above = found["character error rate, built-in voices, above the best of hibari-tts, joe and Kokoro"]
    assert above == ["2.00", "–", "≤ 1 points", "**not met**"]
    assert found["DNSMOS, the same"][0] == "not measured"  # of piper alone
    assert found["speed, as a share of hibari-tts'"] == ["0.33", "–", "≥ 0.5 ×", "**not met**"]
    assert found["the same with adapters"] == ["31.5", "–", "≥ 30 %", "met"]
    assert "--other piper=peers/piper" in text
    assert "dan: too little speech" in text
    assert (root / "docs" / "pictures" / "mels.png").stat().st_size < 300_000

    readme = (root / "README.md").read_text(encoding="utf-8")
    assert rows(readme)["text, built-in voices: DNSMOS"] == ["0.50", "0.50", "3.25", "–", "–"]
    card = (root / "voiceswap" / "weights" / "synthesizer.md").read_text(encoding="utf-8")
    assert rows(card)["text, built-in voices: DNSMOS, overall"] == ["0.50 [0.40, 0.60]", "0.50 [0.40, 0.60]"]
    voices = (root / "voiceswap" / "weights" / "voices.md").read_text(encoding="utf-8")
    assert rows(voices)["tenor-1"][0] == "120"


def test_publishing_twice_changes_only_what_is_between_the_markers(
    publish: ModuleType, measured: Path, root: Path
) -> None:
    before = (root / "README.md").read_text(encoding="utf-8")
    texts = []
    for _ in range(2):
        paths = list(publish.publish(measured, root=root))
        texts.append([path.read_bytes() for path in paths])
    assert texts[0] == texts[1]
    after = (root / "README.md").read_text(encoding="utf-8")
    assert before.partition("<!-- results -->")[0] == after.partition("<!-- results -->")[0]
    assert before.partition("<!-- /results -->")[2] == after.partition("<!-- /results -->")[2]


def test_held_out_figures_stay_with_their_weights(
    publish: ModuleType, measured: Path, root: Path, tmp_path: Path
) -> None:
    card, run = root / "voiceswap/weights/vocoder.md", tmp_path / "runs/vocoder"
    run.mkdir(parents=True)
    line = {"kind": "held-out", "step": 1200, "seconds": 1.0, "mel": 0.25}
    (run / "log.jsonl").write_text(json.dumps(line))
    list(publish.publish(measured, root=root, runs=run.parent))
    assert rows(card.read_text(encoding="utf-8"))["held out, at step 1,200"] == ["mel 0.25"]
    list(publish.publish(measured, root=root))  # the run is gone
    assert rows(card.read_text(encoding="utf-8"))["held out, at step 1,200"] == ["mel 0.25"]
    weights = root / "voiceswap/weights/vocoder.safetensors"
    checkpoint.save(checkpoint.load(weights, "vocoder"), weights, training={"steps": 9, "hours": 1})
    list(publish.publish(measured, root=root))
    assert "held out, at step" not in card.read_text(encoding="utf-8")


def test_figures_of_other_systems_stay_where_they_were_not_measured_anew(
    publish: ModuleType, measured: Path, root: Path
) -> None:
    def row(name: str) -> str:
        text = (root / "docs" / "results.md").read_text("utf-8")
        return next(line for line in text.splitlines() if line.startswith(f"| {name} |"))

    list(publish.publish(measured, root=root))
    before = row("DNSMOS, overall")
    assert before.endswith("| 3.25 [3.20, 3.30] | – | – |")
    alone = load(measured)
    ours = tuple(figure for figure in alone.figures if figure.system in ("voiceswap", "recordings"))
    replace(alone, figures=ours, speed={"voiceswap": alone.speed["voiceswap"]}).save(measured)
    list(publish.publish(measured, root=root, keep=True))
    assert row("DNSMOS, overall") == before
    quicker = {**alone.speed["hibari"], "speed": {"builtin": {"audio_seconds": 120.0, "cpu_seconds": 1.0}}}
    replace(alone, speed={**alone.speed, "hibari": quicker}).save(measured)
    list(publish.publish(measured, root=root, keep=True))
    speeds = row("seconds of audio from a second of one processor core")
    assert "120" in speeds  # what was measured anew is not what stood there
    replace(alone, figures=ours, speed={"voiceswap": alone.speed["voiceswap"]}).save(measured)
    list(publish.publish(measured, root=root))
    assert "3.25" not in row("DNSMOS, overall")
    replace(alone, settings={**alone.settings, "seed": 7}).save(measured)
    with pytest.raises(SystemExit, match="other settings"):
        list(publish.publish(measured, root=root, keep=True))


def test_a_file_without_markers_is_named_and_kept(publish: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("No place here.", encoding="utf-8")
    with pytest.raises(SystemExit, match="lacks the markers"):
        publish.replace_section(page, "results", "text")
    assert page.read_text(encoding="utf-8") == "No place here."
