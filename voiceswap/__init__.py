"""Gives a consenting person's voice to text and to other recordings.

::

    studio = voiceswap.load()
    studio.speak("Hello.", studio.voices["alto-1"]).save("hello.wav")

`Studio` does the work, `Voice` is who speaks, `Speech` is what comes out. Their modules are imported
when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from voiceswap.errors import (
    AudioError,
    CheckpointError,
    ConsentError,
    DataError,
    EnrollmentError,
    FileError,
    InputError,
    MissingExtraError,
    OptionError,
    OutputError,
    PhonemeError,
    TextError,
    TrainingError,
    VoiceFileError,
    VoiceswapError,
    WatermarkError,
)

if TYPE_CHECKING:
    from voiceswap.provenance.consent import Consent
    from voiceswap.speech import Speech
    from voiceswap.studio import Studio, load
    from voiceswap.verification import Verification, verify
    from voiceswap.voice import Voice

__version__ = "0.1.0"

__all__ = [
    "AudioError",
    "CheckpointError",
    "Consent",
    "ConsentError",
    "DataError",
    "EnrollmentError",
    "FileError",
    "InputError",
    "MissingExtraError",
    "OptionError",
    "OutputError",
    "PhonemeError",
    "Speech",
    "Studio",
    "TextError",
    "TrainingError",
    "Verification",
    "Voice",
    "VoiceFileError",
    "VoiceswapError",
    "WatermarkError",
    "__version__",
    "load",
    "verify",
]

_HOMES = {
    "Consent": "voiceswap.provenance.consent",
    "Speech": "voiceswap.speech",
    "Studio": "voiceswap.studio",
    "Verification": "voiceswap.verification",
    "Voice": "voiceswap.voice",
    "load": "voiceswap.studio",
    "verify": "voiceswap.verification",
}


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first asked for (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
