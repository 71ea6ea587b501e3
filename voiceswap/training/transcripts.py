"""Which words of a long transcript a piece of the recording says.

What the PhoneRecognizer reads in the pieces, one after the other, is laid beside the phones of the words by
the least edits (Levenshtein; computed by rapidfuzz); each piece then gets the words whose phones lie in it.
That bears a recognizer with many errors, words that were never said and speech that is in no transcript.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from voiceswap.errors import TextError
from voiceswap.models.phone_recognizer import to_class
from voiceswap.text.normalize import normalize
from voiceswap.text.phonemes import FIRST_PHONE, phonemize

_TIMES = re.compile(r"^\s*(\d+|WEBVTT.*|NOTE.*|[\d:.,]+\s*-->.*)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Said:
    """The words of a piece, and how many of its phones do not fit them, as a share."""

    text: str
    mismatch: float


def transcript_of(recording: Path) -> str | None:
    """What NAME.txt, .srt or .vtt beside NAME.wav says, times and tags left out; None if none is there."""
    for suffix in (".txt", ".srt", ".vtt"):
        path = recording.with_suffix(suffix)
        if path.is_file():
            text = path.read_text("utf-8-sig", errors="replace")
            if suffix != ".txt":
                text = re.sub(r"<[^>]*>", "", _TIMES.sub("", text))
            return " ".join(text.split())
    return None


@lru_cache(maxsize=50_000)
def _classes(word: str, language: str) -> tuple[int, ...]:
    """The recognizer's classes of a word as it is written; none for what is not spoken."""
    try:
        ids = phonemize(normalize(word, language), language).ids
    except TextError:
        return ()
    return tuple(to_class(torch.tensor([i for i in ids if i >= FIRST_PHONE])).tolist())


def lay_beside(read: Sequence[Sequence[int]], transcript: str, language: str) -> list[Said | None]:
    """For every piece, whose phones were `read` as classes, its words of `transcript`; None for nothing."""
    from rapidfuzz.distance import Levenshtein

    words = transcript.split()
    told = [_classes(word, language) for word in words]
    target = [c for classes in told for c in classes]
    owner = np.repeat(np.arange(len(words)), [len(classes) for classes in told])
    source = [c for phones in read for c in phones]
    # Where each phone that was read lies in the transcript; the end is one more.
    place = np.zeros(len(source) + 1, int)
    heard = np.zeros(len(target))
    for op in Levenshtein.opcodes(source, target):
        many = op.src_end - op.src_start
        last = max(op.dest_end - 1, op.dest_start)
        place[op.src_start : op.src_end] = np.minimum(op.dest_start + np.arange(many), last)
        heard[op.dest_start : op.dest_end] = op.tag != "insert"
    place[-1] = len(target)
    ends = np.cumsum([len(classes) for classes in told])
    middles = ends - (np.array([len(classes) for classes in told]) + 1) // 2
    found: list[Said | None] = []
    start = 0
    for phones in read:
        end = start + len(phones)
        low = place[start]
        # A word belongs where most of it lies: its middle decides.
        high = place[end] if end < len(source) else len(target)
        mine = [w for w in np.unique(owner[low:high]) if low <= middles[w] < high]
        # At either end, words of which most was not heard were left out when it was read.
        while mine and heard[owner == mine[0]].mean() < 0.5:
            mine.pop(0)
        while mine and heard[owner == mine[-1]].mean() < 0.5:
            mine.pop()
        expected = [c for w in mine for c in told[w]]
        if not phones or not expected:
            found.append(None)
        else:
            wrong = Levenshtein.distance(list(phones), expected) / max(len(phones), len(expected))
            found.append(Said(" ".join(words[mine[0] : mine[-1] + 1]), float(wrong)))
        start = end
    return found
