"""The command line: parses and prints; the modules that do the work are imported when they are needed."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from voiceswap import __version__
from voiceswap.errors import FileError, MissingExtraError, OptionError, TextError, VoiceswapError

if TYPE_CHECKING:
    from voiceswap.speech import Speech, SpeechWriter
    from voiceswap.studio import Studio
    from voiceswap.voice import Voice

LARGEST_TEXT = 16_000_000
"""Bytes of a text file that are read at most: some 250 hours of speech."""

_CHARACTERS_A_SECOND = 14.0  # of ordinary reading; the length of a progress bar only

app = typer.Typer(
    name="voiceswap",
    help="Gives a consenting person's voice to text and to recordings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

VoiceOption = Annotated[str, typer.Option(help="A built-in voice's name, or a file that `enroll` wrote.")]
OutOption = Annotated[Path, typer.Option("-o", "--out", help="Audio file: .wav, .flac, .ogg, .opus or .mp3.")]
PitchOption = Annotated[float, typer.Option(help="Semitones up, or down if negative; -24 to 24.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
WeightsOption = Annotated[
    Path | None, typer.Option(help="Folder of weights of your own; else the bundled ones.")
]
SeedOption = Annotated[int, typer.Option(help="The same seed gives the same result.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command of `arguments` (the process's own by default); return the exit code.

    0 is done, 2 is for whatever was given and cannot be used, 130 for an interruption.
    """
    try:
        app(arguments, prog_name="voiceswap")
    except VoiceswapError as error:
        typer.echo(f"voiceswap: {error}", err=True)
        return 2
    except SystemExit as leaving:  # how Typer ends every command
        return int(leaving.code or 0)
    return 0


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"voiceswap {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command()
def speak(
    text: Annotated[str | None, typer.Argument(help="What to say; phonemes may stand between [[ ]].")] = None,
    *,
    file: Annotated[
        Path | None, typer.Option(help="Read the text from this file; - is standard input.")
    ] = None,
    voice: VoiceOption,
    out: OutOption,
    speed: Annotated[float, typer.Option(help="Tempo, 0.5 to 2; 2 is twice as fast.")] = 1.0,
    pitch: PitchOption = 0.0,
    seed: SeedOption = 0,
    force: ForceOption = False,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
) -> None:
    """Say English text of any length in a voice."""
    if (text is None) == (file is None):
        raise typer.BadParameter("give either TEXT or --file")
    writer = _writer(out, force)
    said = text if text is not None else _read_text(file)
    studio, speaker = _studio_and_voice(voice, device, weights)
    pieces = studio.stream(said, speaker, speed=speed, pitch=pitch, seed=seed)
    _write(pieces, writer, out, about=len(said) / _CHARACTERS_A_SECOND / speed)


@app.command()
def convert(
    recording: Annotated[Path, typer.Argument(help="Audio of any format, rate and length.")],
    *,
    voice: VoiceOption,
    out: OutOption,
    pitch: PitchOption = 0.0,
    force: ForceOption = False,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
) -> None:
    """Say a recording's words again, with its timing and melody, in another voice."""
    writer = _writer(out, force)
    studio, speaker = _studio_and_voice(voice, device, weights)
    pieces = studio.convert_stream(recording, speaker, pitch=pitch)
    import soundfile

    _write(pieces, writer, out, about=soundfile.info(recording).duration)


@app.command()
def enroll(
    recordings: Annotated[list[Path], typer.Argument(help="About 10 s of one person's clean speech.")],
    *,
    name: Annotated[str, typer.Option(help="The person who consents.")],
    scope: Annotated[
        str, typer.Option(help="What they consent to: speak, convert, train; separated by commas.")
    ],
    until: Annotated[str, typer.Option(help="Last day of the consent, such as 2027-12-31.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Voice file, such as ada.voice.")],
    given: Annotated[str, typer.Option(help="How they consented, in words.")] = "",
    force: ForceOption = False,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
) -> None:
    """Make a voice from recordings of a person who has consented to it."""
    import warnings

    from voiceswap.files import check_output
    from voiceswap.provenance import Consent

    check_output(out, force=force)
    consent = Consent(name, scope, until, given=given)
    studio = _studio(device, weights)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        voice = studio.enroll(recordings, consent=consent)
    for warning in caught:
        typer.echo(f"voiceswap: warning: {warning.message}", err=True)
    voice.save(out, force=force)
    typer.echo(
        f"{out}: {name}, {voice.f0_median:.0f} Hz, may {', '.join(consent.scope)} until {consent.until}"
    )


