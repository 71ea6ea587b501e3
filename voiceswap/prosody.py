"""Timing and melody of a recording, for the same text in another voice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from voiceswap import audio
from voiceswap.acoustics import ACOUSTICS, f0_track, log_mel
from voiceswap.conversion import Source
from voiceswap.errors import AudioError
from voiceswap.models.alignment import forced_durations
from voiceswap.models.phone_recognizer import PhoneRecognizer
from voiceswap.text.phonemes import Phonemes
from voiceswap.voice import Voice

LONGEST = 120.0
"""Seconds of a recording whose prosody is taken: it is aligned in one piece."""
# Mean log-probability of the alignment. Of 80 held-out recordings with their own texts the lowest has -1.20;
# with the texts of recordings as long as they are nine tenths lie below -1.57.
_LIKELY = -1.35


@dataclass(frozen=True)
class Prosody:
    """Frames of each phoneme [P] and F0 [T] in Hz of one sentence; the frames add up to T."""

    durations: Tensor
    f0: Tensor


def prosody_of(
    recording: audio.Source,
    said: Sequence[Phonemes],
    voice: Voice,
    pitch: float,
    recognizer: PhoneRecognizer,
) -> list[Prosody]:
    """Of every sentence `said` in `recording`; the melody moves into the voice's range, and by `pitch`.

    `pitch` is in semitones. The sentences, a boundary at both ends of each, are aligned to the recording as
    one. Raises AudioError for a recording that is too long, holds no speech or does not say these words.
    """
    name = str(recording) if not isinstance(recording, tuple) else "the recording"
    source = Source.measure(recording)
    samples = next(audio.blocks(recording, seconds=LONGEST + 1)) * np.float32(source.gain)
    seconds = len(samples) / ACOUSTICS.sample_rate
    if seconds > LONGEST:
        raise AudioError(
            name, f"timing is taken from at most {LONGEST:.0f} s", "Cut it, and the text with it, in parts"
        )
    device = next(recognizer.parameters()).device
    mel = log_mel(torch.from_numpy(samples)[None])[0].to(device)
    symbols = [symbol for phonemes in said for symbol in phonemes.ids]
    found = forced_durations(recognizer, mel, symbols)
    if found is None or found[1] < _LIKELY:
        raise AudioError(
            name,
            "it does not say the words of this text" + (f" ({found[1]:.2f})" if found else ""),
            "Give a clear recording of exactly this text",
        )
    f0 = source.move(f0_track(samples), voice, pitch)
    made, first, start = [], 0, 0
    for phonemes in said:
        durations = torch.tensor(found[0][first : first + len(phonemes)])
        stop = start + int(durations.sum())
        made.append(Prosody(durations, f0[start:stop]))
        first, start = first + len(phonemes), stop
    return made
