from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from voiceswap import audio, live
from voiceswap.acoustics import ACOUSTICS, f0_track
from voiceswap.errors import AudioError, ConsentError, OptionError, VoiceFileError
from voiceswap.evaluation.pitch import compare
from voiceswap.models.vocoder import pulses
from voiceswap.provenance import Consent
from voiceswap.voice import Voice

if TYPE_CHECKING:
    from voiceswap.studio import Studio

PIECE = live.HOP * ACOUSTICS.hop


@pytest.fixture(scope="module")
def alto(tiny_studio: Studio) -> Voice:
    return tiny_studio.voices["alto-1"]


@pytest.fixture(scope="module")
def talk(kathleen: list[Path]) -> np.ndarray:
    """A recording [N] of 3 s, at 24 kHz."""
    return audio.read(kathleen[0])


def blocks(samples: np.ndarray, size: int = 480) -> Iterator[np.ndarray]:
    for start in range(0, len(samples), size):
        yield samples[start : start + size]


def converted(
    studio: Studio, samples: np.ndarray, voice: Voice, size: int = 480, **options: object
) -> np.ndarray:
    made = studio.stream_convert(blocks(samples, size), voice, **options)  # type: ignore[arg-type]
    return np.concatenate([piece.samples for piece in made])


def test_a_stream_comes_out_as_long_as_it_went_in(tiny_studio: Studio, alto: Voice, talk: np.ndarray) -> None:
    for length in (1200, PIECE, PIECE + 1, 12345):
        pieces = list(tiny_studio.stream_convert(blocks(talk[:length]), alto))
        assert sum(len(piece.samples) for piece in pieces) == length
        assert all(len(piece.samples) == PIECE for piece in pieces[:-1])
        assert (pieces[0].provenance.verb, pieces[0].provenance.voice) == ("convert", "alto-1")
    for rate in (16000, 44100, 48000):
        assert len(converted(tiny_studio, talk[:rate], alto, sample_rate=rate)) == pytest.approx(24000, abs=1)


def test_the_size_of_the_blocks_makes_no_difference(
    tiny_studio: Studio, alto: Voice, talk: np.ndarray
) -> None:
    samples = talk[:24000]
    whole = converted(tiny_studio, samples, alto, size=len(samples))
    np.testing.assert_array_equal(converted(tiny_studio, samples, alto, size=777), whole)
    with_empty = [samples[:100], samples[:0], samples[100:]]
    made = tiny_studio.stream_convert(with_empty, alto)
    np.testing.assert_array_equal(np.concatenate([piece.samples for piece in made]), whole)


def test_a_piece_goes_out_within_the_delay(tiny_studio: Studio, alto: Voice, talk: np.ndarray) -> None:
    assert live.DELAY <= 0.2  # what is left to 0.25 s is for computing
    came = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal came
        for block in blocks(talk, 240):
            came += len(block)
            yield block

    out = 0
    for piece in tiny_studio.stream_convert(counted(), alto):
        assert came - out <= live.DELAY * 24000 + 240  # of its first sample
        out += len(piece.samples)


