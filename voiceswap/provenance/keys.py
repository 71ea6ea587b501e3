"""The local signing key, made when something is first signed."""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from voiceswap.errors import FileError, OutputError


def home() -> Path:
    """The user's folder: ``$VOICESWAP_HOME``, else in the platform's place for configuration."""
    if chosen := os.environ.get("VOICESWAP_HOME"):
        return Path(chosen)
    if sys.platform == "win32":
        base = os.environ.get("APPDATA") or "~/AppData/Roaming"
    elif sys.platform == "darwin":
        base = "~/Library/Application Support"
    else:
        base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(base).expanduser() / "voiceswap"


def signing_key() -> Ed25519PrivateKey:
    """The user's Ed25519 key (RFC 8032) from the file ``key`` in `home`, made at first use.

    Only its owner may read the file. Raises OutputError where it cannot be made, FileError where it is
    damaged.
    """
    path = home() / "key"
    try:
        if not path.exists():
            _make(path)
        text = path.read_bytes()
    except OSError as error:
        raise OutputError(
            f"the signing key {str(path)!r} cannot be made or read ({error.strerror})",
            "signing needs a key of your own",
            "Set VOICESWAP_HOME to a folder that you can write to",
        ) from error
    try:
        key = load_pem_private_key(text, password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise FileError(
            f"the signing key {str(path)!r} is damaged",
            "it is an Ed25519 key without a password, in PEM",
            "Restore it, or move it away for a new one to be made",
        )
    return key


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = Ed25519PrivateKey.generate()
    put_first(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def put_first(path: Path, content: bytes) -> None:
    """A file of the owner's alone at `path`, whole at once; where another process was first, theirs stays.

    What that one signed would otherwise be signed by nobody known.
    """
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            pass
        except OSError:  # a file system without links
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
