"""A folder of long, untidy recordings to a corpus: features, a lhotse manifest and a report.

Two passes over every file, each a stream. The first finds pieces of speech, checks them, and has the models
say who speaks and which phones; it leaves a small file a recording in ``OUT/surveyed``, so a run that was
stopped goes on where it was. Then a speaker's pieces are compared and transcripts are laid beside them; the
second pass computes the features of those that are kept. The recordings are only read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from voiceswap import audio
from voiceswap.acoustics import log_mel
from voiceswap.data import features
from voiceswap.data.pieces import Piece, Signal, cut, pieces_of, signal_of, speech_in
from voiceswap.errors import AudioError, DataError, VoiceswapError
from voiceswap.models.phone_recognizer import PhoneRecognizer
from voiceswap.models.speaker_encoder import SpeakerEncoder
from voiceswap.training.raw_faults import compared, with_texts
from voiceswap.training.raw_report import Found, write_report

_HALVED = 5.0  # seconds
_NO_SPEECH = "no speech of 1 to 14 s was found in it. Record it again, louder, or leave it out."
_CONVERT = "Convert to FLAC first, for example with ffmpeg"
_UNREAD = (".m4a", ".m4b", ".mp4", ".aac", ".wma", ".webm", ".mkv", ".mov", ".avi", ".3gp", ".amr")
"""Endings of recordings that libsndfile cannot read: they are named, with what to do about it."""
_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".oga", ".aiff", ".aif", ".au", ".w64", ".caf")

Transcribe = Callable[[np.ndarray, int], str]
Hear = Callable[[np.ndarray, int], tuple[str, float]]
Progress = Callable[[Iterable[Any], int], Iterable[Any]]


def prepare(
    folder: Path,
    out: Path,
    *,
    encoder: SpeakerEncoder,
    recognizer: PhoneRecognizer,
    language: str = "en",
    transcribe: Transcribe | None = None,
    hear: Hear | None = None,
    progress: Progress | None = None,
    skipped: list[str] | None = None,
    pieces: bool = False,
) -> list[Found]:
    """Make the corpus of `folder` in `out`, and return every piece that was found, kept or not.

    A recording's speaker is the folder that it lies in. `transcribe(samples, sample_rate)` writes the text of
    pieces whose recording has none beside it; `hear(samples, sample_rate)` says which language a piece is in,
    and how sure that is. A line for every recording of which nothing could be used goes to `skipped`.
    `pieces` writes those that are kept as files too, with their manifest. Raises DataError where `folder`
    holds no recordings.
    """
    paths = [path for path in recordings_in(folder) if out.resolve() not in path.resolve().parents]
    surveyed: list[Found] = []
    unused = _unread(folder, paths)
    for path in progress(paths, len(paths)) if progress else paths:
        name = str(path.relative_to(folder))
        try:
            heard = _survey(path, folder, out, encoder, recognizer, hear)
        except AudioError as error:
            unused[name] = str(error)
            continue
        surveyed += heard
        if not heard:
            unused[name] = _NO_SPEECH
    found = with_texts(compared(surveyed, language), folder, language)
    kept = [f for f in found if not f.faults]
    _check_none_is_gone(out, found)
    rows = _rows(kept, folder, out, language, transcribe)
    unfit = features.append(progress(rows, len(kept)) if progress else rows, out)
    reasons = {line.split(": ", 1)[0]: line.split(": ", 1)[1] for line in unfit}
    found = [replace(f, faults=(reasons[f.id],)) if f.id in reasons else f for f in found]
    texts = {row["id"]: row["text"] for row in features.read_index(out)}
    found = [_as_stored(f, texts.get(f.id, f.text)) for f in found]
    _write_cuts([f for f in found if not f.faults], folder, out, language)
    if pieces:
        _write_pieces([f for f in found if not f.faults], out)
    unused = dict(sorted(unused.items()))
    write_report(found, unused, folder.resolve().name, out)
    if skipped is not None:
        skipped += [f"{name}: {why}" for name, why in unused.items()]
    return found


def recordings_in(folder: Path) -> list[Path]:
    """The audio files below `folder`, by name; DataError where there are none."""
    paths = _files(folder, _SUFFIXES)
    if not paths:
        others = sorted({path.suffix.lower() for path in _files(folder, _UNREAD)})
        if others:
            raise DataError(str(folder), f"its recordings ({', '.join(others)}) are not read", _CONVERT)
        raise DataError(
            str(folder), "it holds no recordings", f"Name a folder with {', '.join(_SUFFIXES)} files"
        )
    return paths


def _check_none_is_gone(out: Path, found: Sequence[Found]) -> None:
    """DataError where the store holds a piece that is dropped now: it only grows."""
    done = {row["id"] for row in features.read_index(out)} if (out / "index.jsonl").is_file() else set()
    gone = [f for f in found if f.faults and f.id in done]
    if gone:
        raise DataError(
            f"{out} holds {gone[0].id}" + f" and {len(gone) - 1} more" * (len(gone) > 1),
            f"dropped this time ({gone[0].faults[0]})",
            "Prepare into an empty folder",
        )


def _files(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    return sorted(
        p for p in folder.rglob("*") if p.suffix.lower() in suffixes and p.is_file() and p.name[0] != "."
    )


def _unread(folder: Path, paths: Sequence[Path]) -> dict[str, str]:
    """Recordings that are not even tried, by name, with the remedy; not those converted to one of `paths`."""
    converted = {path.with_suffix("") for path in paths}
    others = [path for path in _files(folder, _UNREAD) if path.with_suffix("") not in converted]
    return {str(path.relative_to(folder)): f"{path.suffix} is not read. {_CONVERT}." for path in others}


def _survey(
    path: Path,
    folder: Path,
    out: Path,
    encoder: SpeakerEncoder,
    recognizer: PhoneRecognizer,
    hear: Hear | None,
) -> list[Found]:
    """The pieces of one recording: as written down, where that was of the same file and the same models."""
    name = str(path.relative_to(folder))
    status = path.stat()
    models = [encoder.weights_hash, recognizer.weights_hash]
    told = json.dumps(
        [name, status.st_size, status.st_mtime_ns, [*models, *["language"] * (hear is not None)]]
    )
    cache = out / "surveyed" / f"{hashlib.sha256(told.encode()).hexdigest()[:20]}.json"
    if cache.is_file():
        rows = json.loads(cache.read_text("utf-8"))
    else:
        rows = list(_heard(path, encoder, recognizer, hear))
        cache.parent.mkdir(parents=True, exist_ok=True)
        cache.with_suffix(".partial").write_text(json.dumps(rows), encoding="utf-8")
        os.replace(cache.with_suffix(".partial"), cache)
    speaker = str(path.parent.relative_to(folder)).replace(os.sep, "-")
    return [
        Found(
            id=f"{name.replace(os.sep, '-').rsplit('.', 1)[0]}-{number:05d}",
            path=name,
            speaker=folder.resolve().name if speaker == "." else speaker,
            piece=Piece(**row["piece"]),
            signal=Signal(**row["signal"]),
            alike=row["alike"],
            vector=tuple(row["vector"]),
            phones=tuple(row["phones"]),
            language=(row["language"][0], row["language"][1]),
        )
        for number, row in enumerate(rows)
    ]


@torch.inference_mode()
def _heard(
    path: Path, encoder: SpeakerEncoder, recognizer: PhoneRecognizer, hear: Hear | None
) -> Iterator[dict[str, Any]]:
    """What signal and models say of every piece of a recording."""
    device = next(encoder.parameters()).device
    speech = speech_in(path)
    total = max((end for _, end in speech), default=0.0) + 1.0
    pieces = pieces_of(speech, total)
    for piece, samples in zip(pieces, cut(path, pieces), strict=True):
        if not len(samples):
            continue
        mel = log_mel(torch.from_numpy(audio.level(samples))[None]).to(device)
        halves = [encoder(half)[0] for half in mel.tensor_split(2, -1)] if piece.seconds >= _HALVED else []
        classes = recognizer(mel)[1][0].argmax(-1).cpu().numpy()
        phones = classes[np.insert(np.diff(classes) != 0, 0, True)]
        yield {
            "piece": asdict(piece),
            "signal": {name: round(value, 4) for name, value in asdict(signal_of(samples)).items()},
            "alike": round(float(halves[0] @ halves[1]), 4) if halves else 1.0,
            "vector": [round(float(v), 4) for v in encoder(mel)[0]],
            "phones": [int(c) for c in phones if c],
            "language": hear(samples, audio.SAMPLE_RATE) if hear else ("", 0.0),
        }


def _rows(
    kept: Sequence[Found], folder: Path, out: Path, language: str, transcribe: Transcribe | None
) -> Iterator[dict[str, Any]]:
    """Rows of the store, of what it does not hold yet; every recording is read once."""
    done = {row["id"] for row in features.read_index(out)} if (out / "index.jsonl").is_file() else set()
    of: dict[str, list[Found]] = defaultdict(list)
    for f in kept:
        if f.id not in done:
            of[f.path].append(f)
    for name, pieces in of.items():
        for f, samples in zip(pieces, cut(folder / name, [f.piece for f in pieces]), strict=True):
            text = f.text or (transcribe(audio.level(samples), audio.SAMPLE_RATE) if transcribe else "")
            known = {"id": f.id, "speaker": f.speaker, "language": language, "gender": "", "text": text}
            place = {"split": "train", "band": f.signal.band, "source": folder.resolve().name}
            try:
                yield features.features_of(
                    samples, {**known, **place, "phones": None, "ends": None, "audio": True}
                )
            except VoiceswapError as error:  # a text that cannot be read
                yield {"id": f.id, "error": str(error)}


def _as_stored(f: Found, text: str) -> Found:
    """With the text that the store has, which a machine wrote unless it is the transcript's."""
    return replace(f, text=text, text_origin="" if not text else "given" if text == f.text else "machine")


