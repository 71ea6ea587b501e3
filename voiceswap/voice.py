"""Voice: who speaks, as a value and as one signed file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import sha256
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from numpy.typing import NDArray

from voiceswap.errors import ConsentError, OptionError, VoiceFileError, VoiceswapError
from voiceswap.files import check_output, refusals, replacing
from voiceswap.models.adapter import Adapter
from voiceswap.models.timbre import Timbre
from voiceswap.provenance import Consent
from voiceswap.provenance.keys import signing_key
from voiceswap.provenance.revocation import check_not_revoked, revoke

# A file is the magic, one byte of version, the public key, a signature of all the rest, and canonical JSON.
MAGIC = b"VOICESWAP"
VERSION = 1
MAX_BYTES = 64 * 2**20
"""Larger files are not read."""

_KEY, _SIGNATURE = 32, 64
_PREFIX = len(MAGIC) + 1
_PAYLOAD = _PREFIX + _KEY + _SIGNATURE
_LATER = ("adapter", "timbre")  # older voices have none
_FIELDS = ("name", "vector", "f0_median", "f0_spread", "rate", "consent", "space", "builtin", *_LATER)
_REMEDY = "Enroll the voice again from its recordings"
_STRANGERS = {b"\x80": "a pickle, which is never opened", b"PK": "a zip archive", b"RIFF": "a WAV file"}


@dataclass(frozen=True, eq=False)
class Voice:
    """A speaker, and what may be done in their voice.

    A person's voice holds their consent; a built-in one (`builtin`) belongs to nobody and has none. Raises
    ConsentError if that is not so, OptionError for a value out of its range.
    """

    name: str
    vector: NDArray[np.float32]
    """Speaker embedding [C] of unit length; a read-only copy is kept."""
    f0_median: float
    """Hz, of voiced frames; 30 to 1000."""
    f0_spread: float
    """Standard deviation of ln F0, of voiced frames; 0 to 2."""
    rate: float
    """Phones a second, pauses left out; up to 100, NaN if not known."""
    consent: Consent | None
    space: str
    """Hash of the speaker encoder's weights: vectors of different encoders have nothing in common."""
    builtin: bool = False
    adapter: Adapter | None = None
    """What `voiceswap train converter --voice` learned of the person, for `convert`."""
    timbre: Timbre | None = None
    """What enrollment remembers of the person's sounds."""

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):  # infinity is refused like every other length but 1
            vector = np.array(self.vector, np.float32)
            unit = vector.ndim == 1 and abs(float(np.linalg.norm(vector)) - 1) < 1e-3  # False for NaN
        _require(
            isinstance(self.name, str) and 1 <= len(self.name.strip()) <= 200 and self.name.isprintable(),
            f"name={self.name!r:.80}",
            "a voice's name is printable text of 1 to 200 characters",
        )
        _require(unit, "the speaker vector", "it is [C], finite and of length 1 within 0.001")
        _require(30 <= self.f0_median <= 1000, f"f0_median={self.f0_median}", "it is 30 to 1000 Hz")
        _require(0 <= self.f0_spread <= 2, f"f0_spread={self.f0_spread}", "it is 0 to 2")
        _require(isnan(self.rate) or 0 < self.rate <= 100, f"rate={self.rate}", "it is NaN, or at most 100")
        _require(
            isinstance(self.space, str) and 1 <= len(self.space) <= 128 and self.space.isprintable(),
            f"space={self.space!r:.80}",
            "the embedding space is a hash",
        )
        if self.consent is not None and not isinstance(self.consent, Consent):
            raise ConsentError(
                f"consent={self.consent!r:.80}",
                "it is a voiceswap.Consent",
                "Enroll with voiceswap.Consent(...)",
            )
        if (self.consent is None) != self.builtin:
            raise ConsentError(
                f"the voice {self.name!r} {'with' if self.builtin else 'without'} a consent",
                "a person's voice holds one, a built-in voice belongs to nobody",
                "Enroll with voiceswap.Consent(...)",
            )
        spoken = self.consent and self.consent.spoken
        if spoken and spoken.voice != fingerprint(vector):
            raise ConsentError(
                f"the voice {self.name!r} with the recorded statement of another voice",
                "a statement holds for the person who was heard",
                "Enroll with a statement by this person",
            )
        vector.flags.writeable = False
        object.__setattr__(self, "vector", vector)

    def __repr__(self) -> str:
        whose = "built in" if self.builtin else f"of {self.consent.name!r}" if self.consent else ""
        return f"Voice({self.name!r}, {whose}, {self.f0_median:.0f} Hz)"

    def check(self, action: str, *, space: str | None = None, on: date | None = None) -> None:
        """Raises ConsentError unless `action` is consented to on that day (today) and was not revoked here.

        Raises FileError if the list of what was revoked is damaged. With `space`, also raises VoiceFileError
        unless the voice lies in that embedding space.
        """
        if self.consent is not None:
            self.consent.check(action, on=on)
            check_not_revoked(self.consent)
        if space is not None and space != self.space:
            raise VoiceFileError(
                f"the voice {self.name!r} is of the embedding space {self.space[:12]}",
                f"these weights understand {space[:12]} alone",
                "Enroll it again with these weights, or load those that it was made with",
            )

    def revoke(self) -> None:
        """Takes the consent back for good, on this computer: the voice and its copies are then refused.

        For the person who changes their mind. Other computers do not hear of it. Raises ConsentError for a
        built-in voice, OutputError where the list of what was revoked cannot be written, FileError where it
        is damaged.
        """
        if self.consent is None:
            raise ConsentError(
                f"the built-in voice {self.name!r}",
                "it belongs to nobody, so nobody consented",
                "Revoke a person's",
            )
        revoke(self.consent)

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON; `from_dict` gives the same voice back, to the bit."""
        return {
            "name": self.name,
            "vector": self.vector.tolist(),
            "f0_median": float(self.f0_median),
            "f0_spread": float(self.f0_spread),
            "rate": None if isnan(self.rate) else float(self.rate),
            "consent": None if self.consent is None else self.consent.to_dict(),
            "space": self.space,
            "builtin": self.builtin,
            "adapter": None if self.adapter is None else self.adapter.to_dict(),
            "timbre": None if self.timbre is None else self.timbre.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Voice:
        """The voice that `to_dict` described; raises OptionError or ConsentError if it describes none."""
        _require(
            isinstance(data, Mapping) and {*data, *_LATER} == set(_FIELDS),
            "a record that is no voice",
            f"one has the fields {', '.join(_FIELDS)}",
        )
        values: dict[str, Any] = dict(data)
        if values["consent"] is not None:
            values["consent"] = Consent.from_dict(values["consent"])
        if values["rate"] is None:
            values["rate"] = nan
        try:
            if values.get("adapter") is not None:
                values["adapter"] = Adapter.from_dict(values["adapter"])
            if values.get("timbre") is not None:
                values["timbre"] = Timbre.from_dict(values["timbre"])
            return cls(**values)
        except VoiceswapError:
            raise
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            # words for numbers, ragged or huge numbers
            raise OptionError(
                f"a voice with a field of the wrong kind ({error})",
                "its fields are as `to_dict` gives",
                _REMEDY,
            ) from None

    def save(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Writes the voice to a file signed with the user's own key (`voiceswap.provenance.keys`).

        Whole or not at all; an existing file is an OutputError without `force`. A built-in voice is in every
        installation and is not written: a file always holds a person's consent (ConsentError).

        What the signature proves: nothing in the file, its consent included, was changed since the holder of
        that key signed it. What it does not: who the holder is, that the person named did consent, or that
        somebody did not make another file with another key.
        """
        if self.consent is None:
            raise ConsentError(
                f"the built-in voice {self.name!r}", "a voice file holds a person's consent", "Use it by name"
            )
        target = Path(path)
        check_output(target, force=force)  # before a key is made
        key = signing_key()
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        head = MAGIC + bytes([VERSION]) + key.public_key().public_bytes_raw()
        with replacing(target, force=force) as temporary, refusals(target):
            temporary.write_bytes(head + key.sign(head + text) + text)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Voice:
        """The voice in a file that `save` wrote, checked against its signature; its consent may be over.

        Raises VoiceFileError for anything else: nothing is unpickled, decompressed or believed before the
        signature holds.
        """
        name = repr(str(path))
        content = _read(Path(path), name)
        if not content.startswith(MAGIC):
            kind = next((kind for start, kind in _STRANGERS.items() if content.startswith(start)), "no voice")
            raise VoiceFileError(f"{name} is {kind}", f"a voice file begins with {MAGIC.decode()}", _REMEDY)
        version = content[len(MAGIC) : _PREFIX]
        if version != bytes([VERSION]):
            found = version[0] if version else "none"
            raise VoiceFileError(
                f"{name} has version {found}",
                f"this voiceswap reads version {VERSION}",
                "Enroll again, or update voiceswap",
            )
        signature, text = content[_PREFIX + _KEY : _PAYLOAD], content[_PAYLOAD:]
        try:
            key = Ed25519PublicKey.from_public_bytes(content[_PREFIX : _PREFIX + _KEY])
            key.verify(signature, content[: _PREFIX + _KEY] + text)
        except (InvalidSignature, ValueError):  # a ValueError for a key that was cut
            raise VoiceFileError(
                f"{name} was cut or changed after it was signed", "its signature covers every byte", _REMEDY
            ) from None
        try:
            voice = cls.from_dict(json.loads(text))
        except (VoiceswapError, ValueError, RecursionError) as error:
            raise VoiceFileError(
                f"{name} holds no voice ({error})", "its fields are as `save` writes", _REMEDY
            ) from None
        if voice.builtin:
            raise VoiceFileError(
                f"{name} claims to be built in", "a voice file holds a person's consent", _REMEDY
            )
        return voice


def fingerprint(vector: NDArray[np.float32]) -> str:
    """SHA-256 of a voice's vector [C]."""
    return sha256(vector.astype("<f4").tobytes()).hexdigest()


def _require(holds: bool, got: str, rule: str) -> None:
    if not holds:
        raise OptionError(got, rule, _REMEDY)


def _read(path: Path, name: str) -> bytes:
    """The content of a file of a size that a voice can have."""
    try:
        if not path.is_file():
            kind = "is a directory" if path.is_dir() else "is no file" if path.exists() else "does not exist"
            raise VoiceFileError(f"{name} {kind}", "a voice is one file", "Check the path")
        if path.stat().st_size > MAX_BYTES:
            raise VoiceFileError(
                f"{name} has {path.stat().st_size} bytes", f"a voice file has at most {MAX_BYTES}", _REMEDY
            )
        return path.read_bytes()
    except VoiceFileError:
        raise
    except OSError as error:
        raise VoiceFileError(
            f"{name} cannot be read ({error.strerror})", "a voice is one file", "Check it"
        ) from None
