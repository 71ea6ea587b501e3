"""Speech: what `Studio` makes, and the only thing that writes audio. N samples."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import soundfile
from numpy.typing import NDArray

from voiceswap.errors import AudioError, OutputError
from voiceswap.files import check_output, refusals, replacing
from voiceswap.provenance import Provenance
from voiceswap.provenance.manifest import beside, sign

FORMATS = {
    ".wav": ("WAV", "PCM_16"),
    ".flac": ("FLAC", "PCM_16"),
    ".ogg": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
    ".mp3": ("MP3", "MPEG_LAYER_III"),
}
"""Container and coding of each suffix that can be written."""

_KNEE = 0.9  # of full scale: where the limiter begins
_WAV_SAMPLES = 2**31 - 2**17  # 16-bit samples whose bytes, and a manifest's, a WAV header can still count


@dataclass(frozen=True, eq=False)
class Speech:
    """Samples and where they come from.

    `samples` [N] is made a read-only float32 copy; they lie in -1…1 but for single peaks, which are limited
    when they are written. Raises AudioError for samples that are empty, not finite or not one channel.
    """

    samples: NDArray[np.float32]
    sample_rate: int
    provenance: Provenance

    def __post_init__(self) -> None:
        samples = np.array(self.samples, np.float32)
        if samples.ndim != 1 or len(samples) == 0:
            raise AudioError(
                f"samples of shape {list(samples.shape)}", "speech is [N]", "Give at least one sample"
            )
        if not np.isfinite(samples).all():
            raise AudioError("samples that are NaN or infinite", "speech is finite", "Check the weights")
        samples.flags.writeable = False
        object.__setattr__(self, "samples", samples)

    def __repr__(self) -> str:
        made = self.provenance
        return f"Speech({self.duration:.2f} s at {self.sample_rate} Hz, {made.verb} as {made.voice!r})"

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Writes a file as `SpeechWriter` does, from this one piece."""
        with SpeechWriter(path, force=force) as writer:
            writer.write(self)


class SpeechWriter:
    """Writes pieces of speech to one file as they come, in the memory of a piece.

    The suffix chooses the format: .wav and .flac (16 bit), .ogg (Vorbis), .opus, .mp3. The file appears at
    the end of the ``with`` block, whole and signed; after an error or an interruption there is nothing. Its
    manifest (`voiceswap.provenance.manifest`) is inside, or beside it for .ogg, .opus and what is longer than
    some 20 minutes. An existing file is an error without `force`. Peaks are limited by a curve without
    memory, so pieces join without a step in level: up to 0.9 of full scale nothing changes, above, tanh bends
    what would pass 1. Raises OutputError, the first time before any work is done.
    """

    def __init__(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        self._path = Path(path)
        self._force = force
        self._stack = ExitStack()
        self._temporary: Path | None = None
        self._file: soundfile.SoundFile | None = None
        if self._path.suffix.lower() not in FORMATS:
            raise OutputError(
                f"the suffix {self._path.suffix!r} of {str(self._path)!r}",
                f"audio is written as {', '.join(FORMATS)}",
                "Use one of them",
            )
        check_output(self._path, force=force)
        check_output(beside(self._path), force=force)

    def __enter__(self) -> SpeechWriter:
        self._temporary = self._stack.enter_context(replacing(self._path, force=self._force))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None and self._file is None:
            self._stack.callback(self._refuse_empty)
        elif kind is None:
            self._stack.callback(self._sign)
            self._stack.callback(self._close)
        elif self._file is not None:
            self._stack.callback(self._file.close)
        self._stack.__exit__(kind, error, trace)

    def write(self, speech: Speech) -> None:
        """Appends `speech`, whose sample rate and provenance must be those of the first piece."""
        try:
            if self._file is None:
                self._file = self._begin(speech)
            elif (speech.sample_rate, speech.provenance) != self._made:
                raise OutputError(
                    f"{speech!r} in {str(self._path)!r}",
                    "the pieces of a file have one sample rate and one provenance",
                    "Write it to another file",
                )
            self._append(self._file, speech.samples)
        except (soundfile.SoundFileError, AssertionError) as error:  # soundfile asserts that all went out
            raise self._failure(error) from error

    def _begin(self, speech: Speech) -> soundfile.SoundFile:
        if self._temporary is None:
            raise OutputError(f"{str(self._path)!r} is not open", "a writer is a context manager", "Use with")
        container, coding = FORMATS[self._path.suffix.lower()]
        file = soundfile.SoundFile(
            self._temporary, "w", speech.sample_rate, 1, format=container, subtype=coding
        )
        self._made = speech.sample_rate, speech.provenance
        return file

    def _append(self, file: soundfile.SoundFile, samples: NDArray[np.float32]) -> None:
        if self._path.suffix.lower() == ".wav" and file.frames + len(samples) > _WAV_SAMPLES:
            raise OutputError(
                f"{str(self._path)!r} would pass 4 GB", "a WAV header cannot count further", "Write .flac"
            )
        for start in range(0, len(samples), file.samplerate):  # Vorbis overflows its stack on long writes
            file.write(_limit(samples[start : start + file.samplerate]))

    def _refuse_empty(self) -> None:
        raise OutputError(f"{str(self._path)!r} got no speech", "a file holds some", "Write a piece")

    def _close(self) -> None:
        assert self._file is not None
        try:
            self._file.close()  # writes what is still held back
        except soundfile.SoundFileError as error:
            raise self._failure(error) from error

    def _sign(self) -> None:
        assert self._temporary is not None
        check_output(self._path, force=self._force)  # was it overtaken? Then no manifest may stay beside
        content, place = sign(self._temporary, self._path.suffix.lower(), self._made[1]), beside(self._path)
        if content is None:
            place.unlink(missing_ok=True)  # that of the file which this one takes the place of
            return
        with replacing(place, force=self._force) as temporary, refusals(place):
            temporary.write_bytes(content)

    def _failure(self, error: Exception) -> OutputError:
        return OutputError(
            f"{str(self._path)!r} could not be written ({error})",
            "an output needs room, and a sample rate that its format knows",
            "Free some space, or write .wav",
        )


def _limit(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """`samples` [N] with what lies beyond the knee bent to stay within ±1."""
    size = np.abs(samples)
    if size.max() <= _KNEE:
        return samples
    bent = _KNEE + (1 - _KNEE) * np.tanh((size - _KNEE) / (1 - _KNEE))
    return np.where(size > _KNEE, np.copysign(bent, samples), samples).astype(np.float32)
