"""Make everything that a plan asks for with a `Studio`, and take the time."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from voiceswap.errors import EnrollmentError
from voiceswap.evaluation.protocol import Item, Plan
from voiceswap.threads import one_thread

if TYPE_CHECKING:
    from voiceswap.speech import Speech
    from voiceswap.studio import Studio
    from voiceswap.voice import Voice

Made = TypeVar("Made")
SPEED_FILE = "speed.json"
"""Beside a system's recordings: by task what a `Stopwatch` counted, the peak memory, and by item the name
of the built-in voice."""


class Stopwatch:
    """Adds up audio made, the time it took and processor time, which other programs do not swell."""

    def __init__(self) -> None:
        self.audio_seconds = self.seconds = self.cpu_seconds = 0.0

    @staticmethod
    def _now() -> tuple[float, float]:
        times = os.times()  # programs that a peer calls are in here too
        return time.perf_counter(), time.process_time() + times.children_user + times.children_system

    def time(self, make: Callable[[], Made], duration: Callable[[Made], float]) -> Made:
        """What `make` makes, counted with its `duration` in seconds."""
        wall, cpu = self._now()
        made = make()
        after = self._now()
        self.seconds += after[0] - wall
        self.cpu_seconds += after[1] - cpu
        self.audio_seconds += duration(made)
        return made


def peak_memory_mb() -> float:
    """Most memory that this process has held so far, in MB; nan where the system does not tell (Windows)."""
    try:
        import resource
    except ImportError:
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


def enroll(studio: Studio, plan: Plan) -> tuple[dict[str, Voice], dict[str, str]]:
    """Voices of the plan's people by name, and the reasons why others could not be enrolled."""
    from voiceswap.provenance.consent import Consent

    voices: dict[str, Voice] = {}
    refused: dict[str, str] = {}
    for name, person in plan.people.items():
        # Good for today: these voices exist while they are measured and are saved nowhere.
        consent = Consent(name, ("speak", "convert"), date.today(), given="the open licence of the corpus")
        try:
            voices[name] = studio.enroll([recording.path for recording in person.enrollment], consent=consent)
        except EnrollmentError as error:
            refused[name] = str(error)
    return voices, refused


def generate(
    studio: Studio, plan: Plan, out: Path, *, track: Callable[[Iterable[Item]], Iterable[Item]] = iter
) -> dict[str, str]:
    """Write ID.wav into `out` for every item of `plan`, and `SPEED_FILE`; returns who was refused and why.

    All on one thread. The first item of a task is made twice and timed the second time, so that what is
    loaded or compiled once does not count.
    """
    out.mkdir(parents=True, exist_ok=True)
    watches: dict[str, Stopwatch] = {}
    with one_thread():
        voices, refused = enroll(studio, plan)
        names = sorted(studio.voices)
        builtin: dict[str, str] = {}
        for number, item in enumerate(track(plan.items)):
            voice = voices.get(item.target)
            if item.task == "builtin" and names:
                builtin[item.id] = names[number % len(names)]
                voice = studio.voices[builtin[item.id]]
            make = _maker(studio, item, voice, seed=number)
            if make is None:
                continue
            if item.task not in watches:
                make()
            watch = watches.setdefault(item.task, Stopwatch())
            watch.time(make, lambda speech: speech.duration).save(out / f"{item.id}.wav", force=True)
    record = {
        "speed": {task: vars(watch) for task, watch in watches.items()},
        "peak_memory_mb": peak_memory_mb(),
        "voices": builtin,
    }
    (out / SPEED_FILE).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return refused


def _maker(studio: Studio, item: Item, voice: Voice | None, *, seed: int) -> Callable[[], Speech] | None:
    """What makes an item; None where its voice is not to be had."""
    if item.task == "copy" and item.source:
        return partial(studio.resynthesize, item.source.path)
    if voice is None:
        return None
    if item.source:
        return partial(studio.convert, item.source.path, voice)
    return partial(studio.speak, item.text, voice, seed=seed)