def _write_cuts(kept: Sequence[Found], folder: Path, out: Path, language: str) -> None:
    """`cuts.jsonl.gz`: every piece as a lhotse cut of the recording that it lies in."""
    from lhotse import CutSet, MonoCut, Recording, SupervisionSegment

    whole: dict[str, Any] = {}
    cuts = []
    for f in kept:
        if f.path not in whole:
            whole[f.path] = Recording.from_file((folder / f.path).resolve(), recording_id=f.path)
        seconds = min(f.piece.seconds, whole[f.path].duration - f.piece.start)
        segment = SupervisionSegment(
            f.id, f.path, 0.0, seconds, text=f.text or None, language=language, speaker=f.speaker
        )
        segment.custom = {"split": "train", "band": f.signal.band}
        cuts.append(MonoCut(f.id, f.piece.start, seconds, 0, recording=whole[f.path], supervisions=[segment]))
    partial = out / "cuts.partial.jsonl.gz"
    CutSet.from_cuts(cuts).to_file(partial)
    os.replace(partial, out / "cuts.jsonl.gz")


def _write_pieces(kept: Sequence[Found], out: Path) -> None:
    """`pieces/ID.flac`, the audio of the store, and `manifest.tsv`, for `prepare tsv` and `evaluate`."""
    store = features.FeatureStore(out)
    items = {item.id: item for item in store.raw_items}
    (out / "pieces").mkdir(exist_ok=True)
    rows = ["id path speaker gender language source split band seconds text_origin text".split()]
    for f in kept:
        item, path = items[f.id], out / "pieces" / f"{f.id}.flac"
        if not path.is_file():
            soundfile.write(path.with_suffix(".partial"), store.audio(item), audio.SAMPLE_RATE, format="FLAC")
            os.replace(path.with_suffix(".partial"), path)
        place = [item.speaker, item.gender, item.language, item.source, item.split, item.band]
        seconds, text = f"{item.samples / audio.SAMPLE_RATE:.2f}", " ".join(f.text.split())
        rows.append([f.id, f"pieces/{path.name}", *place, seconds, f.text_origin, text])
    partial = out / "manifest.partial.tsv"
    partial.write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    os.replace(partial, out / "manifest.tsv")