@app.command()
def voices(*, weights: WeightsOption = None) -> None:
    """List the built-in voices; they belong to nobody."""
    from rich.console import Console
    from rich.table import Table

    table = Table("voice", "pitch, Hz", box=None)
    for voice in _studio("cpu", weights).voices.values():
        table.add_row(voice.name, f"{voice.f0_median:.0f}")
    Console().print(table)


@app.command()
def prepare(
    kind: Annotated[str, typer.Argument(help="tsv, teacher, ljspeech, vctk or libritts.")],
    corpus: Annotated[Path, typer.Argument(help="The corpus' folder.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder of features; what it holds is not computed again.")],
    jobs: Annotated[int, typer.Option(min=1, help="Processes.")] = os.cpu_count() or 1,
    align: Annotated[
        bool, typer.Option("--align", help="Align texts by the phone recognizer as well.")
    ] = False,
    weights: WeightsOption = None,
) -> None:
    """Compute a corpus' features for training."""
    _need("lhotse", extra="train")
    from voiceswap.data import corpora, features

    if kind not in corpora.RECIPES:
        raise OptionError(
            f"the kind of corpus {kind!r}",
            "there is none of this name",
            f"Choose one of {', '.join(corpora.RECIPES)}",
        )
    skipped: list[str] = []
    cuts = corpora.RECIPES[kind](corpus, skipped=skipped)
    skipped += features.compute(cuts, out, jobs=jobs, progress=_bars("features"))
    for line in skipped:
        typer.echo(f"skipped {line}", err=True)
    typer.echo(f"{out}: {len(features.FeatureStore(out).raw_items)} recordings, {len(skipped)} skipped")
    if align:
        from voiceswap.training.run import align as align_all

        for folder, count in align_all([out], teachers=weights).items():
            typer.echo(f"{folder}: {count} aligned")


@app.command()
def train(
    model: Annotated[
        str, typer.Argument(help="speaker-encoder, phone-recognizer, synthesizer, converter or vocoder.")
    ],
    *,
    data: Annotated[list[Path], typer.Option(help="Folder of features; may be given several times.")],
    out: Annotated[Path, typer.Option(help="Folder of the run: checkpoint, weights, curves.")],
    preset: Annotated[str, typer.Option(help="tiny, base or large.")] = "base",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in OUT stopped.")] = False,
    init: Annotated[Path | None, typer.Option(help="Start from these weights.")] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Stop after so many.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.0, help="Or after so long.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="FIELD=VALUE", help="Replace a setting of the preset."),
    ] = None,
    weights: WeightsOption = None,
) -> None:
    """Train one of the five models."""
    if steps is not None and minutes is not None:
        raise typer.BadParameter("give either --steps or --minutes")
    fields = dict(_field(setting) for setting in settings or [])
    fields |= {"steps": steps} if steps is not None else {}
    fields |= {"minutes": minutes} if minutes is not None else {}
    _need("accelerate", extra="train")
    from dataclasses import fields as fields_of

    from voiceswap.training.loop import TrainingConfig
    from voiceswap.training.run import run

    of_loop = {field.name for field in fields_of(TrainingConfig)}
    run(
        model,
        preset=preset,
        data=data,
        out=out,
        resume=resume,
        init=init,
        teachers=weights,
        loop={name: value for name, value in fields.items() if name in of_loop},
        task={name: value for name, value in fields.items() if name not in of_loop},
    )
    typer.echo(f"{out / model}.safetensors")


