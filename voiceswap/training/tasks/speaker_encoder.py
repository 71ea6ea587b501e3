"""Training the SpeakerEncoder: tell speakers apart, and agree with a packaged teacher about who is alike."""

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
from voiceswap.models.speaker_encoder import SpeakerEncoder
from voiceswap.training.loop import Batch, Report, Task

_WARPS = (1.0, 0.88, 1.13)


@dataclass(frozen=True)
class SpeakerEncoderTraining:
    """What a batch is and what the terms weigh."""

    batch_size: int = 64
    frames: int = 180
    scale: float = 30.0
    margin: float = 0.2
    teacher: float = 4.0
    teacher_vectors: str = ""
    """A JSON file {speaker: vector} by another encoder, or nothing."""
    measured: tuple[str, ...] = ()
    """Feature folders whose `dev-unseen` people the equal error rate is measured on; never trained on."""


class _Classifier(nn.Module):
    """The encoder with what only training needs: a vector a class, and a map to the teacher's space."""

    def __init__(self, encoder: SpeakerEncoder, classes: int, teacher: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.classes = nn.Parameter(F.normalize(torch.randn(classes, encoder.config.vector), dim=-1))
        self.to_teacher = nn.Linear(encoder.config.vector, max(1, teacher))


class SpeakerEncoderTask(Task):
    """Additive angular margin (ArcFace: Deng et al., 2019) over speakers and their formant-warped doubles."""

    def __init__(
        self, model: SpeakerEncoder, folders: Sequence[Path], config: SpeakerEncoderTraining
    ) -> None:
        self.config = config
        speakers: dict[str, list[Utterance]] = {}
        for utterance in load_utterances(folders):
            speakers.setdefault(utterance.item.speaker, []).append(utterance)
        self.names = sorted(speakers)
        self.speakers = [speakers[name] for name in self.names]
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
        self.measured = [FeatureStore(Path(folder)) for folder in config.measured]

    def batch(self, rng: np.random.Generator) -> Batch:
        """mel [B, M, T], speaker [B] (index), warp [B] (index into the formant warps)."""
        mels, warps = [], []
        chosen = rng.choice(len(self.speakers), self.config.batch_size, p=self.chance)
        for speaker in chosen:
            utterances = self.speakers[speaker]
            mel, _, _ = crop(utterances[int(rng.integers(len(utterances)))], self.config.frames, rng)
            warp = int(rng.choice(len(_WARPS), p=(0.7, 0.15, 0.15)))
            mel = warp_formants(mel, _WARPS[warp] * float(rng.uniform(0.985, 1.015)))
            mels.append(perturb(mel, rng, strength=0.0 if rng.random() < 0.3 else 0.5))
            warps.append(warp)
        return {
            "mel": torch.from_numpy(np.stack(mels)).transpose(1, 2).contiguous(),
            "speaker": torch.from_numpy(chosen),
            "warp": torch.tensor(warps),
        }

    def losses(self, model: nn.Module, batch: Batch, step: int) -> tuple[dict[str, Tensor], Any]:
        """Margin softmax over the classes; cosine distance to the teacher's mean vector of the speaker."""
        bare: Any = getattr(model, "module", model)
        vector = bare.encoder(batch["mel"]).float()
        target = batch["speaker"] * len(_WARPS) + batch["warp"]
        cosine = vector @ F.normalize(bare.classes, dim=-1).T
        margin = self.config.margin * min(1.0, step / 800)
        angle = torch.acos(cosine.gather(1, target[:, None]).clamp(-1 + 1e-5, 1 - 1e-5))
        logits = cosine.scatter(1, target[:, None], torch.cos(angle + margin))
        losses = {"classes": F.cross_entropy(self.config.scale * logits, target, label_smoothing=0.05)}
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
        """Equal error rate and mean cosines over pairs of recordings by people who were never trained on."""
        bare: Any = model
        device = next(model.parameters()).device
        vectors, names = [], []
        for store in self.measured:
            for item in [i for i in store.items if i.split == "dev-unseen"][::3]:
                mel = torch.from_numpy(store.mel(item)[:500].astype(np.float32)).T[None].to(device)
                vectors.append(bare.encoder(mel)[0].cpu())
                names.append(item.speaker)
        if len(set(names)) < 2:
            return Report({})
        cosine = torch.stack(vectors) @ torch.stack(vectors).T
        same = torch.tensor([[a == b for b in names] for a in names])
        pairs = torch.triu(torch.ones_like(same), 1).bool()
        yes, no = cosine[pairs & same].numpy(), cosine[pairs & ~same].numpy()
        return Report(
            {
                "equal_error": equal_error_rate(yes, no),
                "same": float(yes.mean()),
                "different": float(no.mean()),
            }
        )


def equal_error_rate(same: np.ndarray, different: np.ndarray) -> float:
    """Error where as many same-speaker scores fall below the threshold as others lie above it."""
    thresholds = np.quantile(np.concatenate([same, different]), np.linspace(0, 1, 500))
    missed = np.array([(same < t).mean() for t in thresholds])
    passed = np.array([(different >= t).mean() for t in thresholds])
    best = int(np.abs(missed - passed).argmin())
    return float((missed[best] + passed[best]) / 2)
