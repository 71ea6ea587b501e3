"""Features computed once into an append-only store, and read back without copying.

A store is a folder: ``index.jsonl`` (one row an utterance), ``mel.f16`` [frames, M], ``f0.f32`` [frames],
``audio.i16`` [samples] and ``method.json``, which says how they were made. Rows are written after their data,
so a run that was cut off leaves at most a tail without a row; the next run cuts that off and goes on.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from voiceswap.acoustics import ACOUSTICS, F0_METHOD
from voiceswap.data.durations import frames_of
from voiceswap.errors import DataError, VoiceswapError

_BOUNDARY = 1  # the id of "|"
_METHOD = {"acoustics": ACOUSTICS.to_dict(), "f0": F0_METHOD}


@dataclass(frozen=True)
class Item:
    """One utterance's row: where its data lies and what is known of it."""

    id: str
    speaker: str
    language: str
    gender: str
    split: str
    band: str
    source: str
    text: str
    frames: int
    frame_offset: int
    samples: int
    sample_offset: int
    phonemes: list[int] = field(default_factory=list)
    stress: list[int] = field(default_factory=list)
    durations: list[int] = field(default_factory=list)
    """Frames of each phoneme, if aligned."""


class FeatureStore:
    """Reading side of a store: `items` (`raw_items`: without forced alignments), their data memory-mapped."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        if not (self.folder / "index.jsonl").is_file():
            raise DataError(
                str(folder), "it holds no features (index.jsonl)", "run `voiceswap prepare` first"
            )
        self.raw_items = [Item(**row) for row in read_index(self.folder)]
        if self.raw_items:
            require_method(self.folder)
        aligned = self.folder / "alignments.json"
        found = json.loads(aligned.read_text("utf-8"))["durations"] if aligned.is_file() else {}
        self.forced = frozenset(found)
        """Ids of the items whose durations come from forced alignment."""
        self.items = [_aligned(item, found[item.id]) if item.id in found else item for item in self.raw_items]

    def beside(self, name: str) -> Path:
        """Where what is derived from the store may be kept."""
        return self.folder / name

    @cached_property
    def _mel(self) -> np.ndarray:
        return np.memmap(self.folder / "mel.f16", np.float16, "r").reshape(-1, ACOUSTICS.n_mels)

    @cached_property
    def _f0(self) -> np.ndarray:
        return np.memmap(self.folder / "f0.f32", np.float32, "r")

    @cached_property
    def _audio(self) -> np.ndarray:
        return np.memmap(self.folder / "audio.i16", np.int16, "r")

    def mel(self, item: Item) -> np.ndarray:
        """Log-mel float16 [T, M]."""
        return self._mel[item.frame_offset : item.frame_offset + item.frames]

    def f0(self, item: Item) -> np.ndarray:
        """F0 float32 [T], Hz, 0 where unvoiced."""
        return self._f0[item.frame_offset : item.frame_offset + item.frames]

    def audio(self, item: Item) -> np.ndarray:
        """Samples int16 [N] at 24 kHz; empty where the store was made without audio."""
        return (
            self._audio[item.sample_offset : item.sample_offset + item.samples]
            if item.samples
            else np.zeros(0, np.int16)
        )


def state_method(folder: Path) -> None:
    """Write into a folder of features or shards how they are made."""
    (folder / "method.json").write_text(json.dumps(_METHOD, indent=1), "utf-8")


def require_method(folder: Path) -> None:
    """Raises DataError if features or shards were made in another way than they would be now."""
    path = folder / "method.json"
    try:
        method = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        method = None
    if method != _METHOD:
        found = "no record of how it was made (method.json)" if method is None else f"features by {method}"
        rule = f"it holds {found}, and models would learn another F0 than they are given (now {F0_METHOD})"
        raise DataError(str(folder), rule, "Prepare the corpus anew, into another folder")


def padded(symbols: list[int], value: int = _BOUNDARY) -> list[int]:
    """With a boundary at both ends, to hold the silence there."""
    return [value, *symbols, value]


def _aligned(item: Item, durations: list[int]) -> Item:
    """The item with a forced alignment of its padded phonemes."""
    return replace(item, phonemes=padded(item.phonemes), stress=padded(item.stress, 0), durations=durations)


def read_index(folder: Path) -> list[dict[str, Any]]:
    """The complete rows of a store's index; a cut-off last line is ignored."""
    rows = []
    for line in (
        (folder / "index.jsonl").read_text("utf-8").split("\n")[:-1]
    ):  # texts may hold other line ends
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _features(job: dict[str, Any]) -> dict[str, Any]:
    """One utterance in a worker: its row without offsets, plus arrays; or the error that skips it."""
    from voiceswap import audio

    try:
        return features_of(audio.read(job.pop("path")), job)
    except VoiceswapError as error:
        return {"id": job["id"], "error": str(error)}


