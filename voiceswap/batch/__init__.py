"""Many texts, each to a file of its own: here, in several processes, or on a cluster; each exactly once.

::

    rows = voiceswap.batch.read("lines.tsv", voice="alto-1")
    outcomes = voiceswap.batch.run(rows, "lines", jobs=4)

How nothing is lost or made twice: what is made of a row lies in FOLDER/.batch, under the hash of all that it
depends on, and is moved into the folder by the process that called `run`, after it wrote a line to
FOLDER/batch.jsonl. `SpeechWriter` lets a file appear whole or not at all; so whoever dies between two of
these steps, the next one sees what is left to do.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from voiceswap.batch import cluster
from voiceswap.batch.ledger import Ledger, Outcome
from voiceswap.batch.table import Row, check_unique, read
from voiceswap.errors import FileError, OptionError, OutputError, VoiceswapError
from voiceswap.files import check_output, digest, refusals

if TYPE_CHECKING:
    from voiceswap.batch.work import Place, Task
    from voiceswap.studio import Studio
    from voiceswap.voice import Voice

__all__ = ["FORMATS", "Outcome", "Row", "find_voice", "read", "run"]

FORMATS = ("wav", "flac", "mp3")
"""Formats of a batch's files."""

_STAGING = ".batch"

Progress = Callable[[Iterable[Any], int], Iterable[Any]]


