"""Who is wanted in training: people, also disguised as others, and what is remembered of a reference."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from voiceswap.acoustics import ACOUSTICS
from voiceswap.data.batches import Utterance, crop
from voiceswap.data.perturb import warp_formants
from voiceswap.models.dynamics import loudness_of
from voiceswap.models.phone_recognizer import PhoneRecognizer
from voiceswap.models.timbre import Tables, remembered, tables_of
from voiceswap.training.loop import Batch


def disguised(
    task: Any, utterance: Utterance, mel: np.ndarray, f0: np.ndarray, rng: np.random.Generator | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, float]:
    """A mel [T, M] and F0 [T] by chance as of someone with a longer or shorter tract, that one's vector, and
    the factor of the tract.

    None instead of the vector where they stay as they are; without `rng` they always do.
    """
    if rng is None or rng.random() >= task.config.pseudo:
        return mel, f0, None, 1.0
    factor = float(np.exp(rng.uniform(-0.15, 0.15)))
    vector = task.table.warped_vector(utterance, factor, rng)
    return *warped(mel, f0, factor), vector, factor


def warped(mel: np.ndarray, f0: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """A mel [T, M] and F0 [T] of a tract shorter by `factor`.

    Stretching the bands moves what lies below 1 kHz, harmonics included, so F0 moves with it.
    """
    return warp_formants(mel, factor), f0 * np.float32(factor)


class References:
    """Another recording of each row's speaker, `frames` of it."""

    def __init__(self, frames: int) -> None:
        self._frames = frames
        self._mels: list[np.ndarray] = []
        self._pitches: list[np.ndarray] = []
        self._known: list[bool] = []

    def append(self, utterance: Utterance | None, factor: float, rng: np.random.Generator) -> None:
        """One that is as of a tract shorter by `factor`; nothing is known where there is no `utterance`."""
        mel = np.zeros((self._frames, ACOUSTICS.n_mels), np.float32)
        f0 = np.zeros(self._frames, np.float32)
        if utterance is not None:
            mel, f0, _ = crop(utterance, self._frames, rng)
            if factor != 1.0:
                mel, f0 = warped(mel, f0, factor)
        self._mels.append(mel)
        self._pitches.append(f0)
        self._known.append(utterance is not None)

    def batch(self) -> Batch:
        """reference [B, M, R], reference_f0 [B, R], and whether these are known [B]."""
        return {
            "reference": torch.from_numpy(np.stack(self._mels)).transpose(1, 2),
            "reference_f0": torch.from_numpy(np.stack(self._pitches)),
            "known": torch.tensor(self._known),
        }


def tables_for(converter: nn.Module, recognizer: PhoneRecognizer, batch: Batch, rows: Tensor) -> list[Tables]:
    """Of `rows` what the `converter` lacks of their references in their vectors; of no reference nothing."""
    there = batch["known"][rows]
    if not there.any():
        return [[] for _ in rows]
    names = ("reference", "reference_f0", "speaker", "quality")
    mel, f0, speaker, quality = (batch[name][rows[there]] for name in names)
    with torch.no_grad():
        content, logits = recognizer(mel)
    made = converter(content, logits, f0, mel, loudness_of(mel), speaker, quality).float()
    found = zip(made, mel, f0, strict=True)
    return [tables_of(*remembered(*next(found))) if known else [] for known in there.tolist()]