def features_of(samples: np.ndarray, job: dict[str, Any]) -> dict[str, Any]:
    """The row without offsets of an utterance of samples [N] at 24 kHz, plus its arrays; errors as `audio`'s.

    `job` holds the fields of an Item that are known beforehand, `phones` with `ends` or None, and whether
    the `audio` is kept.
    """
    import torch

    from voiceswap import audio
    from voiceswap.acoustics import f0_track, log_mel
    from voiceswap.text.normalize import normalize
    from voiceswap.text.phonemes import phonemize

    samples = audio.level(samples)
    mel = log_mel(torch.from_numpy(samples)[None])[0].T.numpy()
    f0 = f0_track(samples)
    phones, ends, keep = job.pop("phones"), job.pop("ends"), job.pop("audio")
    ids: list[int] = []
    stress: list[int] = []
    counts: list[int] = []
    if phones:
        ids, stress, counts = frames_of(phones, ends, mel)
    elif job["text"]:
        # As a Studio reads it, so that training and speaking see the same symbols.
        said = phonemize(normalize(job["text"], job["language"]), job["language"])
        ids, stress = list(said.ids), list(said.stress)
    pcm = np.round(np.clip(samples, -1, 1) * 32767).astype(np.int16) if keep else np.zeros(0, np.int16)
    return {
        **job,
        "phonemes": ids,
        "stress": stress,
        "durations": counts,
        "mel": mel.astype(np.float16),
        "f0": f0.astype(np.float32),
        "pcm": pcm,
    }


def _single_thread() -> None:
    import torch

    torch.set_num_threads(1)


def _map(todo: list[dict[str, Any]], jobs: int) -> Iterator[dict[str, Any]]:
    """`_features` of every job, in order: in this process, or in `jobs` others of one thread each."""
    if jobs == 1:
        yield from map(_features, todo)
        return
    with ProcessPoolExecutor(jobs, initializer=_single_thread) as pool:
        yield from pool.map(_features, todo, chunksize=8)


def given_up(task: Mapping[str, Any]) -> dict[str, Any]:
    """In place of the features of a recording that cost every process that read it its life."""
    return {"id": task["id"], "error": "the processes that read it died"}


def _jobs(cuts: Any, done: set[str], audio: bool) -> Iterator[dict[str, Any]]:
    for cut in cuts:
        if cut.id in done:
            continue
        segment = cut.supervisions[0]
        custom = segment.custom or {}
        yield {
            "id": cut.id,
            "path": cut.recording.sources[0].source,
            "speaker": segment.speaker or "unknown",
            "language": segment.language or "en",
            "gender": segment.gender or "",
            "split": custom.get("split", "train"),
            "band": custom.get("band", "full"),
            "source": custom.get("source", ""),
            "text": segment.text or "",
            "phones": custom.get("phones"),
            "ends": custom.get("ends"),
            "audio": audio,
        }


def _resume(folder: Path) -> tuple[int, int]:
    """How many frames and samples of a store are complete; a tail without a row is cut off."""
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / "index.jsonl"
    rows = read_index(folder) if index.exists() else []
    frames = max((row["frame_offset"] + row["frames"] for row in rows), default=0)
    samples = max((row["sample_offset"] + row["samples"] for row in rows), default=0)
    sizes = {"mel.f16": frames * ACOUSTICS.n_mels * 2, "f0.f32": frames * 4, "audio.i16": samples * 2}
    for name, size in sizes.items():
        (folder / name).touch()
        os.truncate(folder / name, size)
    index.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), "utf-8")
    return frames, samples


def compute(
    cuts: Any,
    folder: Path,
    *,
    jobs: int = 1,
    audio: bool = True,
    each: Callable[[Callable[[Any], Any], list[Any]], Iterable[Any]] | None = None,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> list[str]:
    """Append the features of every cut that is not yet in the store; return a line for each one skipped.

    `jobs` worker processes, or whatever `each(function, tasks)` maps by, in their order;
    `progress(iterable, total)` may wrap the loop. Broken files are reported, not fatal.
    """
    done = {row["id"] for row in read_index(folder)} if (folder / "index.jsonl").exists() else set()
    todo = list(_jobs(cuts, done, audio))
    results: Iterable[dict[str, Any]] = each(_features, todo) if each else _map(todo, jobs)
    return append(progress(results, len(todo)) if progress else results, folder)


def append(results: Iterable[dict[str, Any]], folder: Path) -> list[str]:
    """Append rows with their arrays (`mel`, `f0`, `pcm`) to a store as they come; return what was skipped.

    A row with an `error` is skipped. What a cut-off run left without a row is overwritten.
    """
    frames, samples = _resume(folder)
    if frames:
        require_method(folder)
    else:
        state_method(folder)
    skipped = []
    with (
        (folder / "mel.f16").open("ab") as mel,
        (folder / "f0.f32").open("ab") as f0,
        (folder / "audio.i16").open("ab") as pcm,
        (folder / "index.jsonl").open("a", encoding="utf-8") as index,
    ):
        for row in results:
            if "error" in row:
                skipped.append(f"{row['id']}: {row['error']}")
                continue
            arrays = [row.pop(name) for name in ("mel", "f0", "pcm")]
            for handle, array in zip((mel, f0, pcm), arrays, strict=True):
                handle.write(array.tobytes())
                handle.flush()
            row |= {
                "frames": len(arrays[0]),
                "frame_offset": frames,
                "samples": len(arrays[2]),
                "sample_offset": samples,
            }
            frames, samples = frames + len(arrays[0]), samples + len(arrays[2])
            index.write(json.dumps(row, ensure_ascii=False) + "\n")
            index.flush()
    return skipped
