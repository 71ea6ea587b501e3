"""Training the Synthesizer on speech whose phonemes have durations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voiceswap.acoustics import ACOUSTICS, mel_filters
from voiceswap.data.batches import BAND_HZ, Pool, Utterance, held_out, load_utterances, pad, weighs
from voiceswap.data.features import FeatureStore
from voiceswap.data.perturb import warp_formants
from voiceswap.models.speaker_encoder import SpeakerEncoder
from voiceswap.models.synthesizer import Synthesizer
from voiceswap.nn.blocks import lengths_to_mask
from voiceswap.nn.decoder import recording_quality
from voiceswap.nn.discriminators import MelDiscriminator, judge_mels, match_features, please
from voiceswap.text.phonemes import FIRST_PHONE
from voiceswap.training.loop import Batch, Report, Task
from voiceswap.training.speakers import SpeakerTable
from voiceswap.training.stream import Stream

_ALIKE = 0.9  # cosine to the wanted speaker that is enough; two recordings of one person reach 0.8
_LEFT = 3.0  # what is left of another speaker is small, and others hear it


@dataclass(frozen=True)
class SynthesizerTraining:
    """What a batch is and what the terms weigh."""

    batch_size: int = 16
    longest: int = 1400
    segment: int = 256
    """Frames of each utterance that melody and mel are learnt on; the text is always read whole."""
    weights: tuple[tuple[str, float], ...] = ()
    languages: tuple[str, ...] = ("en",)
    """Those of the recordings that are learnt."""
    pseudo: float = 0.3
    """Share of the utterances that are disguised as people who do not exist, for more speakers."""
    astray: float = 0.35
    """How far at most a vector is led towards another speaker's, as a share of its length."""
    adversarial_from: int | None = None
    adversarial: float = 0.1
    """Weight of pleasing the discriminator, once it is on."""
    features: float = 0.2
    """Weight of the distance to recordings in the discriminator's activations."""
    consistency: float = 0.3
    """Weight of the cosine distance between the speaker vector heard in the output and the one given."""


def band_weights(bands: Sequence[str]) -> Tensor:
    """[B, M, 1]: 1 for mel bands that a recording of this band may teach, 0 above."""
    bank = mel_filters()
    top = (bank * torch.arange(bank.shape[1])).sum(1) / bank.sum(1) * ACOUSTICS.sample_rate / ACOUSTICS.n_fft
    return torch.stack([(top < BAND_HZ[band]).float() for band in bands]).unsqueeze(-1)


def phone_rate(utterance: Utterance) -> float:
    """Sounds a second while speaking, pauses left out."""
    item = utterance.item
    spoken = [n for i, n in zip(item.phonemes, item.durations, strict=True) if i >= FIRST_PHONE]
    return len(spoken) * ACOUSTICS.frame_rate / max(1, sum(spoken))


