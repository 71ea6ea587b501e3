"""What a batch is to say: rows, read from a table and checked."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voiceswap.errors import InputError
from voiceswap.files import read_text

if TYPE_CHECKING:
    from voiceswap.voice import Voice

COLUMNS = ("id", "text", "voice", "speed", "pitch", "language", "like")
"""Fields of a table's rows; the first two are needed."""
LARGEST = 2**28
"""Bytes of a table that are read at most."""

_NUMBERS = ("speed", "pitch")
_LONGEST_ID = 200  # bytes: a suffix and that of a manifest follow, and names end at 255
_NOT_IN_NAMES = '/\\:*?"<>|'  # of any system that may read the folder


@dataclass(frozen=True, kw_only=True)
class Row:
    """One text and how to say it, as `Studio.speak` takes it.

    Raises InputError for an id that is no plain name of a file, and for a text that is none.
    """

    id: str
    """Names the file: FOLDER/ID.wav."""
    text: str
    voice: str | Voice
    """A built-in voice's name, a voice file's, or a voice."""
    speed: float = 1.0
    pitch: float = 0.0
    language: str = "en"
    like: str | Path | None = None
    """A recording of the same text, whose timing and melody are taken."""
    seed: int = 0

    def __post_init__(self) -> None:
        name = self.id
        plain = isinstance(name, str) and name.isprintable() and not set(name) & set(_NOT_IN_NAMES)
        if not plain or not name.strip(" .") or name[0] in ". " or name[-1] in ". ":
            raise InputError(
                f"the id {name!r:.80}",
                "it names a file: without slashes and the like, a dot or a space at an end",
                "Use letters, digits, - and _",
            )
        if len(name.encode("utf-8", "replace")) > _LONGEST_ID:
            raise InputError(f"the id {name!r:.80}", f"it has at most {_LONGEST_ID} bytes", "Shorten it")
        if not isinstance(self.text, str):
            raise InputError(f"the text {self.text!r:.80} of {name!r}", "it is a string", "Quote it")


def read(path: str | Path, **defaults: Any) -> list[Row]:
    """The rows of a table: tab-separated with a header, or JSON lines if its name ends in ``.jsonl``.

    `COLUMNS` says what a row may have; what it leaves out or empty is taken from `defaults`, fields of `Row`.
    Nothing is quoted or escaped in a tab-separated table, so a text with a tab or a line break needs JSON.
    Raises FileError for a file that cannot be read, InputError for the first row that cannot be used, with
    its line.
    """
    path = Path(path)
    unknown = set(defaults) - {field.name for field in fields(Row)}
    if unknown:
        raise TypeError(f"rows have no {', '.join(sorted(unknown))}")
    text = read_text(path, f"the table {str(path)!r}", largest=LARGEST, longer="Split it")
    cells = _json_lines(path, text) if path.suffix.lower() == ".jsonl" else _tab_separated(path, text)
    rows, lines = [], []
    for line, given in cells:
        rows.append(_row(path, line, given, defaults))
        lines.append(line)
    if not rows:
        raise InputError(f"the table {str(path)!r}", "it has no rows", "Give one at least")
    check_unique(rows, [_at(path, line) for line in lines])
    return rows


def check_unique(rows: Iterable[Row], places: Iterable[str]) -> None:
    """Raises InputError for two rows of one file; `places` says where each row stands."""
    seen: dict[str, str] = {}
    for row, place in zip(rows, places, strict=True):
        # Some systems hold a name in capitals, or with its accents apart, for the same.
        name = unicodedata.normalize("NFC", row.id).casefold()
        if name in seen:
            raise InputError(
                f"{place}: the id {row.id!r}",
                f"it is that of {seen[name]} as well, and each row makes a file of its own",
                "Rename one",
            )
        seen[name] = place


def _at(path: Path, line: int) -> str:
    return f"line {line} of {str(path)!r}"


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers; by line feeds alone, as texts may hold other breaks."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r")


def _tab_separated(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    lines = _lines(text)
    first, header = next(lines, (0, None))
    if header is None:
        return
    columns = [column.strip() for column in header.split("\t")]
    _check_columns(_at(path, first), columns)
    for line, content in lines:
        cells = content.split("\t")
        if len(cells) != len(columns):
            raise InputError(
                f"{_at(path, line)} has {len(cells)} cells",
                f"the header names {len(columns)}",
                "Separate cells by one tab each; a text with a tab in it needs JSON lines",
            )
        named = dict(zip(columns, cells, strict=True))
        given = {name: cell.strip() if name != "text" else cell for name, cell in named.items()}
        yield line, {name: cell for name, cell in given.items() if cell or name in ("id", "text")}


def _json_lines(path: Path, text: str) -> Iterator[tuple[int, dict[str, Any]]]:
    for line, content in _lines(text):
        try:
            given = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"{_at(path, line)} is not JSON ({error})", "each line is one object", "Correct it"
            ) from None
        if not isinstance(given, dict):
            raise InputError(
                f"{_at(path, line)} is no object", "each line is one", 'Write {"id": …, "text": …}'
            )
        _check_columns(_at(path, line), list(given))
        yield line, {name: value for name, value in given.items() if value is not None}


def _check_columns(place: str, columns: list[str]) -> None:
    allowed = f"rows have {', '.join(COLUMNS)}, of which id and text are needed"
    for column in columns:
        if column not in COLUMNS:
            raise InputError(f"{place}: the column {column!r:.80}", allowed, "Rename it or leave it out")
        if columns.count(column) > 1:
            raise InputError(f"{place}: two columns {column!r}", allowed, "Leave one out")
    for column in COLUMNS[:2]:
        if column not in columns:
            raise InputError(f"{place} has no {column!r}", allowed, "Add it")


def _row(path: Path, line: int, given: dict[str, Any], defaults: dict[str, Any]) -> Row:
    place = _at(path, line)
    values = {name: value for name, value in defaults.items() if value is not None} | given
    for name in _NUMBERS:
        if name in given:
            values[name] = _number(place, name, given[name])
    for name in ("voice", "language", "like"):
        if name in given and not isinstance(given[name], str):
            raise InputError(f"{place}: {name}={given[name]!r:.80}", "it is a string", "Quote it")
    if "voice" not in values:
        raise InputError(f"{place} names no voice", "each row needs one", "Add a column, or give --voice")
    try:
        return Row(**values)
    except InputError as error:
        raise InputError(f"{place}: {error.got}", error.rule, error.remedy) from None
    except TypeError:  # JSON with a null where a row needs more
        raise InputError(f"{place} lacks an id or a text", "each row needs both", "Add it") from None


def _number(place: str, name: str, value: Any) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(
            f"{place}: {name}={value!r:.80}", "it is a number", "Write it with a point, such as 1.1"
        ) from None
