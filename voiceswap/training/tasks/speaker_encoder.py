"""Training the SpeakerEncoder: tell speakers apart, and foretell how each of their phones sounds.

Telling apart alone leaves a vector of few dimensions, which names a known speaker and says little of a new
one. What the acoustic models need to know is the portrait: the mean spectrum of every phone, here of the
speaker's other recordings, read off the vector by a linear layer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voiceswap.data.batches import Utterance, crop, load_utterances
from voiceswap.data.features import FeatureStore
from voiceswap.data.perturb import perturb, warp_formants
from voiceswap.models.speaker_encoder import BANDS, SpeakerEncoder
from voiceswap.training.loop import Batch, Report, Task
from voiceswap.training.portraits import PHONES, Portraits

_WARPS = (1.0, 0.8, 0.88, 1.13, 1.25)


@dataclass(frozen=True)
class SpeakerEncoderTraining:
    """What a batch is and what the terms weigh."""

    batch_size: int = 64
    frames: int = 180
    scale: float = 30.0
    margin: float = 0.2
    portrait: float = 4.0
    """Weight of the distance of the phones' mean spectra, in units of the log-mel."""
    teacher: float = 1.0
    teacher_vectors: str = ""
    """A JSON file {speaker: vector} by another encoder, or nothing."""


