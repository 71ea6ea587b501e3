"""The command line: parses and prints; the modules that do the work are imported when they are needed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from voiceswap import __version__, cli_evaluation, cli_training
from voiceswap.cli_batch import speak_batch
from voiceswap.cli_common import (
    DeviceOption,
    ForceOption,
    NameOption,
    OutOption,
    PitchOption,
    ScopeOption,
    SeedOption,
    UntilOption,
    VoiceOption,
    WeightsOption,
    bar,
    load_studio,
)
from voiceswap.errors import TextError, VoiceswapError

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
    text: Annotated[
        str | None, typer.Argument(help="What to say; [[phonemes]] and [[pause 300ms]] as well.")
    ] = None,
    *,
    file: Annotated[
        Path | None, typer.Option(help="Read the text from this file; - is standard input.")
    ] = None,
    batch: Annotated[
        Path | None,
        typer.Option(help="Speak each row of a table (columns id, text, …; or .jsonl) to OUT/ID.wav."),
    ] = None,
    voice: Annotated[
        str | None, typer.Option(help="A built-in voice's name, or a file that `enroll` wrote.")
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            "-o", "--out", help="Audio file: .wav, .flac, .ogg, .opus or .mp3; of a batch, a folder."
        ),
    ],
    speed: Annotated[float, typer.Option(help="Tempo, 0.5 to 2; 2 is twice as fast.")] = 1.0,
    pitch: PitchOption = 0.0,
    like: Annotated[
        Path | None, typer.Option(help="A recording of the same text, whose timing and melody to take.")
    ] = None,
    language: Annotated[str, typer.Option(help="Of the text: one that the weights speak.")] = "en",
    seed: SeedOption = 0,
    format: Annotated[str, typer.Option(help="Of a batch's files: wav, flac or mp3.")] = "wav",
    jobs: Annotated[int, typer.Option(min=1, help="Processes that make a batch.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(help="Dask cluster that makes a batch, such as tcp://host:8786.")
    ] = None,
    force: ForceOption = False,
    device: DeviceOption = "auto",
    weights: WeightsOption = None,
) -> None:
    """Say text of any length in a voice, or each row of a table."""
    if [text, file, batch].count(None) != 2:
        raise typer.BadParameter("give one of TEXT, --file and --batch")
    if batch is not None:
        if jobs > 1 and scheduler is not None:
            raise typer.BadParameter("give either --jobs or --scheduler")
        speak_batch(
            batch,
            out,
            defaults={
                "voice": voice,
                "speed": speed,
                "pitch": pitch,
                "language": language,
                "like": like,
                "seed": seed,
            },
            **{"format": format, "jobs": jobs, "scheduler": scheduler},
            **{"force": force, "device": device, "weights": weights},
        )
        return
    if (format, jobs, scheduler) != ("wav", 1, None):
        raise typer.BadParameter("--format, --jobs and --scheduler are for --batch")
    if voice is None:
        raise typer.BadParameter("give a voice", param_hint="--voice")
    writer = _writer(out, force)
    said = text if text is not None else _text_of(file)
    studio, speaker = _studio_and_voice(voice, device, weights)
    pieces = studio.stream(said, speaker, speed=speed, pitch=pitch, seed=seed, like=like, language=language)
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
    name: NameOption,
    scope: ScopeOption,
    until: UntilOption,
    out: Annotated[Path, typer.Option("-o", "--out", help="Voice file, such as ada.voice.")],
    given: Annotated[str, typer.Option(help="How they consented, in words.")] = "",
    statement: Annotated[
        Path | None, typer.Option(help="A recording of the person reading what `statement` prints.")
    ] = None,
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
    studio = load_studio(device, weights)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        voice = studio.enroll(recordings, consent=consent, statement=statement)
    for warning in caught:
        typer.echo(f"voiceswap: warning: {warning.message}", err=True)
    voice.save(out, force=force)
    typer.echo(
        f"{out}: {name}, {voice.f0_median:.0f} Hz, may {', '.join(consent.scope)} until {consent.until}"
    )


@app.command()
def statement(*, name: NameOption, scope: ScopeOption, until: UntilOption) -> None:
    """Print what a person reads aloud, for `enroll --statement`."""
    from voiceswap.provenance import Consent

    typer.echo(Consent(name, scope, until).statement)


@app.command()
def revoke(voice: Annotated[Path, typer.Argument(help="A file that `enroll` wrote.")]) -> None:
    """Take back the consent in a voice file: on this computer, no copy of the voice is used again."""
    from voiceswap.voice import Voice

    Voice.load(voice).revoke()
    typer.echo(f"{voice}: revoked on this computer")


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="Audio of any format and length.")],
    *,
    pictures: Annotated[
        Path | None, typer.Option(help="A folder for a picture of each: where it sounds synthetic.")
    ] = None,
) -> None:
    """Say what shows whether voiceswap made a file: its manifest, the mark in it, and how it sounds."""
    from voiceswap.verification import verify as examine

    for path in files:
        found = examine(path)
        if pictures is not None:
            from voiceswap.suspicion import draw

            pictures.mkdir(parents=True, exist_ok=True)
            draw(found.sound, path, pictures / f"{path.name}.png")
        first, *others = found.findings
        typer.echo(f"{path}: {first}")
        for line in others:
            typer.echo(f"  {line}")


@app.command()
def voices(*, weights: WeightsOption = None) -> None:
    """List the built-in voices; they belong to nobody."""
    from rich.console import Console
    from rich.table import Table

    table = Table("voice", "pitch, Hz", box=None)
    for voice in load_studio("cpu", weights).voices.values():
        table.add_row(voice.name, f"{voice.f0_median:.0f}")
    Console().print(table)


for _command in (cli_training.prepare, cli_training.shard, cli_training.train, cli_evaluation.evaluate):
    app.command()(_command)


def _studio_and_voice(name: str, device: str, weights: Path | None) -> tuple[Studio, Voice]:
    """The studio and the voice `name`; a file is read before torch is loaded."""
    from functools import cache

    from voiceswap.batch import find_voice

    studio = cache(lambda: load_studio(device, weights))
    voice = find_voice(name, studio)
    return studio(), voice


def _text_of(path: Path | None) -> str:
    """The text of a file, or of standard input for ``-``."""
    from voiceswap.files import read_text

    place = None if str(path) == "-" else path
    name = f"the text {str(path)!r}"
    return read_text(place, name, largest=LARGEST_TEXT, longer="Speak it in parts", error=TextError)


def _writer(out: Path, force: bool) -> SpeechWriter:
    """A writer whose place is checked already, as models take seconds to load."""
    from voiceswap.speech import SpeechWriter

    return SpeechWriter(out, force=force)


def _write(pieces: Iterable[Speech], writer: SpeechWriter, out: Path, *, about: float) -> None:
    """Write `pieces` as they come, on a bar of `about` so many seconds."""
    seconds = 0.0
    with writer, bar("making speech", about) as advance:
        for piece in pieces:
            writer.write(piece)
            seconds += piece.duration
            advance(piece.duration)
    typer.echo(f"{out}: {seconds:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
