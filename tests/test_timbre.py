"""What a voice remembers of its reference: found again by what is alike, and harmless where nothing is."""

from __future__ import annotations

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_studio import enroll
from test_voice import voice

from voiceswap.acoustics import log_mel
from voiceswap.audio import level, read
from voiceswap.errors import OptionError
from voiceswap.models.timbre import MOST, OF_CONVERSIONS, OF_TEXT, Share, Timbre
from voiceswap.studio import Studio
from voiceswap.voice import Voice

BANDS = torch.arange(80)
SOUNDS = torch.stack([1.5 * torch.sin(BANDS / width) - 4 for width in (3.0, 6.0, 11.0)], 1)  # [M, 3]
ITS_OWN = torch.stack([0.6 * torch.cos(BANDS / width) for width in (4.0, 9.0, 20.0)], 1)
"""What one person's three sounds have and the models' have not."""


def said(order: list[int], *, seed: int = 0, frames: int = 15) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-mels [M, T] of sounds as they are made, and as this person says them."""
    index = torch.tensor(order).repeat_interleave(frames)
    noise = 0.1 * torch.randn(80, len(index), generator=torch.Generator().manual_seed(seed))
    made = SOUNDS[:, index] + noise
    return made, made + ITS_OWN[:, index]


def learned(f0: float = 150.0, order: tuple[int, ...] = (0, 1, 2) * 3) -> Timbre:
    made, heard = said(list(order))
    return Timbre.learn("0" * 64, made, heard, torch.full((made.shape[1],), f0))


def test_every_sound_is_given_what_it_lacked() -> None:
    made, heard = said([2, 0, 1, 0], seed=1)
    given = learned().add(made[None], torch.full((1, made.shape[1]), 150.0))[0]
    before, after = (made - heard).square().mean().sqrt(), (given - heard).square().mean().sqrt()
    assert after < 0.4 * before
    only_mean = made + ITS_OWN.mean(1, keepdim=True)
    assert after < 0.6 * (only_mean - heard).square().mean().sqrt()


def test_short_sounds_are_given_what_they_lacked_too() -> None:
    made, heard = said([0, 1, 2, 1, 0, 2] * 6, frames=4)
    timbre = Timbre.learn("0" * 64, made, heard, torch.full((made.shape[1],), 150.0))
    made, heard = said([2, 0, 1, 0, 2, 1] * 4, seed=1, frames=4)
    given = timbre.add(made[None], torch.full((1, made.shape[1]), 150.0))[0]
    # A mean of three frames would leave 0.38 of it.
    assert (given - heard).square().mean().sqrt() < 0.25 * (made - heard).square().mean().sqrt()


def test_voiced_sounds_tell_nothing_of_unvoiced_ones() -> None:
    made, _ = said([0, 1, 2])
    assert torch.equal(learned().add(made[None], torch.zeros(1, made.shape[1]))[0], made)


def test_a_level_is_no_sound_and_pauses_stay_as_they_are() -> None:
    made, _ = said([0, 1, 2])
    f0 = torch.full((1, made.shape[1]), 150.0)
    loud, soft, pause = (learned().add(made[None] + level, f0) - level for level in (0.0, -1.0, -7.0))
    torch.testing.assert_close(loud, soft, atol=1e-4, rtol=0)
    torch.testing.assert_close(pause[0], made, atol=1e-4, rtol=0)


def test_a_dull_recording_makes_no_voice_dull() -> None:
    made, heard = said([0, 1, 2])
    heard[60:] = -11.5
    timbre = Timbre.learn("0" * 64, made, heard, torch.full((made.shape[1],), 150.0))
    given = timbre.add(made[None], torch.full((1, made.shape[1]), 150.0))[0]
    assert torch.equal(given[60:], made[60:])
    assert not torch.equal(given[:60], made[:60])


def test_silence_and_what_is_beyond_the_limit_are_not_remembered() -> None:
    made, heard = said([0, 1, 2])
    silent = torch.full((80, 30), -11.0)
    timbre = Timbre.learn(
        "0" * 64, torch.cat([made, silent], 1), torch.cat([heard, silent], 1), torch.zeros(75)
    )
    assert len(timbre.voiced) == 45
    long = learned(order=(0, 1, 2) * 100)
    assert MOST // 2 < len(long.voiced) <= MOST


def test_a_reference_of_silence_adds_nothing() -> None:
    silent = torch.full((80, 30), -11.0)
    timbre = Timbre.learn("0" * 64, silent, silent, torch.zeros(30))
    made, _ = said([0])
    assert torch.equal(timbre.add(made[None], torch.full((1, made.shape[1]), 150.0))[0], made)


def test_high_bands_have_a_gain_of_their_own() -> None:
    made, _ = said([0, 1, 2])
    mel, f0 = made[None], torch.full((1, made.shape[1]), 150.0)
    once, given = (learned().add(mel, f0, Share(*of, 1.0)) - mel for of in ((1.0, 1.0), (0.5, 2.0)))
    torch.testing.assert_close(given[:, :50], 0.5 * once[:, :50])
    torch.testing.assert_close(given[:, 60:], 2.0 * once[:, 60:])
    torch.testing.assert_close(given[:, 55], 1.25 * once[:, 55])


def test_text_and_conversions_are_given_what_was_lacking(
    tiny_studio: Studio, kathleen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, add, asked = enroll(tiny_studio, kathleen), Timbre.add, []

    def adding(self: Timbre, mel: torch.Tensor, f0: torch.Tensor, share: Share) -> torch.Tensor:
        asked.append(share)
        return add(self, mel, f0, share)

    monkeypatch.setattr(Timbre, "add", adding)
    tiny_studio.speak("Good morning.", own)
    tiny_studio.convert(kathleen[0], own)
    assert asked == [OF_TEXT, OF_CONVERSIONS]


def test_a_voice_file_holds_it(tmp_path: Path) -> None:
    with_it = replace(voice(), timbre=learned())
    with_it.save(tmp_path / "ada.voice")
    read_again = Voice.load(tmp_path / "ada.voice").timbre
    assert with_it.timbre is not None
    assert read_again is not None
    assert read_again.converter == with_it.timbre.converter
    for name in ("outlines", "lacking", "voiced"):
        np.testing.assert_array_equal(getattr(read_again, name), getattr(with_it.timbre, name))
    without = voice().to_dict()
    del without["timbre"]  # a file from before
    assert Voice.from_dict(without).timbre is None


@pytest.mark.parametrize(
    "change", [{"lacking": "AAAA"}, {"voiced": ""}, {"outlines": "!"}, {"more": 1}, {"converter": None}]
)
def test_what_is_no_timbre(change: dict[str, object]) -> None:
    parts = voice().to_dict() | {"timbre": learned().to_dict() | change}
    if change == {"converter": None}:
        del parts["timbre"]["converter"]  # type: ignore[attr-defined]
    with pytest.raises(OptionError):
        Voice.from_dict(json.loads(json.dumps(parts)))


def test_of_other_weights_it_is_left_out_with_a_warning(tiny_studio: Studio, kathleen: list[Path]) -> None:
    own = enroll(tiny_studio, kathleen)
    assert own.timbre is not None
    other = replace(own, timbre=replace(own.timbre, converter="0" * 64))
    plain = replace(own, timbre=None)
    makers = (
        lambda given: tiny_studio.speak("Good morning.", given),
        lambda given: tiny_studio.convert(kathleen[0], given),
        lambda given: next(tiny_studio.stream_convert([read(kathleen[0])[:12000]], given)),
    )
    for make in makers:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with_it, without = make(own), make(plain)
        assert not np.allclose(with_it.samples, without.samples, atol=1e-4)
        with pytest.warns(UserWarning, match="was enrolled with other weights"):
            np.testing.assert_array_equal(make(other).samples, without.samples)


def test_with_it_a_voice_is_nearer_to_the_person(studio: Studio, kathleen: list[Path]) -> None:
    own = enroll(studio, kathleen)
    person = log_mel(torch.from_numpy(level(read(kathleen[0])))[None])

    def distance(given: Voice) -> float:
        made = log_mel(torch.from_numpy(np.array(studio.convert(kathleen[0], given).samples))[None])
        return float((made - person)[person > -8].abs().mean())

    assert distance(own) < 0.9 * distance(replace(own, timbre=None))
