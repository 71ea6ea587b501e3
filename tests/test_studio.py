from __future__ import annotations

import json
import shutil
import tracemalloc
import warnings
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soundfile
import torch

import voiceswap
from voiceswap import audio, conversion, enrollment
from voiceswap.acoustics import ACOUSTICS, Acoustics, f0_track
from voiceswap.enrollment import _check_one_person, _count_phones
from voiceswap.errors import (
    AudioError,
    CheckpointError,
    ConsentError,
    EnrollmentError,
    OptionError,
    PhonemeError,
    TextError,
    VoiceFileError,
)
from voiceswap.models.adapter import Adapter
from voiceswap.models.postfilter import OF_BUILTIN, OF_PEOPLE, lighten
from voiceswap.models.vocoder import Vocoder
from voiceswap.provenance import Consent
from voiceswap.speech import Speech
from voiceswap.swapping import away
from voiceswap.voice import Voice, fingerprint

if TYPE_CHECKING:
    from voiceswap.studio import Studio

TEXT = "It was late, and the rain had stopped. Nobody spoke! Was it over?"
SENTENCE = "He turned sharply, and faced the man across the table."
KATHLEEN = "For the twentieth time that evening the two men shook hands."  # the first recording of hers
HOP = ACOUSTICS.hop


def consent(scope: str = "speak,convert") -> Consent:
    return Consent("Ada Example", scope, date.today() + timedelta(days=9))


def person(studio: Studio, scope: str = "speak,convert") -> Voice:
    """Someone in the studio's own space, without being enrolled."""
    return replace(studio.voices["alto-1"], consent=consent(scope), builtin=False)


def enroll(studio: Studio, recordings: object, scope: str = "speak,convert") -> Voice:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # these recordings are short
        return studio.enroll(recordings, consent=consent(scope))  # type: ignore[arg-type]


def joined(pieces: list[Speech]) -> np.ndarray:
    return np.concatenate([piece.samples for piece in pieces])


@pytest.fixture(scope="module")
def alto(tiny_studio: Studio) -> Voice:
    return tiny_studio.voices["alto-1"]


@pytest.fixture(scope="module")
def talk(kathleen: list[Path]) -> np.ndarray:
    """90 s of speech [N] at 24 kHz, with some samples over."""
    once = np.concatenate([audio.read(path) for path in kathleen])
    return np.tile(once, 10)[: 90 * 24000 + 77]


def test_built_in_voices_belong_to_nobody(tiny_studio: Studio) -> None:
    assert list(tiny_studio.voices) == ["alto-1", "tenor-1"]
    for name, voice in tiny_studio.voices.items():
        assert (voice.name, voice.builtin, voice.consent) == (name, True, None)
    assert repr(tiny_studio) == "Studio(device='cpu', voices=['alto-1', 'tenor-1'])"
    with pytest.raises(TypeError):
        tiny_studio.voices["mine"] = tiny_studio.voices["alto-1"]  # type: ignore[index]


def test_speech_is_sound_and_says_where_it_comes_from(tiny_studio: Studio, alto: Voice) -> None:
    speech = tiny_studio.speak(TEXT, alto)
    assert speech.sample_rate == 24000
    assert 1 < speech.duration < 20
    assert np.abs(speech.samples).max() > 0.01
    made = speech.provenance
    assert (made.verb, made.voice, made.consent) == ("speak", "alto-1", None)
    ada = person(tiny_studio)
    assert ada.consent is not None
    assert tiny_studio.speak("Hi.", ada).provenance.consent == ada.consent.digest()


def test_speech_says_what_it_was_made_of(tiny_studio: Studio, alto: Voice, kathleen: list[Path]) -> None:
    samples = audio.read(kathleen[0])[:36000]
    of_samples, of_file = sha256(samples.tobytes()).hexdigest(), sha256(kathleen[0].read_bytes()).hexdigest()
    ada = person(tiny_studio)
    for made, verb, source in (
        (tiny_studio.speak("Hi.", ada), "speak", sha256(b"Hi.").hexdigest()),
        (tiny_studio.convert((samples, 24000), ada), "convert", of_samples),
        (next(tiny_studio.convert_stream(kathleen[0], ada)), "convert", of_file),
        (next(tiny_studio.stream_convert([samples], ada)), "convert", ""),
    ):
        told = made.provenance
        assert (told.verb, told.source, told.weights) == (verb, source, tiny_studio.weights_hash)
        assert ada.consent is not None
        assert (told.voice, told.consent) == (ada.name, ada.consent.digest())
        assert told.mark >> 20 == int(told.weights[:3], 16)
        assert told.mark & 0xFFFFF == int(fingerprint(ada.vector)[:5], 16)
    again = tiny_studio.resynthesize((samples, 24000)).provenance
    assert (again.verb, again.source, again.voice, again.consent) == ("resynthesize", of_samples, "", None)


