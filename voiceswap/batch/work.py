"""The unit of work: one row becomes one file, in whatever process it is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock

import soundfile

from voiceswap.batch.ledger import Outcome
from voiceswap.batch.table import Row
from voiceswap.errors import CheckpointError, ConsentError, InputError, OutputError, WatermarkError
from voiceswap.provenance.certificates import identity
from voiceswap.speech import SpeechWriter
from voiceswap.studio import Studio, load
from voiceswap.threads import one_thread
from voiceswap.voice import Voice

_AT_WORK = Lock()  # a worker may have several threads; the models and eSpeak serve one at a time


@dataclass(frozen=True, kw_only=True)
class Task:
    """A row with all that it depends on."""

    row: Row
    voice: Voice
    file: str
    """Name in the folder."""
    input: str
    """Hash of what the speech depends on, the weights included."""

    @property
    def staged(self) -> str:
        """Name of what is made of it, until it is moved to `file`.

        It says what the file was made of, so that one that lies there need not be made again.
        """
        return self.input + Path(self.file).suffix


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where and with what a process makes files."""

    staging: Path
    """Folder of `Task.staged`, on the file system of the one that they are moved to."""
    weights: Path | None
    weights_hash: str
    device: str

    def prepare(self) -> None:
        """Raises what would keep this process from making any file; makes the computer's key, if it has none.

        Of several processes that begin at once each would make a key, and the last one would stay. Raises
        OutputError for a folder that is not there, CheckpointError for other weights, OptionError for a
        device that is missing, FileError for a key that cannot be used.
        """
        if not self.staging.is_dir():
            raise OutputError(
                f"a worker does not see {str(self.staging.parent)!r}",
                "workers write into the folder of the one who asks",
                "Use a folder that all share, under the same path",
            )
        _studio(self.weights, self.device, self.weights_hash)
        identity()


def make_one(task: Task, place: Place) -> Outcome:
    """Makes the file of `task` in the staging folder, unless it lies there whole; says what came of it.

    What cannot be spoken is an outcome, ``failed``. What would fail with any row is raised: OutputError,
    CheckpointError and the like. Speech is made on one thread, so that it is the same to the bit however
    many processes share a machine.
    """
    path, row = place.staging / task.staged, task.row
    with _AT_WORK, one_thread():
        if not path.is_file():
            studio = _studio(place.weights, place.device, place.weights_hash)
            try:
                pieces = studio.stream(
                    row.text,
                    task.voice,
                    speed=row.speed,
                    pitch=row.pitch,
                    seed=row.seed,
                    like=row.like,
                    language=row.language,
                )
                # Forced, as another worker may have been given the row while this one was taken for dead.
                with SpeechWriter(path, force=True) as writer:
                    for piece in pieces:
                        writer.write(piece)
            except (InputError, ConsentError, WatermarkError) as error:
                return Outcome(
                    id=row.id, file=task.file, input=task.input, state="failed", message=str(error)
                )
        seconds = round(soundfile.info(path).duration, 3)
    return Outcome(id=row.id, file=task.file, input=task.input, state="made", seconds=seconds)


@lru_cache(maxsize=1)
def _studio(weights: Path | None, device: str, weights_hash: str) -> Studio:
    """The studio of this process, loaded once; raises CheckpointError for other weights than asked for."""
    studio = load(device, weights=weights)
    if studio.weights_hash != weights_hash:
        raise CheckpointError(
            f"the weights {studio.weights_hash[:12]} in {str(studio.weights)!r}",
            f"the batch is made with {weights_hash[:12]}",
            "Give all workers the same voiceswap and the same weights",
        )
    return studio
