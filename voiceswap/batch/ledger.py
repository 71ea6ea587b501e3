"""FOLDER/batch.jsonl: what became of each row, a line each, written by one process alone."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Literal

from voiceswap.errors import OutputError
from voiceswap.files import refusals

NAME = "batch.jsonl"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a row."""

    id: str
    file: str
    """Its name in the folder."""
    input: str
    """Hash of all that the speech depends on: text, options, voice, weights."""
    state: Literal["made", "kept", "failed"]
    """``kept`` is one that an earlier run made; it is not written down again."""
    seconds: float | None = None
    message: str | None = None
    """Why it failed."""


class Ledger:
    """The lines of a folder, for one process at a time; `last` has the last of each file.

    Raises OutputError where the file cannot be written, or while another process holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._file: IO[bytes] | None = None
        self.last: dict[str, Outcome] = {}

    def __enter__(self) -> Ledger:
        with refusals(self._path):
            file = self._path.open("a+b")
        try:
            self._lock(file)
            file.seek(0)
            content = file.read()
            for line in content.split(b"\n"):
                self._take(line)
            if content and not content.endswith(b"\n"):  # the line that a full disk or a power cut tore
                file.write(b"\n")
        except BaseException:
            file.close()
            raise
        self._file = file
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._file.close()  # which unlocks it

    def add(self, outcome: Outcome) -> None:
        """Writes a line, on disk when this returns; one that says the same again is left out."""
        assert self._file is not None
        if self.last.get(outcome.file) == outcome:
            return
        fields = {name: value for name, value in asdict(outcome).items() if value is not None}
        with refusals(self._path):
            self._file.write(json.dumps(fields, ensure_ascii=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        self.last[outcome.file] = outcome

    def _take(self, line: bytes) -> None:
        """Anything that is no line of ours is passed over: at worst a row is asked about or made again."""
        try:
            outcome = Outcome(**json.loads(line))
        except (ValueError, TypeError, RecursionError):
            return
        if isinstance(outcome.file, str):
            self.last[outcome.file] = outcome

    def _lock(self, file: IO[bytes]) -> None:
        # By the system, which lets go when the process ends, however it does.
        try:
            if sys.platform == "win32":
                import msvcrt

                file.seek(2**30)  # a byte that nobody reads
                msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            raise OutputError(
                f"another process is filling {str(self._path.parent)!r}",
                "one at a time does",
                "Wait until it has ended, or use another folder",
            ) from None
        except OSError:  # a file system without locks
            return