@pytest.mark.parametrize("rate", [44100, 48000, 16000])
def test_resampling_holds_back_little(rate: int) -> None:
    came = 0

    def counted() -> Iterator[np.ndarray]:
        nonlocal came
        for block in blocks(np.zeros(rate), rate // 100):
            came += len(block)
            yield block

    out, late = 0, []
    for piece in audio.stream(counted(), rate):
        out += len(piece)
        late.append(came / rate - out / 24000)
    assert max(late) < (0.021 if rate >= 32000 else 0.04)
    assert out == pytest.approx(24000, abs=1)


def test_what_is_heard_later_does_not_change_what_was_given_out(
    tiny_studio: Studio, alto: Voice, talk: np.ndarray
) -> None:
    other = np.concatenate([talk[:24000], np.zeros(24000, np.float32)])
    first, second = converted(tiny_studio, talk[:48000], alto), converted(tiny_studio, other, alto)
    sure = (24000 // PIECE - 2) * PIECE
    np.testing.assert_array_equal(first[: sure - live.AHEAD * 256], second[: sure - live.AHEAD * 256])


def test_it_sounds_as_the_conversion_of_the_recording(studio: Studio, kathleen: list[Path]) -> None:
    samples, voice = audio.read(kathleen[0])[:54000], studio.voices["tenor-1"]
    whole = studio.convert((samples, 24000), voice).samples
    made = converted(studio, samples, voice, source=(samples, 24000))
    assert len(made) == len(whole)
    agreed = compare(f0_track(made), f0_track(whole))
    assert agreed["f0_correlation"] > 0.9
    assert agreed["voicing_error"] < 0.15
    guessed = converted(studio, samples, voice)
    pitch = [np.median(f0[f0 > 0]) for f0 in map(f0_track, (guessed, whole))]
    assert abs(12 * np.log2(pitch[0] / pitch[1])) < 2
    steps = np.abs(np.diff(made))
    seams = np.arange(PIECE, len(made) - 1, PIECE)
    assert np.mean(steps[seams - 1] > np.percentile(steps, 99)) < 0.1  # nothing clicks


def test_silence_gives_silence_and_speech_after_it_is_heard(studio: Studio, kathleen: list[Path]) -> None:
    samples, voice = audio.read(kathleen[0])[:24000], studio.voices["alto-1"]
    quiet = np.zeros(24000, np.float32)
    made = converted(studio, np.concatenate([quiet, samples]), voice)
    assert np.isfinite(made).all()
    assert np.abs(made[:20000]).max() < 0.01
    assert np.abs(made[24000:]).max() > 0.1


def test_how_loud_the_microphone_is_makes_little_difference(studio: Studio, kathleen: list[Path]) -> None:
    samples, voice = audio.read(kathleen[0]), studio.voices["alto-1"]
    loud, faint = (converted(studio, samples * gain, voice)[24000:] for gain in (1.0, 0.1))
    assert np.sqrt(np.mean(faint**2)) == pytest.approx(np.sqrt(np.mean(loud**2)), rel=0.4)


def test_pulses_go_on_where_they_were() -> None:
    f0 = torch.linspace(100.0, 180.0, 21)[None]
    whole = pulses(f0)
    hz = np.interp(np.arange(10 * 256) / 256, np.arange(21), f0[0].numpy())
    rest = pulses(f0[:, 10:], float(hz.sum() / 24000 % 1))
    torch.testing.assert_close(torch.cat([pulses(f0[:, :11]), rest], 1), whole, atol=2e-2, rtol=0)


def test_what_cannot_be_a_stream_is_refused_at_once(tiny_studio: Studio, alto: Voice) -> None:
    for given in ("talk.wav", 3.0):
        with pytest.raises(AudioError, match="a stream is an iterable of blocks"):
            tiny_studio.stream_convert(given, alto)  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="the stream's rate is 100 Hz"):
        tiny_studio.stream_convert([], alto, sample_rate=100)
    with pytest.raises(OptionError, match=r"^pitch=25"):
        tiny_studio.stream_convert([], alto, pitch=25)
    with pytest.raises(OptionError, match="it is a Voice"):
        tiny_studio.stream_convert([], "alto-1")  # type: ignore[arg-type]
    with pytest.raises(AudioError, match="no speech"):
        tiny_studio.stream_convert([], alto, source=(np.zeros(24000), 24000))
    speaks = Consent("Ada Example", "speak", date.today() + timedelta(days=9))
    with pytest.raises(ConsentError, match="does not cover 'convert'"):
        tiny_studio.stream_convert([], replace(alto, consent=speaks, builtin=False))
    with pytest.raises(VoiceFileError):
        tiny_studio.stream_convert([], replace(alto, space="another"))


def test_a_block_that_cannot_be_used_is_refused_when_it_comes(
    tiny_studio: Studio, alto: Voice, talk: np.ndarray
) -> None:
    good = talk[: 2 * PIECE + live.AHEAD * 256]
    for block, message in (
        (np.full(480, np.nan), "NaN or infinite"),
        (np.zeros((480, 2)), r"block 1 of the stream, of shape \[480, 2\]: a block is \[N\]"),
        (np.full(480, 3e4), "a sample of size 30000"),
        (np.array(["a"]), "samples of type"),
    ):
        pieces = tiny_studio.stream_convert(iter([good, block]), alto)
        assert len(next(pieces).samples) == PIECE
        next(pieces)
        with pytest.raises(AudioError, match=message):
            next(pieces)
    with pytest.raises(AudioError, match="the stream has 0 samples"):
        next(tiny_studio.stream_convert([], alto))
