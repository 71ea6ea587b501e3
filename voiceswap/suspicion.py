"""How synthetic a recording sounds, and where, with no mark to go by: what the Detector makes of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from voiceswap import audio, checkpoint
from voiceswap.errors import MissingExtraError
from voiceswap.files import replacing
from voiceswap.models.detector import RATE, STEP, spectrogram

WEIGHTS = Path(__file__).parent / "weights" / "detector.safetensors"
_BLOCK = 5.12  # seconds scored together: whole steps
_AROUND = 13  # scores, 1 s, that a place is judged by
_LEVEL = 0.05  # RMS that the detector knows
_FAINT = 1e-4  # RMS of a block below which it is silent


@dataclass(frozen=True)
class Suspicion:
    """How synthetic a recording sounds to the Detector: a hint, never a proof.

    `scores` [T] are probabilities, one for each 80 ms; NaN where it is silent.
    """

    score: float
    """Of the whole: 0 as people sound, 1 as the generators that it knows; NaN for silence."""
    scores: NDArray[np.float32]
    spans: tuple[tuple[float, float], ...]
    """Where the second around sounds more synthetic than not: begin and end in seconds."""

    @property
    def times(self) -> NDArray[np.float64]:
        """Middles of what `scores` stand for, in seconds."""
        return (np.arange(len(self.scores)) + 0.5) * STEP / RATE


@cache
def _detector(path: Path) -> Any:
    return checkpoint.load(path, "detector")


@torch.inference_mode()
def suspect(recording: str | Path | audio.Source, *, weights: Path = WEIGHTS) -> Suspicion:
    """How synthetic `recording`, of any format and length, sounds, and where.

    Measured, generator by generator, in docs/detector.md: it fails on what it has not learnt. Raises
    AudioError for what cannot be read, CheckpointError for weights that cannot.
    """
    model = _detector(weights)
    logits = [_scored(model, block) for block in audio.blocks(recording, seconds=_BLOCK, sample_rate=RATE)]
    found = np.concatenate(logits)
    heard = np.isfinite(found)
    total = float(1 / (1 + np.exp(-found[heard].mean()))) if heard.any() else float("nan")
    return Suspicion(total, (1 / (1 + np.exp(-found))).astype(np.float32), tuple(_spans(found)))


def _scored(model: Any, block: NDArray[np.float32]) -> NDArray[np.float64]:
    """Logits [T] of a block, NaN where it is silent."""
    count = -(-len(block) // STEP)
    level = float(block.std())
    if level < _FAINT:
        return np.full(count, np.nan)
    padded = np.pad(block / level * _LEVEL, (0, max(0, 4 * STEP - len(block))))
    logits = model(spectrogram(torch.from_numpy(padded.astype(np.float32))[None]))[0].numpy()[:count]
    power = np.square(np.pad(block, (0, count * STEP - len(block))).reshape(count, STEP)).mean(1)
    return np.where(power > 1e-4 * level**2, logits, np.nan)


def _spans(logits: NDArray[np.float64]) -> Iterable[tuple[float, float]]:
    heard = np.isfinite(logits)
    window = np.ones(_AROUND)
    total = np.convolve(np.where(heard, logits, 0), window, "same")
    suspicious = (total > 0) & (np.convolve(heard, window, "same") >= _AROUND / 4)
    edges = np.flatnonzero(np.diff(np.pad(suspicious.astype(int), 1))).reshape(-1, 2)
    return [(round(a * STEP / RATE, 2), round(b * STEP / RATE, 2)) for a, b in edges]


def draw(found: Suspicion, recording: str | Path | audio.Source, path: Path) -> None:
    """A picture of the first two minutes' spectrogram with the scores below it, as PNG.

    Raises MissingExtraError without matplotlib.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingExtraError(
            "matplotlib is not installed", "pictures are drawn by it", "Run: pip install matplotlib"
        ) from None
    samples = next(audio.blocks(recording, seconds=120.0, sample_rate=RATE))
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    picture = spectrogram(torch.from_numpy(samples)[None])[0].T.numpy()
    above.imshow(
        picture, origin="lower", aspect="auto", extent=(0, len(samples) / RATE, 0, 7.5), cmap="magma"
    )
    above.set_ylabel("kHz")
    below.plot(found.times, found.scores, color="tab:red")
    below.set(ylim=(0, 1), ylabel="synthetic", xlabel="seconds", xlim=(0, len(samples) / RATE))
    for begin, end in found.spans:
        below.axvspan(begin, end, color="tab:red", alpha=0.15)
    with replacing(path, force=True) as temporary:
        figure.savefig(temporary, format="png", dpi=90)
