"""Corpora as lhotse CutSets: one function a corpus, all giving the same fields.

A cut is a whole recording with one supervision: text, speaker, language ("en") and gender ("f", "m" or none).
Its `custom` holds `split` ("train"; "dev" is held out, "dev-unseen" is never trained on), `band` ("full",
"11k", "8k", "6k": the highest frequency that carries sound), `source` (the corpus) and, where the corpus has
an alignment, `phones` (spelled) with `ends` (seconds at which each one ends).

Every function takes a folder and a list `skipped`, to which it adds a line for every recording that cannot be
used, and raises DataError for a folder that is not such a corpus. The recordings stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from voiceswap.data.cuts import band_of, check_there, collect, cut_of, recording_of, rows_of
from voiceswap.errors import DataError

_LANGUAGES = {"English": "en", "German": "de", "Dutch": "nl"}


def prepare_tsv(folder: Path, *, skipped: list[str] | None = None) -> Any:
    """A folder with manifest.tsv: id, path, speaker, gender, language, source, split, band, text."""
    rows = rows_of(folder / "manifest.tsv", "id path speaker gender language source split band text")
    cuts = (
        cut_of(
            row["id"],
            folder / row["path"],
            speaker=row["speaker"],
            text=row["text"],
            language=row["language"],
            gender=row["gender"],
            custom={"split": row["split"], "band": row["band"], "source": row["source"]},
        )
        for row in rows
    )
    return collect(cuts, skipped)


def prepare_teacher(folder: Path, *, skipped: list[str] | None = None) -> Any:
    """The output of teacher/speak.py: exact alignments in 25 ms frames; the voice is the speaker.

    One sentence of every hundred is held out as split "dev".
    """

    def cuts() -> Iterator[tuple[Path, Any]]:
        for row in rows_of(folder / "manifest.tsv", "id voice text phones frames"):
            name = f"{row['id']}_{row['voice']}"
            ends = np.cumsum([int(n) for n in row["frames"].split()]) * 0.025
            yield cut_of(
                f"{folder.name}-{name}",
                folder / "wav" / f"{name}.flac",
                speaker=f"{folder.name}-{row['voice']}",
                text=row["text"],
                language="en",
                gender="",
                custom={
                    "split": "dev" if int(row["id"][-5:]) % 100 == 7 else "train",
                    "band": "full",
                    "source": folder.name,
                    "phones": row["phones"].split(" "),
                    "ends": [round(float(end), 3) for end in ends],
                },
            )

    return collect(cuts(), skipped)


def prepare_ljspeech(folder: Path, *, skipped: list[str] | None = None) -> Any:
    """LJSpeech 1.1: metadata.csv and wavs/, by lhotse's recipe; the normalized text is taken."""
    from lhotse import recipes

    check_there(folder / "metadata.csv")
    with _sound(folder, folder.glob("wavs/*.wav"), skipped) as sound:
        return _from_recipe("ljspeech", lambda: {"train": recipes.prepare_ljspeech(sound)}, folder)


def prepare_vctk(folder: Path, *, skipped: list[str] | None = None) -> Any:
    """VCTK 0.92 or 0.80: speaker-info.txt, txt/ and wav48…, by lhotse's recipe.

    Of the two microphones of 0.92 the first, an omnidirectional DPA 4035, is taken, as all speakers have it.
    """
    from lhotse import recipes

    check_there(folder / "speaker-info.txt")
    new = (folder / "wav48_silence_trimmed").is_dir()
    audio, ending = ("wav48_silence_trimmed", "_mic1.flac") if new else ("wav48", ".wav")
    check_there(folder / audio)
    files = [path for path in folder.glob(f"{audio}/*/*") if path.name.endswith(ending)]
    recorded = {path.name.removesuffix(ending) for path in files}
    mute = [path for path in folder.glob("txt/*/*.txt") if path.stem not in recorded]
    other = folder.glob(f"{audio}/*/*_mic2.flac")

    def texts(broken: Path) -> Path:  # the recipe wants a recording for every text
        return folder / "txt" / broken.parent.name / f"{broken.name.removesuffix(ending)}.txt"

    if skipped is not None:
        skipped += [f"{path}: its recording is missing" for path in mute]
    with _sound(folder, files, skipped, also=texts, without=[*mute, *other]) as sound:
        return _from_recipe(
            "vctk",
            lambda: {"train": recipes.prepare_vctk(sound, use_edinburgh_vctk_url=new, mic_id="mic1")},
            folder,
        )


def prepare_libritts(folder: Path, *, skipped: list[str] | None = None) -> Any:
    """LibriTTS or LibriTTS-R: every part that is there (train-clean-100, dev-other …), by lhotse's recipe.

    The parts share no speaker: dev parts are held out as split "dev", test parts are split "dev-unseen".
    """
    from lhotse import recipes
    from lhotse.recipes.libritts import LIBRITTS

    parts = [part for part in LIBRITTS if (folder / part).is_dir()]
    if not parts:
        raise DataError(
            str(folder), "it holds no part of LibriTTS", f"Name the folder of {', '.join(LIBRITTS)}"
        )
    files = (path for part in parts for path in folder.glob(f"{part}/*/*/*.wav") if path.name[0] != ".")
    with _sound(folder, files, skipped) as sound:
        return _from_recipe("libritts", lambda: recipes.prepare_libritts(sound, parts), folder)


