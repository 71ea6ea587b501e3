"""The mark is in all that goes out, is found, and is not found where it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import soxr
from scipy import signal

from voiceswap import audio
from voiceswap.errors import OptionError, WatermarkError
from voiceswap.provenance.watermark import (
    Marker,
    detect,
    detecting,
    embed,
    mark,
    marking,
    payload_of,
    spectrum,
)
from voiceswap.speech import Speech

if TYPE_CHECKING:
    from voiceswap.studio import Studio

RATE = 24000
PAYLOAD = 0xA3F12AB4
LONG = "Whoever reads this aloud takes about twelve seconds for it, as there are words enough for that. " * 2


@pytest.fixture(scope="module")
def talk(kathleen: list[Path], nathalie: list[Path]) -> np.ndarray:
    """Speech [N] of 14 s."""
    return np.concatenate([audio.read(path) for path in [*kathleen, *nathalie]])[: 14 * RATE]


@pytest.fixture(scope="module")
def marked(talk: np.ndarray) -> np.ndarray:
    return embed(talk, PAYLOAD)


def test_the_mark_is_found_and_read(talk: np.ndarray, marked: np.ndarray) -> None:
    assert len(marked) == len(talk)
    found = detect(marked)
    assert (found.verdict, found.payload, found.tempo, found.semitones) == ("marked", PAYLOAD, 1.0, 0.0)
    assert found.p_value < 1e-20
    ((begin, end),) = found.spans
    assert begin < 0.5
    assert end > len(talk) / RATE - 0.5


def test_no_mark_is_found_where_there_is_none(talk: np.ndarray, marked: np.ndarray) -> None:
    for samples, key in ((talk, marking.PUBLIC_KEY), (marked, b"another")):
        found = detect(samples, key=key)
        assert (found.verdict, found.spans, found.payload) == ("not marked", (), None)
        assert found.p_value > 0.01
    assert detect(embed(talk, 5, key=b"another"), key=b"another").payload == 5


def test_what_is_too_short_or_silent_cannot_be_told(talk: np.ndarray) -> None:
    for samples in (talk[:100], talk[:RATE], np.zeros(10 * RATE, np.float32), np.zeros(0, np.float32)):
        assert detect(samples).verdict == "cannot tell"


def test_blocks_are_heard_as_the_whole(marked: np.ndarray) -> None:
    long = np.concatenate([marked, marked])  # more than is looked at together
    assert detect(iter(np.array_split(long, 91))) == detect(long)


def test_a_marked_insert_is_located(talk: np.ndarray, marked: np.ndarray) -> None:
    mixed = np.concatenate([talk, marked[3 * RATE : 9 * RATE], talk])
    found = detect(mixed)
    ((begin, end),) = found.spans
    assert (begin, end) == (pytest.approx(14, abs=0.4), pytest.approx(20, abs=0.4))


@pytest.mark.parametrize(
    ("attack", "tempo", "semitones"),
    [
        (lambda x: x[5 * RATE : 8 * RATE], 1.0, 0.0),
        (lambda x: -0.1 * x, 1.0, 0.0),
        (lambda x: soxr.resample(soxr.resample(x, RATE, 8000), 8000, RATE), 1.0, 0.0),
        (lambda x: signal.sosfilt(signal.butter(6, 1500, "high", fs=RATE, output="sos"), x), 1.0, 0.0),
        (lambda x: soxr.resample(x, RATE, 20000), 0.833, 3.16),
        (lambda x: x + 0.1 * x.std() * np.random.default_rng(0).normal(size=len(x)), 1.0, 0.0),
        (lambda x: embed(x.astype(np.float32), 1, key=b"another"), 1.0, 0.0),
    ],
    ids=["cropped", "turned", "8 kHz", "high-pass", "faster", "noise", "marked again"],
)
def test_the_mark_outlives(
    marked: np.ndarray, attack: Callable[[np.ndarray], np.ndarray], tempo: float, semitones: float
) -> None:
    found = detect(attack(marked).astype(np.float32))
    assert found.verdict == "marked"
    assert found.tempo == pytest.approx(tempo, abs=0.02)
    assert found.semitones == pytest.approx(semitones, abs=0.4)


@pytest.fixture(scope="module")
def hissing(marked: np.ndarray) -> list[np.ndarray]:
    """Three seconds in white noise, the last the loudest."""
    return in_noise(marked[: 3 * RATE])


def in_noise(clip: np.ndarray) -> list[np.ndarray]:
    hiss = np.random.default_rng(2).normal(size=len(clip)) * clip.std()
    return [(clip + hiss * 10 ** (-db / 20)).astype(np.float32) for db in np.arange(18, 10, -0.5)]


def test_the_unmoved_mark_is_looked_for_apart(
    hissing: list[np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Noise that hides the mark among all tempos and pitches hides it less at the true ones."""
    found = [detect(clip).verdict == "marked" for clip in hissing]
    monkeypatch.setattr(detecting, "_NULL_PLAIN", detecting._Null(1e12, 1.0))  # as if nobody looked
    without = [detect(clip).verdict == "marked" for clip in hissing]
    assert sum(found) > sum(without)


