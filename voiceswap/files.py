"""Output files that appear whole or not at all, and hashes of what is read."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from voiceswap.errors import FileError, InputError, OutputError


def check_output(path: Path, *, force: bool = False) -> None:
    """Raises OutputError if a file cannot be put at `path`, or stands there and `force` is not set."""
    name = repr(str(path))
    if path.is_dir():
        raise OutputError(f"{name} is a directory", "an output is a file", "Give a file name in it")
    if not path.parent.is_dir():
        raise OutputError(
            f"{str(path.parent)!r} is not a directory", "an output goes into one that exists", "Make it first"
        )
    if path.exists() and not path.is_file():  # replacing a device would break the machine
        raise OutputError(f"{name} is a device or a pipe", "an output is a file", "Give a file name")
    if path.exists() and not force:
        raise OutputError(
            f"{name} exists already",
            "an output is not overwritten unasked",
            "Use another name, or --force (force=True)",
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise OutputError(
            f"{str(path.parent)!r} may not be written to", "outputs need a directory that may", "Use another"
        )


@contextmanager
def replacing(path: Path, *, force: bool = False) -> Iterator[Path]:
    """A temporary path beside `path`: moved onto it when the block ends well, removed when it does not.

    Raises OutputError as `check_output` does, before the block and after it. Errors in the block pass.
    """
    check_output(path, force=force)
    # Beside, because a move between file systems is a copy; not by tempfile, whose files are private.
    temporary = path.with_name(f".{secrets.token_hex(8)}.part")
    try:
        yield temporary
        check_output(path, force=force)  # a long piece of work may have been overtaken
        with refusals(path):
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Makes an OutputError of what the system has against writing to `path`."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"{str(path)!r} could not be written ({error.strerror or error})",
            "an output needs room and permission",
            "Free some space, or write elsewhere",
        ) from error


def read_text(
    path: Path | None, name: str, *, largest: int, longer: str, error: type[InputError] = InputError
) -> str:
    """The UTF-8 text of a file, or of standard input for None, of at most `largest` bytes.

    `name` is what messages call it, `longer` what to do about one that is. Raises FileError where it cannot
    be read, and `error` for other content.
    """
    try:
        if path is None:
            content = sys.stdin.buffer.read(largest + 1)
        else:
            with path.open("rb") as handle:
                content = handle.read(largest + 1)
    except OSError as refused:
        raise FileError(name, f"it cannot be read ({refused.strerror})", "Check the path") from None
    if len(content) > largest:
        raise error(name, f"it is longer than {largest} bytes", longer)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise error(name, f"it is not UTF-8 (byte {fault.start})", "Save it as plain text in UTF-8") from None


def digest(content: str | os.PathLike[str] | tuple[ArrayLike, int]) -> str:
    """SHA-256, in hexadecimal, of a file, or of the float32 samples of an array given with its rate."""
    if isinstance(content, tuple):
        return sha256(np.ascontiguousarray(content[0], "<f4").tobytes()).hexdigest()
    found = sha256()
    with Path(content).open("rb") as file:
        while block := file.read(2**16):
            found.update(block)
    return found.hexdigest()
