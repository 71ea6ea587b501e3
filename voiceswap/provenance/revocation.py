"""Consents that were taken back: one list on this computer, signed with its key, which every use asks.

Revoking works offline and therefore here alone: other computers, and copies of the code without this check,
do not hear of it. Who may write to the user's folder may also remove the list.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from time import monotonic, sleep

from cryptography.exceptions import InvalidSignature

from voiceswap.errors import ConsentError, FileError, OutputError
from voiceswap.provenance.consent import Consent
from voiceswap.provenance.keys import home, signing_key

_SIGNED = b"voiceswap revoked consents 1\n"  # begins what is signed: no other signature of the key fits
_MAX_BYTES = 16 * 2**20
_PATIENCE = 10.0  # seconds to wait for another process that revokes


def revoke(consent: Consent) -> None:
    """Puts `consent` on the list for good, with whatever statement; once more is no error.

    Raises OutputError where the list cannot be written, FileError where it, or the key, is damaged.
    """
    key = signing_key()
    path = _path()
    with _locked(path) as temporary:
        revoked = _read(path)
        revoked.setdefault(consent.digest(spoken=False), date.today().isoformat())
        signature = key.sign(_SIGNED + _canonical(revoked)).hex()
        content = json.dumps({"revoked": revoked, "signature": signature}, indent=1)
        temporary.write_text(content + "\n", "utf-8")
        temporary.replace(path)


def check_not_revoked(consent: Consent) -> None:
    """Raises ConsentError for a consent on the list, FileError for a list that cannot be believed."""
    day = _read(_path()).get(consent.digest(spoken=False))  # with a statement or without
    if day is not None:
        raise ConsentError(
            f"the consent of {consent.name!r} was revoked on {day}",
            "a voice whose consent was taken back is not used on this computer",
            "Ask the person, and enroll anew if they consent anew",
        )


def _path() -> Path:
    return home() / "revoked.json"


def _canonical(revoked: dict[str, str]) -> bytes:
    return json.dumps(revoked, sort_keys=True, separators=(",", ":")).encode()


def _read(path: Path) -> dict[str, str]:
    """Day of revocation by digest. No file is an empty list; one that does not hold raises FileError."""
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise _refusal(path, f"cannot be read ({error.strerror})") from None
    if not (path.parent / "key").is_file():
        raise _refusal(path, "was signed with a key that is gone")
    key = signing_key().public_key()
    try:
        data = json.loads(content)
        if set(data) != {"revoked", "signature"}:  # what is not signed has no place in it
            raise ValueError
        revoked = {str(digest): str(day) for digest, day in data["revoked"].items()}
        key.verify(bytes.fromhex(data["signature"]), _SIGNED + _canonical(revoked))
    except (InvalidSignature, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _refusal(path, "is damaged, or was not signed with this computer's key") from None
    return revoked


def _refusal(path: Path, what: str) -> FileError:
    return FileError(
        f"the list of revoked consents {str(path)!r} {what}",
        "without it nobody knows which voices may still be used, so none of a person is",
        "Restore it and the file key beside it, or move it away and revoke again what was revoked",
    )


@contextmanager
def _locked(path: Path) -> Iterator[Path]:
    """The new file beside `path`, of which there is one at a time: who made it alone writes the list."""
    temporary = path.with_name(".revoked.part")
    until = monotonic() + _PATIENCE
    while True:
        try:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
            break
        except FileExistsError:
            if monotonic() > until:
                raise OutputError(
                    f"{str(temporary)!r} is in the way",
                    "one process revokes at a time",
                    "Remove it if no other voiceswap is at work",
                ) from None
            sleep(0.02)
        except OSError as error:
            raise _unwritten(path, error) from error
    try:
        yield temporary  # moved away in the end, which is what unlocks
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and not isinstance(error, FileError):
            raise _unwritten(path, error) from error
        raise


def _unwritten(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"the list of revoked consents {str(path)!r} cannot be written ({error.strerror})",
        "revoking needs a folder of your own",
        "Set VOICESWAP_HOME to a folder that you can write to",
    )
