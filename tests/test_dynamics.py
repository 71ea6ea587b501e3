"""Loudness and noises of one speaker as another's: their distributions meet, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_studio import enroll
from test_voice import voice

from voiceswap import audio
from voiceswap.conversion import Source
from voiceswap.errors import OptionError
from voiceswap.models import dynamics
from voiceswap.models.converter import Converter
from voiceswap.models.timbre import Timbre
from voiceswap.studio import Studio
from voiceswap.voice import Voice

NOTHING = np.zeros(0, np.float32)


def speech(path: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-mel [M, T] and F0 [T] of a recording's first seconds."""
    source = Source.measure(path)
    return source.mel[0], torch.from_numpy(source.f0)


def test_loudness_takes_the_distribution_that_is_wanted(kathleen: list[Path]) -> None:
    own = dynamics.loudness_quantiles(*speech(kathleen[0]))
    assert own.shape == (dynamics.QUANTILES,)
    wanted = own[dynamics.QUANTILES // 2] + 0.5 + 2 * (own - own[dynamics.QUANTILES // 2])
    told = torch.linspace(float(own[0]), float(own[-1]), 50)[None]
    made = dynamics.as_loud(told, own, wanted)
    assert (made.diff() > 0).all()  # what was louder stays louder
    torch.testing.assert_close(dynamics.as_loud(torch.from_numpy(own)[None], own, wanted)[0].numpy(), wanted)
    pause, shout = torch.tensor([[own[0] - 2.0]]), torch.tensor([[own[-1] + 2.0]])
    assert float(dynamics.as_loud(pause, own, wanted)) == pytest.approx(wanted[0] - 2, abs=1e-5)
    assert float(dynamics.as_loud(shout, own, wanted)) == pytest.approx(wanted[-1] + 2, abs=1e-5)


def test_noises_take_the_mean_and_the_deviation_that_are_wanted() -> None:
    outline = torch.randn(1, 400, 3, generator=torch.Generator().manual_seed(0))
    own = torch.stack([outline[0].mean(0), outline[0].std(0)]).numpy()
    wanted = np.array([[0.5, -1.0, 2.0], [1.5, 0.7, 9.0]], np.float32)
    made = dynamics.as_noisy(outline, own, wanted)[0]
    torch.testing.assert_close(made.mean(0).numpy(), wanted[0], atol=1e-4, rtol=0)
    spread = own[1] * np.clip(wanted[1] / own[1], None, 1.6)  # no further than 1.6 times
    torch.testing.assert_close(made.std(0).numpy(), spread, atol=1e-4, rtol=0)


def test_what_is_unknown_changes_nothing() -> None:
    told, known = torch.randn(1, 30), np.linspace(-1, 1, dynamics.QUANTILES).astype(np.float32)
    for pair in ((NOTHING, known), (known, NOTHING)):
        assert torch.equal(dynamics.as_loud(told, *pair), told)
    outline, some, none = torch.randn(1, 30, 2), np.ones((2, 2), np.float32), np.zeros((2, 0), np.float32)
    for pair in ((none, some), (some, none), (some, np.ones((2, 3), np.float32))):
        assert torch.equal(dynamics.as_noisy(outline, *pair), outline)
    silent, unvoiced = torch.full((80, 60), -11.0), torch.zeros(60)
    assert not len(dynamics.loudness_quantiles(silent, unvoiced))
    assert dynamics.noises_of(silent, unvoiced, 4).shape == (2, 0)


def test_a_conversion_is_told_them_as_the_persons(
    tiny_studio: Studio, kathleen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, convert, told = enroll(tiny_studio, kathleen), Converter.convert, []

    def listening(self: Converter, *given: Any) -> torch.Tensor:
        told.append((given[3], given[4], given[5]))
        return convert(self, *given)

    monkeypatch.setattr(Converter, "convert", listening)
    assert own.timbre is not None
    higher = own.timbre.noises + np.array([[0.5], [0.0]], np.float32)  # the means alone
    other = replace(own, timbre=replace(own.timbre, loudness=own.timbre.loudness + 1, noises=higher))
    older = replace(own, timbre=replace(own.timbre, loudness=NOTHING, noises=np.zeros((2, 0), np.float32)))
    for one in (own, other, older):
        tiny_studio.convert(kathleen[0], one)
    (_, as_own, noise), (_, raised, moved), (mel, plain, outline) = told
    torch.testing.assert_close(raised, as_own + 1)
    torch.testing.assert_close(moved, noise + 0.5)
    assert torch.equal(plain, dynamics.loudness_of(mel))
    assert torch.equal(outline, dynamics.outline_of(mel, outline.shape[2]))


def test_a_stream_whose_source_is_known_is_told_the_same(
    tiny_studio: Studio, kathleen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, convert, told = enroll(tiny_studio, kathleen), Converter.convert, []

    def listening(self: Converter, *given: Any) -> torch.Tensor:
        told.append(bool((given[4] - dynamics.loudness_of(given[3])).abs().max() > 0.5))
        return convert(self, *given)

    monkeypatch.setattr(Converter, "convert", listening)
    assert own.timbre is not None
    other = replace(own, timbre=replace(own.timbre, loudness=own.timbre.loudness + 1))
    samples = audio.read(kathleen[0])[:24000]
    list(tiny_studio.stream_convert([samples], other, source=kathleen[0]))
    assert told
    assert all(told)


@pytest.mark.parametrize(
    "change",
    [{"loudness": [1.0]}, {"loudness": [2.0] * 12 + [1.0] * 13}, {"loudness": "loud"}, {"noises": [[1.0]]}],
)
def test_what_is_no_loudness_and_no_noise(
    change: dict[str, object], tiny_studio: Studio, kathleen: list[Path]
) -> None:
    timbre = enroll(tiny_studio, kathleen).timbre
    assert timbre is not None
    with pytest.raises(OptionError):
        Voice.from_dict(voice().to_dict() | {"timbre": timbre.to_dict() | change})


def test_a_timbre_from_before_knows_none(tiny_studio: Studio, kathleen: list[Path]) -> None:
    timbre = enroll(tiny_studio, kathleen).timbre
    assert timbre is not None
    again = Timbre.from_dict(timbre.to_dict())
    np.testing.assert_array_equal(again.loudness, timbre.loudness)
    np.testing.assert_array_equal(again.noises, timbre.noises)
    assert len(again.loudness) == dynamics.QUANTILES
    parts = timbre.to_dict()
    del parts["loudness"], parts["noises"]
    before = Timbre.from_dict(parts)
    assert (before.loudness.size, before.noises.size) == (0, 0)