def test_what_drowns_in_steady_noise_counts_less(marked: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    hissing = in_noise(marked[6 * RATE : 9 * RATE])  # of what is soft and high much drowns
    found = [detect(clip).p_value for clip in hissing]
    monkeypatch.setattr(spectrum, "_UNCLEAR", -1000.0)  # as if all stood out
    monkeypatch.setattr(spectrum, "_CLEAR", -999.0)
    without = [detect(clip).p_value for clip in hissing]
    assert np.mean(np.log(found)) < np.mean(np.log(without)) - 5


def test_p_values_of_noise_are_no_smaller_than_chance() -> None:
    rng = np.random.default_rng(3)
    values = [detect(rng.normal(0, 0.1, 3 * RATE).astype(np.float32)).p_value for _ in range(120)]
    assert np.mean(np.array(values) < 0.1) < 0.2  # 0.1 of them, and three deviations of that
    assert np.median(values) < 1.0


def test_pieces_are_marked_as_the_whole(talk: np.ndarray, marked: np.ndarray) -> None:
    rng = np.random.default_rng(0)
    marker, made, start = Marker(PAYLOAD), [], 0
    while start < len(talk):
        size = int(rng.integers(1, 5000))
        made.append(marker.push(talk[start : start + size]))
        start += size
    made.append(marker.flush())
    np.testing.assert_allclose(np.concatenate(made), marked, atol=1e-6)


def test_what_follows_saves_the_delay(talk: np.ndarray, marked: np.ndarray) -> None:
    marker = Marker(PAYLOAD)
    for start in range(0, RATE, 1536):
        made = marker.push(talk[start : start + 1536], talk[start + 1536 :][: Marker.LAG])
        np.testing.assert_allclose(made, marked[start : start + 1536], atol=1e-6)


def test_the_mark_is_as_deep_as_it_says(talk: np.ndarray) -> None:
    np.testing.assert_allclose(embed(talk, PAYLOAD, depth_db=0.0), talk, atol=1e-5)
    assert not embed(np.zeros(RATE, np.float32), PAYLOAD).any()
    for depth in (1.0, 2.5):
        noise = np.random.default_rng(0).normal(0, 0.1, 10 * RATE).astype(np.float32)
        spectra = [
            signal.stft(x, RATE, nperseg=1024)[2][20:400] for x in (noise, embed(noise, 1, depth_db=depth))
        ]
        change = 20 * np.log10(np.abs(spectra[1]).mean(1) / np.abs(spectra[0]).mean(1))
        assert np.abs(change).mean() < depth / 4  # raised as often as lowered
        assert 20 * np.log10(1 + depth / 8.7) > np.std(np.abs(spectra[1] - spectra[0])) / np.std(spectra[0])


def test_the_lowest_bands_are_spared(talk: np.ndarray) -> None:
    spectra = [np.abs(signal.stft(x, RATE, nperseg=2048)[2]).mean(1) for x in (talk, embed(talk, PAYLOAD))]
    change, hertz = np.abs(np.log(spectra[1] / spectra[0])), np.arange(1025) * RATE / 2048
    assert change[(hertz > 100) & (hertz < 550)].max() < 0.02  # where the mark costs the most
    assert change[(hertz > 700) & (hertz < 9000)].mean() > 0.02


@pytest.mark.parametrize("payload", [-1, 2**32])
def test_a_payload_that_does_not_fit(payload: int) -> None:
    with pytest.raises(OptionError, match=f"payload={payload}: it is a whole number of 32 bits"):
        Marker(payload)


def test_a_mark_that_is_not_heard_is_an_error(talk: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    assert np.concatenate(list(mark([(talk, None)], 1))).shape == talk.shape
    monkeypatch.setattr(marking, "_gains", lambda *_: np.ones((1, 1), np.float32))
    for pieces in ([talk], np.array_split(talk, 40), [talk[: 4 * RATE]]):
        with pytest.raises(WatermarkError, match="whose mark was not heard"):
            list(mark([(piece, None) for piece in pieces], 1))


def test_a_stream_without_its_mark_ends_early(talk: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marking, "_gains", lambda *_: np.ones((1, 1), np.float32))
    heard = 0
    with pytest.raises(WatermarkError):  # noqa: PT012
        for piece in mark(((piece, None) for piece in np.array_split(talk, 40)), 1):
            heard += len(piece)
    assert heard < 6.5 * RATE


def test_marks_that_disagree_say_nothing(talk: np.ndarray) -> None:
    half = 6 * RATE
    found = detect(
        np.concatenate([embed(talk[:half], PAYLOAD), embed(talk[half:][:half], ~PAYLOAD & 0xFFFFFFFF)])
    )
    assert (found.verdict, found.payload) == ("marked", None)


def test_what_is_between_marked_and_unmarked_cannot_be_told(
    talk: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    sure = detect(talk)
    monkeypatch.setattr(detecting, "UNMARKED", 1.0)
    doubtful = detect(talk)
    assert (sure.verdict, doubtful.verdict) == ("not marked", "cannot tell")
    assert doubtful.p_value == sure.p_value


def test_what_the_mark_says() -> None:
    assert payload_of("a3f9999999", "12ab4fffff") == 0xA3F12AB4
    assert payload_of("a3f9999999", "") == 0xA3F00000


def blocks(path: Path) -> Iterator[np.ndarray]:
    yield from np.array_split(audio.read(path), 50)


def in_a_batch(studio: Studio, path: Path) -> list[Speech]:
    from voiceswap import Speech, batch

    rows = [batch.Row(id="a", text=LONG, voice="alto-1")]
    batch.run(rows, path.parent / "made", weights=studio.weights, device="cpu")
    made_by = studio.speak("Hi.", studio.voices["alto-1"]).provenance  # of the mark, which is the voice's
    return [Speech(audio.read(path.parent / "made" / "a.wav"), RATE, made_by)]


Way = Callable[["Studio", Path], "list[Speech]"]
WAYS: dict[str, Way] = {
    "speak": lambda studio, path: [studio.speak(LONG, studio.voices["alto-1"])],
    "stream": lambda studio, path: list(studio.stream(LONG, studio.voices["alto-1"])),
    "convert": lambda studio, path: [studio.convert(path, studio.voices["alto-1"])],
    "convert_stream": lambda studio, path: list(studio.convert_stream(path, studio.voices["alto-1"])),
    "stream_convert": lambda studio, path: list(studio.stream_convert(blocks(path), studio.voices["alto-1"])),
    "batch": in_a_batch,
    "resynthesize": lambda studio, path: [studio.resynthesize(path)],
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_out_is_marked(tiny_studio: Studio, talk: np.ndarray, tmp_path: Path, way: str) -> None:
    import soundfile

    path = tmp_path / "talk.wav"
    soundfile.write(path, talk, RATE)
    pieces = WAYS[way](tiny_studio, path)
    found = detect(np.concatenate([piece.samples for piece in pieces]))
    assert found.verdict == "marked"
    assert found.payload in (None, pieces[0].provenance.mark)
    assert (pieces[0].provenance.mark & 0xFFFFF == 0) == (way == "resynthesize")
