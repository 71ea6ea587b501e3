"""What every corpus is made with: rows of a manifest, recordings, cuts, a CutSet of those that can be read.

The functions of :mod:`voiceswap.data.corpora`, which says what a cut's fields mean, fill these in.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from voiceswap.errors import DataError

_BANDS = ((24000, "full"), (22050, "11k"), (16000, "8k"), (11025, "6k"))
"""Lowest sample rates, in Hz, at which a recording can have each band."""


def rows_of(path: Path, columns: str) -> list[dict[str, str]]:
    """The rows of a tab-separated manifest whose header has these columns."""
    check_there(path)
    with path.open(encoding="utf-8", newline="") as handle:
        reader = csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE, escapechar="\\", restval="")
        missing = set(columns.split()) - set(reader.fieldnames or ())
        if missing:
            raise DataError(
                str(path), f"its header lacks {', '.join(sorted(missing))}", f"Give it the columns {columns}"
            )
        return list(reader)


def check_there(path: Path) -> None:
    """DataError where a file or folder that makes the corpus is missing."""
    if not path.exists():
        raise DataError(str(path), "it is not there", f"Name the folder that holds {path.name}")


def recording_of(name: str, path: Path) -> Any:
    """The lhotse Recording of a file, or None if its header cannot be read."""
    import soundfile
    from lhotse import AudioSource, Recording

    try:
        info = soundfile.info(str(path))
    except (soundfile.SoundFileError, OSError):
        return None
    return Recording(
        id=name,
        sources=[AudioSource(type="file", channels=list(range(info.channels)), source=str(path))],
        sampling_rate=info.samplerate,
        num_samples=info.frames,
        duration=info.frames / info.samplerate,
    )


def cut_of(
    name: str, path: Path, *, speaker: str, text: str, language: str, gender: str, custom: dict[str, Any]
) -> tuple[Path, Any]:
    """A file, and the cut that is the whole of it: None if its header cannot be read."""
    from lhotse import MonoCut, SupervisionSegment

    recording = recording_of(name, path)
    if recording is None:
        return path, None
    seconds = recording.duration
    segment = SupervisionSegment(
        id=name,
        recording_id=name,
        start=0.0,
        duration=seconds,
        text=text or None,
        language=language,
        speaker=speaker,
        gender=gender or None,
        custom=custom,
    )
    return path, MonoCut(name, 0.0, seconds, channel=0, recording=recording, supervisions=[segment])


def collect(cuts: Iterable[tuple[Path, Any]], skipped: list[str] | None) -> Any:
    """A CutSet of the readable cuts; a line for each of the others goes to `skipped`."""
    from lhotse import CutSet

    good = []
    for path, cut in cuts:
        if cut is not None:
            good.append(cut)
        elif skipped is not None:
            skipped.append(f"{path}: it is missing, or cannot be read as audio")
    if not good:
        raise DataError("the corpus", "none of its recordings can be read", "Check the folder that was named")
    return CutSet.from_cuts(good)


def band_of(sample_rate: int) -> str:
    """The widest band that a recording at `sample_rate` Hz can have."""
    return next((band for lowest, band in _BANDS if sample_rate >= lowest), "6k")