class SynthesizerTask(Task):
    """L1 on mel, F0 shape, log durations; voicing; then a patch discriminator and speaker consistency."""

    def __init__(
        self,
        model: Synthesizer,
        encoder: SpeakerEncoder,
        folders: Sequence[Path | FeatureStore],
        config: SynthesizerTraining,
        stream: Stream | None = None,
    ) -> None:
        self.model = model
        self.languages = model.config.languages
        self.encoder = encoder.requires_grad_(False)
        self.config = config
        found = load_utterances(folders)
        self.held = held_out([u for u in found if self._fits(u)], 36)
        self.stream = stream
        if stream is None:
            self.feed(found, lambda utterances: Pool(utterances, dict(config.weights) or None))
        self.held_table = SpeakerTable(encoder, self.held) if stream else self.table
        if config.adversarial_from is not None:
            self.critic = MelDiscriminator(encoder.config.vector)

    def _fits(self, utterance: Utterance) -> bool:
        item, config = utterance.item, self.config
        return (
            bool(item.durations)
            and item.frames <= config.longest
            and item.language in config.languages
            and weighs(item, config.weights)
        )

    def feed(self, utterances: Sequence[Utterance], pool: Callable[[Sequence[Utterance]], Pool]) -> None:
        """Those with durations, in the languages that are learnt."""
        found = [u for u in utterances if self._fits(u)]
        self.pool = pool([u for u in found if not u.held_out])
        if found:  # of a window nothing may fit
            self.table = SpeakerTable(self.encoder, found)

    def rows(self, rng: np.random.Generator) -> list[tuple[Utterance, np.random.Generator]]:
        """Utterances of a batch, with the chances of each."""
        return self.pool.rows(rng, self.config.batch_size, alike=True)

    def batch(self, rng: np.random.Generator) -> Batch:
        """See `collate`."""
        return self.collate(self.rows(rng), self.table, disguise=True)

    def collate(
        self,
        rows: Sequence[tuple[Utterance, np.random.Generator]],
        table: SpeakerTable,
        *,
        disguise: bool = False,
    ) -> Batch:
        """ids, stress, durations [B, P]; mel [B, M, T]; f0, shape [B, T]; frames, rate, language … [B].

        `table` knows the speakers of `rows`.
        """
        mels, pitches, shapes, vectors = [], [], [], []
        utterances = [utterance for utterance, _ in rows]
        for utterance, rng in rows:
            f0 = utterance.f0()
            median, spread = table.pitch[utterance.item.speaker]
            shape = np.where(f0 > 0, np.log(np.maximum(f0, 1.0) / median) / spread, 0.0)
            shapes.append(np.clip(shape, -4, 4).astype(np.float32))
            mel, f0, vector, _ = disguised(self, utterance, utterance.mel(), f0, rng if disguise else None)
            if vector is None:
                astray = self.config.astray if disguise else 0.0
                vector = table.vector(utterance, rng, astray=astray)
            vectors.append(vector)
            mels.append(mel)
            pitches.append(f0)
        return {
            "language": torch.tensor([self.languages.index(u.item.language) for u in utterances]),
            "ids": pad([np.array(u.item.phonemes) for u in utterances]),
            "stress": pad([np.array(u.item.stress) for u in utterances]),
            "durations": pad([np.array(u.item.durations) for u in utterances]),
            "phones": torch.tensor([len(u.item.phonemes) for u in utterances]),
            "frames": torch.tensor([u.item.frames for u in utterances]),
            "mel": pad(mels).transpose(1, 2).contiguous(),
            "f0": pad(pitches),
            "shape": pad(shapes),
            "rate": torch.tensor([phone_rate(u) for u in utterances]),
            "quality": torch.stack([recording_quality(torch.from_numpy(mel).T) for mel in mels]),
            "speaker": torch.from_numpy(np.stack(vectors)),
            "bands": band_weights([u.item.band for u in utterances]),
        }

    def losses(self, model: nn.Module, batch: Batch, step: int) -> tuple[dict[str, Tensor], Any]:
        """Named terms; the discriminator's only once it is on."""
        bare: Any = getattr(model, "module", model)
        text_mask = lengths_to_mask(batch["phones"], batch["ids"].shape[1])
        condition = bare.condition(batch["speaker"], batch["quality"])
        hidden, planned = bare.plan(
            batch["ids"], batch["stress"], condition, batch["rate"], text_mask, batch["language"]
        )
        spread = bare.spread(hidden, batch["durations"], batch["mel"].shape[2])
        if step >= 0:
            batch, spread = self._segments(batch, spread)
        mask = lengths_to_mask(batch["frames"], batch["mel"].shape[2])
        shape, voicing = bare.melody(spread * mask, condition, mask)
        mel = bare.decode(spread * mask, batch["f0"], condition, mask).float()

        flat = mask.squeeze(-1)
        voiced = (batch["f0"] > 0).float() * flat
        weight = batch["bands"] * mask.transpose(1, 2)
        losses = {
            "mel": ((mel - batch["mel"]).abs() * weight).sum() / weight.sum(),
            "durations": 0.3
            * (
                (planned.float() - torch.log1p(batch["durations"].float())).abs() * text_mask.squeeze(-1)
            ).sum()
            / text_mask.sum(),
            "shape": 0.1 * ((shape.float() - batch["shape"]).abs() * voiced).sum() / voiced.sum(),
            "voicing": 0.1
            * (F.binary_cross_entropy_with_logits(voicing.float(), voiced, reduction="none") * flat).sum()
            / flat.sum(),
        }
        return finish_losses(self, self.critic, losses, mel, batch, mask, step)

    def _segments(self, batch: Batch, spread: Tensor) -> tuple[Batch, Tensor]:
        """A random stretch of `segment` frames of every row of whatever counts in frames."""
        length = min(self.config.segment, spread.shape[1])
        latest = (batch["frames"] - length).clamp(min=0)
        start = (torch.rand(len(latest), device=latest.device) * (latest + 1)).long()
        index = start[:, None] + torch.arange(length, device=start.device)
        cut = {name: torch.gather(batch[name], 1, index) for name in ("f0", "shape")}
        cut["mel"] = torch.gather(batch["mel"], 2, index[:, None].expand(-1, batch["mel"].shape[1], -1))
        cut["frames"] = batch["frames"].clamp(max=length)
        return {**batch, **cut}, torch.gather(spread, 1, index[..., None].expand(-1, -1, spread.shape[2]))

    def critic_losses(self, critic: nn.Module, seen: Any) -> dict[str, Tensor]:
        """Least-squares real-or-fake, and whose."""
        return judge_mels(critic, *seen)

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> Report:
        """The losses on held-out utterances, and a picture: recording above, synthesis below."""
        totals: dict[str, list[float]] = {}
        rng = np.random.default_rng(0)
        told = [(utterance, rng) for utterance in self.held]
        device = next(model.parameters()).device
        for start in range(0, len(self.held), 12):
            batch = {
                k: v.to(device) for k, v in self.collate(told[start : start + 12], self.held_table).items()
            }
            for name, value in self.losses(model, batch, -1)[0].items():
                totals.setdefault(name, []).append(float(value))
        bare: Any = model
        picture = self.collate(told[:1], self.held_table)
        speaker = self.held[0].item.speaker
        made = bare.synthesize(
            picture["ids"][0].to(device),
            picture["stress"][0].to(device),
            speaker=picture["speaker"][0].to(device),
            f0_median=self.held_table.pitch[speaker][0],
            f0_spread=self.held_table.pitch[speaker][1],
            rate=float(picture["rate"][0]),
            language=self.held[0].item.language,
        )
        return Report(
            {name: float(np.mean(values)) for name, values in totals.items()},
            judged=float(np.mean(totals["mel"])),
            pictures={"recording": draw_mel(picture["mel"][0]), "synthesis": draw_mel(made.mel)},
        )


