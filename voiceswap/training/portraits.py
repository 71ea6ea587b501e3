"""Portraits of speakers: the mean spectrum of each of their phones, which a speaker vector should tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from voiceswap.data.batches import Utterance
from voiceswap.data.perturb import warp_formants
from voiceswap.models.speaker_encoder import BANDS
from voiceswap.text import INVENTORY
from voiceswap.text.phonemes import FIRST_PHONE

PHONES = len(INVENTORY)
_FEWEST = 6  # frames that make a mean worth telling
_MANY = 60  # frames beyond which it counts no more


class Portraits:
    """Mean log-mels of aligned phones, level removed: of every speaker, with or without one recording."""

    def __init__(self, speakers: Sequence[Sequence[Utterance]]) -> None:
        self._sums, self._counts = [], []
        for utterances in speakers:
            sums, counts = zip(*(_phone_sums(u) for u in utterances), strict=True)
            self._sums.append(np.stack(sums))
            self._counts.append(np.stack(counts))
        mean, known = np.zeros((PHONES, BANDS)), np.zeros(PHONES)
        for sums, counts in zip(self._sums, self._counts, strict=True):
            total = counts.sum(0)
            mean += sums.sum(0) / np.maximum(total, 1)[:, None]
            known += total > 0
        self.mean = mean / np.maximum(known, 1)[:, None]
        """Of all speakers alike, however much they said [PHONES, BANDS]."""

    def target(self, speaker: int, without: int, factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        """How the phones differ from everyone's mean [PHONES, BANDS], and what each counts for [PHONES].

        Of the recordings but number `without`, where there are others; with formants moved by `factor`.
        """
        sums, counts = self._sums[speaker], self._counts[speaker]
        kept = np.arange(len(sums)) != without if len(sums) > 1 else np.ones(1, bool)
        count = counts[kept].sum(0)
        values = warp_formants(sums[kept].sum(0) / np.maximum(count, 1)[:, None], factor) - self.mean
        weight = np.where(count >= _FEWEST, np.sqrt(np.minimum(count, _MANY) / _MANY), 0.0)
        return values.astype(np.float32), weight.astype(np.float32)


def _phone_sums(utterance: Utterance) -> tuple[np.ndarray, np.ndarray]:
    """Sum [PHONES, BANDS] and number [PHONES] of the frames inside each phone; zeros if not aligned."""
    sums, counts = np.zeros((PHONES, BANDS), np.float32), np.zeros(PHONES, np.float32)
    item = utterance.item
    if not item.durations:
        return sums, counts
    mel = utterance.mel()[:, :BANDS]
    symbols = np.repeat(item.phonemes, item.durations)[: len(mel)]
    inside = np.zeros(len(symbols), bool)
    for end, length in zip(np.cumsum(item.durations), item.durations, strict=True):
        edge = int(length > 3)  # transitions belong to the neighbors as well
        inside[end - length + edge : end - edge] = True
    inside &= symbols >= FIRST_PHONE
    mel, symbols = mel[: len(symbols)][inside], symbols[inside]
    np.add.at(sums, symbols, mel - mel.mean() if len(mel) else mel)
    np.add.at(counts, symbols, 1)
    return sums, counts
