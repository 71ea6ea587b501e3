"""Forced alignment: how many frames each phoneme of a text lasts in a recording of it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from voiceswap.models.phone_recognizer import PhoneRecognizer, to_class
from voiceswap.text.phonemes import FIRST_PHONE

_LONGEST_GAP = 4
"""Frames of silence after a sound that belong to it; only longer ones are a pause."""


@torch.inference_mode()
def forced_durations(
    model: PhoneRecognizer, mel: Tensor, symbols: Sequence[int]
) -> tuple[list[int], float] | None:
    """Frames of every symbol (inventory ids, a boundary at both ends) in a log-mel [M, T]; they add up to T.

    With them the mean log-probability of the path. None if the frames are fewer than the sounds. The path is
    Viterbi's over the recognizer's posteriors, as torchaudio finds it.
    """
    from torchaudio.functional import forced_align

    frames = mel.shape[1]
    sounds = [index for index, symbol in enumerate(symbols) if symbol >= FIRST_PHONE]
    targets = to_class(torch.tensor([symbols[i] for i in sounds]))
    scores = model(mel[None])[1].float().log_softmax(-1).cpu()
    repeats = int((targets[1:] == targets[:-1]).sum())
    if not sounds or scores.shape[1] < len(sounds) + repeats:
        return None
    best, likelihood = forced_align(scores, targets[None].to(torch.int32), blank=0)
    spans = _spans(_path(best[0].numpy()), len(sounds))
    durations = [0] * len(symbols)
    durations[0] = clock = 2 * spans[0][0]
    for number, index in enumerate(sounds):
        last = number + 1 == len(sounds)
        end = min(2 * spans[number][1], frames)
        following = frames if last else 2 * spans[number + 1][0]
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


def worst_stretch(scores: Tensor, classes: Sequence[int], *, steps: int) -> float:
    """Least mean, over `steps` in a row, of the best path of `classes` against whatever class is likeliest.

    `scores` are log-probabilities [T, CLASSES]; the result is at most 0, and -inf where the classes have no
    room in T.
    """
    from torchaudio.functional import forced_align

    repeats = sum(a == b for a, b in pairwise(classes))
    if len(scores) < len(classes) + repeats:
        return float("-inf")
    along = forced_align(scores[None], torch.tensor([classes], dtype=torch.int32), blank=0)[1][0]
    ratios = (along - scores.amax(-1)).numpy()
    width = min(steps, len(ratios))
    return float(np.convolve(ratios, np.full(width, 1 / width), "valid").min())


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
