"""A recording of any length as overlapping windows, and its melody moved into a voice's range. N samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceswap import audio
from voiceswap.acoustics import ACOUSTICS, f0_track, log_mel, pitch_statistics
from voiceswap.errors import AudioError
from voiceswap.models import dynamics
from voiceswap.models.timbre import Timbre
from voiceswap.voice import Voice

_MEASURED = 120.0  # seconds that tell level and range: the first so many in which someone speaks
_HEARD = 20.0  # seconds that tell who speaks
_LONGEST = 1500  # frames converted at once: 16 s
_SHORTEST = 900
_CONTEXT = 150  # frames that the recognizer and the converter together see to either side
_BLOCK = 8.0  # seconds read at once
_SPARSE = replace(ACOUSTICS, hop=2 * ACOUSTICS.hop)
_LOWEST = 65.0  # Hz; what comes out lower was a slip of the tracker by an octave, or creaks


@dataclass(frozen=True)
class Source:
    """A recording to be converted, the gain that brings it to the models' level, and its F0 statistics.

    `recording` has been decoded where it is short, so that this is done but once.
    `speech` [N] are its first seconds of leveled speech, at most `_HEARD`, which tell who speaks and how
    loud.
    """

    recording: audio.Source
    gain: float
    f0_median: float
    f0_spread: float
    speech: NDArray[np.float32]
    f0: NDArray[np.float32]
    """[T] of `speech`, in Hz."""

    @classmethod
    def measure(cls, recording: audio.Source) -> Source:
        """Read until there is speech; raises AudioError for what cannot be read or holds none."""
        stream = audio.blocks(recording, seconds=_MEASURED)
        first = next(stream, np.zeros(0, np.float32))
        heard = (audio.only_speech(block) for block in chain([first], stream))
        speech = next((block for block in heard if len(block)), None)
        if speech is None:
            name = str(recording) if not isinstance(recording, tuple) else "the recording"
            raise AudioError(name, "there is no speech in it", "Give a recording of someone speaking")
        if len(first) < _MEASURED * audio.SAMPLE_RATE:  # that was all of it: decoding takes its time
            recording = first, audio.SAMPLE_RATE
        # Of the speech alone: a long pause would be raised to the level of a voice.
        leveled = audio.level(speech)
        peak = int(np.abs(speech).argmax())
        # Every other frame tells as much, and listening takes a tenth of a conversion's time.
        f0 = np.repeat(f0_track(leveled, _SPARSE), 2)[: len(leveled) // ACOUSTICS.hop + 1]
        median, spread = pitch_statistics(np.log(f0[f0 > 0]))
        heard_first = leveled[: round(_HEARD * ACOUSTICS.sample_rate)].astype(np.float32)
        told = f0[: len(heard_first) // ACOUSTICS.hop + 1]
        return cls(recording, float(leveled[peak] / speech[peak]), median, spread, heard_first, told)

    def move(self, f0: NDArray[np.float32], voice: Voice, pitch: float) -> Tensor:
        """F0 [T] in Hz of the recording → of the voice: medians meet, excursions scale with the spreads."""
        scale = float(np.clip(voice.f0_spread / self.f0_spread, 0.6, 1.6))
        excursion = np.log(np.maximum(f0, 1.0) / self.f0_median) * scale
        moved = voice.f0_median * 2 ** (pitch / 12) * np.exp(np.clip(excursion, -1.4, 1.4))
        return torch.from_numpy(np.where(f0 > 0, np.maximum(moved, _LOWEST), 0.0).astype(np.float32))

    def dynamics(self, mel: Tensor, timbre: Timbre | None, count: int) -> tuple[Tensor, Tensor]:
        """Loudness [B, T] and outlines [B, T, `count`] of log-mels [B, M, T] of the recording.

        As those of whom the `timbre` is of, as far as both are known.
        """
        loudness, outline = dynamics.loudness_of(mel), dynamics.outline_of(mel, count)
        if timbre is None or not len(self.speech):
            return loudness, outline
        if count not in self._noises:  # a stream asks for them again and again
            self._noises[count] = dynamics.noises_of(self.mel[0], torch.from_numpy(self.f0), count)
        return (
            dynamics.as_loud(loudness, self._quantiles, timbre.loudness),
            dynamics.as_noisy(outline, self._noises[count], timbre.noises),
        )

    @cached_property
    def mel(self) -> Tensor:
        """Log-mel [1, M, T] of `speech`."""
        return log_mel(torch.from_numpy(self.speech)[None])

    @cached_property
    def _quantiles(self) -> NDArray[np.float32]:
        return dynamics.loudness_quantiles(self.mel[0], torch.from_numpy(self.f0))

    @cached_property
    def _noises(self) -> dict[int, NDArray[np.float32]]:
        return {}


@dataclass(frozen=True)
class Window:
    """Leveled `samples` [N] with context; `frames` from `before` on are its own, `length` samples."""

    samples: NDArray[np.float32]
    before: int
    frames: int
    length: int


def windows(source: Source) -> Iterator[Window]:
    """The recording's windows in order; their `length`s add up to it. Seams lie in its quietest places."""
    hop = ACOUSTICS.hop
    buffer = np.zeros(0, np.float32)
    before = 0  # frames of context at the head of the buffer
    stream = audio.blocks(source.recording, seconds=_BLOCK)
    ended = False
    while True:
        while not ended and len(buffer) < (before + _LONGEST + _CONTEXT) * hop:
            block = next(stream, None)
            ended = block is None
            if block is not None:
                buffer = np.concatenate([buffer, block * source.gain])
        left = len(buffer) - before * hop
        if left <= 0:
            return
        if ended and left <= _LONGEST * hop:
            yield Window(buffer, before, -(-left // hop), left)
            return
        frames = _quietest(buffer[before * hop :])
        yield Window(buffer[: (before + frames + _CONTEXT) * hop], before, frames, frames * hop)
        keep = max(0, before + frames - _CONTEXT)
        before = before + frames - keep
        buffer = buffer[keep * hop :]


def _quietest(samples: NDArray[np.float32]) -> int:
    """The frame between the shortest and longest length at whose edge a seam is least heard."""
    hop = ACOUSTICS.hop
    frames = samples[: min(len(samples) // hop, _LONGEST) * hop].reshape(-1, hop)
    power = np.convolve(np.pad(np.square(frames).mean(1), 2, "edge"), np.ones(5), "valid")
    return _SHORTEST + int(power[_SHORTEST:].argmin())
