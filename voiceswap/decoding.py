"""Sound files to mono samples, by libsndfile: whole and within limits, or refused with a reason.

Everything that depends on a file's format and on what its header promises is here; samples, wherever they
come from, are checked and resampled in :mod:`voiceswap.audio`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from voiceswap.errors import AudioError

MIN_RATE, MAX_RATE = 4000, 768_000
"""Sample rates that are accepted, Hz."""
MAX_CHANNELS = 32
"""Channels that are mixed down at most."""

_UNKNOWN_SIZE = 0x7FFF0000  # programs that write to a pipe promise this or more, as they cannot know
_PROMISE = r"^ *(?:data|SSND|Data Size|riff|Riff size) *: (\d+) \(should be (\d+)\)"
_STREAMS = ("MP3", "OGG")  # frames that stand for themselves: the header promises nothing exact


def decode(path: Path, max_seconds: float | None, name: str) -> tuple[int, Iterator[NDArray[np.float32]]]:
    """The rate of `path` in Hz, and mono pieces of at most a second; errors call it `name`.

    Raises AudioError for a header that promises nothing usable, and, where the fault is reached, for a file
    that is damaged, cut or longer than `max_seconds`.
    """
    file = _open(path, name)
    return file.samplerate, _pieces(file, max_seconds, name)


def check_rate(rate: int, name: str) -> None:
    """AudioError for a rate, in Hz, beyond `MIN_RATE` and `MAX_RATE`; a quoted `name` is a file's."""
    if not MIN_RATE <= rate <= MAX_RATE:
        raise AudioError(
            f"{name} has {rate} samples a second" if name.startswith("'") else f"{name} is {rate} Hz",
            f"rates lie between {MIN_RATE} and {MAX_RATE} Hz",
            "Resample it first, or correct its header",
        )


def check_length(seconds: float, max_seconds: float, name: str) -> None:
    """AudioError where what is called `name` lasts longer than may be read at once."""
    if seconds > max_seconds:
        raise AudioError(
            f"{name} lasts {seconds:.0f} s or more",
            f"at most {max_seconds:.0f} s are read into memory at once",
            "Convert it to a file, which is done as a stream, or cut it",
        )


class _Sequential(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file that is only read on.

    soundfile seeks after every read of a file that it may seek in; in MP3 that loses the bits that a frame
    borrows from those before it, which is heard as a click, and it stops at a length that is an estimate.
    """

    def seekable(self) -> bool:
        return False


def _open(path: Path, name: str) -> soundfile.SoundFile:
    """`path` opened by libsndfile, its header checked."""
    if path.is_dir():
        raise AudioError(f"{name} is a directory", "audio is read from a file", "Name a file inside it")
    if not path.exists():
        raise AudioError(f"{name} does not exist", "audio is read from a file", "Check the path")
    if not path.is_file():  # a pipe would block, a device never end
        raise AudioError(f"{name} is a device or a pipe", "audio is read from a file", "Save it first")
    if not os.access(path, os.R_OK):
        raise AudioError(f"{name} may not be read", "audio is read from a file", "Change its permissions")
    remedy = "Convert it to WAV or FLAC first, for example with ffmpeg"
    try:
        file = _Sequential(path)
    except (soundfile.SoundFileError, TypeError, OSError) as error:  # a TypeError for headerless .raw
        reason = str(error).rsplit(": ", 1)[-1].rstrip(".")
        raise AudioError(
            f"{name} cannot be read as audio ({reason})", "WAV, FLAC, Ogg, Opus, MP3 and AIFF can", remedy
        ) from None
    try:
        if file.format == "RAW":  # what libsndfile takes any bytes for, by the suffix alone
            raise AudioError(f"{name} has no header", "audio says its own format", remedy)
        check_rate(file.samplerate, name)
        if not 1 <= file.channels <= MAX_CHANNELS:
            raise AudioError(
                f"{name} has {file.channels} channels", f"1 to {MAX_CHANNELS} are mixed down", remedy
            )
        # libsndfile reads a cut file without a word, but notes what the header promised.
        cut = re.search(_PROMISE, file.extra_info, re.MULTILINE)
        if cut and int(cut[2]) < int(cut[1]) < _UNKNOWN_SIZE:
            _cut(name, cut[1], cut[2], "bytes")
    except AudioError:
        file.close()
        raise
    return file


def _pieces(file: soundfile.SoundFile, max_seconds: float | None, name: str) -> Iterator[NDArray[np.float32]]:
    """Mono pieces of at most a second, at the file's rate."""
    with file:
        rate = file.samplerate
        exact = file.format not in _STREAMS and file.frames < 2**62  # what a streamed FLAC says
        if max_seconds is not None and exact:
            check_length(file.frames / rate, max_seconds, name)
        size = max(256, min(rate, 2**18 // file.channels))
        count = 0
        while True:
            try:
                piece = file.read(size, dtype="float32", always_2d=True)
            except soundfile.SoundFileError as error:
                raise AudioError(
                    f"{name} is damaged after {count / rate:.2f} s ({error})",
                    "a file is read whole or not at all",
                    "Fetch or export it again",
                ) from None
            if len(piece) == 0:
                break
            count += len(piece)
            if max_seconds is not None:
                check_length(count / rate, max_seconds, name)
            with np.errstate(invalid="ignore", over="ignore"):  # infinite samples are refused in `audio`
                mono = piece.mean(axis=1)
            yield mono
        if exact and count < file.frames:
            _cut(name, file.frames, count, "samples")


def _cut(name: str, promised: int | str, found: int | str, unit: str) -> None:
    raise AudioError(
        f"{name} ends after {found} of the {promised} {unit} that its header promises",
        "a file is read whole or not at all",
        "Fetch or export it again",
    )
