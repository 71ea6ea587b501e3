"""Text to samples: sentence by sentence, with the pauses between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from voiceswap import audio
from voiceswap.acoustics import ACOUSTICS
from voiceswap.bundle import Models
from voiceswap.models.postfilter import OF_BUILTIN, OF_PEOPLE, lighten
from voiceswap.models.vocoder import PREDICTED
from voiceswap.prosody import Prosody, prosody_of
from voiceswap.rendering import render
from voiceswap.voice import Voice

if TYPE_CHECKING:
    from voiceswap.text import Sentence

_FIRST = 96  # frames of a stream's first piece: a second
_CORRECTIONS_BUILTIN = 1  # of the vocoder: with fewer than `PREDICTED` people's voices are less like them
_QUALITY_BUILTIN = 1.4  # of built-in voices: nobody's recordings have to be met, and a studio's are cleaner
_QUALITY_OF_PEOPLE = 0.2  # the same of enrolled people who speak text: likelier, and to the judges as clean


def edged(sentences: Iterator[Sentence]) -> Iterator[tuple[Sentence, Prosody | None]]:
    """Sentences with a boundary at both ends, to hold the silence there; prosody to be predicted."""
    from voiceswap.text.phonemes import BOUNDARY, make

    edge = make([BOUNDARY])
    for sentence in sentences:
        whole = edge + sentence.phonemes + edge if sentence.text else sentence.phonemes
        moved = tuple(place + len(edge) for place in sentence.emphasized)
        yield replace(sentence, phonemes=whole, emphasized=moved), None


def imitated(
    said: Iterator[tuple[Sentence, Prosody | None]],
    like: audio.Source,
    voice: Voice,
    pitch: float,
    models: Models,
) -> Iterator[tuple[Sentence, Prosody | None]]:
    """The sentences with the prosody of a recording, whose pauses are its own."""
    spoken = [replace(sentence, pause=0.0, exact=False) for sentence, _ in said if sentence.text]
    phonemes = [sentence.phonemes for sentence in spoken]
    return zip(spoken, prosody_of(like, phonemes, voice, pitch, models.recognizer), strict=True)


def read_aloud(
    said: Iterator[tuple[Sentence, Prosody | None]],
    voice: Voice,
    models: Models,
    speed: float,
    pitch: float,
    seed: int,
    language: str,
    hurried: bool,
) -> Iterator[NDArray[np.float32]]:
    """Samples of the sentences and of the silence between them; without prosody it is predicted.

    `hurried`, a second of the first sentence comes before the rest of it is rendered.
    """
    device = models.device
    speaker = torch.from_numpy(np.array(voice.vector)).to(device)
    timbre = models.timbre(voice)
    # A timbre brings the person's own contrast.
    corrections = _CORRECTIONS_BUILTIN if voice.builtin else PREDICTED
    sharpness = OF_BUILTIN if voice.builtin else OF_PEOPLE if timbre is None else None
    silence, exact = 0.0, False  # that is due before the next sentence
    for number, (sentence, prosody) in enumerate(said):
        pause = sentence.pause if sentence.exact else sentence.pause / speed
        if not sentence.text:
            silence, exact = pause, True
            continue
        made = models.synthesizer.synthesize(
            torch.tensor(sentence.phonemes.ids, device=device),
            torch.tensor(sentence.phonemes.stress, device=device),
            speaker=speaker,
            f0_median=voice.f0_median,
            f0_spread=voice.f0_spread,
            speed=speed,
            pitch=pitch,
            quality=_QUALITY_BUILTIN if voice.builtin else _QUALITY_OF_PEOPLE,
            emphasis=_emphasis(sentence, device),
            language=language,
            timbre=timbre,
            sharpness=sharpness,
            durations=None if prosody is None else prosody.durations.to(device),
            f0=None if prosody is None else prosody.f0.to(device),
            **({} if np.isnan(voice.rate) else {"rate": voice.rate}),
        )
        if voice.builtin:
            made = replace(made, mel=lighten(made.mel))
        # Of a pause that was asked for, what lies within the pieces is a part.
        made, before, after = made.trimmed(
            max(0.0, silence) if exact else None, pause / 2 if sentence.exact else None
        )
        yield _silence(silence - before * exact)
        first = _FIRST if hurried else None
        yield from render(models.vocoder, made, seed=seed + number, first=first, corrections=corrections)
        hurried = False  # the next sentence is made while this one is heard
        silence, exact = pause - after * sentence.exact, sentence.exact
    yield _silence(silence)


def _emphasis(sentence: Sentence, device: torch.device) -> torch.Tensor | None:
    if not sentence.emphasized:
        return None
    emphasis = torch.zeros(len(sentence.phonemes), device=device)
    emphasis[list(sentence.emphasized)] = 1.0
    return emphasis


def _silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(max(0, round(seconds * ACOUSTICS.sample_rate)), np.float32)
