"""How many frames each phone of an aligned recording has."""

from __future__ import annotations

import numpy as np

from voiceswap.acoustics import ACOUSTICS
from voiceswap.errors import DataError, PhonemeError
from voiceswap.text.phonemes import FIRST_PHONE, make

_SILENT_LOG_MEL = -3.5  # a pause in the log-mel mean, relative to the utterance's loud frames


def frames_of(
    phones: list[str], ends: list[float], mel: np.ndarray
) -> tuple[list[int], list[int], list[int]]:
    """Ids, stresses and frame counts from spelled phones and the seconds at which each one ends.

    A boundary or punctuation mark keeps its frames only where the spectrum is quiet: there it is a pause.
    Elsewhere its frames go to its neighbours, so that its duration means silence in every corpus. Raises
    DataError for phones and ends of different number.
    """
    if len(phones) != len(ends):
        raise DataError(
            f"{len(phones)} phones with {len(ends)} ends", "each one has an end", "Align the recording again"
        )
    total = len(mel)
    level = mel.astype(np.float32).mean(1)
    quiet = level < np.percentile(level, 95) + _SILENT_LOG_MEL
    edges = np.clip(np.round(np.array([0.0, *ends]) * ACOUSTICS.frame_rate).astype(int), 0, total)
    edges[-1] = total
    ids: list[int] = []
    stress: list[int] = []
    counts: list[int] = []
    carry = 0
    last = -1  # the place of the last sound; before the first one, of the last mark
    for phone, start, end in zip(phones, edges[:-1], edges[1:], strict=True):
        n = int(end - start)
        try:
            parts = make([phone])
        except PhonemeError:  # quotation marks and the like: their time belongs to the phone before
            if counts:
                counts[-1] += n
            else:
                carry += n
            continue
        share = [n // len(parts)] * len(parts)
        share[0] += n - sum(share)
        if parts.ids[0] < FIRST_PHONE and n and quiet[start:end].mean() < 0.5:
            if counts:
                counts[last] += n // 2
                carry += n - n // 2
                share = [0]
        else:
            share[0] += carry
            carry = 0
        ids += parts.ids
        stress += parts.stress
        counts += share
        if parts.ids[-1] >= FIRST_PHONE:
            last = len(counts) - 1
    if counts:
        counts[last] += carry
    return ids, stress, counts
