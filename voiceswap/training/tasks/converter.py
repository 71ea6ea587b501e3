"""Training the Converter: natural speech from the recognizer's reading of a perturbed copy of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from voiceswap.data.batches import Pool, Utterance, crop, held_out, load_utterances, weighs
from voiceswap.data.features import FeatureStore
from voiceswap.data.perturb import perturb, warp_formants
from voiceswap.models import dynamics
from voiceswap.models.converter import Converter
from voiceswap.models.phone_recognizer import PhoneRecognizer
from voiceswap.models.speaker_encoder import SpeakerEncoder
from voiceswap.models.timbre import OF_CONVERSIONS, add_lacking
from voiceswap.nn.decoder import recording_quality
from voiceswap.nn.discriminators import MelDiscriminator, judge_mels
from voiceswap.nn.listener import Listener, hide, overhear
from voiceswap.training.loop import Batch, Report, Task
from voiceswap.training.speakers import SpeakerTable
from voiceswap.training.stream import Stream
from voiceswap.training.tasks.judging import finish_losses, misunderstood, unlike
from voiceswap.training.tasks.references import References, disguised, tables_for
from voiceswap.training.tasks.synthesizer import band_weights, draw_mel


@dataclass(frozen=True)
class ConverterTraining:
    """What a batch is and what the terms weigh."""

    batch_size: int = 20
    frames: int = 256
    weights: tuple[tuple[str, float], ...] = ()
    adversarial_from: int | None = None
    adversarial: float = 0.1
    """Weight of pleasing the discriminator, once it is on."""
    features: float = 0.2
    """Weight of the distance to recordings in the discriminator's activations."""
    consistency: float = 0.3
    """Weight of the cosine distance between the speaker vector heard in the output and the one given."""
    pseudo: float = 0.3
    """Share of the utterances that are disguised as people who do not exist, for more speakers."""
    astray: float = 0.35
    """How far at most a vector is led towards another speaker's, as a share of its length."""
    swapped: float = 0.25
    """Share of the batch that is converted to another speaker; consistency and discriminator judge it."""
    understood: float = 0.0
    """Weight of being understood by the recognizer, converted to another speaker, as the recording is."""
    remembered: int = 0
    """Frames of another recording of who is wanted, whose timbre is added to conversions, if not 0."""
    hidden: float = 0.2
    """Weight of hiding at the bottleneck who speaks from a listener that learns to tell."""


_SAME = 0.8  # cosine above which two vectors may be of one person


class _Critics(nn.Module):
    """What the converter plays against: a judge of mels, once it is on, and a listener at the bottleneck."""

    def __init__(self, mels: MelDiscriminator | None, listener: Listener) -> None:
        super().__init__()
        self.mels = mels
        self.listener = listener


