"""Why a piece of a folder is not kept: its signal, another language, two people, a stranger, not its text.

Who belongs in a folder, and where a transcript goes on, a piece alone does not tell: all pieces of a
speaker, and of a recording, are looked at together.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from voiceswap.training.raw_report import Found
from voiceswap.training.transcripts import lay_beside, transcript_of

MISMATCH = 0.45
"""Share of a piece's phones that may not fit its text."""
STRANGER = 0.5
"""Least cosine of a piece's speaker to the speaker that most pieces of its folder have.

Of 17 people never trained on, 0.6 % of 174 pieces of 1.6 to 12 s lie below it, and 98.4 % of 3,056 of others.
"""
TWO_PEOPLE = 0.5
"""Least cosine of a piece's halves, where it lasts long enough to be halved; as for enrollment."""
SURE = 0.9
"""Least probability of another language to believe it."""


def compared(found: Sequence[Found], language: str) -> list[Found]:
    """With the faults of the signal, of language, of two people in a piece, and of another than most here."""
    vectors: dict[str, list[np.ndarray]] = defaultdict(list)
    for f in found:
        if not f.signal.faults:
            vectors[f.speaker].append(np.array(f.vector))
    usual = {}
    for speaker, of in vectors.items():
        # The piece that is most like all others stands for the person, not a mean that strangers move.
        among = np.stack(of)
        usual[speaker] = among[int(np.median(among @ among.T, 1).argmax())]
    checked = []
    for f in found:
        faults = list(f.signal.faults)
        if f.language[0] != language and f.language[1] >= SURE:
            faults.append(f"another language ({f.language[0]}, {f.language[1]:.0%} sure)")
        if f.alike < TWO_PEOPLE:
            faults.append(f"two people (likeness {f.alike:.2f} of its halves)")
        elif f.speaker in usual and (like := float(np.array(f.vector) @ usual[f.speaker])) < STRANGER:
            faults.append(f"another person than most here (likeness {like:.2f})")
        checked.append(replace(f, faults=tuple(faults)))
    return checked


def with_texts(found: Sequence[Found], folder: Path, language: str) -> list[Found]:
    """With the words of each recording's transcript, where it has one, and the fault of not fitting them."""
    of: dict[str, list[Found]] = defaultdict(list)
    for f in found:
        of[f.path].append(f)
    told = []
    for name, pieces in of.items():
        transcript = transcript_of(folder / name)
        if transcript is None:
            told += pieces
            continue
        # What somebody else says in between is no part of the transcript.
        read = [() if any("people" in w or "person" in w for w in f.faults) else f.phones for f in pieces]
        for f, said in zip(pieces, lay_beside(read, transcript, language), strict=True):
            if said is None and f.faults:
                told.append(f)
            elif said is None:
                told.append(replace(f, faults=(*f.faults, "nothing of the transcript")))
            elif said.mismatch > MISMATCH:
                fault = f"it does not say its text ({said.mismatch:.0%} of the phones differ): {said.text}"
                told.append(replace(f, faults=(*f.faults, fault)))
            else:
                told.append(replace(f, text=said.text))
    return told
