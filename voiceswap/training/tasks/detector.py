"""Training the Detector: people's recordings against synthetic speech of many generators."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voiceswap import audio
from voiceswap.errors import DataError
from voiceswap.models.detector import RATE, STEP, Detector, spectrogram
from voiceswap.training.loop import Batch, Report, Task

PEOPLE = "people"
"""Name of the folder with recordings; every other folder beside it is a generator's."""

_CODERS = (("OGG", "OPUS"), ("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"))


@dataclass(frozen=True)
class DetectorTraining:
    """What a batch is, and what is done to its clips."""

    batch_size: int = 16
    seconds: float = 3.0
    spliced: float = 0.3
    """Share of the clips that are of a person and of a generator, one after the other."""
    coded: float = 0.5
    """Share that goes through a codec once more."""
    noisy: float = 0.4
    """Share with noise at 10 to 40 dB below."""
    narrowed: float = 0.5
    """Share without what is above some 3 to 7 kHz."""


class DetectorTask(Task):
    """Cross-entropy of every 80 ms."""

    def __init__(self, model: Detector, folders: Sequence[Path], config: DetectorTraining) -> None:
        self.model = model
        self.config = config
        self.clips: dict[str, list[np.ndarray]] = {}
        self.held: dict[str, list[np.ndarray]] = {}
        for folder in folders:
            for number, path in enumerate(sorted(p for p in folder.iterdir() if p.suffix != ".json")):
                samples = audio.read(path, sample_rate=RATE)
                if len(samples) < RATE:
                    continue
                kept = self.held if number % 20 == 0 else self.clips
                kept.setdefault(folder.name, []).append(np.round(samples * 32767).astype(np.int16))
        self.generators = sorted(set(self.clips) - {PEOPLE})
        if PEOPLE not in self.clips or not self.generators:
            raise DataError(
                ", ".join(map(str, folders)),
                f"a detector learns from a folder {PEOPLE!r} and one for each generator beside it",
                "Make them with benchmarks/fakes.py",
            )

    def batch(self, rng: np.random.Generator) -> Batch:
        """heard [B, T, F], synthetic [B, ceil(T / 8)]."""
        size = round(self.config.seconds * RATE) // STEP * STEP
        clips, labels = [], []
        for number in range(self.config.batch_size):
            synthetic = number % 2 == 1
            clip = self._clip(rng, synthetic, size)
            label = np.full(size // STEP, float(synthetic), np.float32)
            if rng.random() < self.config.spliced:
                cut = int(rng.integers(size // STEP // 4, size // STEP * 3 // 4))
                clip[cut * STEP :] = self._clip(rng, not synthetic, size)[cut * STEP :]
                label[cut:] = 1 - label[cut:]
            clips.append(self._treated(clip, rng))
            labels.append(label)
        return {
            "heard": spectrogram(torch.from_numpy(np.stack(clips))),
            "synthetic": torch.from_numpy(np.stack(labels)),
        }

    def _clip(self, rng: np.random.Generator, synthetic: bool, size: int) -> np.ndarray:
        """Of one level, from a random place."""
        name = self.generators[int(rng.integers(len(self.generators)))] if synthetic else PEOPLE
        whole = self.clips[name][int(rng.integers(len(self.clips[name])))]
        start = int(rng.integers(0, max(1, len(whole) - size)))
        clip = np.resize(whole[start : start + size], size).astype(np.float32)
        return clip / max(1.0, float(clip.std())) * 0.05

    def _treated(self, clip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """By chance narrower, noisier, coded once more; louder or quieter always."""
        config = self.config
        if rng.random() < config.narrowed:
            spectrum = np.fft.rfft(clip)
            place = np.linspace(0, RATE / 2, len(spectrum))
            spectrum *= 1 / (1 + np.exp((place - rng.uniform(3000, 7500)) / rng.uniform(30, 300)))
            clip = np.fft.irfft(spectrum, len(clip))
        if rng.random() < config.noisy:
            noise = rng.normal(size=len(clip))
            if rng.random() < 0.5:
                noise = np.cumsum(noise - noise.mean())
                noise -= np.convolve(noise, np.ones(400) / 400, "same")
            clip = clip + noise / noise.std() * clip.std() * 10 ** (-rng.uniform(10, 40) / 20)
        clip = np.clip(clip * rng.uniform(0.2, 2.5), -1, 1).astype(np.float32)
        if rng.random() < config.coded:
            form, coding = _CODERS[int(rng.integers(len(_CODERS)))]
            file = io.BytesIO()
            level = float(rng.uniform(0.3, 0.99))
            soundfile.write(file, clip, RATE, format=form, subtype=coding, compression_level=level)
            file.seek(0)
            coded = soundfile.read(file, dtype="float32")[0]
            clip = np.resize(coded[: len(clip)], len(clip))
        return clip.astype(np.float32)

    def losses(self, model: nn.Module, batch: Batch, step: int) -> tuple[dict[str, Tensor], Any]:
        """Named terms."""
        logits = model(batch["heard"]).float()
        return {"synthetic": F.binary_cross_entropy_with_logits(logits, batch["synthetic"])}, None

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> Report:
        """Equal error rate of held-out recordings against each generator's, and against all."""
        device = next(model.parameters()).device
        scores = {
            name: np.array([clip_score(model, clip / 32767, device) for clip in clips])
            for name, clips in self.held.items()
        }
        people = scores.pop(PEOPLE)
        metrics = {f"eer {name}": equal_error(people, found) for name, found in sorted(scores.items())}
        error = equal_error(people, np.concatenate(list(scores.values())))
        return Report({"eer": error, **metrics}, judged=error)


def clip_score(model: nn.Module, samples: np.ndarray, device: torch.device) -> float:
    """Mean logit of samples [N] at 16 kHz, of the level that the model knows."""
    level = samples / max(1e-6, float(samples.std())) * 0.05
    heard = spectrogram(torch.from_numpy(level.astype(np.float32))[None]).to(device)
    return float(model(heard).mean())


def equal_error(people: np.ndarray, synthetic: np.ndarray) -> float:
    """Where as many people are taken for synthetic as synthetic for people."""
    thresholds = np.sort(np.concatenate([people, synthetic]))
    wrong = [(float((people >= t).mean()), float((synthetic < t).mean())) for t in thresholds]
    a, b = min(wrong, key=lambda pair: abs(pair[0] - pair[1]))
    return (a + b) / 2