def disguised(
    task: Any, utterance: Utterance, mel: np.ndarray, f0: np.ndarray, rng: np.random.Generator | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, float]:
    """A mel [T, M] and F0 [T] by chance as of someone with a longer or shorter tract, that one's vector, and
    the factor of the tract.

    None instead of the vector where they stay as they are; without `rng` they always do.
    """
    if rng is None or rng.random() >= task.config.pseudo:
        return mel, f0, None, 1.0
    factor = float(np.exp(rng.uniform(-0.15, 0.15)))
    vector = task.table.warped_vector(utterance, factor, rng)
    return *warped(mel, f0, factor), vector, factor


def warped(mel: np.ndarray, f0: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """A mel [T, M] and F0 [T] of a tract shorter by `factor`.

    Stretching the bands moves what lies below 1 kHz, harmonics included, so F0 moves with it.
    """
    return warp_formants(mel, factor), f0 * np.float32(factor)


def finish_losses(
    task: Any,
    judge: nn.Module | None,
    losses: dict[str, Tensor],
    mel: Tensor,
    batch: Batch,
    mask: Tensor,
    step: int,
    crossed: tuple[Tensor, Tensor] | None = None,
) -> tuple[dict[str, Tensor], Any]:
    """Add the terms that Synthesizer and Converter share: speaker consistency and `judge`, the discriminator.

    `crossed` are mels [b, M, T] without a recording of their own, and their speakers [b, S], for the
    discriminator to judge too.
    """
    weight = batch["bands"] * mask.transpose(1, 2)
    if task.config.consistency and step >= 0:
        missing = unlike(task.encoder.to(mel.device), mel, batch["speaker"], mask[:, ::2])
        losses["consistency"] = task.config.consistency * missing
    start = task.config.adversarial_from
    if judge is None or start is None or step < start:
        return losses, None
    half = (len(mel) + 1) // 2  # judging every row would double the time of a step
    real, fake, speaker = (x[:half] for x in (batch["mel"] * weight, mel * weight, batch["speaker"]))
    fakes, wanted = fake, speaker
    if crossed is not None:
        fakes, wanted = torch.cat([fake, crossed[0]]), torch.cat([speaker, crossed[1]])
    judge.requires_grad_(False)
    judged = judge(fakes, wanted)
    with torch.no_grad():
        truth = judge(real, speaker)
    judge.requires_grad_(True)
    losses["adversarial"] = task.config.adversarial * please(judged)
    own = judged[0], [inner[:half] for inner in judged[1]]
    losses["features"] = task.config.features * match_features(truth, own)
    return losses, (real, speaker, fakes.detach(), wanted)


def unlike(
    encoder: SpeakerEncoder,
    mel: Tensor,
    wanted: Tensor,
    mask: Tensor | None = None,
    unwanted: Tensor | None = None,
) -> Tensor:
    """Mean shortfall from `_ALIKE` of the cosine of who is heard in log-mels [B, M, T] to `wanted` [B, S].

    With `unwanted` [B, S] also `_LEFT` times the excess of the cosine to it over that of the wanted speaker.

    The encoder listens through noise and another tilt every time. Without them the decoder learns to please
    it by traces that nobody else hears: 0.94, while an independent encoder heard a third of the likeness.
    """
    rows, bands = mel.shape[:2]
    ramp = torch.linspace(-1, 1, bands, device=mel.device)
    tilt = 0.3 * torch.randn(rows, 1, device=mel.device) * ramp
    heard = encoder(mel + tilt.unsqueeze(-1) + 0.3 * torch.randn_like(mel), mask)
    missing = (_ALIKE - (heard * wanted).sum(-1)).clamp(min=0)
    if unwanted is not None:
        missing = missing + _LEFT * ((heard - wanted) * unwanted).sum(-1).clamp(min=0)
    return missing.mean()


def draw_mel(mel: Tensor) -> np.ndarray:
    """A log-mel [M, T] as a picture [H, W] in 0…1, low bands at the bottom."""
    return ((mel.float().cpu().numpy()[::-1] + 11.5) / 13.5).clip(0, 1)