class _Classifier(nn.Module):
    """The encoder with what only training needs: a vector a class, and a map to the teacher's space."""

    def __init__(self, encoder: SpeakerEncoder, classes: int, teacher: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.portrait = nn.Linear(encoder.config.vector, PHONES * BANDS)
        self.classes = nn.Parameter(F.normalize(torch.randn(classes, encoder.config.vector), dim=-1))
        self.to_teacher = nn.Linear(encoder.config.vector, max(1, teacher))


class SpeakerEncoderTask(Task):
    """Additive angular margin (ArcFace: Deng et al., 2019) over speakers and their formant-warped doubles."""

    def __init__(
        self, model: SpeakerEncoder, folders: Sequence[Path], config: SpeakerEncoderTraining
    ) -> None:
        self.config = config
        speakers = _by_speaker(load_utterances(folders))
        self.names = sorted(speakers)
        self.speakers = [speakers[name] for name in self.names]
        self.portraits = Portraits(self.speakers)
        amount = np.array([sum(u.item.frames for u in us) for us in self.speakers], np.float64) ** 0.4
        self.chance = amount / amount.sum()
        vectors = json.loads(Path(config.teacher_vectors).read_text()) if config.teacher_vectors else {}
        width = len(next(iter(vectors.values()))) if vectors else 0
        table = np.zeros((len(self.names), max(1, width)), np.float32)
        for row, name in zip(table, self.names, strict=True):
            if name in vectors:
                row[:] = vectors[name]
        self.teacher = torch.from_numpy(table)
        self.model: nn.Module = _Classifier(model, len(self.names) * len(_WARPS), width)
        unseen = [
            Utterance(item, store)
            for store in map(FeatureStore, folders)
            for item in store.items
            if item.split == "dev-unseen"
        ]
        self.unseen = [us for us in _by_speaker(unseen).values() if len(us) > 1]
        self.their_portraits = Portraits(self.unseen)

    def batch(self, rng: np.random.Generator) -> Batch:
        """mel [B, M, T]; speaker and warp [B] (indices); portrait [B, PHONES, BANDS], counts [B, PHONES]."""
        mels, warps, portraits, counts = [], [], [], []
        chosen = rng.choice(len(self.speakers), self.config.batch_size, p=self.chance)
        for speaker in chosen:
            utterances = self.speakers[speaker]
            number = int(rng.integers(len(utterances)))
            mel, _, _ = crop(utterances[number], self.config.frames, rng)
            warp = int(rng.choice(len(_WARPS), p=(0.5, 0.1, 0.15, 0.15, 0.1)))
            factor = _WARPS[warp] * float(rng.uniform(0.985, 1.015))
            mels.append(perturb(warp_formants(mel, factor), rng, strength=0.0 if rng.random() < 0.3 else 0.5))
            warps.append(warp)
            portrait, count = self.portraits.target(speaker, number, factor)
            portraits.append(portrait)
            counts.append(count)
        return {
            "mel": torch.from_numpy(np.stack(mels)).transpose(1, 2).contiguous(),
            "speaker": torch.from_numpy(chosen),
            "warp": torch.tensor(warps),
            "portrait": torch.from_numpy(np.stack(portraits)),
            "counts": torch.from_numpy(np.stack(counts)),
        }

    def losses(self, model: nn.Module, batch: Batch, step: int) -> tuple[dict[str, Tensor], Any]:
        """Margin softmax over the classes; the portrait; distance to the teacher's vector of the speaker."""
        bare: Any = getattr(model, "module", model)
        vector = bare.encoder(batch["mel"]).float()
        target = batch["speaker"] * len(_WARPS) + batch["warp"]
        cosine = vector @ F.normalize(bare.classes, dim=-1).T
        margin = self.config.margin * min(1.0, step / 800)
        angle = torch.acos(cosine.gather(1, target[:, None]).clamp(-1 + 1e-5, 1 - 1e-5))
        logits = cosine.scatter(1, target[:, None], torch.cos(angle + margin))
        losses = {"classes": F.cross_entropy(self.config.scale * logits, target, label_smoothing=0.05)}
        if self.config.portrait:
            told = bare.portrait(vector).view_as(batch["portrait"])
            losses["portrait"] = self.config.portrait * _distance(told, batch["portrait"], batch["counts"])
        if self.teacher.shape[1] > 1:
            wanted = self.teacher.to(vector.device)[batch["speaker"]]
            known = (wanted.abs().sum(1) > 0) & (batch["warp"] == 0)
            alike = F.cosine_similarity(bare.to_teacher(vector), wanted, dim=-1)
            losses["teacher"] = self.config.teacher * ((1 - alike) * known).sum() / known.sum().clamp(min=1)
        return losses, None

    def shipped(self, model: nn.Module) -> nn.Module:
        """The encoder alone."""
        return model.encoder  # type: ignore[return-value]

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> Report:
        """Of people who were never trained on: equal error rate, mean cosines, what remains of portraits.

        `portrait` is their phones' distance from what is told, as a share of that from everyone's mean.
        """
        bare: Any = model
        if len(self.unseen) < 2:
            return Report({})
        device = next(model.parameters()).device
        everyone = torch.from_numpy(self.their_portraits.mean - self.portraits.mean)
        vectors, names, remains, distance = [], [], 0.0, 0.0
        for speaker, utterances in enumerate(self.unseen):
            for number, utterance in enumerate(utterances):
                mel = torch.from_numpy(utterance.mel()[:500]).T[None].to(device)
                vector = bare.encoder(mel)
                wanted, counts = map(torch.from_numpy, self.their_portraits.target(speaker, number))
                wanted = wanted + everyone
                told = bare.portrait(vector).view(PHONES, BANDS).cpu()
                remains += float(_distance(told, wanted, counts))
                distance += float(_distance(torch.zeros_like(told), wanted, counts))
                vectors.append(vector[0].cpu())
                names.append(speaker)
        cosine = torch.stack(vectors) @ torch.stack(vectors).T
        who = torch.tensor(names)
        same = who[:, None] == who
        pairs = torch.triu(torch.ones_like(same), 1).bool()
        yes, no = cosine[pairs & same].numpy(), cosine[pairs & ~same].numpy()
        error = equal_error_rate(yes, no)
        metrics = {
            **{"equal_error": error, "same": float(yes.mean()), "different": float(no.mean())},
            "portrait": remains / max(distance, 1e-6),
        }
        return Report(metrics, judged=error)


def _by_speaker(utterances: Sequence[Utterance]) -> dict[str, list[Utterance]]:
    speakers: dict[str, list[Utterance]] = {}
    for utterance in utterances:
        speakers.setdefault(utterance.item.speaker, []).append(utterance)
    return speakers


def _distance(told: Tensor, wanted: Tensor, counts: Tensor) -> Tensor:
    """Mean absolute difference of portraits [..., PHONES, BANDS], phones weighted by `counts`."""
    return ((told - wanted).abs().mean(-1) * counts).sum() / counts.sum().clamp(min=1e-6)


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """Error where as many same-speaker scores fall below the threshold as others lie above it."""
    thresholds = np.quantile(np.concatenate([same, different]), np.linspace(0, 1, 500))
    missed = np.array([(same < t).mean() for t in thresholds])
    passed = np.array([(different >= t).mean() for t in thresholds])
    best = int(np.abs(missed - passed).argmin())
    return float((missed[best] + passed[best]) / 2)
