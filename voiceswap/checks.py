"""What may be asked of a Studio: each raises one of our errors, and says nothing else."""

from __future__ import annotations

from numbers import Integral, Real

import numpy as np

from voiceswap.bundle import Models
from voiceswap.errors import ConsentError, OptionError, VoiceFileError
from voiceswap.voice import Voice

_SPEEDS = (0.5, 2.0)
_PITCHES = (-24.0, 24.0)
_LARGEST_SEED = 2**32 - 1


def check_reading(
    voice: Voice, models: Models, speed: float, pitch: float, seed: int, imitating: bool, language: str
) -> None:
    """What `speak` may be asked for; `imitating` a recording, which sets the tempo."""
    _check_range("speed", speed, _SPEEDS)
    _check_range("pitch", pitch, _PITCHES)
    if not isinstance(seed, Integral) or not 0 <= seed <= _LARGEST_SEED:
        raise OptionError(
            f"seed={seed!r}", f"it is a whole number from 0 to {_LARGEST_SEED}", "Choose one in that range"
        )
    _check_voice(voice, "speak", models)
    if imitating and speed != 1.0:
        raise OptionError(
            f"speed={speed!r} with like=…", "the recording sets the tempo", "Leave one of the two out"
        )
    if language not in models.languages:
        raise OptionError(
            f"language={language!r}",
            f"these weights speak {', '.join(models.languages)}",
            "Choose one of those, or train a synthesizer on recordings in it",
        )


def check_conversion(voice: Voice, models: Models, pitch: float) -> None:
    """What `convert` may be asked for. An adapter fits the converter that it was trained for alone."""
    _check_range("pitch", pitch, _PITCHES)
    _check_voice(voice, "convert", models)
    converter = models.converter.weights_hash
    if voice.adapter is not None and voice.adapter.converter != converter:
        raise VoiceFileError(
            f"the voice {voice.name!r} with an adapter for the converter {voice.adapter.converter[:12]}",
            f"these weights are {converter[:12]}",
            "Adapt it again: voiceswap train converter --voice FILE --recordings DIR",
        )


def _check_voice(voice: Voice, verb: str, models: Models) -> None:
    if not isinstance(voice, Voice):
        raise OptionError(
            f"voice={voice!r:.80}", "it is a Voice", "Give studio.voices[NAME], or voiceswap.Voice.load(FILE)"
        )
    voice.check(verb, space=models.space)
    known = (own.vector for own in models.voices.values() if voice.adapter is None)
    if voice.builtin and not any(np.array_equal(voice.vector, vector) for vector in known):
        raise ConsentError(
            f"the voice {voice.name!r}, said to be built in",
            "these weights have no such voice, so it may be a person's",
            "Use studio.voices[NAME], or enroll the person with their consent",
        )


def _check_range(name: str, value: float, allowed: tuple[float, float]) -> None:
    if not isinstance(value, Real) or not allowed[0] <= value <= allowed[1]:
        raise OptionError(
            f"{name}={value!r}",
            f"it is a number from {allowed[0]} to {allowed[1]}",
            "Choose one in that range",
        )
