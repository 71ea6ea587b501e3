"""Which figures benchmarks/publish.py shows where, how they are written, and what each must reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voiceswap.evaluation.judge import COUNTS
from voiceswap.evaluation.report import Report
from voiceswap.evaluation.similarity import ENCODERS

PICTURES = {
    "mels.png": "Mels of sources (left) and of what was made of them (right)",
    "f0.png": "F0 of sources and of what was made of them",
    "speakers.png": "Likeness, errors and DNSMOS by speaker",
}
NAMES = {"hibari": "hibari-tts", "piper": "piper-tts, joe", "kokoro": "Kokoro", "world": "WORLD"}


@dataclass(frozen=True)
class Floor:
    """A figure of the report or of the limits with what it must reach."""

    label: str
    source: tuple[str, ...]
    """Task and figure of the report; task and "speed"; or the name of a limit."""
    floor: float
    at_least: bool
    unit: str = ""
    relative: bool = False
    """Whether what counts is the share of the recordings' own figure, or of that of the systems `beside`."""
    beside: tuple[str, ...] = ()
    """Other systems: what counts is the difference to the best of them, unless it is `relative`."""


_READERS = ("hibari", "piper", "kokoro")
FLOORS = (
    Floor("character error rate, built-in voices", ("builtin", "character_error_rate"), 1.5, False, " %"),
    Floor("character error rate, unseen speakers", ("speak", "character_error_rate"), 3, False, " %"),
    Floor(
        "character error rate of conversions above the sources' own",
        ("convert", "character_error_rate_above"),
        *(4, False, " points"),
    ),
    Floor("likeness of spoken text, GE2E", ("speak", "ge2e_share"), 0.65, True),
    Floor("likeness of conversions, GE2E", ("convert", "ge2e_share"), 0.65, True),
    Floor("likeness of spoken text, CAM++", ("speak", "campplus_share"), 0.55, True),
    Floor("likeness of conversions, CAM++", ("convert", "campplus_share"), 0.55, True),
    Floor("nearer to the target than to the source, GE2E", ("convert", "ge2e_nearer"), 97, True, " %"),
    Floor("the same, CAM++", ("convert", "campplus_nearer"), 97, True, " %"),
    Floor("the same between women and men, CAM++", ("convert", "campplus_nearer_across"), 97, True, " %"),
    Floor("copy-synthesis PESQ, wide band", ("copy", "pesq"), 3.6, True),
    Floor("DNSMOS overall, built-in voices", ("builtin", "dnsmos"), 3.3, True),
    Floor("Distill-MOS, built-in voices", ("builtin", "distillmos"), 4.0, True),
    Floor("DNSMOS overall, unseen speakers", ("speak", "dnsmos"), 3.1, True),
    Floor("Distill-MOS, unseen speakers", ("speak", "distillmos"), 3.3, True),
    Floor("F0 correlation of a conversion with its source", ("convert", "f0_correlation"), 0.9, True),
    Floor("the same, octave slips included", ("convert", "f0_correlation_all"), 0.9, True),
    Floor("voicing error of a conversion", ("convert", "voicing_error"), 8, False, " %"),
    Floor("spread of F0, share of the recordings'", ("speak", "f0_spread"), 0.85, True, relative=True),
    Floor("the same, at most", ("speak", "f0_spread"), 1.15, False, relative=True),
    Floor(
        "character error rate, built-in voices, above the best of hibari-tts, joe and Kokoro",
        ("builtin", "character_error_rate"),
        *(1, False, " points"),
        beside=_READERS,
    ),
    Floor("DNSMOS, the same", ("builtin", "dnsmos"), -0.1, True, beside=_READERS),
    Floor("Distill-MOS, the same", ("builtin", "distillmos"), -0.3, True, beside=_READERS),
    Floor(
        "speed, as a share of the faster of joe and Kokoro",
        ("builtin", "speed"),
        *(1, True, " ×"),
        relative=True,
        beside=("piper", "kokoro"),
    ),
    Floor(
        "speed, as a share of hibari-tts'",
        *(("builtin", "speed"), 0.5, True, " ×"),
        relative=True,
        beside=("hibari",),
    ),
    Floor(
        "parallel conversion, three sentences of enrollment: mel-cepstral distortion below the source's",
        *(("parallel_enrolled",), 30, True, " %"),
    ),
    Floor("the same with adapters", ("parallel_adapted",), 30, True, " %"),
    Floor("speed on one core, text to waveform", ("speak", "speed"), 20, True, " ×"),
    Floor("speed on one core, recording to recording", ("convert", "speed"), 20, True, " ×"),
    Floor("weights of all models together", ("weights_mb",), 60, False, " MB"),
    Floor("peak memory, 30,000 words of text", ("speak_memory_mb",), 1500, False, " MB"),
    Floor("peak memory, a recording of one hour", ("convert_memory_mb",), 1500, False, " MB"),
    Floor("`voiceswap speak` of one word, a new process", ("start_seconds",), 6, False, " s"),
    Floor("`import voiceswap` after torch", ("import_seconds",), 1, False, " s"),
    Floor("first piece of `stream`, long sentence, 2 cores", ("first_long_2_seconds",), 0.3, False, " s"),
)
"""What we want to reach; docs/results.md says which are met."""

README_ROWS = {
    "builtin": ("character_error_rate", "dnsmos", "distillmos"),
    "speak": ("character_error_rate", "ge2e_share", "campplus_share", "dnsmos"),
    "convert": (
        *("character_error_rate_above", "ge2e_share", "campplus_share"),
        *("ge2e_nearer", "campplus_nearer", "f0_correlation", "dnsmos"),
    ),
    "copy": ("pesq",),
}
README_TITLES = {
    "builtin": "text, built-in voices",
    "speak": "text, people enrolled from 10 s",
    "convert": "conversion",
    "copy": "copy-synthesis",
}
README_LABELS = {
    "character_error_rate": "character errors, %",
    "character_error_rate_above": "character errors above the source's, points",
    "ge2e_share": "likeness (GE2E), 0 to 1",
    "campplus_share": "likeness (CAM++), 0 to 1",
    "ge2e_nearer": "nearer to target than to source (GE2E), %",
    "campplus_nearer": "nearer to target than to source (CAM++), %",
    "f0_correlation": "F0 correlation",
    "dnsmos": "DNSMOS",
    "distillmos": "Distill-MOS",
    "pesq": "PESQ",
}
CARD_TASKS = {
    "vocoder": ("copy",),
    "phone-recognizer": ("convert",),
    "speaker-encoder": ("speak", "convert"),
    "synthesizer": ("builtin", "speak"),
    "converter": ("convert",),
    "detector": (),
    "voices": ("builtin",),
}
CARD_FIGURES = {
    "phone-recognizer": tuple(COUNTS),
    "speaker-encoder": tuple(f"{encoder}_{kind}" for kind in ("share", "target") for encoder in ENCODERS),
}
"""Of the figures of its tasks, those that say something of this model; all where it is not named."""


def table(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *body]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def speed_of(report: Report, system: str, task: str) -> float | None:
    """Seconds of audio from a second of one core."""
    watch = report.speed.get(system, {}).get("speed", {}).get(task)
    return watch["audio_seconds"] / max(watch["cpu_seconds"], 1e-9) if watch else None


def short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
