"""The probe of what the content tells of the speaker: sure where features tell, at chance where not."""

from __future__ import annotations

import csv
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
import torch

ROOT = Path(__file__).parents[1]
NAMES = [name for name in "abcdefgh" for _ in range(10)]


@pytest.fixture(scope="module")
def leakage() -> Iterator[ModuleType]:
    if not (ROOT / "benchmarks").is_dir():
        pytest.skip("the benchmarks do not come with the source distribution")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        yield importlib.import_module("leakage")


@pytest.mark.parametrize("hidden", [0, 16])
def test_speakers_are_found_where_the_features_tell(leakage: ModuleType, hidden: int) -> None:
    noise = torch.randn(80, 12, generator=torch.Generator().manual_seed(0))
    told = noise.clone()
    told[torch.arange(80), torch.arange(80) // 10] += 8
    assert leakage.speakers_guessed(told, NAMES, hidden).mean > 0.95
    nothing = leakage.speakers_guessed(noise, NAMES, hidden)
    assert nothing.mean < 0.35
    assert nothing.count == 40  # the half that did not teach


def test_genders_count_alike_however_many_there_are_of_each(leakage: ModuleType) -> None:
    genders = ["f"] * 90 + ["m"] * 10
    order = np.random.default_rng(0).permutation(100)
    genders = [genders[i] for i in order]
    nothing = torch.zeros(100, 4)
    # Without a clue the probe always says what most are: all right for one, all wrong for the other.
    assert leakage.genders_guessed(nothing, genders, 0).mean == pytest.approx(0.5)
    told = torch.tensor([[1.0, 0.0] if gender == "f" else [0.0, 1.0] for gender in genders])
    assert leakage.genders_guessed(told, genders, 0).mean == 1


def test_the_table_has_a_row_for_every_place(
    leakage: ModuleType,
    kathleen: list[Path],
    nathalie: list[Path],
    tiny_weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = []
    for number, (path, gender) in enumerate([(kathleen[0], "f"), (nathalie[0], "m")] * 8):
        speaker = f"{gender}{number % 6}"
        samples, rate = soundfile.read(path)
        soundfile.write(tmp_path / f"{number}.wav", samples[number * 500 :], rate)
        row = {"id": str(number), "path": f"{number}.wav", "speaker": speaker, "gender": gender}
        row |= {"split": "train", "seconds": "2.5", "text_origin": "", "text": "", "source": "common-voice"}
        rows.append(row)
    with (tmp_path / "manifest.tsv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, rows[0], delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)
    arguments = ["leakage.py", str(tmp_path), "--weights", str(tiny_weights), "--each", "2"]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(leakage, "STEPS", 5)
    leakage.main()
    told, heads, _, *body = capsys.readouterr().out.splitlines()
    assert "12 recordings of 6 people" in told
    assert "3 women and 3 men" in told
    assert [row.split(" (")[0] for row in body] == [
        "| log-mel",
        "| content of the recognizer",
        "| bottleneck alone",
        "| posteriors alone",
        "| bottleneck and posteriors",
        "| outline of the spectrum",
        "| moves of the outline",
        "| bottleneck, outline and moves",
    ]
    assert {row.count("|") for row in body} == {heads.count("|")}