@contextmanager
def _sound(
    folder: Path,
    files: Iterable[Path],
    skipped: list[str] | None,
    *,
    also: Callable[[Path], Path] | None = None,
    without: Iterable[Path] = (),
) -> Iterator[Path]:
    """`folder` itself, or a temporary one of links without its unreadable `files` (and `also` those files).

    lhotse's recipes read every header in their folder and stop at the first that is broken.
    """
    broken = [path for path in files if recording_of(path.name, path) is None]
    if skipped is not None:
        skipped += [f"{path}: it cannot be read as audio" for path in broken]
    hidden = {*without, *broken, *(also(path) for path in broken if also)}
    if not hidden:
        yield folder
        return
    with TemporaryDirectory() as place:
        for path in folder.rglob("*"):
            if path.is_file() and path not in hidden:
                link = Path(place) / path.relative_to(folder)
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(path.resolve())
        yield Path(place)


def _from_recipe(source: str, recipe: Callable[[], dict[str, Any]], folder: Path) -> Any:
    """A CutSet of what a recipe of lhotse gives: recordings and supervisions of each part."""
    try:
        parts = recipe()
    except (AssertionError, KeyError, ValueError, OSError) as error:
        raise DataError(
            str(folder), f"lhotse cannot read it as {source} ({error!r})", "Unpack the corpus again"
        ) from error

    def cuts() -> Iterator[tuple[Path, Any]]:
        for part, manifests in parts.items():
            split = {"dev": "dev", "test": "dev-unseen"}.get(part.split("-")[0], "train")
            recordings = {recording.id: recording for recording in manifests["recordings"]}
            for segment in manifests["supervisions"]:
                found = recordings[segment.recording_id]
                yield cut_of(
                    f"{source}-{segment.id}",
                    Path(found.sources[0].source).resolve(),  # behind a temporary link
                    speaker=f"{source}-{segment.speaker}" if segment.speaker else source,
                    text=(segment.custom or {}).get("normalized_text") or segment.text,
                    language=_LANGUAGES.get(segment.language, segment.language),
                    gender=(segment.gender or "")[:1].lower(),
                    custom={"split": split, "band": band_of(found.sampling_rate), "source": source},
                )

    return collect(cuts(), None)


def prepare_cuts(folder: Path, *, skipped: list[str] | None = None) -> Any:
    """A lhotse CutSet: a file such as cuts.jsonl.gz, or a folder with one of that name.

    Its cuts are whole recordings in files, each with one supervision. What `custom` lacks is filled in: split
    "train", the band of the sample rate, and the manifest's name as source. Paths may be relative to the
    manifest.
    """
    from lhotse import CutSet

    manifest = folder / "cuts.jsonl.gz" if folder.is_dir() else folder
    check_there(manifest)
    try:
        found = list(CutSet.from_file(manifest))
    except Exception as error:  # whatever gzip, json and lhotse raise for a file that is something else
        raise DataError(
            str(manifest), f"lhotse cannot read it as a CutSet ({error!r})", "Write it with CutSet.to_file"
        ) from error

    def cuts() -> Iterator[tuple[Path, Any]]:
        for cut in found:
            path = manifest.parent / _whole_file(cut)  # an absolute path stays what it is
            segment = cut.supervisions[0]
            source = manifest.name.split(".")[0]
            defaults = {"split": "train", "band": band_of(cut.sampling_rate), "source": source}
            yield cut_of(
                cut.id,
                path,
                speaker=segment.speaker or source,
                text=segment.text or "",
                language=_LANGUAGES.get(segment.language, segment.language or "en"),
                gender=(segment.gender or "")[:1].lower(),
                custom={**defaults, **(segment.custom or {})},
            )

    return collect(cuts(), skipped)


def _whole_file(cut: Any) -> str:
    """The file of a cut that is a whole, untransformed recording with one supervision; or DataError."""
    recording: Any = getattr(cut, "recording", None)
    whole = (
        recording is not None
        and not recording.transforms
        and len(recording.sources) == 1
        and recording.sources[0].type == "file"
        and abs(cut.start) < 1e-3
        and abs(cut.duration - recording.duration) < 1e-3
        and len(cut.supervisions) == 1
    )
    if not whole:
        raise DataError(
            f"cut {cut.id!r}",
            "cuts are whole recordings in files, as they are, with one supervision each",
            "Use CutSet.trim_to_supervisions and CutSet.save_audios of lhotse to make such files",
        )
    return str(recording.sources[0].source)


RECIPES: dict[str, Callable[..., Any]] = {
    "tsv": prepare_tsv,
    "teacher": prepare_teacher,
    "ljspeech": prepare_ljspeech,
    "vctk": prepare_vctk,
    "libritts": prepare_libritts,
    "cuts": prepare_cuts,
}
"""Kind of corpus → function(folder, *, skipped=None) → CutSet."""
