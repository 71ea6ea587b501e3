"""The detector of synthetic speech: what it is trained on, what it says, and that it says where."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from voiceswap import audio, checkpoint
from voiceswap.errors import AudioError, CheckpointError, DataError, MissingExtraError
from voiceswap.models.detector import RATE, SIZES, STEP, Detector, spectrogram
from voiceswap.suspicion import draw, suspect

BUZZ = np.sign(np.sin(2 * np.pi * 120 * np.arange(3 * RATE) / RATE)).astype(np.float32) * 0.1


@pytest.fixture(scope="module")
def fakes(tmp_path_factory: pytest.TempPathFactory, kathleen: list[Path], nathalie: list[Path]) -> Path:
    """People, and two generators that anyone could tell: buzzes, and a person's spectrum in noise."""
    folder = tmp_path_factory.mktemp("fakes")
    rng = np.random.default_rng(0)
    for name in ("people", "buzz", "noise"):
        (folder / name).mkdir()
    for number, path in enumerate([*kathleen, *nathalie] * 5):
        samples = audio.read(path, sample_rate=RATE)
        soundfile.write(folder / "people" / f"{number:02}.opus", samples, RATE, format="OGG", subtype="OPUS")
        buzz = np.resize(BUZZ, len(samples)) * (0.5 + rng.random())
        soundfile.write(folder / "buzz" / f"{number:02}.wav", buzz, RATE)
        soundfile.write(folder / "noise" / f"{number:02}.wav", rng.normal(0, 0.05, len(samples)), RATE)
    return folder


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory, fakes: Path) -> Path:
    """A tiny detector, trained for seconds."""
    pytest.importorskip("accelerate")
    from voiceswap.training.run import run

    out = tmp_path_factory.mktemp("run")
    torch.manual_seed(0)
    found = run("detector", preset="tiny", data=[fakes], out=out, loop={"steps": 90, "learning_rate": 0.02})
    assert set(found) >= {"eer", "eer buzz", "eer noise"}
    return out / "detector.safetensors"


def test_shapes() -> None:
    model = Detector(SIZES["tiny"])
    heard = spectrogram(torch.randn(2, 3 * RATE))
    assert heard.shape == (2, 300, 240)
    assert model(heard).shape == (2, 38)
    assert heard.mean(1).abs().max() < 1e-4  # what is constant says nothing


def test_it_learns_and_says_where(weights: Path, kathleen: list[Path], tmp_path: Path) -> None:
    person = audio.read(kathleen[0], sample_rate=RATE)
    people, buzz = suspect((person, RATE), weights=weights), suspect((BUZZ, RATE), weights=weights)
    assert people.score + 0.2 < buzz.score
    assert len(buzz.scores) == len(buzz.times) == -(-len(BUZZ) // STEP)
    mixed = np.concatenate([person[: 3 * RATE], BUZZ, person[: 3 * RATE]])
    found = suspect((mixed, RATE), weights=weights)
    middle = found.scores[(found.times > 3.5) & (found.times < 5.5)]
    assert np.nanmean(middle) > np.nanmean(found.scores[found.times < 2.5])
    draw(found, (mixed, RATE), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_pictures_need_matplotlib(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = suspect((BUZZ, RATE), weights=weights)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match="pip install matplotlib"):
        draw(found, (BUZZ, RATE), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


def test_silence_has_no_score(weights: Path) -> None:
    found = suspect((np.zeros(RATE, np.float32), RATE), weights=weights)
    assert np.isnan(found.score)
    assert np.isnan(found.scores).all()
    assert found.spans == ()


def test_a_level_makes_no_difference(weights: Path, kathleen: list[Path]) -> None:
    person = audio.read(kathleen[0], sample_rate=RATE)
    loud, quiet = (suspect((person * gain, RATE), weights=weights).score for gain in (1.0, 0.05))
    assert loud == pytest.approx(quiet, abs=0.02)


def test_what_cannot_be_heard_or_trained_on_is_refused(tmp_path: Path, weights: Path, fakes: Path) -> None:
    from voiceswap.training.run import run

    with pytest.raises(AudioError):
        suspect(tmp_path / "none.wav", weights=weights)
    with pytest.raises(CheckpointError):
        suspect((BUZZ, RATE), weights=tmp_path / "none.safetensors")
    (tmp_path / "people").symlink_to(fakes / "people")
    with pytest.raises(DataError, match="one for each generator"):
        run("detector", preset="tiny", data=[tmp_path], out=tmp_path / "out")


def test_the_bundle_holds_a_small_one() -> None:
    from voiceswap.suspicion import WEIGHTS

    assert WEIGHTS.stat().st_size <= 2**20
    assert checkpoint.load(WEIGHTS, "detector").config == SIZES["base"]
