from __future__ import annotations

import struct
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceswap import audio
from voiceswap.errors import AudioError, OptionError


def tone(seconds: float, rate: int, *, hz: float = 440.0) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def bursts(
    *, noise_db: float, rate: int = 24000, seed: int = 0
) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Noise with syllables of a harmonic tone in two stretches, and where those are."""
    random = np.random.default_rng(seed)
    samples = random.standard_normal(6 * rate) * 10 ** (noise_db / 20)
    spans = [(1.0, 2.5), (3.5, 5.0)]
    time = np.arange(len(samples)) / rate
    voice = sum(np.sin(2 * np.pi * 140 * k * time) / k for k in range(1, 20))
    for start, end in spans:
        inside = (time >= start) & (time < end)
        samples += np.where(inside, 0.15 * voice * (1 + np.sin(2 * np.pi * 4 * time)), 0)
    return samples.astype(np.float32), spans


@pytest.mark.parametrize(
    ("suffix", "container", "coding", "tolerance"),
    [
        (".wav", "WAV", "PCM_U8", 1e-2),
        (".wav", "WAV", "PCM_16", 1e-4),
        (".wav", "WAV", "PCM_24", 1e-6),
        (".wav", "WAV", "DOUBLE", 1e-6),
        (".wav", "WAV", "ULAW", 1e-2),
        (".flac", "FLAC", "PCM_24", 1e-6),
        (".aiff", "AIFF", "PCM_16", 1e-4),
        (".ogg", "OGG", "VORBIS", 3e-2),
        (".opus", "OGG", "OPUS", 5e-2),
        (".mp3", "MP3", "MPEG_LAYER_III", 3e-2),
    ],
)
@pytest.mark.parametrize("channels", [1, 2])
def test_reads_every_format(
    tmp_path: Path, suffix: str, container: str, coding: str, tolerance: float, channels: int
) -> None:
    path = tmp_path / f"tone{suffix}"
    samples = tone(1.0, 48000)
    soundfile.write(path, np.stack([samples] * channels, 1), 48000, format=container, subtype=coding)
    result = audio.read(path)
    assert result.dtype == np.float32
    assert result.shape == (24000,)
    inner = slice(2400, -2400)
    assert np.abs(result - tone(1.0, 24000))[inner].max() < tolerance


@pytest.mark.parametrize("rate", [4000, 8000, 11025, 16000, 22050, 32000, 44100, 96000, 192000, 768000])
def test_resampling_keeps_a_tone(rate: int) -> None:
    result = audio.resample(tone(0.5, rate), rate, 24000)
    expected = tone(0.5, 24000)
    assert abs(len(result) - len(expected)) <= 1
    inner = slice(1200, 10800)
    assert np.abs(result[inner] - expected[inner]).max() < 1e-4


@pytest.mark.parametrize("rate", [44100, 48000])
def test_resampling_rejects_what_would_alias(rate: int) -> None:
    result = audio.resample(tone(0.5, rate, hz=15000.0), rate, 24000)
    assert np.abs(result[1200:-1200]).max() < 1e-5


@pytest.mark.parametrize("rate", [16000, 24000, 44100, 48000])
@pytest.mark.parametrize("seconds", [0.1, 0.37, 1.0, 60.0])
def test_blocks_together_equal_one_reading(tmp_path: Path, rate: int, seconds: float) -> None:
    path = tmp_path / "noise.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal((round(3.21 * rate), 2))
    soundfile.write(path, noise, rate, subtype="FLOAT")
    pieces = list(audio.blocks(path, seconds=seconds))
    assert all(len(piece) == round(seconds * 24000) for piece in pieces[:-1])
    assert 0 < len(pieces[-1]) <= round(seconds * 24000)
    whole = audio.resample(noise.astype(np.float32).mean(axis=1), rate, 24000)
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=1e-6)
    np.testing.assert_array_equal(audio.read(path), np.concatenate(pieces))


def test_mp3_is_decoded_without_breaks(tmp_path: Path) -> None:
    path = tmp_path / "tone.mp3"
    soundfile.write(path, tone(5.0, 24000), 24000)  # few bits a frame, many borrowed from frames before
    np.testing.assert_allclose(audio.read(path), soundfile.read(path, dtype="float32")[0], atol=1e-5)


def test_blocks_of_a_long_file_take_the_memory_of_one(tmp_path: Path) -> None:
    path = tmp_path / "long.flac"
    with soundfile.SoundFile(path, "w", 16000, 1, subtype="PCM_16") as file:
        for _ in range(4000):  # 67 min of silence in a few kB
            file.write(np.zeros(16000, np.int16))
    tracemalloc.start()
    count = sum(len(piece) for piece in audio.blocks(path, seconds=5.0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 4000 * 24000
    assert peak < 10e6
    with pytest.raises(AudioError, match=r"lasts 4000 s or more: at most 3600 s"):
        audio.read(path)


def test_a_gigabyte_of_zeros_is_refused_unread(tmp_path: Path) -> None:
    size = 10**9
    named_wav, real_wav = tmp_path / "zeros.wav", tmp_path / "wav.wav"
    header = (
        b"RIFF"
        + struct.pack("<I", size + 36)
        + b"WAVEfmt "
        + struct.pack("<IHHIIHH", 16, 1, 1, 24000, 48000, 2, 16)
    )
    for path, start in ((named_wav, b""), (real_wav, header + b"data" + struct.pack("<I", size))):
        with path.open("wb") as file:  # sparse: takes no room
            file.write(start)
            file.truncate(len(start) + size)
    tracemalloc.start()
    with pytest.raises(AudioError, match="cannot be read as audio"):
        audio.read(named_wav)
    with pytest.raises(AudioError, match="lasts 20833 s or more"):
        audio.read(real_wav)
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_arrays_of_any_layout() -> None:
    mono = tone(0.2, 48000)
    expected = audio.read((mono, 48000))
    np.testing.assert_array_equal(audio.read((np.stack([mono, mono]), 48000)), expected)
    np.testing.assert_array_equal(audio.read((np.stack([mono, mono], 1), 48000)), expected)
    np.testing.assert_allclose(
        audio.read((np.round(mono * 32768).astype(np.int16), 48000)), expected, atol=1e-4
    )
    np.testing.assert_allclose(audio.read((mono.astype(np.float64).tolist(), 48000)), expected, atol=1e-6)
    assert len(list(audio.blocks((mono, 48000), seconds=0.05))) == 4


def wav(path: Path, samples: np.ndarray, rate: int = 16000) -> None:
    soundfile.write(path, samples, rate, format="WAV", subtype="FLOAT")


def cut(path: Path) -> None:
    soundfile.write(path, tone(1.0, 16000), 16000, subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:20044])


def cut_flac(path: Path) -> None:
    soundfile.write(path, tone(1.0, 16000), 16000, format="FLAC", subtype="PCM_16")
    path.write_bytes(path.read_bytes()[:-5000])


def archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(10**7))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.write_text("some words " * 1000), "cannot be read as audio"),
        (lambda path: path.write_bytes(b""), "cannot be read as audio"),
        (lambda path: path.write_bytes(b"RIFF\x24\x00\x00\x00WAVEfmt "), "cannot be read as audio"),
        (archive, "cannot be read as audio"),
        (cut, r"ends after 20000 of the 32000 bytes that its header promises"),
        (cut_flac, "is damaged|ends after"),
        (lambda path: wav(path, np.zeros(0)), r"has 0 samples \(0\.000 s\)"),
        (lambda path: wav(path, np.zeros(1)), r"has 1 sample \("),
        (lambda path: wav(path, np.array([0.1, np.nan] * 8000)), "NaN or infinite at 0.000 s"),
        (lambda path: wav(path, np.r_[np.zeros(8000), np.inf, np.zeros(99)]), "NaN or infinite at 0.500 s"),
        (lambda path: wav(path, 30000 * tone(1.0, 16000)), "a sample of size 90"),
        (lambda path: wav(path, np.zeros((4000, 33))), "has 33 channels"),
        (lambda path: wav(path, np.zeros(4000), 3999), "has 3999 samples a second"),
        (lambda path: wav(path, np.zeros(4000), 768001), "has 768001 samples a second"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    path = tmp_path / "talk.wav"
    make(path)
    for reading in (lambda: audio.read(path), lambda: list(audio.blocks(str(path), seconds=1.0))):
        with pytest.raises(AudioError, match=message) as caught:
            reading()
        assert "talk.wav" in caught.value.got
        assert caught.value.rule
        assert caught.value.remedy


def test_headerless_and_endless_sources_are_refused(tmp_path: Path) -> None:
    for suffix in (".raw", ".vox", ".gsm"):  # libsndfile takes any bytes for audio by these names
        path = tmp_path / f"words{suffix}"
        path.write_text("some words " * 1000)
        with pytest.raises(AudioError):
            audio.read(path)
    with pytest.raises(AudioError, match="device or a pipe"):
        audio.read("/dev/zero")


def test_streamed_files_are_read_to_their_end(tmp_path: Path) -> None:
    path = tmp_path / "piped.wav"
    soundfile.write(path, tone(1.0, 24000), 24000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = b"\xff" * 4  # what a program that writes to a pipe puts for the sizes
    path.write_bytes(content)
    assert len(audio.read(path)) == 24000
    ogg = tmp_path / "cut.ogg"
    soundfile.write(ogg, tone(4.0, 24000), 24000, format="OGG", subtype="VORBIS")
    ogg.write_bytes(ogg.read_bytes()[:-500])
    assert 0 < len(audio.read(ogg)) <= 96000


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ((np.zeros((40, 40)), 16000), r"shape \[40, 40\]"),
        ((np.zeros((2, 2, 4000)), 16000), r"shape \[2, 2, 4000\]"),
        ((np.zeros((4000, 0)), 16000), "shape"),
        ((np.zeros(()), 16000), r"shape \[\]"),
        ((np.zeros(0), 16000), "0 samples"),
        ((np.full(4000, 1e300), 16000), "NaN or infinite"),
        ((np.zeros(4000, np.uint8), 16000), "type uint8"),
        ((np.zeros(4000, complex), 16000), "type complex128"),
        ((["a"] * 4000, 16000), "type <U1"),
        ((np.zeros(4000), 0), "is 0 Hz"),
        ((np.zeros(4000), -16000), "is -16000 Hz"),
        ((np.broadcast_to(np.float32(0), 3601 * 4000), 4000), "lasts 3601 s"),
        (None, "a NoneType"),
        (3, "a int"),
    ],
)
def test_bad_arrays_are_named(source: object, message: str) -> None:
    with pytest.raises(AudioError, match=message):
        audio.read(source)  # type: ignore[arg-type]


def test_rates_and_block_lengths_have_limits(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="asked for is 100 Hz"):
        audio.read((tone(1.0, 16000), 16000), sample_rate=100)
    with pytest.raises(AudioError, match="is 0 Hz"):
        audio.resample(tone(1.0, 16000), 0, 24000)
    for seconds in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(OptionError, match="seconds="):
            next(audio.blocks(tmp_path / "any.wav", seconds=seconds))


def test_level_moves_loud_frames() -> None:
    samples = tone(2.0, 24000)
    samples[24000:] *= 0.01
    result = audio.level(samples, db=-20.0)
    loud = np.sqrt(np.mean(result[:24000] ** 2))
    assert 20 * np.log10(loud) == pytest.approx(-20.0, abs=0.05)
    assert result.dtype == np.float32
    np.testing.assert_array_equal(audio.level(np.zeros(24000, np.float32)), 0)
    assert len(audio.level(np.zeros(0, np.float32))) == 0


@pytest.mark.parametrize("noise_db", [-90.0, -60.0, -40.0, -35.0])
@pytest.mark.parametrize("rate", [11025, 24000])
def test_speech_is_found_above_any_floor(noise_db: float, rate: int) -> None:
    samples, spans = bursts(noise_db=noise_db, rate=rate)
    found = audio.find_speech(samples, rate)
    assert len(found) == len(spans)
    for (start, end), (left, right) in zip(found, spans, strict=True):
        assert start == pytest.approx(left, abs=0.2)
        assert end == pytest.approx(right, abs=0.2)


def test_recorded_speech_is_found(kathleen: list[Path]) -> None:
    recording = audio.read(kathleen[0])
    pause = np.zeros(24000, np.float32)
    noise = (1e-3 * np.random.default_rng(0).standard_normal(2 * len(recording) + 72000)).astype(np.float32)
    found = audio.find_speech(noise + np.concatenate([pause, recording, pause, recording, pause]))
    length = len(recording) / 24000
    assert found[0][0] >= 0.9
    assert found[-1][1] <= 3.1 + 2 * length - 1
    assert not any(1.1 + length < start < 1.9 + length for start, _ in found)
    assert sum(end - start for start, end in found) > 0.8 * 2 * length


def test_what_is_no_speech() -> None:
    random = np.random.default_rng(0)
    assert audio.find_speech(np.zeros(24000, np.float32)) == []
    assert audio.find_speech(np.full(24000, 0.5, np.float32)) == []  # a DC offset
    assert audio.find_speech(np.zeros(3, np.float32)) == []
    assert audio.find_speech(np.zeros(0, np.float32)) == []
    hiss = (0.05 * random.standard_normal(72000)).astype(np.float32)
    assert audio.find_speech(hiss) == []
    click = (1e-4 * random.standard_normal(72000)).astype(np.float32)
    click[36000:36100] += 0.5
    assert audio.find_speech(click) == []


def test_short_gaps_are_closed_and_long_ones_kept() -> None:
    samples, _ = bursts(noise_db=-60.0)
    short, long = samples.copy(), samples.copy()
    short[round(1.7 * 24000) : round(1.8 * 24000)] = 0
    long[round(1.6 * 24000) : round(2.1 * 24000)] = 0
    assert len(audio.find_speech(short)) == 2
    assert len(audio.find_speech(long)) == 3


def test_channels_of_opposite_infinities_are_refused(tmp_path: Path) -> None:
    samples = np.zeros((4800, 2), np.float32)
    samples[100] = np.inf, -np.inf
    soundfile.write(tmp_path / "talk.wav", samples, 24000, subtype="FLOAT")
    with pytest.raises(AudioError, match="NaN or infinite at"):
        audio.read(tmp_path / "talk.wav")
