"""Durations for recordings with text: forced alignment by the PhoneRecognizer, kept beside the features."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from voiceswap.data.features import FeatureStore, padded
from voiceswap.models.alignment import forced_durations
from voiceswap.models.phone_recognizer import PhoneRecognizer


def align_store(
    model: PhoneRecognizer,
    store: FeatureStore,
    *,
    lowest: float = -1.2,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> dict[str, float]:
    """Align every item that has text and no durations; write ``alignments.json`` beside the index.

    Items whose mean log-probability lies under `lowest` are left out (wrong text, or not understood).
    Returns the scores of all items, for a look.
    """
    rows: dict[str, list[int]] = {}
    scores: dict[str, float] = {}
    todo = [i for i in store.raw_items if i.phonemes and not i.durations]
    for item in progress(todo, len(todo)) if progress else todo:
        mel = torch.from_numpy(store.mel(item).astype(np.float32)).T
        found = forced_durations(model, mel, padded(item.phonemes))
        if found is not None:
            scores[item.id] = found[1]
            if found[1] >= lowest:
                rows[item.id] = found[0]
    (store.folder / "alignments.json").write_text(
        json.dumps({"model": model.weights_hash, "durations": rows})
    )
    return scores
