"""Corpora in shards that are read from end to end, a few in memory at a time: any size, from slow disks too.

A shard is a tar in the layout of WebDataset; the files of an utterance share a number:

====================  ===================================
``0000012.json``      its row, as in a feature folder
``0000012.mel.npy``   log-mel float16 [T, M]
``0000012.f0.npy``    F0 float32 [T], Hz, 0 where unvoiced
``0000012.flac``      24 kHz, where the store has audio
====================  ===================================

``train-*.tar`` hold what is learnt, ``held-*.tar`` what is only validated on, ``shards.json`` how many each.
Speakers come in random order and each in one piece: one shard knows nearly all of its people's recordings.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from voiceswap.acoustics import ACOUSTICS
from voiceswap.data.batches import Utterance, load_utterances
from voiceswap.data.features import FeatureStore, Item, require_method, state_method
from voiceswap.errors import DataError

INDEX = "shards.json"
PLAN = "plan.json"


def write_shards(
    folders: Sequence[Path],
    out: Path,
    *,
    size: int = 500,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> dict[str, int]:
    """Write the utterances of feature folders as shards of `size` into `out`; return how many each holds.

    Stopped half-way, the same call goes on. `dev-unseen` people are left out. An utterance is called
    FOLDER/ID. Raises DataError for two of one name, and where `out` holds shards of something else, of
    another alignment too.
    """
    found = load_utterances(folders)
    people: dict[str, list[Utterance]] = {}
    for utterance in found:
        people.setdefault(utterance.item.speaker, []).append(utterance)
    names = sorted(people)
    ordered = [u for i in np.random.default_rng(0).permutation(len(names)) for u in people[names[i]]]
    parts = {"train": [u for u in ordered if not u.held_out], "held": [u for u in ordered if u.held_out]}
    shards = {
        f"{part}-{start // size:06d}.tar": utterances[start : start + size]
        for part, utterances in parts.items()
        for start in range(0, len(utterances), size)
    }
    rows = {name: [_row(u) for u in utterances] for name, utterances in shards.items()}
    ids = [row["id"] for some in rows.values() for row in some]
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise DataError(
            f"{twice!r} in {', '.join(map(str, folders))}",
            "an utterance has a name of its own",
            "Rename one of the feature folders",
        )
    plan = {"sha256": hashlib.sha256(json.dumps(rows).encode()).hexdigest()}
    out.mkdir(parents=True, exist_ok=True)
    if (out / PLAN).is_file() and json.loads((out / PLAN).read_text()) != plan:
        raise DataError(str(out), "it holds shards of other data, or of another size", "Name an empty folder")
    if (out / PLAN).is_file():
        require_method(out)
    state_method(out)
    (out / PLAN).write_text(json.dumps(plan))
    for name, utterances in progress(shards.items(), len(shards)) if progress else shards.items():
        if not (out / name).is_file():
            _write(out / name, utterances)
    counts = {name: len(utterances) for name, utterances in shards.items()}
    (out / INDEX).write_text(json.dumps(counts, indent=1))  # last: it says that all are there
    return counts


def _write(path: Path, utterances: Sequence[Utterance]) -> None:
    partial = path.with_name(f"{path.name}.partial")
    for derived in path.parent.glob(f"{path.stem}.vectors-*.npy"):
        derived.unlink()  # of what was there before
    with tarfile.open(partial, "w") as tar:
        for number, utterance in enumerate(utterances):
            for suffix, content in _files(utterance):
                entry = tarfile.TarInfo(f"{number:07d}.{suffix}")
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    os.replace(partial, path)


def _row(utterance: Utterance) -> dict[str, Any]:
    """The item as in its feature folder, but for its name; by its frame_offset an utterance is held out."""
    folder = utterance.store.folder.resolve().name
    return {**asdict(utterance.item), "id": f"{folder}/{utterance.item.id}", "sample_offset": 0}


def _files(utterance: Utterance) -> Iterator[tuple[str, bytes]]:
    import soundfile

    item, store = utterance.item, utterance.store
    yield "json", json.dumps(_row(utterance), ensure_ascii=False).encode()
    for name, array in (("mel", store.mel(item)), ("f0", store.f0(item))):
        content = io.BytesIO()
        np.save(content, np.asarray(array))
        yield f"{name}.npy", content.getvalue()
    if item.samples:
        content = io.BytesIO()
        soundfile.write(content, store.audio(item), ACOUSTICS.sample_rate, format="FLAC", subtype="PCM_16")
        yield "flac", content.getvalue()


class ShardStore(FeatureStore):
    """One shard in memory, read as a feature folder is; DataError for a tar without all `count` of it."""

    def __init__(self, path: Path, count: int) -> None:
        self.folder = path.with_suffix("")  # no folder, but what its caches are named after
        self.forced = frozenset()
        rows: dict[str, Item] = {}
        files: dict[tuple[str, str], bytes] = {}
        try:
            with tarfile.open(path) as tar:
                for entry in tar:
                    number, _, suffix = entry.name.partition(".")
                    handle = tar.extractfile(entry)
                    content = handle.read() if handle else b""
                    if suffix == "json":
                        rows[number] = Item(**json.loads(content))
                    else:
                        files[number, suffix] = content
            self.raw_items = self.items = list(rows.values())
            self._arrays = {
                (item.id, name): np.load(io.BytesIO(files[number, f"{name}.npy"]), allow_pickle=False)
                for number, item in rows.items()
                for name in ("mel", "f0")
            }
        except (OSError, EOFError, tarfile.TarError, ValueError, TypeError, KeyError) as error:
            raise _not_whole(path, repr(error)) from error
        if len(rows) != count:
            raise _not_whole(path, f"{len(rows)} utterances of {count}")
        # Decoded when asked for: the acoustic models never do.
        self._audio_files = {
            rows[n].id: content for (n, suffix), content in files.items() if suffix == "flac"
        }

    def beside(self, name: str) -> Path:
        """Where what is derived from the shard may be kept."""
        return self.folder.with_name(f"{self.folder.name}.{name}")

    def mel(self, item: Item) -> np.ndarray:
        """Log-mel float16 [T, M]."""
        return self._arrays[item.id, "mel"]

    def f0(self, item: Item) -> np.ndarray:
        """F0 float32 [T], Hz, 0 where unvoiced."""
        return self._arrays[item.id, "f0"]

    def audio(self, item: Item) -> np.ndarray:
        """Samples int16 [N] at 24 kHz; empty where the store was made without audio."""
        import soundfile

        if item.id not in self._audio_files:
            return np.zeros(0, np.int16)
        return soundfile.read(io.BytesIO(self._audio_files[item.id]), dtype="int16")[0]


def _not_whole(path: Path, why: str) -> DataError:
    return DataError(
        f"{path} ({why:.200})", "it is no whole shard", "Remove it and run `voiceswap shard` again"
    )
