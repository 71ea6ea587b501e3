"""Everything that voiceswap raises on purpose.

::

    VoiceswapError
    ├── InputError            (also a ValueError)  something handed in cannot be used
    │   ├── TextError             empty, without words, or in a script that cannot be read
    │   ├── PhonemeError          a symbol that is not in the inventory
    │   ├── AudioError            unreadable, not finite, empty or too long
    │   ├── EnrollmentError       references that cannot make a voice
    │   └── OptionError           speed, pitch, device … out of range
    ├── FileError             (also an OSError)  a file is missing, in the way or not what it should be
    │   ├── OutputError           exists already, or cannot be written
    │   ├── VoiceFileError        not a voice file, changed after signing, or of another space
    │   └── CheckpointError       not a checkpoint, damaged, of another kind or version
    ├── ConsentError          a voice used without, beyond or after its consent
    ├── WatermarkError        speech whose mark is not heard in it
    ├── DataError             a corpus or feature folder that cannot be trained on
    ├── TrainingError         a run that cannot go on
    └── MissingExtraError     an optional part of the package is not installed
"""

from __future__ import annotations


class VoiceswapError(Exception):
    """Base of all errors raised on purpose: `got` names the value, `rule` what holds, `remedy` what to do."""

    def __init__(self, got: str, rule: str, remedy: str) -> None:
        super().__init__(f"{got}: {rule}. {remedy}.")
        self.got, self.rule, self.remedy = got, rule, remedy

    def __reduce__(self) -> tuple[type[VoiceswapError], tuple[str, str, str]]:
        return type(self), (self.got, self.rule, self.remedy)  # worker processes send errors by pickle


class InputError(VoiceswapError, ValueError):
    """Something handed in cannot be used."""


class TextError(InputError):
    """Text that is empty, has no words, or is in a script that cannot be read."""


class PhonemeError(InputError):
    """A symbol that is not in the phoneme inventory."""


class AudioError(InputError):
    """Audio that is unreadable, not finite, empty or too long."""


class EnrollmentError(InputError):
    """Reference recordings that cannot make a voice."""


class OptionError(InputError):
    """An option out of its range."""


class FileError(VoiceswapError, OSError):
    """A file that is missing, in the way, or not what it should be."""


class OutputError(FileError):
    """An output that exists already or cannot be written."""


class VoiceFileError(FileError):
    """Not a voice file, changed after it was signed, or from another embedding space."""


class CheckpointError(FileError):
    """Not a checkpoint, damaged, or of another kind, version or acoustic setting."""


class ConsentError(VoiceswapError):
    """A voice made or used without, beyond or after its consent."""


class WatermarkError(VoiceswapError):
    """Speech in which the mark is not heard after it was put in."""


class DataError(VoiceswapError):
    """A corpus or a feature folder that cannot be trained on."""


class TrainingError(VoiceswapError):
    """A training run that cannot go on."""


class MissingExtraError(VoiceswapError):
    """An optional part of the package is not installed."""