def test_a_stream_joined_is_what_speak_gives(tiny_studio: Studio, alto: Voice) -> None:
    pieces = list(tiny_studio.stream(TEXT, alto, speed=0.8, pitch=2.0, seed=3))
    assert len(pieces) > 4
    assert pieces[0].duration < 1.1
    assert max(piece.duration for piece in pieces) < 6
    whole = tiny_studio.speak(TEXT, alto, speed=0.8, pitch=2.0, seed=3)
    np.testing.assert_allclose(joined(pieces), whole.samples, atol=1e-4)


def test_the_same_seed_gives_the_same_samples(tiny_studio: Studio, alto: Voice) -> None:
    first, again, other = (tiny_studio.speak(SENTENCE, alto, seed=seed).samples for seed in (5, 5, 6))
    np.testing.assert_array_equal(first, again)
    assert len(first) == len(other)
    assert np.abs(first - other).max() > 1e-3


def test_synthesis_leaves_the_process_random_state_alone(tiny_studio: Studio, alto: Voice) -> None:
    torch.manual_seed(7)
    before = torch.get_rng_state()
    tiny_studio.speak("Hi.", alto)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("speed", [0.5, 0.8, 1.25, 2.0])
def test_speed_divides_the_duration(tiny_studio: Studio, alto: Voice, speed: float) -> None:
    plain = len(tiny_studio.speak(TEXT, alto).samples)
    fast = len(tiny_studio.speak(TEXT, alto, speed=speed).samples)
    assert abs(fast - plain / speed) <= 4 * HOP  # each of three sentences is rounded to frames


def longest_silence(samples: np.ndarray) -> float:
    """Seconds between sounds, by the level over 10 ms."""
    level = np.sqrt(np.convolve(samples**2, np.ones(240) / 240, "same"))
    loud = np.flatnonzero(level > 0.03 * np.percentile(level, 95))
    return float(np.diff(loud).max()) / 24000


@pytest.mark.parametrize("speed", [1.0, 1.6])
def test_a_pause_lasts_as_long_as_was_asked_for(studio: Studio, speed: float) -> None:
    voice = studio.voices["alto-1"]
    for seconds in (0.2, 1.5):
        # Between vowels: an f would be too soft to be heard as sound.
        speech = studio.speak(f"Go now [[pause {seconds}s]] and run.", voice, speed=speed)
        assert longest_silence(speech.samples) == pytest.approx(seconds, abs=0.05)


def test_a_pause_may_come_first_and_last(tiny_studio: Studio, alto: Voice) -> None:
    plain = tiny_studio.speak("Hi.", alto).duration
    paused = tiny_studio.speak("[[pause 1s]] Hi. [[pause 2s]]", alto).samples
    assert 3.0 <= len(paused) / 24000 <= 3.0 + plain
    assert not paused[:12000].any()
    assert not paused[-24000:].any()


def test_timing_and_melody_of_a_recording(studio: Studio, kathleen: list[Path]) -> None:
    voice, text = studio.voices["tenor-1"], KATHLEEN
    speech = studio.speak(text, voice, like=kathleen[0])
    recording = audio.read(kathleen[0])
    assert abs(len(speech.samples) - len(recording)) <= 2 * HOP
    theirs, ours = f0_track(recording), f0_track(speech.samples)
    both = slice(min(len(theirs), len(ours)))
    voiced = (theirs[both] > 0) & (ours[both] > 0)
    assert voiced.sum() > 60
    moved = np.log(ours[both][voiced] / theirs[both][voiced])
    kept = np.abs(moved - np.median(moved)) < 0.3  # the tracker slips by an octave here and there
    assert kept.mean() > 0.8
    both_logs = np.log(np.stack([theirs[both], ours[both]])[:, voiced][:, kept])
    assert np.corrcoef(both_logs)[0, 1] > 0.85
    assert np.median(ours[ours > 0]) == pytest.approx(voice.f0_median, rel=0.1)
    fifth = studio.speak(text, voice, like=kathleen[0], pitch=7.0)
    assert np.median(f0_track(fifth.samples)[ours > 0]) > 1.3 * voice.f0_median


def test_recordings_that_give_no_prosody(studio: Studio, kathleen: list[Path]) -> None:
    voice = studio.voices["tenor-1"]
    with pytest.raises(AudioError, match="does not say the words of this text"):
        studio.speak("Nothing of the kind was ever heard in these rooms.", voice, like=kathleen[0])
    with pytest.raises(AudioError, match="does not say"):  # fewer frames than sounds
        studio.speak(SENTENCE * 9, voice, like=kathleen[0])
    with pytest.raises(AudioError, match="at most 120 s"):
        studio.speak(KATHLEEN, voice, like=(np.tile(audio.read(kathleen[0]), 50), 24000))
    with pytest.raises(OptionError, match="recording sets the tempo"):
        studio.speak(KATHLEEN, voice, like=kathleen[0], speed=1.2)


