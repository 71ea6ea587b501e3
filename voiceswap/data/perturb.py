"""Perturbed log-mels: other tracts, levels, rooms and bands, made where the mel lies."""

from __future__ import annotations

import numpy as np

_FLOOR = np.log(1e-5).astype(np.float32)


def warp_formants(mel: np.ndarray, factor: float) -> np.ndarray:
    """Stretch the bands of a log-mel [T, M] by `factor` (> 1: higher formants), as a shorter tract does."""
    bands = mel.shape[1]
    source = np.clip(np.arange(bands) / factor, 0, bands - 1)
    low = np.minimum(source.astype(int), bands - 2)
    weight = (source - low).astype(np.float32)
    return mel[:, low] * (1 - weight) + mel[:, low + 1] * weight


def stretch(mel: np.ndarray, factor: float) -> np.ndarray:
    """Change the tempo of [T, …]: `factor` > 1 makes it longer."""
    frames = max(2, round(len(mel) * factor))
    source = np.linspace(0, len(mel) - 1, frames)
    low = np.minimum(source.astype(int), len(mel) - 2)
    weight = (source - low).astype(np.float32)[:, None]
    return mel[low] * (1 - weight) + mel[low + 1] * weight


def perturb(mel: np.ndarray, rng: np.random.Generator, *, strength: float = 1.0) -> np.ndarray:
    """A log-mel [T, M] of other formants, tilt, level, noise and bandwidth; each comes by chance."""
    bands = mel.shape[1]
    if rng.random() < 0.7 * strength:
        mel = warp_formants(mel, float(rng.uniform(0.86, 1.16)))
    ramp = np.linspace(-1, 1, bands, dtype=np.float32)
    bend = np.cos(np.linspace(0, np.pi * rng.uniform(1, 4), bands) + rng.uniform(0, 6)).astype(np.float32)
    mel = (
        mel
        + float(rng.normal(0, 0.4))
        + strength * (float(rng.normal(0, 0.4)) * ramp + float(rng.normal(0, 0.25)) * bend)
    )
    if rng.random() < 0.5 * strength:  # a noise floor, white or pink, with the fluctuation of a periodogram
        level = np.percentile(mel, 95) - float(rng.uniform(2.5, 7.0))
        noise = level - float(rng.uniform(0, 1.5)) * ramp + rng.normal(0, 0.3, mel.shape).astype(np.float32)
        mel = np.logaddexp(mel, noise.astype(np.float32))
    if rng.random() < 0.3 * strength:
        mel = mel.copy()
        mel[:, int(rng.integers(56, bands)) :] = _FLOOR
    return np.maximum(mel, _FLOOR).astype(np.float32)


def babble(mel: np.ndarray, other: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """By chance a log-mel [T, M] with someone else's speech, or noise like it, quietly behind it."""
    if rng.random() >= 0.3:
        return mel
    behind = np.resize(other, mel.shape) - other.max() + mel.max() - np.float32(rng.uniform(1.2, 3.5))
    return np.logaddexp(mel, behind)  # magnitudes: 10 to 30 dB below


def mask_patches(mel: np.ndarray, rng: np.random.Generator, *, most_frames: int = 12) -> np.ndarray:
    """SpecAugment (Park et al., 2019): a stretch of bands and some short stretches of time become flat."""
    mel = mel.copy()
    mean = mel.mean()
    width = int(rng.integers(0, 14))
    start = int(rng.integers(0, mel.shape[1] - width))
    mel[:, start : start + width] = mean
    for _ in range(len(mel) // 150):
        width = int(rng.integers(2, most_frames))
        start = int(rng.integers(0, max(1, len(mel) - width)))
        mel[start : start + width] = mean
    return mel
