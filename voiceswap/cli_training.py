"""The commands of those who train models: prepare, shard, train."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from voiceswap.cli_common import WeightsOption, bars, pair
from voiceswap.errors import MissingExtraError, OptionError, OutputError


def prepare(
    kind: Annotated[
        str,
        typer.Argument(help="tsv, teacher, ljspeech, vctk, libritts or cuts; or a folder of any recordings."),
    ],
    corpus: Annotated[Path | None, typer.Argument(help="The corpus' folder.")] = None,
    *,
    out: Annotated[Path, typer.Option(help="Folder of features; what it holds is not computed again.")],
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Dask cluster that reads a corpus, such as tcp://host:8786.")
    ] = None,
    align: Annotated[
        bool, typer.Option("--align", help="Align texts by the phone recognizer as well.")
    ] = False,
    language: Annotated[str, typer.Option(help="Of a folder of any recordings: en, de or nl.")] = "en",
    transcribe: Annotated[
        bool,
        typer.Option("--transcribe", help="Have Whisper write texts where there are none."),
    ] = False,
    check_language: Annotated[
        bool,
        typer.Option(
            "--check-language", help="Have Whisper drop what is in another language than --language."
        ),
    ] = False,
    pieces: Annotated[
        bool,
        typer.Option("--pieces", help="Write the pieces of such a folder as files too, with manifest.tsv."),
    ] = False,
    weights: WeightsOption = None,
) -> None:
    """Compute a corpus' features for training; of a folder of untidy recordings, make a corpus first."""
    _need("lhotse", extra="train")
    from voiceswap.data import corpora, features

    if corpus is None:
        if scheduler is not None:
            raise typer.BadParameter("--scheduler is for a corpus of a known kind")
        _raw(
            *(Path(kind), out),
            language=language,
            transcribe=transcribe,
            check_language=check_language,
            pieces=pieces,
            weights=weights,
        )
        if align:
            _align(out, weights)
        return
    if kind not in corpora.RECIPES:
        raise OptionError(
            f"the kind of corpus {kind!r}",
            "there is none of this name",
            f"Choose one of {', '.join(corpora.RECIPES)}",
        )
    skipped: list[str] = []
    cuts = corpora.RECIPES[kind](corpus, skipped=skipped)
    compute = partial(features.compute, cuts, out, progress=bars("features"))
    if scheduler is None:
        skipped += compute(jobs=jobs)
    else:
        from voiceswap.batch import cluster

        cluster.require()
        with cluster.client(jobs, scheduler) as client:
            each = partial(cluster.in_order, client=client, given_up=features.given_up)
            skipped += compute(each=each)
    for line in skipped:
        typer.echo(f"skipped {line}", err=True)
    typer.echo(f"{out}: {len(features.FeatureStore(out).raw_items)} recordings, {len(skipped)} skipped")
    if align:
        _align(out, weights)


def shard(
    features: Annotated[list[Path], typer.Argument(help="Folders of features, or folders of such.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder of shards; what is there is not written again.")],
    size: Annotated[int, typer.Option(min=1, help="Recordings in a shard.")] = 500,
) -> None:
    """Write features as shards, for training on more than fits on a disk or in memory."""
    _need("accelerate", extra="train")
    from voiceswap.data.shards import write_shards
    from voiceswap.training.run import stores

    folders = [store for path in features for store in stores(path)]
    counts = write_shards(folders, out, size=size, progress=bars("shards"))
    typer.echo(f"{out}: {sum(counts.values())} recordings in {len(counts)} shards")


def _align(out: Path, weights: Path | None) -> None:
    from voiceswap.training.run import align

    for folder, count in align([out], teachers=weights, progress=bars("alignments")).items():
        typer.echo(f"{folder}: {count} aligned")


def _raw(
    folder: Path,
    out: Path,
    *,
    language: str,
    transcribe: bool,
    check_language: bool,
    pieces: bool,
    weights: Path | None,
) -> None:
    """`voiceswap prepare FOLDER`."""
    for package in ("silero_vad", "rapidfuzz"):
        _need(package, extra="train")
    from voiceswap import checkpoint
    from voiceswap.bundle import WEIGHTS
    from voiceswap.data.corpora import RECIPES
    from voiceswap.text.normalize import LANGUAGES
    from voiceswap.training import raw

    if not folder.is_dir():
        raise OptionError(
            f"{str(folder)!r}",
            "it is no folder of recordings, and no kind of corpus",
            f"Name a folder, or one of {', '.join(RECIPES)} and a folder",
        )
    if language not in LANGUAGES:
        raise OptionError(f"language {language!r}", "it is not read", f"Choose one of {', '.join(LANGUAGES)}")
    write = hear = None
    if transcribe or check_language:
        from voiceswap.evaluation import intelligibility

        silence = np.zeros(24000, np.float32)  # judged at once: then it says now that the extra is missing
        if transcribe:
            write = partial(intelligibility.transcribe, language=language)
            write(silence, 24000)
        if check_language:
            hear = intelligibility.language_spoken
            hear(silence, 24000)
    models = {
        kind: checkpoint.load((weights or WEIGHTS) / f"{kind}.safetensors", kind).eval()
        for kind in ("speaker-encoder", "phone-recognizer")
    }
    skipped: list[str] = []
    found = raw.prepare(
        folder,
        out,
        encoder=models["speaker-encoder"],
        recognizer=models["phone-recognizer"],
        language=language,
        transcribe=write,
        hear=hear,
        progress=bars("recordings"),
        skipped=skipped,
        pieces=pieces,
    )
    for line in skipped:
        typer.echo(f"skipped {line}", err=True)
    kept = [f for f in found if not f.faults]
    hours = sum(f.piece.seconds for f in kept) / 3600
    typer.echo(f"{out}: {len(kept)} of {len(found)} pieces kept, {hours:.2f} h; see {out / 'report.md'}")