@app.command()
def evaluate(
    *,
    corpus: Annotated[Path, typer.Option(help="Folder with manifest.tsv and its recordings.")],
    out: Annotated[Path, typer.Option(help="Folder for the report and what is made for it.")],
    count: Annotated[int, typer.Option(help="Items of each task.")] = 100,
    seed: SeedOption = 0,
    speaker: Annotated[
        list[str] | None, typer.Option(help="Only this speaker; may be given several times.")
    ] = None,
    split: Annotated[str, typer.Option(help="The speakers' split in the manifest.")] = "dev-unseen",
    other: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=DIR", help="Recordings by another system; several times."),
    ] = None,
    others_only: Annotated[bool, typer.Option("--others-only", help="Measure those alone.")] = False,
    pictures: Annotated[bool, typer.Option(help="Draw mels, F0 and spread by speaker.")] = True,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
) -> None:
    """Measure the models beside recordings of people, and beside other systems."""
    others = {name: Path(folder) for name, folder in (_pair(given, "--other") for given in other or [])}
    from rich.console import Console

    from voiceswap.evaluation import report, tables

    measured = report.evaluate(
        None if others_only else _studio(device, weights),
        corpus,
        out,
        count=count,
        seed=seed,
        speakers=speaker or (),
        split=split,
        others=others,
        pictures=pictures,
        progress=sys.stderr.isatty(),
    )
    for table in tables.rich_tables(measured):
        Console().print(table)
    typer.echo(f"{out / 'report.md'}")


def _studio(device: str, weights: Path | None) -> Studio:
    from voiceswap.studio import load

    return load(device, weights=weights)


def _studio_and_voice(name: str, device: str, weights: Path | None) -> tuple[Studio, Voice]:
    """The studio and the voice `name`; what looks like a path is a file, read before torch is loaded."""
    from voiceswap.voice import Voice

    if name.endswith(".voice") or Path(name).name != name:
        person = Voice.load(name)
        return _studio(device, weights), person
    studio = _studio(device, weights)
    if name not in studio.voices:
        raise OptionError(
            f"the voice {name!r}",
            f"built in are {', '.join(studio.voices)}",
            "Name one of them, or a .voice file",
        )
    return studio, studio.voices[name]


def _read_text(path: Path | None) -> str:
    """The text of a file, or of standard input for ``-``."""
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(LARGEST_TEXT + 1)
        else:
            with Path(path or "").open("rb") as handle:
                content = handle.read(LARGEST_TEXT + 1)
    except OSError as error:
        raise FileError(
            f"the text {str(path)!r}", f"it cannot be read ({error.strerror})", "Check the path"
        ) from None
    if len(content) > LARGEST_TEXT:
        raise TextError(
            f"the text {str(path)!r}", f"it is longer than {LARGEST_TEXT} bytes", "Speak it in parts"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise TextError(
            f"the text {str(path)!r}",
            f"it is not UTF-8 (byte {error.start})",
            "Save it as plain text in UTF-8",
        ) from None


def _writer(out: Path, force: bool) -> SpeechWriter:
    """A writer whose place is checked already, as models take seconds to load."""
    from voiceswap.speech import SpeechWriter

    return SpeechWriter(out, force=force)


def _write(pieces: Iterable[Speech], writer: SpeechWriter, out: Path, *, about: float) -> None:
    """Write `pieces` as they come, on a bar of `about` so many seconds."""
    seconds = 0.0
    with writer, _bar("making speech", about) as advance:
        for piece in pieces:
            writer.write(piece)
            seconds += piece.duration
            advance(piece.duration)
    typer.echo(f"{out}: {seconds:.1f} s")


@contextmanager
def _bar(label: str, total: float) -> Iterator[Callable[[float], None]]:
    """A progress bar where standard error is a terminal; gives what moves it on."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.advance(task, done)


def _bars(label: str) -> Callable[[Iterable[Any], int], Iterator[Any]]:
    """A progress bar around a loop of known length."""

    def track(items: Iterable[Any], total: int) -> Iterator[Any]:
        with _bar(label, total) as advance:
            for item in items:
                yield item
                advance(1)

    return track


def _pair(given: str, option: str) -> tuple[str, str]:
    name, equals, value = given.partition("=")
    if not (name and equals and value):
        raise typer.BadParameter(f"{given!r} is not NAME=VALUE", param_hint=option)
    return name, value


def _field(given: str) -> tuple[str, Any]:
    """A setting with its value as JSON, lists made tuples, or as text if it is none."""
    name, value = _pair(given, "--set")
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


if __name__ == "__main__":
    sys.exit(main())
