"""What the commands share: options, progress bars, the studio."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from voiceswap.studio import Studio

VoiceOption = Annotated[str, typer.Option(help="A built-in voice's name, or a file that `enroll` wrote.")]
OutOption = Annotated[Path, typer.Option("-o", "--out", help="Audio file: .wav, .flac, .ogg, .opus or .mp3.")]
PitchOption = Annotated[float, typer.Option(help="Semitones up, or down if negative; -24 to 24.")]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an output that exists.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
WeightsOption = Annotated[
    Path | None, typer.Option(help="Folder of weights of your own; else the bundled ones.")
]
NameOption = Annotated[str, typer.Option(help="The person who consents.")]
ScopeOption = Annotated[
    str, typer.Option(help="What they consent to: speak, convert, train; separated by commas.")
]
UntilOption = Annotated[str, typer.Option(help="Last day of the consent, such as 2027-12-31.")]
SeedOption = Annotated[int, typer.Option(help="The same seed gives the same result.")]


def load_studio(device: str, weights: Path | None) -> Studio:
    """The studio of the bundled weights or of a folder, imported when a command needs it."""
    from voiceswap.studio import load

    return load(device, weights=weights)


@contextmanager
def bar(label: str, total: float) -> Iterator[Callable[[float], None]]:
    """A progress bar where standard error is a terminal; gives what moves it on."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total)
        yield lambda done: progress.advance(task, done)


def bars(label: str) -> Callable[[Iterable[Any], int], Iterator[Any]]:
    """A progress bar around a loop of known length."""

    def track(items: Iterable[Any], total: int) -> Iterator[Any]:
        with bar(label, total) as advance:
            for item in items:
                yield item
                advance(1)

    return track


def pair(given: str, option: str) -> tuple[str, str]:
    """Name and value of what was `given` to an option as NAME=VALUE."""
    name, equals, value = given.partition("=")
    if not (name and equals and value):
        raise typer.BadParameter(f"{given!r} is not NAME=VALUE", param_hint=option)
    return name, value
