"""How good it sounds: against the original (PESQ, mel distance), and by itself (DNSMOS, Distill-MOS)."""

from __future__ import annotations

import contextlib
import io
import warnings
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.polynomial.polynomial import polyval

from voiceswap.acoustics import ACOUSTICS, log_mel
from voiceswap.evaluation.extras import JUDGE_RATE, at_judge_rate, onnx_session, packaged, require

_DNSMOS_SAMPLES = int(9.01 * JUDGE_RATE)
_DISTILLMOS_SAMPLES = 122880
_DNSMOS_OVERALL = (
    0.04602535,
    1.11546468,
    -0.06766283,
)  # from the model's scale to listeners', ascending powers


def pesq(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> float:
    """Wide-band PESQ (ITU-T P.862.2) at 16 kHz, 1 to 4.64; nan where no speech is found in the reference."""
    judge = require("pesq", package="pesq")
    first, second = at_judge_rate(reference, sample_rate), at_judge_rate(degraded, sample_rate)
    score = judge.pesq(JUDGE_RATE, first, second, "wb", on_error=judge.PesqError.RETURN_VALUES)
    return float(score) if score > 0 else float("nan")


def mel_distance(reference: np.ndarray, degraded: np.ndarray, sample_rate: int) -> float:
    """Mean absolute difference in dB of the log-mel spectra of [N] and [N], at one level and length."""
    import torch

    from voiceswap.audio import resample

    length = min(len(reference), len(degraded))
    waves = [wave[:length].astype(np.float32) for wave in (reference, degraded)]
    if sample_rate != ACOUSTICS.sample_rate:
        waves = [resample(wave, sample_rate, ACOUSTICS.sample_rate) for wave in waves]
    # Loudness is not what is compared, and silence is as loud as it is.
    waves = [wave / max(float(np.sqrt((wave**2).mean())), 1e-5) * 0.1 for wave in waves]
    first, second = log_mel(torch.from_numpy(np.stack(waves)))
    return float((first - second).abs().mean()) * 20 / float(np.log(10))


@lru_cache(maxsize=1)
def _dnsmos_model() -> Any:
    return onnx_session(packaged("speechmos", "dnsmos_models", "sig_bak_ovr.onnx", package="speechmos"))


def _three_windows(wave: np.ndarray, size: int) -> np.ndarray:
    """Windows [1 to 3, size] of `wave` [size or more] from its start to its end.

    The judges' own scripts take one every second: over 45 recordings of 2 to 16 s the means of both judges
    differed by 0.002 at most, in less than half the time.
    """
    starts = np.unique(np.linspace(0, len(wave) - size, 3).astype(int))
    return np.stack([wave[start : start + size] for start in starts])


def dnsmos(samples: np.ndarray, sample_rate: int) -> float:
    """DNSMOS P.835 overall quality of `samples` [N], 1 to 5; short ones are repeated, as in its script.

    Reddy et al., "DNSMOS P.835: a non-intrusive perceptual objective speech quality metric", 2022.
    """
    wave = at_judge_rate(samples, sample_rate)
    if not len(wave):
        return float("nan")
    repeated = np.resize(wave, max(len(wave), _DNSMOS_SAMPLES))
    windows = _three_windows(repeated, _DNSMOS_SAMPLES)
    raw = [_dnsmos_model().run(None, {"input_1": window[None]})[0][0, 2] for window in windows]
    return float(polyval(np.asarray(raw, float), _DNSMOS_OVERALL).mean())


@lru_cache(maxsize=1)
def _distillmos_model() -> Any:
    package = require("distillmos", package="distillmos")
    # The package prints where its weights are, and torch warns of an argument that it passes.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return package.ConvTransformerSQAModel().eval()


def distillmos(samples: np.ndarray, sample_rate: int) -> float:
    """Distill-MOS of `samples` [N], 1 to 5; short ones are padded with silence, as in its own code.

    Stahl and Gamper, "Distillation and Pruning for Scalable Self-Supervised Representation-Based Speech
    Quality Assessment", 2025.
    """
    import torch

    wave = at_judge_rate(samples, sample_rate)
    if not len(wave):
        return float("nan")
    windows = _three_windows(np.pad(wave, (0, max(0, _DISTILLMOS_SAMPLES - len(wave)))), _DISTILLMOS_SAMPLES)
    with torch.inference_mode():
        return float(_distillmos_model()(torch.from_numpy(windows)).mean())