class ConverterTask(Task):
    """L1 on mel; speaker consistency, also for swapped speakers; then a patch discriminator."""

    model: Converter
    critic: _Critics

    def __init__(
        self,
        model: Converter,
        recognizer: PhoneRecognizer,
        encoder: SpeakerEncoder,
        folders: Sequence[Path | FeatureStore],
        config: ConverterTraining,
        stream: Stream | None = None,
    ) -> None:
        self.model = model
        self.recognizer = recognizer.requires_grad_(False)
        self.encoder = encoder.requires_grad_(False)
        self.config = config
        found = load_utterances(folders, lambda item: weighs(item, config.weights))
        self.held = held_out(found, 40)
        self.stream = stream
        if stream is None:
            self.feed(found, lambda utterances: Pool(utterances, dict(config.weights) or None))
        self.held_table = SpeakerTable(encoder, self.held) if stream else self.table
        vector = encoder.config.vector
        judge = MelDiscriminator(vector) if config.adversarial_from is not None else None
        self.critic = _Critics(judge, Listener(model.config.bottleneck, vector))

    def feed(self, utterances: Sequence[Utterance], pool: Callable[[Sequence[Utterance]], Pool]) -> None:
        """All whose source counts."""
        found = [u for u in utterances if weighs(u.item, self.config.weights)]
        self.pool = pool([u for u in found if not u.held_out])
        if found:  # of a window nothing may fit
            self.table = SpeakerTable(self.encoder, found)

    def rows(self, rng: np.random.Generator) -> list[tuple[Utterance, np.random.Generator]]:
        """Utterances of a batch, with the chances of each."""
        return self.pool.rows(rng, self.config.batch_size)

    def batch(self, rng: np.random.Generator) -> Batch:
        """See `collate`."""
        return self.collate(self.rows(rng), self.table, perturbed=True)

    def collate(
        self, rows: Sequence[tuple[Utterance, np.random.Generator]], table: SpeakerTable, *, perturbed: bool
    ) -> Batch:
        """heard, outlined, moving, mel [B, M, T]; f0 [B, T]; speaker [B, S]; quality [B]; bands [B, M, 1].

        And what `References` give of the speakers' other recordings. `table` knows the speakers of `rows`.
        """
        mels, pitches, quality, vectors = [], [], [], []
        heard, outlined, moving = [], [], []
        references = References(self.config.remembered)
        for utterance, rng in rows:
            whole = torch.from_numpy(utterance.mel()).T
            quality.append(recording_quality(whole))
            mel, f0, _ = crop(utterance, self.config.frames, rng)
            mel, f0, vector, factor = disguised(self, utterance, mel, f0, rng if perturbed else None)
            if vector is None:
                astray = self.config.astray if perturbed else 0.0
                vector = table.vector(utterance, rng, astray=astray)
            other = table.another(utterance, rng) if perturbed and self.config.remembered else None
            references.append(other, factor, rng)
            vectors.append(vector)
            mels.append(mel)
            pitches.append(f0)
            heard.append(perturb(mel, rng) if perturbed else mel)
            told = tracts(heard[-1], rng) if perturbed else (mel, mel)
            outlined.append(told[0])
            moving.append(told[1])
        return {
            "mel": torch.from_numpy(np.stack(mels)).transpose(1, 2).contiguous(),
            "heard": torch.from_numpy(np.stack(heard)).transpose(1, 2).contiguous(),
            "outlined": torch.from_numpy(np.stack(outlined)).transpose(1, 2).contiguous(),
            "moving": torch.from_numpy(np.stack(moving)).transpose(1, 2).contiguous(),
            "f0": torch.from_numpy(np.stack(pitches)),
            "speaker": torch.from_numpy(np.stack(vectors)),
            "quality": torch.stack(quality),
            "frames": torch.full((len(mels),), self.config.frames),
            "bands": band_weights([u.item.band for u, _ in rows]),
            **references.batch(),
        }

    def losses(self, model: nn.Module, batch: Batch, step: int) -> tuple[dict[str, Tensor], Any]:
        """Named terms; the discriminator's only once it is on."""
        with torch.no_grad():
            content, logits = self.recognizer.to(batch["mel"].device)(batch["heard"])
        bare: Any = getattr(model, "module", model)
        loudness = dynamics.loudness_of(batch["mel"])
        inputs = (content, logits, batch["f0"], batch["outlined"], loudness)
        mel = model(*inputs, batch["speaker"], batch["quality"], moving=batch["moving"]).float()
        weight = batch["bands"].expand_as(mel)
        losses = {"mel": ((mel - batch["mel"]).abs() * weight).sum() / weight.sum()}
        crossed = None
        if self.config.swapped and self.config.consistency and step >= 0:
            converted, crossed = self._converted(model, batch, inputs)
            losses |= converted
        mask = torch.ones(len(mel), mel.shape[2], 1, device=mel.device)
        losses, judged = finish_losses(self, self.critic.mels, losses, mel, batch, mask, step, crossed)
        if not self.config.hidden or step < 0:
            return losses, None if judged is None else (judged, None, None)
        with torch.no_grad():
            source = self.encoder(batch["heard"])
        code = torch.tanh(bare.squeeze(content))
        self.critic.listener.requires_grad_(False)
        losses["hidden"] = self.config.hidden * hide(self.critic.listener(code, source))
        self.critic.listener.requires_grad_(True)
        return losses, (judged, code.detach(), source)

    def _converted(
        self, model: nn.Module, batch: Batch, inputs: tuple[Tensor, ...]
    ) -> tuple[dict[str, Tensor], tuple[Tensor, Tensor]]:
        """The terms of conversions between the people of a batch; those mels, and the vectors asked for."""
        # At least one: a term that only some processes have would leave them with different ones to average.
        count = max(1, int(self.config.swapped * len(batch["mel"])))
        whose = partners(batch["speaker"], count)
        other, bands = batch["speaker"][whose], batch["bands"][whose]
        said, source, quality, moving = (batch[n][:count] for n in ("mel", "speaker", "quality", "moving"))
        *told, loudness = (x[:count] for x in inputs)
        loudness, outline = dynamics_of(batch, whose, loudness, self.model.config.outline)
        made = model(*told, loudness, other, quality, moving=moving, outline=outline).float()
        if self.config.remembered:
            known = tables_for(model, self.recognizer, batch, whose)
            made = add_lacking(made, batch["f0"][:count], known, OF_CONVERSIONS)
        alike = unlike(self.encoder.to(made.device), made, other, unwanted=source)
        terms = {"swapped": self.config.consistency * alike}
        if self.config.understood:
            terms["understood"] = self.config.understood * misunderstood(self.recognizer, made, said)
        return terms, (made * bands, other)

    def critic_losses(self, critic: nn.Module, seen: Any) -> dict[str, Tensor]:
        """Least-squares real-or-fake, and whose; whom the listener hears in the bottleneck."""
        bare: Any = getattr(critic, "module", critic)
        judged, code, source = seen
        losses = {} if judged is None else judge_mels(bare.mels, *judged)
        if code is not None:
            losses["listener"] = overhear(bare.listener(code, source))
        return losses

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> Report:
        """Reconstruction of held-out speech from unperturbed input, and a picture of one."""
        rng = np.random.default_rng(0)
        told = [(utterance, rng) for utterance in self.held]
        device = next(model.parameters()).device
        values = []
        for start in range(0, len(self.held), 20):
            batch = self.collate(told[start : start + 20], self.held_table, perturbed=False)
            losses, _ = self.losses(model, {k: v.to(device) for k, v in batch.items()}, -1)
            values.append(float(losses["mel"]))
        batch = {
            k: v[:1].to(device) for k, v in self.collate(told[:1], self.held_table, perturbed=False).items()
        }
        content, logits = self.recognizer(batch["heard"])
        made = model(
            content,
            logits,
            batch["f0"],
            batch["outlined"],
            dynamics.loudness_of(batch["mel"]),
            batch["speaker"],
            batch["quality"],
        )
        return Report(
            {"mel": float(np.mean(values))},
            judged=float(np.mean(values)),
            pictures={"recording": draw_mel(batch["mel"][0]), "conversion": draw_mel(made[0])},
        )


