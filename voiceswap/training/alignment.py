"""Durations for recordings with text: forced alignment by the PhoneRecognizer, kept beside the features."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from voiceswap.data.features import FeatureStore, Item, padded
from voiceswap.models.phone_recognizer import PhoneRecognizer, to_class
from voiceswap.text.phonemes import FIRST_PHONE

_LONGEST_GAP = 4
"""Frames of silence after a sound that belong to it; only longer ones are a pause."""


def _spans(path: np.ndarray, count: int) -> list[tuple[int, int]]:
    """First and last-plus-one frame pair of each of `count` tokens along a path of numbers (-1 silence)."""
    spans = []
    for token in range(count):
        places = np.flatnonzero(path == token)
        spans.append((int(places[0]), int(places[-1]) + 1))
    return spans


def _path(best: np.ndarray) -> np.ndarray:
    """Class path → token-number path: a token begins where the class changes to a sound."""
    numbers = np.full(len(best), -1)
    token = -1
    for t, label in enumerate(best):
        if label and (t == 0 or best[t - 1] != label):
            token += 1
        if label:
            numbers[t] = token
    return numbers


@torch.inference_mode()
def align_item(model: PhoneRecognizer, mel: np.ndarray, item: Item) -> tuple[list[int], float] | None:
    """Frames of every phoneme of `item`, and the mean log-probability; None if it cannot be aligned."""
    from torchaudio.functional import forced_align

    symbols = padded(item.phonemes)
    sounds = [index for index, symbol in enumerate(symbols) if symbol >= FIRST_PHONE]
    targets = to_class(torch.tensor([symbols[i] for i in sounds]))
    scores = model(torch.from_numpy(mel.astype(np.float32)).T[None])[1].log_softmax(-1)
    repeats = int((targets[1:] == targets[:-1]).sum())
    if not sounds or scores.shape[1] < len(sounds) + repeats:
        return None
    best, likelihood = forced_align(scores, targets[None].to(torch.int32), blank=0)
    spans = _spans(_path(best[0].numpy()), len(sounds))
    durations = [0] * len(symbols)
    durations[0] = clock = 2 * spans[0][0]
    for number, index in enumerate(sounds):
        last = number + 1 == len(sounds)
        end = min(2 * spans[number][1], item.frames)
        following = item.frames if last else 2 * spans[number + 1][0]
        between = range(index + 1, len(symbols) if last else sounds[number + 1])
        # Silence becomes a pause where the text has a mark for it, and else belongs to the sound before.
        mark = next((i for i in reversed(between) if symbols[i] < FIRST_PHONE), None)
        if mark is None or following - end <= _LONGEST_GAP:
            end = following
        else:
            durations[mark] = following - end
        durations[index] = end - clock
        clock = following
    return durations, float(likelihood.mean())


def align_store(
    model: PhoneRecognizer,
    store: FeatureStore,
    *,
    lowest: float = -1.2,
    progress: Callable[[Iterable[Any], int], Iterable[Any]] | None = None,
) -> dict[str, float]:
    """Align every English item that has text and no alignment; write ``alignments.json`` beside the index.

    Items whose mean log-probability lies under `lowest` are left out (wrong text, or not understood).
    Returns the scores of all items, for a look.
    """
    rows: dict[str, list[int]] = {}
    scores: dict[str, float] = {}
    todo = [i for i in store.raw_items if i.phonemes and not i.durations and i.language == "en"]
    for item in progress(todo, len(todo)) if progress else todo:
        found = align_item(model, store.mel(item), item)
        if found is not None:
            scores[item.id] = found[1]
            if found[1] >= lowest:
                rows[item.id] = found[0]
    (store.folder / "alignments.json").write_text(
        json.dumps({"model": model.weights_hash, "durations": rows})
    )
    return scores