def test_pitch_moves_by_semitones(
    tiny_studio: Studio, alto: Voice, kathleen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[np.ndarray] = []

    def render(vocoder: object, acoustics: Acoustics, **_: object) -> Iterator[np.ndarray]:
        rendered.append(acoustics.f0.numpy())
        return iter([np.zeros(len(rendered[-1]) * HOP, np.float32)])

    monkeypatch.setattr("voiceswap.reading.render", render)
    monkeypatch.setattr("voiceswap.swapping.render", render)
    for pitch in (0.0, 7.0, -5.0):
        tiny_studio.speak(SENTENCE, alto, pitch=pitch)
        tiny_studio.convert(kathleen[0], alto, pitch=pitch)
    for moved, semitones in ((rendered[2:4], 7), (rendered[4:6], -5)):
        for plain, other in zip(rendered[:2], moved, strict=True):
            assert (plain > 0).any()
            np.testing.assert_allclose(other, plain * 2 ** (semitones / 12), rtol=1e-4)


def test_starred_words_are_longer_higher_and_louder(studio: Studio, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Acoustics] = []

    def render(vocoder: object, acoustics: Acoustics, **_: object) -> Iterator[np.ndarray]:
        made.append(acoustics)
        return iter([np.zeros(len(acoustics.f0) * HOP, np.float32)])

    monkeypatch.setattr("voiceswap.reading.render", render)
    voice = studio.voices["alto-1"]
    studio.speak("*Morning.*", voice)
    studio.speak("Morning.", voice)
    starred, plain = made
    assert 1.1 < len(starred.f0) / len(plain.f0) < 1.3
    melodies = [np.log2(one.f0[one.f0 > 0].numpy()) for one in made]
    places = np.linspace(0, 1, 50)  # of the melody's way: the starred one takes longer
    high, low = (np.interp(places, np.linspace(0, 1, len(melody)), melody) for melody in melodies)
    assert 2.0 < 12 * np.median(high - low) < 4.0
    assert starred.mel.quantile(0.9) > plain.mel.quantile(0.9) + 0.1  # less than the rule: higher is softer


def test_a_melody_is_moved_into_the_range_of_the_voice(tiny_studio: Studio, kathleen: list[Path]) -> None:
    f0 = f0_track(audio.level(audio.read(kathleen[0])))
    source = conversion.Source.measure(kathleen[0])
    for voice in tiny_studio.voices.values():
        moved = source.move(f0, voice, 0.0).numpy()
        np.testing.assert_array_equal(moved > 0, f0 > 0)
        assert np.median(moved[moved > 0]) == pytest.approx(voice.f0_median, rel=0.01)
        assert np.corrcoef(np.log(moved[moved > 0]), np.log(f0[f0 > 0]))[0, 1] > 0.99


def test_long_text_comes_piece_by_piece(tiny_studio: Studio, alto: Voice) -> None:
    text = "The rain had stopped, and it was late. " * 26000  # a megabyte
    list(tiny_studio.stream("Hi.", alto))
    tracemalloc.start()
    stream = tiny_studio.stream(text, alto)
    pieces = [next(stream) for _ in range(20)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(text) > 1_000_000
    assert all(piece.duration < 5 for piece in pieces)
    assert peak < 40e6


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", TextError),
        (" \n\t ", TextError),
        ("?! … —", TextError),
        ("😀🎉", TextError),
        ("日本語", TextError),
        ("Hello, привет.", TextError),
        ("\0" * 10**6, TextError),
        (b"bytes", TextError),
        (None, TextError),
        ("[[h ə ʘ]]", PhonemeError),
        ("Say [[h ə l", PhonemeError),
        ("[[ ]]", PhonemeError),
    ],
)
def test_text_that_cannot_be_spoken(
    tiny_studio: Studio, alto: Voice, text: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        tiny_studio.stream(text, alto)  # by the call itself, before any sound
    with pytest.raises(error):
        tiny_studio.speak(text, alto)


def test_phonemes_need_no_spelling(tiny_studio: Studio, alto: Voice) -> None:
    assert tiny_studio.speak("[[h ə l ˈoʊ]]", alto).duration > 0.1


@pytest.mark.parametrize(
    "options",
    [
        {"speed": 0.49},
        {"speed": 2.01},
        {"speed": float("nan")},
        {"speed": "fast"},
        {"speed": None},
        {"pitch": 24.5},
        {"pitch": -float("inf")},
        {"pitch": "high"},
        {"seed": -1},
        {"seed": 2**40},
        {"seed": 1.5},
    ],
)
def test_options_out_of_range(tiny_studio: Studio, alto: Voice, options: dict[str, float]) -> None:
    (name,) = options
    with pytest.raises(OptionError, match=f"^{name}=.*a (whole )?number from"):
        tiny_studio.stream("Hi.", alto, **options)  # type: ignore[arg-type]


def test_numbers_of_numpy_are_numbers(tiny_studio: Studio, alto: Voice) -> None:
    given = tiny_studio.speak("Hi.", alto, speed=np.float32(1.5), pitch=np.float64(1), seed=np.int64(3))  # type: ignore[arg-type]
    np.testing.assert_array_equal(
        given.samples, tiny_studio.speak("Hi.", alto, speed=1.5, pitch=1, seed=3).samples
    )


def test_a_conversion_is_as_long_as_its_source(
    tiny_studio: Studio, alto: Voice, kathleen: list[Path], nathalie: list[Path]
) -> None:
    for path in (*kathleen, *nathalie):
        speech = tiny_studio.convert(path, alto)
        assert len(speech.samples) == len(audio.read(path))
        assert (speech.provenance.verb, speech.provenance.voice) == ("convert", "alto-1")
    samples = audio.read(kathleen[0])
    for length in (24000, 24001, 24255, 24256):
        assert len(tiny_studio.convert((samples[12000 : 12000 + length], 24000), alto).samples) == length
    at_16k = audio.resample(samples, 24000, 16000)
    converted = tiny_studio.convert((at_16k, 16000), alto).samples
    assert len(converted) == len(audio.read((at_16k, 16000)))


def test_a_conversion_moves_away_from_who_speaks(studio: Studio, kathleen: list[Path]) -> None:
    source, voice = conversion.Source.measure(kathleen[0]), studio.voices["tenor-1"]
    moved = away(source, voice, studio._models).numpy()
    assert np.linalg.norm(moved) == pytest.approx(1)
    theirs = enroll(studio, kathleen).vector
    assert moved @ theirs < voice.vector @ theirs - 0.05
    assert moved @ voice.vector > 0.9


def test_a_long_recording_is_converted_in_windows(tiny_studio: Studio, alto: Voice, talk: np.ndarray) -> None:
    pieces = list(tiny_studio.convert_stream((talk, 24000), alto))
    assert sum(len(piece.samples) for piece in pieces) == len(talk)
    assert max(piece.duration for piece in pieces) <= 16
    samples = joined(pieces)
    seams = np.cumsum([len(piece.samples) for piece in pieces])[:-1]
    steps = np.abs(np.diff(samples))
    assert steps[seams - 1].max() < np.percentile(steps, 99.9)  # nothing clicks


def test_a_last_window_may_be_shorter_than_a_crossfade(
    tiny_studio: Studio, alto: Voice, talk: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "_quietest", lambda samples: 1499)
    for rest in (1, HOP, HOP + 1):
        samples = talk[: 1500 * HOP + rest]
        assert len(tiny_studio.convert((samples, 24000), alto).samples) == len(samples)


def test_a_pause_at_the_beginning_does_not_hide_the_speech(
    kathleen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = audio.read(kathleen[0])
    monkeypatch.setattr(conversion, "_MEASURED", 8.0)
    plain = conversion.Source.measure((samples, 24000))
    noise = 1e-4 * np.random.default_rng(0).standard_normal(7 * 24000).astype(np.float32)
    for quiet in (np.zeros(16 * 24000, np.float32), noise):
        late = conversion.Source.measure((np.concatenate([quiet, samples]), 24000))
        assert late.gain == pytest.approx(plain.gain, rel=0.3)
        assert late.f0_median == pytest.approx(plain.f0_median, rel=0.1)


def test_windows_are_bounded_and_cover_the_recording(talk: np.ndarray) -> None:
    source = conversion.Source.measure((talk, 24000))
    windows = list(conversion.windows(source))
    assert sum(window.length for window in windows) == len(talk)
    assert max(len(window.samples) for window in windows) <= (1500 + 2 * 150) * HOP
    assert all(window.length >= 900 * HOP for window in windows[:-1])
    at = 0
    for number, window in enumerate(windows):
        own = window.samples[window.before * HOP :][: window.length]
        np.testing.assert_allclose(own, talk[at : at + window.length] * source.gain, rtol=1e-5)
        assert number == 0 or window.before == 150
        at += window.length
    for before, after in pairwise(windows):  # each sees what comes after its own end
        ahead = before.samples[(before.before + before.frames) * HOP :]
        assert len(ahead) == 150 * HOP
        np.testing.assert_array_equal(ahead, after.samples[after.before * HOP :][: len(ahead)])


def test_seams_lie_where_it_is_quiet() -> None:
    noise = np.random.default_rng(0).standard_normal(1500 * HOP).astype(np.float32)
    noise[1200 * HOP : 1210 * HOP] = 0
    assert 1200 <= conversion._quietest(noise) <= 1210


def test_conversion_of_a_long_recording_takes_the_memory_of_a_window(
    tiny_studio: Studio, alto: Voice, talk: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "_MEASURED", 8.0)
    soundfile.write(tmp_path / "talk.flac", talk, 24000)

    def peak(windows: int) -> int:
        tracemalloc.start()
        stream = tiny_studio.convert_stream(tmp_path / "talk.flac", alto)
        for _ in range(windows):
            next(stream)
        result = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return result

    peak(1)
    assert peak(4) < 1.5 * peak(1)


def test_what_holds_no_speech_is_not_converted(tiny_studio: Studio, alto: Voice, tmp_path: Path) -> None:
    for samples in (
        np.zeros(48000),
        np.full(48000, 0.3),
        1e-4 * np.random.default_rng(0).standard_normal(48000),
    ):
        with pytest.raises(AudioError, match="no speech"):
            tiny_studio.convert((samples, 24000), alto)
    for samples in (np.zeros(0), np.zeros(1), np.full(24000, np.nan)):
        with pytest.raises(AudioError):
            tiny_studio.convert_stream((samples, 24000), alto)
    (tmp_path / "text.wav").write_text("some words")
    for path in (tmp_path / "text.wav", tmp_path, tmp_path / "none.wav"):
        with pytest.raises(AudioError):
            tiny_studio.convert_stream(path, alto)
    with pytest.raises(OptionError, match=r"^pitch=25"):
        tiny_studio.convert_stream(tmp_path / "none.wav", alto, pitch=25)


def test_damage_behind_the_first_minutes_is_reported(
    tiny_studio: Studio, alto: Voice, talk: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "_MEASURED", 8.0)
    broken = talk[: 30 * 24000].copy()
    broken[-1] = np.nan
    soundfile.write(tmp_path / "talk.wav", broken, 24000, subtype="FLOAT")
    stream = tiny_studio.convert_stream(tmp_path / "talk.wav", alto)
    with pytest.raises(AudioError, match=r"NaN or infinite at 30\.000 s"):
        list(stream)


def test_enrolling_gives_a_voice_that_can_be_kept(
    tiny_studio: Studio, kathleen: list[Path], tmp_path: Path
) -> None:
    voice = enroll(tiny_studio, kathleen)
    assert (voice.name, voice.consent, voice.builtin) == ("Ada Example", consent(), False)
    assert 140 < voice.f0_median < 260  # a woman's voice
    assert 0.05 < voice.f0_spread < 0.5
    assert np.linalg.norm(voice.vector) == pytest.approx(1, abs=1e-5)
    voice.save(tmp_path / "ada.voice")
    again = Voice.load(tmp_path / "ada.voice")
    np.testing.assert_array_equal(
        tiny_studio.speak("Hi.", again).samples, tiny_studio.speak("Hi.", voice).samples
    )
    assert tiny_studio.convert(kathleen[0], again).duration > 3


def test_references_may_be_one_or_many_of_any_form(tiny_studio: Studio, kathleen: list[Path]) -> None:
    one = kathleen[0]
    rate = 24000
    expected = enroll(tiny_studio, [one]).vector
    for form in (one, str(one), (audio.read(one), rate), [(audio.read(one), rate)]):
        np.testing.assert_allclose(enroll(tiny_studio, form).vector, expected, atol=1e-5)
    many = enroll(tiny_studio, kathleen).vector
    np.testing.assert_array_equal(enroll(tiny_studio, tuple(map(str, kathleen[:3]))).vector, many)
    np.testing.assert_array_equal(
        enroll(tiny_studio, tuple(kathleen[:2])).vector, enroll(tiny_studio, kathleen[:2]).vector
    )
    assert np.abs(many - expected).max() > 1e-4


def test_silence_around_speech_changes_little(tiny_studio: Studio, kathleen: list[Path]) -> None:
    samples = np.concatenate([audio.read(path) for path in kathleen])
    silence = np.zeros(5 * 24000, np.float32)
    plain = enroll(tiny_studio, (samples, 24000))
    padded = enroll(tiny_studio, (np.concatenate([silence, samples, silence]), 24000))
    assert float(plain.vector @ padded.vector) > 0.99
    assert padded.f0_median == pytest.approx(plain.f0_median, rel=0.05)


def bad_references(samples: np.ndarray) -> dict[str, tuple[np.ndarray, str]]:
    rng = np.random.default_rng(0)
    return {
        "silent": (np.zeros(5 * 24000), "silent, or only noise"),
        "noise": (0.1 * rng.standard_normal(5 * 24000), "silent, or only noise"),
        "clipped": (np.clip(samples * 30, -1, 1), r"of its samples are clipped, at most 0\.5%"),
        "clipped, then turned down": (0.3 * np.clip(samples * 30, -1, 1), "of its samples are clipped"),
        "short": (
            np.r_[np.zeros(24000), samples[24000 : 24000 + 12000], np.zeros(24000)],
            "at least 1 s is needed",
        ),
    }


@pytest.mark.parametrize("name", ["silent", "noise", "clipped", "clipped, then turned down", "short"])
def test_bad_references_are_refused(tiny_studio: Studio, kathleen: list[Path], name: str) -> None:
    bad, message = bad_references(audio.read(kathleen[0]))[name]
    with pytest.raises(EnrollmentError, match=message):
        enroll(tiny_studio, (bad, 24000))
    with pytest.raises(EnrollmentError, match=message):
        enroll(tiny_studio, [kathleen[0], (bad, 24000)])


def test_what_is_never_voiced_is_refused(
    tiny_studio: Studio, kathleen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrollment, "f0_track", lambda samples: np.zeros(len(samples) // HOP + 1, np.float32))
    with pytest.raises(EnrollmentError, match=r"0\.0 s of voiced sound"):
        enroll(tiny_studio, kathleen)


def test_no_reference_is_refused(tiny_studio: Studio) -> None:
    with pytest.raises(EnrollmentError, match="at least one"):
        enroll(tiny_studio, [])


def test_doubtful_references_are_warned_of(tiny_studio: Studio, kathleen: list[Path]) -> None:
    with pytest.warns(UserWarning, match=r"only \d\.\d s of speech") as caught:
        tiny_studio.enroll(kathleen[0], consent=consent())
    assert [warning.filename for warning in caught] == [__file__]  # once, and where the caller stands
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny_studio.enroll(kathleen, consent=consent())  # together they are long enough
    samples = np.concatenate([audio.read(path) for path in kathleen])
    hot = np.clip(samples / np.sort(np.abs(samples))[-150], -1, 1)
    with pytest.warns(UserWarning, match="of its samples are clipped; the voice may sound rough") as caught:
        tiny_studio.enroll((hot, 24000), consent=consent())
    assert [warning.filename for warning in caught] == [__file__]


def test_phones_are_counted_without_pauses() -> None:
    a, b = [5] * 3, [9] * 2
    sounds = np.array([0] * 20 + a + b + [0] * 4 + a + [0] * 20 + b)  # a short silence belongs to the speech
    phones, seconds = _count_phones(sounds)
    assert phones == 4
    assert seconds == pytest.approx((3 + 2 + 4 + 3 + 2) * 2 * HOP / 24000)


def test_a_voice_of_unknown_rate_speaks_at_the_ordinary_one(tiny_studio: Studio, alto: Voice) -> None:
    unknown = replace(alto, rate=float("nan"))
    np.testing.assert_array_equal(
        tiny_studio.speak("Hi.", unknown).samples, tiny_studio.speak("Hi.", alto).samples
    )


def test_nobody_is_enrolled_without_consent(tiny_studio: Studio, kathleen: list[Path]) -> None:
    for missing in (None, "yes", {"name": "Ada"}):
        with pytest.raises(ConsentError, match=r"^consent="):
            tiny_studio.enroll(kathleen, consent=missing)  # type: ignore[arg-type]


def test_two_real_people_are_told_apart(studio: Studio, kathleen: list[Path], nathalie: list[Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        studio.enroll(kathleen, consent=consent())
    with pytest.raises(EnrollmentError, match="seem to hold two people"):  # women alike, in one studio
        studio.enroll([*kathleen, *nathalie], consent=consent())


def test_what_may_be_two_people_is_warned_of(
    studio: Studio, kathleen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(enrollment, "group_likeness", lambda _: 0.55)
    with pytest.warns(UserWarning, match=r"may hold two people \(likeness 0.55\)") as caught:
        studio.enroll(kathleen, consent=consent())
    assert [warning.filename for warning in caught] == [__file__]


def windows_of(*people: tuple[int, int], spread: float = 0.4) -> np.ndarray:
    """Unit vectors [W, 192]: for each (seed, count), windows around one person's direction."""
    rows = []
    for seed, count in people:
        center = np.random.default_rng(seed).standard_normal(192) / 192**0.5
        rows += [
            center + spread * np.random.default_rng((seed, i)).standard_normal(192) / 192**0.5
            for i in range(count)
        ]
    vectors = np.array(rows)
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("people", [[(1, 4), (2, 4)], [(1, 2), (2, 10)], [(1, 20), (2, 3)]])
def test_two_people_are_told_apart(people: list[tuple[int, int]]) -> None:
    vectors = windows_of(*people)
    for order in range(3):
        with pytest.raises(EnrollmentError, match="two people"):
            _check_one_person(np.random.default_rng(order).permutation(vectors))


@pytest.mark.parametrize(
    "people", [[(1, 1)], [(1, 3)], [(1, 4)], [(1, 30)], [(1, 10), (2, 1)], [(1, 1), (2, 1)]]
)
def test_one_person_is_not_taken_for_two(people: list[tuple[int, int]]) -> None:
    _check_one_person(windows_of(*people))  # a single odd window is a cough, not a person


def test_consent_is_kept_to(tiny_studio: Studio, kathleen: list[Path]) -> None:
    speaks, converts = person(tiny_studio, "speak"), person(tiny_studio, "convert")
    tiny_studio.speak("Hi.", speaks)
    tiny_studio.convert(kathleen[0], converts)
    with pytest.raises(ConsentError, match="does not cover 'convert'"):
        tiny_studio.convert_stream(kathleen[0], speaks)
    with pytest.raises(ConsentError, match="does not cover 'speak'"):
        tiny_studio.stream("Hi.", converts)


def test_a_consent_that_is_over_ends_the_use_of_a_voice(tiny_studio: Studio, kathleen: list[Path]) -> None:
    record = consent().to_dict() | {"since": "2001-01-01", "until": "2001-12-31"}
    over = replace(person(tiny_studio), consent=Consent.from_dict(record))
    for use in (
        lambda: tiny_studio.stream("Hi.", over),
        lambda: tiny_studio.convert_stream(kathleen[0], over),
        lambda: tiny_studio.enroll(kathleen[0], consent=Consent.from_dict(record)),
    ):
        with pytest.raises(ConsentError, match="ended on 2001-12-31"):
            use()


def test_a_voice_of_another_space_is_refused(tiny_studio: Studio, kathleen: list[Path]) -> None:
    stranger = replace(person(tiny_studio), space="0" * 64)
    with pytest.raises(VoiceFileError, match="of the embedding space 000000000000"):
        tiny_studio.stream("Hi.", stranger)
    with pytest.raises(VoiceFileError, match="of the embedding space 000000000000"):
        tiny_studio.convert_stream(kathleen[0], stranger)


def test_an_adapter_of_another_converter_is_refused(tiny_studio: Studio, kathleen: list[Path]) -> None:
    voice = replace(person(tiny_studio), adapter=Adapter("0" * 64, np.zeros((2, 8), np.float32)))
    for use in (
        lambda: tiny_studio.convert_stream(kathleen[0], voice),
        lambda: tiny_studio.stream_convert([], voice),
    ):
        with pytest.raises(VoiceFileError, match="with an adapter for the converter 000000000000"):
            use()


def test_a_recording_put_together_again_keeps_its_length(tiny_studio: Studio, kathleen: list[Path]) -> None:
    speech = tiny_studio.resynthesize(kathleen[0])
    assert len(speech.samples) == len(audio.read(kathleen[0]))


@pytest.mark.parametrize("voice", ["alto-1", None, {}])
def test_what_is_not_a_voice(tiny_studio: Studio, kathleen: list[Path], voice: object) -> None:
    for use in (tiny_studio.speak, tiny_studio.stream, tiny_studio.convert, tiny_studio.convert_stream):
        with pytest.raises(OptionError, match=r"^voice=.*studio\.voices"):
            use("Hi.", voice)  # type: ignore[operator]


@pytest.mark.parametrize("device", ["tpu", "", "cuda:99", "cpu:one"])
def test_devices_that_are_not_there(tiny_weights: Path, device: str) -> None:
    with pytest.raises(OptionError, match=r"^device="):
        voiceswap.load(device, weights=tiny_weights)


def test_weights_that_are_missing_or_foreign(tiny_weights: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such weights file"):
        voiceswap.load("cpu", weights=tmp_path)
    folder = shutil.copytree(tiny_weights, tmp_path / "weights")
    shutil.copy(tiny_weights / "converter.safetensors", folder / "vocoder.safetensors")
    studio = voiceswap.load("cpu", weights=folder)
    with pytest.raises(CheckpointError, match="it holds a converter, not a vocoder"):
        studio.speak("Hi.", studio.voices["alto-1"])
    for content in ("", "[1]", '[{"name": "a"}]', "{}x", '[{"name": "a", "vector": [0.5], "f0_median": 1}]'):
        (folder / "voices.json").write_text(content)
        with pytest.raises(CheckpointError, match="built-in voices cannot be read"):
            _ = voiceswap.load("cpu", weights=folder).voices


def test_weights_of_different_speaker_encoders(tiny_weights: Path, tmp_path: Path) -> None:
    from voiceswap import checkpoint

    folder = shutil.copytree(tiny_weights, tmp_path / "weights")
    space = checkpoint.read_header(folder / "speaker-encoder.safetensors")["sha256"]
    synthesizer = checkpoint.load(folder / "synthesizer.safetensors", "synthesizer")
    for taught in ({"speaker-encoder": space}, {"speaker-encoder": "0" * 64, "vocoder": "1" * 64}):
        checkpoint.save(synthesizer, folder / "synthesizer.safetensors", training={"teachers": taught})
        studio = voiceswap.load("cpu", weights=folder)
        if taught["speaker-encoder"] == space:
            studio.speak("Hi.", studio.voices["alto-1"])
            continue
        with pytest.raises(
            CheckpointError, match=r"trained with the speaker-encoder 0{12}, .* train it anew"
        ):
            studio.speak("Hi.", studio.voices["alto-1"])
    rows = json.loads((folder / "voices.json").read_text())
    for other in (space, "0" * 64):
        (folder / "voices.json").write_text(json.dumps([rows[0], {**rows[1], "space": other}]))
        studio = voiceswap.load("cpu", weights=folder)
        if other == space:
            assert list(studio.voices) == ["alto-1", "tenor-1"]
            continue
        with pytest.raises(CheckpointError, match=r"of the speaker-encoder 0{12}, .*Blend voices anew"):
            _ = studio.voices


def test_the_bundled_voices_say_their_encoder(bundled_weights: Path, studio: Studio) -> None:
    rows = json.loads((bundled_weights / "voices.json").read_text())
    assert {row["space"] for row in rows} == {voice.space for voice in studio.voices.values()}


def test_a_model_that_went_wrong_makes_no_sound(tiny_weights: Path, tmp_path: Path) -> None:
    from voiceswap import checkpoint

    folder = shutil.copytree(tiny_weights, tmp_path / "weights")
    vocoder = checkpoint.load(folder / "vocoder.safetensors", "vocoder")
    torch.nn.init.constant_(vocoder.filter.leave.bias, float("nan"))
    checkpoint.save(vocoder, folder / "vocoder.safetensors")
    studio = voiceswap.load("cpu", weights=folder)
    with pytest.raises(AudioError, match="not finite"):
        studio.speak("Hi.", studio.voices["alto-1"])


def test_a_quiet_room_is_asked_for_and_of_people_less(
    tiny_studio: Studio, kathleen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    synthesize = tiny_studio._models.synthesizer.synthesize

    def listening(*given: object, **options: object) -> object:
        asked.append((options["quality"], options["sharpness"]))
        return synthesize(*given, **options)

    def lightening(mel: torch.Tensor) -> torch.Tensor:
        lightened.append(len(asked))
        return lighten(mel)

    lightened: list[int] = []
    monkeypatch.setattr(tiny_studio._models.synthesizer, "synthesize", listening)
    monkeypatch.setattr("voiceswap.reading.lighten", lightening)
    own = enroll(tiny_studio, kathleen)
    for voice in (tiny_studio.voices["alto-1"], own, replace(own, timbre=None)):
        tiny_studio.speak("Good morning.", voice)
    assert asked == [(1.4, OF_BUILTIN), (0.2, None), (0.2, OF_PEOPLE)]
    assert lightened == [1]  # the built-in voice alone


def test_predicted_mels_are_corrected_less_than_copies(
    tiny_studio: Studio, kathleen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int | None] = []
    forward = Vocoder.forward

    def listening(self: Vocoder, *given: torch.Tensor) -> torch.Tensor:
        asked.append(given[4])
        return forward(self, *given)

    monkeypatch.setattr(Vocoder, "forward", listening)
    alto, own = tiny_studio.voices["alto-1"], enroll(tiny_studio, kathleen)
    samples = audio.read(kathleen[0])
    for made, expected in (
        (lambda: tiny_studio.speak("Hi.", alto), 1),
        (lambda: tiny_studio.speak("Hi.", own), 2),
        (lambda: tiny_studio.convert((samples, 24000), alto), 2),
        (lambda: list(tiny_studio.stream_convert([samples], alto)), 2),
        (lambda: tiny_studio.resynthesize((samples, 24000)), None),
    ):
        made()
        assert set(asked) == {expected}
        asked.clear()


def test_no_moved_pitch_falls_below_what_a_voice_has(alto: Voice) -> None:
    nothing = np.zeros(0, np.float32)
    source = conversion.Source((nothing, 24000), 1.0, 150.0, 0.2, nothing, nothing)
    f0 = np.array([0.0, 150.0], np.float32)
    assert source.move(f0, alto, 0.0).tolist() == pytest.approx([0.0, alto.f0_median])
    assert source.move(f0, alto, -24.0).tolist() == [0.0, 65.0]


def test_a_short_recording_is_decoded_once_and_a_long_one_as_it_is_needed(
    kathleen: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, rate = conversion.Source.measure(kathleen[0]).recording
    assert rate == audio.SAMPLE_RATE
    np.testing.assert_array_equal(samples, audio.read(kathleen[0]))
    monkeypatch.setattr(conversion, "_MEASURED", 1.0)
    assert conversion.Source.measure(kathleen[0]).recording == kathleen[0]