def partners(speakers: Tensor, count: int) -> Tensor:
    """For the first `count` of speakers [B, S] the rows [count] of those that they are converted to.

    Every other one becomes the most alike of the others: what is left of a source is heard there first.
    """
    alike = speakers[:count] @ speakers.T
    nearest = alike.masked_fill(alike > _SAME, -1).argmax(1)
    rows = torch.arange(count, device=speakers.device)
    return torch.where(rows % 2 == 0, nearest, (rows - 1) % len(speakers))


def dynamics_of(batch: Batch, whose: Tensor, loudness: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """`loudness` [b, T] and the outlines [b, T, K] of the first rows, as of whom they are converted to.

    As in use, with what the rows `whose` [b] say in place of a reference.
    """
    louder, outlines = [], []
    for row, wanted in enumerate(whose.tolist()):
        own, there = ((batch["mel"][n], batch["f0"][n]) for n in (row, wanted))
        louder.append(
            dynamics.as_loud(
                loudness[row], dynamics.loudness_quantiles(*own), dynamics.loudness_quantiles(*there)
            )
        )
        told = batch["outlined"][row]
        noises = dynamics.noises_of(told, own[1], count), dynamics.noises_of(*there, count)
        outlines.append(dynamics.as_noisy(dynamics.outline_of(told[None], count)[0], *noises))
    return torch.stack(louder), torch.stack(outlines)


def tracts(heard: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A log-mel [T, M] twice, whose outline and whose moves the decoder is told, each of a tract of its own.

    Always: it must not believe the formants of either, only hisses, bursts and when something moves.
    """
    outlined, moving = (warp_formants(heard, float(np.exp(rng.uniform(-most, most)))) for most in (0.2, 0.3))
    return outlined, moving
