from __future__ import annotations

import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceswap import audio
from voiceswap.errors import AudioError, OutputError
from voiceswap.provenance import Provenance, manifest
from voiceswap.speech import FORMATS, Speech, SpeechWriter

MADE = Provenance(verb="speak", voice="alto-1", consent=None, source="", weights="0123", mark=0)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_then(path: Path, action: Callable[[], object], *, force: bool = False) -> None:
    with SpeechWriter(path, force=force) as writer:
        writer.write(speech())
        action()


def write_all(path: Path, pieces: Iterable[Speech]) -> None:
    with SpeechWriter(path) as writer:
        for piece in pieces:
            writer.write(piece)


def speech(seconds: float = 1.0, *, gain: float = 0.5, made: Provenance = MADE, rate: int = 24000) -> Speech:
    time = np.arange(round(seconds * rate)) / rate
    return Speech(gain * np.sin(2 * np.pi * 300 * time), rate, made)


def test_value() -> None:
    samples = np.zeros(12000)
    made = Speech(samples, 24000, MADE)
    samples[:] = 1  # a copy was kept
    assert made.samples.dtype == np.float32
    assert not made.samples.any()
    assert made.duration == 0.5
    assert repr(made) == "Speech(0.50 s at 24000 Hz, speak as 'alto-1')"
    with pytest.raises(ValueError, match="read-only"):
        made.samples[0] = 1
    with pytest.raises(AttributeError):
        made.sample_rate = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    "samples", [np.zeros(0), np.zeros((2, 4)), np.float32(0), np.array([0, np.nan]), np.array([np.inf])]
)
def test_what_is_no_speech(samples: np.ndarray) -> None:
    with pytest.raises(AudioError):
        Speech(samples, 24000, MADE)


@pytest.mark.parametrize("suffix", FORMATS)
def test_every_format_comes_back(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"hello{suffix.upper()}"
    speech(2.0).save(path)
    container, coding = FORMATS[suffix]
    info = soundfile.info(path)
    assert (info.format, info.subtype, info.samplerate, info.channels) == (container, coding, 24000, 1)
    result = audio.read(path)
    assert abs(len(result) - 48000) <= 1
    assert np.abs(result[2400:45600] - speech(2.0).samples[2400:45600]).max() < 0.08
    inside = suffix not in (".ogg", ".opus")
    assert names(tmp_path) == [path.name, *([] if inside else [path.name + manifest.BESIDE])]


def test_permissions_are_those_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    speech().save(tmp_path / "hello.wav")
    assert (tmp_path / "hello.wav").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_peaks_are_limited_and_the_rest_untouched(tmp_path: Path) -> None:
    for gain in (0.9, 1.5, 100.0):
        made = speech(gain=gain)
        made.save(tmp_path / "loud.wav", force=True)
        result = audio.read(tmp_path / "loud.wav")
        below = np.abs(made.samples) <= 0.9
        np.testing.assert_allclose(result[below], made.samples[below], atol=1e-4)
        assert np.all(np.abs(result[~below]) >= 0.9 - 1e-4)
        assert np.all(np.sign(result[~below]) == np.sign(made.samples[~below]))
    speech(gain=1.5).save(tmp_path / "whole.flac")
    pieces = np.split(speech(gain=1.5).samples, 10)
    write_all(tmp_path / "pieces.flac", (Speech(piece, 24000, MADE) for piece in pieces))
    np.testing.assert_array_equal(audio.read(tmp_path / "pieces.flac"), audio.read(tmp_path / "whole.flac"))


def test_existing_outputs_stay_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    path.write_text("mine")
    with pytest.raises(OutputError, match=r"hello\.wav' exists already.*force"):
        speech().save(path)
    with pytest.raises(OutputError, match="exists already"):
        SpeechWriter(path)  # before any work
    assert path.read_text() == "mine"
    speech().save(path, force=True)
    assert len(audio.read(path)) == 24000
    assert names(tmp_path) == ["hello.wav"]


@pytest.mark.parametrize("name", ["hello.wav", "hello.ogg"])
def test_an_output_that_appeared_meanwhile_stays(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with pytest.raises(OutputError, match="exists already"):
        write_then(path, lambda: path.write_text("mine"))
    assert path.read_text() == "mine"
    assert names(tmp_path) == [name]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "file").touch()
    for path, message in [
        (tmp_path / "folder.wav", "is a directory"),
        (tmp_path / "none" / "hello.wav", "none' is not a directory"),
        (tmp_path / "file" / "hello.wav", "file' is not a directory"),
        (tmp_path / "hello.aac", r"the suffix '\.aac' .*\.wav, \.flac, \.ogg, \.opus, \.mp3"),
        (tmp_path / "hello", "the suffix ''"),
    ]:
        with pytest.raises(OutputError, match=message):
            speech().save(path, force=True)
    assert names(tmp_path) == ["file", "folder.wav"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipes_and_devices_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(OutputError, match="device or a pipe"):
        speech().save(tmp_path / "pipe.wav", force=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match="may not be written to"):
            speech().save(tmp_path / "hello.wav")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_interruptions_leave_nothing(tmp_path: Path, suffix: str, error: type[BaseException]) -> None:
    def stop() -> None:
        raise error("stop")

    with pytest.raises(error, match="stop"):
        write_then(tmp_path / f"hello{suffix}", stop)
    assert names(tmp_path) == []


def test_an_interruption_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "hello.wav"
    path.write_text("mine")

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_then(path, stop, force=True)
    assert path.read_text() == "mine"
    assert names(tmp_path) == ["hello.wav"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of this kind are POSIX")
@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk_leaves_nothing(tmp_path: Path, suffix: str) -> None:
    code = """
import resource, sys
import numpy as np
from voiceswap.errors import OutputError
from voiceswap.provenance import Provenance, manifest
from voiceswap.speech import Speech
resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))
noise = 0.1 * np.random.default_rng(0).standard_normal(20 * 24000)
try:
    made = Provenance(verb="speak", voice="a", consent=None, source="", weights="0", mark=0)
    Speech(noise, 24000, made).save(sys.argv[1])
except OutputError as error:
    assert "could not be written" in str(error)
    sys.exit(7)
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / f"hello{suffix}")], check=False)
    assert done.returncode == 7
    assert names(tmp_path) == []


def test_pieces_must_belong_together(tmp_path: Path) -> None:
    other = Provenance(verb="convert", voice="alto-1", consent=None, source="", weights="0123", mark=0)
    for piece in (speech(rate=16000), speech(made=other)):
        with pytest.raises(OutputError, match="one sample rate and one provenance"):
            write_all(tmp_path / "hello.wav", [speech(), piece])
    with pytest.raises(OutputError, match="got no speech"):
        write_all(tmp_path / "hello.wav", [])
    with pytest.raises(OutputError, match="Use with"):
        SpeechWriter(tmp_path / "hello.wav").write(speech())
    with pytest.raises(OutputError, match="sample rate that its format knows"):
        speech(rate=23456).save(tmp_path / "hello.opus")
    assert names(tmp_path) == []


def test_long_output_takes_the_memory_of_a_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "LARGEST", 2**20)
    piece = speech(10.0)
    tracemalloc.start()
    write_all(tmp_path / "long.wav", (piece for _ in range(30)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6
    assert soundfile.info(tmp_path / "long.wav").duration == 300


def test_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    threads = [threading.Thread(target=speech().save, args=(tmp_path / f"{i}.flac",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert names(tmp_path) == [f"{i}.flac" for i in range(8)]
    assert all(len(audio.read(tmp_path / f"{i}.flac")) == 24000 for i in range(8))
