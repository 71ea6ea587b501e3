"""Adapting the Converter's decoder to one person: the swap of two autoencoders that share an encoder.

All of the models stay as they are; what is learned are offsets of the decoder's gains and shifts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from voiceswap.acoustics import f0_track, log_mel
from voiceswap.data.perturb import perturb
from voiceswap.models.converter import Converter
from voiceswap.models.dynamics import loudness_of
from voiceswap.models.phone_recognizer import PhoneRecognizer
from voiceswap.nn.decoder import recording_quality
from voiceswap.training.loop import Batch, Report, Task
from voiceswap.training.tasks.converter import tracts

_EMPTY = -9.0  # log magnitude


@dataclass(frozen=True)
class AdapterTraining:
    """What a batch is."""

    batch_size: int = 12
    frames: int = 256


class AdaptedConverter(nn.Module):
    """A frozen Converter and the offsets [decoder blocks, 2 C] that one person adds."""

    kind = "converter"

    def __init__(self, converter: Converter) -> None:
        super().__init__()
        self.config = converter.config
        self.converter = converter.requires_grad_(False)
        self.offsets = nn.Parameter(torch.zeros(self.config.decoder_blocks, 2 * self.config.channels))

    def forward(self, *inputs: Tensor, moving: Tensor | None = None) -> Tensor:
        """As the Converter's."""
        made: Tensor = self.converter(*inputs, adapter=self.offsets, moving=moving)
        return made


class AdapterTask(Task):
    """L1 on mel of one person's speech, from perturbed copies of it."""

    def __init__(
        self,
        converter: Converter,
        recognizer: PhoneRecognizer,
        vector: np.ndarray,
        speech: Sequence[np.ndarray],
        config: AdapterTraining,
    ) -> None:
        """`speech` are leveled samples [N] at 24 kHz, `vector` [S] is the voice's; a tenth is held out."""
        self.model = AdaptedConverter(converter)
        self.recognizer = recognizer.requires_grad_(False)
        self.vector = torch.from_numpy(np.array(vector))
        self.config = config
        self.pieces = pieces = [
            (log_mel(torch.from_numpy(samples)[None])[0].T.numpy(), f0_track(samples)) for samples in speech
        ]
        whole = np.concatenate([mel for mel, _ in pieces]), np.concatenate([f0 for _, f0 in pieces])
        kept = max(1, len(whole[0]) - max(config.frames, len(whole[0]) // 10))
        self.mel, self.held_mel = whole[0][:kept], whole[0][kept:]
        self.f0, self.held_f0 = whole[1][:kept], whole[1][kept:]
        self.quality = recording_quality(torch.from_numpy(whole[0]).T)
        # Bands in which even the loudest frames are empty lie above what the recordings carry.
        loudest = np.quantile(whole[0], 0.99, axis=0)
        self.taught = torch.from_numpy(loudest > _EMPTY)[:, None]
        self.learned: np.ndarray | None = None

    def batch(self, rng: np.random.Generator) -> Batch:
        """heard, outlined, moving, mel [B, M, T], f0 [B, T]."""
        frames = min(self.config.frames, len(self.mel))
        names = ("heard", "outlined", "moving", "mel", "f0")
        rows: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for start in rng.integers(0, len(self.mel) - frames + 1, self.config.batch_size):
            mel = self.mel[start : start + frames]
            heard = perturb(mel, rng)
            outlined, moving = tracts(heard, rng)
            for name, value in (("heard", heard), ("outlined", outlined), ("moving", moving), ("mel", mel)):
                rows[name].append(value.T)
            rows["f0"].append(self.f0[start : start + frames])
        return {name: torch.from_numpy(np.stack(values)) for name, values in rows.items()}

    def losses(self, model: nn.Module, batch: Batch, step: int) -> tuple[dict[str, Tensor], Any]:
        """L1 on mel; in bands that the recordings do not carry, to what is made without an adapter."""
        mel, rows = batch["mel"], len(batch["mel"])
        with torch.no_grad():
            content, logits = self.recognizer.to(mel.device)(batch["heard"])
        speaker = self.vector.to(mel.device).expand(rows, -1)
        quality = self.quality.to(mel.device).expand(rows)
        inputs = (content, logits, batch["f0"], batch["outlined"], loudness_of(mel), speaker, quality)
        made = model(*inputs, moving=batch["moving"]).float()
        taught = self.taught.to(mel.device)
        if not taught.all():  # left alone they fell by 26 dB, which sounds dull
            with torch.no_grad():
                bare: Any = getattr(model, "module", model)
                mel = torch.where(taught, mel, bare.converter(*inputs, moving=batch["moving"]).float())
        return {"mel": (made - mel).abs().mean()}, None

    @torch.inference_mode()
    def heard(self, count: int) -> Iterator[tuple[Tensor, Tensor, tuple[Tensor, Tensor]]]:
        """Of `count` pieces at most, spread over the speech: log-mel [1, M, T], F0 [1, T], phones in them."""
        for frames, f0 in self.pieces[:: -(-len(self.pieces) // count)]:
            mel = torch.from_numpy(frames).T[None]
            yield mel, torch.from_numpy(f0)[None], self.recognizer.cpu()(mel)

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> Report:
        """L1 on the speech that was kept apart, unperturbed."""
        device = next(model.parameters()).device
        mel = torch.from_numpy(self.held_mel).T[None].to(device)
        batch = {
            "heard": mel,
            "outlined": mel,
            "moving": mel,
            "mel": mel,
            "f0": torch.from_numpy(self.held_f0)[None].to(device),
        }
        return Report({"mel": float(self.losses(model, batch, -1)[0]["mel"])})

    def shipped(self, model: nn.Module) -> None:
        """Nothing: the offsets go into the person's voice file."""
        self.learned = model.offsets.detach().cpu().numpy()  # type: ignore[operator]