def train(
    model: Annotated[
        str, typer.Argument(help="speaker-encoder, phone-recognizer, synthesizer, converter or vocoder.")
    ],
    *,
    data: Annotated[
        list[Path] | None, typer.Option(help="Folder of features; may be given several times.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run: checkpoint, weights, curves.")] = None,
    voice: Annotated[
        Path | None,
        typer.Option(
            help="Adapt the converter to this voice file's person; the file then holds the adapter."
        ),
    ] = None,
    recordings: Annotated[
        Path | None, typer.Option(help="2 to 20 minutes of that person's speech: a file or a folder.")
    ] = None,
    preset: Annotated[str, typer.Option(help="tiny, base or large.")] = "base",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in OUT stopped.")] = False,
    changed: Annotated[
        bool, typer.Option("--changed", help="Resume although settings or data are no longer the same.")
    ] = False,
    init: Annotated[
        Path | None, typer.Option(help="Start from these weights; `bundled` is the model that ships.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Or after so long.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Replace a setting of the preset."),
    ] = None,
    weights: WeightsOption = None,
) -> None:
    """Train one of the five models, or adapt the converter to one person (--voice, --recordings)."""
    if steps is not None and minutes is not None:
        raise typer.BadParameter("give either --steps or --minutes")
    if voice is not None or recordings is not None:
        if voice is None or recordings is None or model != "converter" or data or init or settings:
            raise typer.BadParameter("adapt by: train converter --voice FILE --recordings DIR [--minutes N]")
        _adapt(voice, recordings, out, minutes=minutes, steps=steps, weights=weights, resume=resume)
        return
    if not data or out is None:
        raise typer.BadParameter("give --data and --out")
    if not resume and (out / "last.pt").is_file():
        raise OutputError(
            str(out), "a run is in it already", "Go on with it by --resume, or name another folder"
        )
    fields = dict(_field(setting) for setting in settings or [])
    fields |= {"steps": steps} if steps is not None else {}
    fields |= {"minutes": minutes} if minutes is not None else {}
    _need("accelerate", extra="train")
    from dataclasses import fields as fields_of

    from voiceswap.bundle import WEIGHTS
    from voiceswap.training.optimization import TrainingConfig
    from voiceswap.training.run import run

    if init == Path("bundled"):
        init = WEIGHTS / f"{model}.safetensors"
    of_loop = {field.name for field in fields_of(TrainingConfig)}
    run(
        model,
        preset=preset,
        data=data,
        out=out,
        resume=resume,
        changed=changed,
        init=init,
        teachers=weights,
        loop={name: value for name, value in fields.items() if name in of_loop},
        task={name: value for name, value in fields.items() if name not in of_loop},
    )
    typer.echo(f"{out / model}.safetensors")


def _adapt(
    path: Path,
    recordings: Path,
    out: Path | None,
    *,
    minutes: float | None,
    steps: int | None,
    weights: Path | None,
    resume: bool,
) -> None:
    _need("accelerate", extra="train")
    from voiceswap.training.adapt import adapt
    from voiceswap.voice import Voice

    length = {"steps": steps} if steps is not None else {} if minutes is None else {"minutes": minutes}
    voice = adapt(
        Voice.load(path),
        recordings,
        out or path.with_name(f"{path.name}.run"),
        weights=weights,
        resume=resume,
        **length,
    )
    voice.save(path, force=True)
    typer.echo(f"{path}: {voice.name}, with an adapter for `convert`")


def _field(given: str) -> tuple[str, Any]:
    """A setting with its value as JSON, lists made tuples, or as text if it is none."""
    name, value = pair(given, "--set")
    try:
        return name, _frozen(json.loads(value))
    except ValueError:
        return name, value


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _need(package: str, *, extra: str) -> None:
    from importlib.util import find_spec

    if find_spec(package) is None:
        raise MissingExtraError(
            f"the package {package!r} is not installed",
            "this command needs it",
            f"Run: pip install 'voiceswap[{extra}]'",
        )