def run(
    rows: Sequence[Row],
    folder: str | Path,
    *,
    format: str = "wav",
    jobs: int = 1,
    scheduler: str | None = None,
    weights: str | Path | None = None,
    device: str = "auto",
    force: bool = False,
    progress: Progress = lambda items, total: items,
) -> list[Outcome]:
    """Makes `folder`/ID.`format` of each row, and says what became of each, in their order.

    Made in this process, in `jobs` processes of this machine, or on the Dask cluster whose `scheduler` has
    this address; its workers see `folder`, the recordings of `like` and `weights` under the same paths. More
    than one job needs the extra ``cluster``, and a script that calls this, ``if __name__ == "__main__":``.
    The samples are the same either way, those of `Studio.speak` on one thread.

    Whatever is wrong with the rows as such is raised before anything is made: InputError, OptionError,
    ConsentError, VoiceFileError, FileError. A text that cannot be spoken is an outcome, ``failed``, and is
    tried again the next time. What `folder`/batch.jsonl says was made, of the same text, options, voice and
    weights, is ``kept``. OutputError for a file that was made of others or not by a batch, without `force`;
    for a folder that cannot be written to, or that another process fills. CheckpointError for weights that
    cannot be used, MissingExtraError without Dask. After an error or an interruption the same call goes on.
    """
    if jobs < 1 or (jobs > 1 and scheduler is not None):
        raise OptionError(
            f"jobs={jobs!r} and scheduler={scheduler!r}",
            "jobs are processes of this machine, at least one; a scheduler has workers of its own",
            "Give one of the two",
        )
    alone = jobs == 1 and scheduler is None
    if not alone:
        cluster.require()
    from voiceswap.batch.work import Place
    from voiceswap.studio import load

    # The machine that asks need not have the device of those that work.
    studio = load(device if alone else "cpu", weights=weights)
    tasks = _plan(rows, format, studio)
    folder = Path(folder).resolve()
    place = Place(
        staging=folder / _STAGING,
        weights=None if weights is None else Path(weights).resolve(),
        weights_hash=studio.weights_hash,
        device=device,
    )
    with refusals(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with Ledger(folder) as ledger:
        # Listed at once: a network's file system remembers for seconds that a single name was not there.
        there = {path.name for path in folder.iterdir()}
        staged = {path.name for path in place.staging.iterdir()} if place.staging.is_dir() else set()
        outcomes, left = _what_is_left(tasks, ledger, there, staged, force)
        if left:
            with _staging(place.staging), _made(left, place, jobs, scheduler) as made:
                for outcome, task in progress(made, len(left)):
                    if outcome.state == "failed":
                        ledger.add(outcome)
                    else:
                        known = _is_made(ledger.last.get(task.file), task)
                        check_output(folder / task.file, force=force or known)
                        ledger.add(outcome)
                        _move(place.staging / task.staged, folder / task.file)
                    outcomes[task.file] = outcome
        shutil.rmtree(place.staging, ignore_errors=True)  # with what workers that died left in it
    return [outcomes[task.file] for task in tasks]


def find_voice(name: str, studio: Callable[[], Studio]) -> Voice:
    """The voice of that name: a file's if it ends in ``.voice`` or has a slash in it, else a built-in one.

    A file is read without asking for the studio. Raises VoiceFileError for the one, OptionError for the
    other.
    """
    from voiceswap.voice import Voice

    if name.endswith(".voice") or Path(name).name != name:
        return Voice.load(name)
    known = studio().voices
    if name not in known:
        raise OptionError(
            f"the voice {name!r}",
            f"built in are {', '.join(known) or 'none (the weights have no voices.json)'}",
            "Name one of them, or a .voice file",
        )
    return known[name]


def _plan(rows: Sequence[Row], format: str, studio: Studio) -> list[Task]:
    """Tasks of `rows`, each of whose options is checked; texts are not."""
    from voiceswap.batch.work import Task

    if format not in FORMATS:
        raise OptionError(f"format={format!r}", "it is not written", f"Choose one of {', '.join(FORMATS)}")
    check_unique(rows, (f"row {number}" for number in range(1, len(rows) + 1)))
    voices: dict[Any, tuple[Voice, str]] = {}
    recordings: dict[Path, str] = {}
    checked: set[tuple[Any, ...]] = set()
    tasks = []
    for row in rows:
        with _naming(row):
            if row.voice not in voices:
                voices[row.voice] = _voice(row.voice, studio)
            voice, identity = voices[row.voice]
            options = (identity, row.speed, row.pitch, row.language, row.seed)
            if options not in checked:
                _check(row, voice, studio)
                checked.add(options)
            like = _recording(row, recordings)
        file = f"{row.id}.{format}"
        numbers = [float(row.speed), float(row.pitch), int(row.seed)]  # 1 is 1.0
        depends = [file, row.text, identity, *numbers, row.language, like and recordings[like]]
        hashed = sha256(json.dumps([*depends, studio.weights_hash]).encode()).hexdigest()
        tasks.append(Task(row=replace(row, like=like), voice=voice, file=file, input=hashed))
    return tasks


@contextmanager
def _naming(row: Row) -> Iterator[None]:
    """Has an error say which row it is of."""
    try:
        yield
    except VoiceswapError as error:
        raise type(error)(f"row {row.id!r}: {error.got}", error.rule, error.remedy) from error


def _voice(given: str | Voice, studio: Studio) -> tuple[Voice, str]:
    """The voice, and a hash of all that is in it: its consent is written into what it speaks."""
    voice = find_voice(given, lambda: studio) if isinstance(given, str) else given
    studio.stream("Hello.", voice)  # refuses what is no voice of these weights
    voice = replace(voice, adapter=None)  # large, and for conversions
    return voice, sha256(json.dumps(voice.to_dict(), sort_keys=True).encode()).hexdigest()


def _check(row: Row, voice: Voice, studio: Studio) -> None:
    """Raises what the studio has against the row's options; it makes nothing until pieces are asked for."""
    studio.stream("Hello.", voice, speed=row.speed, pitch=row.pitch, seed=row.seed, language=row.language)


def _recording(row: Row, known: dict[Path, str]) -> Path | None:
    """The absolute path of the recording of `row.like`, hashed into `known`."""
    if row.like is None:
        return None
    if row.speed != 1.0:
        raise OptionError(
            f"speed={row.speed!r} with like=…", "the recording sets the tempo", "Leave one of the two out"
        )
    path = Path(row.like).resolve()
    if path not in known:
        try:
            known[path] = digest(path)
        except OSError as error:
            raise FileError(
                f"the recording {str(row.like)!r}", f"it cannot be read ({error.strerror})", "Check the path"
            ) from None
    return path


def _is_made(last: Outcome | None, task: Task) -> bool:
    return last is not None and (last.state, last.input) == ("made", task.input)


def _what_is_left(
    tasks: list[Task], ledger: Ledger, there: set[str], staged: set[str], force: bool
) -> tuple[dict[str, Outcome], list[Task]]:
    """Outcomes of what was made already, by file, and the other tasks."""
    outcomes: dict[str, Outcome] = {}
    left, in_the_way = [], []
    for task in tasks:
        last = ledger.last.get(task.file)
        # What lies in the staging folder as well was to take the place of the file that is there.
        if last is not None and _is_made(last, task) and task.file in there and task.staged not in staged:
            outcomes[task.file] = replace(last, state="kept")
            continue
        left.append(task)
        if task.file in there and not _is_made(last, task):
            in_the_way.append(task.file)
    if in_the_way and not force:
        more = f" and {len(in_the_way) - 3} more" if len(in_the_way) > 3 else ""
        raise OutputError(
            f"{', '.join(map(repr, in_the_way[:3]))}{more} in the folder came of another text, option, voice "
            "or weights, or of no batch",
            "an output is not overwritten unasked",
            "Use another folder, or force",
        )
    return outcomes, left


@contextmanager
def _staging(folder: Path) -> Iterator[None]:
    with refusals(folder):
        folder.mkdir(exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):  # what an interruption left in it is used the next time
            folder.rmdir()


@contextmanager
def _made(
    tasks: list[Task], place: Place, jobs: int, scheduler: str | None
) -> Iterator[Iterator[tuple[Outcome, Task]]]:
    """Outcomes and their tasks, as they are made, in whatever order."""
    from voiceswap.batch.work import make_one

    by_file = {task.file: task for task in tasks}
    if jobs == 1 and scheduler is None:
        place.prepare()
        yield ((make_one(task, place), task) for task in tasks)
        return
    with (
        cluster.client(min(jobs, len(tasks)), scheduler) as client,
        closing(cluster.spread(tasks, place, client)) as outcomes,
    ):
        yield ((outcome, by_file[outcome.file]) for outcome in outcomes)


def _move(staged: Path, file: Path) -> None:
    """Moves a file and what lies beside it into place: that first, as a file is never there unsigned."""
    from voiceswap.provenance import manifest

    with refusals(file):
        if manifest.beside(staged).exists():
            manifest.beside(staged).replace(manifest.beside(file))
        elif manifest.beside(file).exists() and manifest.read(staged) is not None:
            manifest.beside(file).unlink()  # of the file that was there; this one holds its own
        staged.replace(file)
