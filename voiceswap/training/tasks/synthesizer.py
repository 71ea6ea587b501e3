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
from voiceswap.models.converter import Converter
from voiceswap.models.phone_recognizer import PhoneRecognizer
from voiceswap.models.speaker_encoder import SpeakerEncoder
from voiceswap.models.synthesizer import Synthesizer
from voiceswap.models.timbre import OF_TEXT, ONCE, add_lacking
from voiceswap.nn.blocks import lengths_to_mask
from voiceswap.nn.decoder import recording_quality
from voiceswap.nn.discriminators import MelDiscriminator, judge_mels
from voiceswap.text.phonemes import FIRST_PHONE
from voiceswap.training.loop import Batch, Report, Task
from voiceswap.training.speakers import SpeakerTable
from voiceswap.training.stream import Stream
from voiceswap.training.tasks.judging import finish_losses, misunderstood
from voiceswap.training.tasks.references import References, disguised, tables_for

_SILENT = float(np.log(ACOUSTICS.floor))


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
    understood: float = 0.0
    """Weight of being understood by the recognizer as the recording is."""
    remembered: int = 0
    """Frames of another recording of who is wanted, whose timbre is added, if not 0: once for the other
    judges, and for the recognizer as much as `speak` adds."""


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
        recognizer: PhoneRecognizer | None = None,
        converter: Converter | None = None,
    ) -> None:
        """The recognizer is needed to be `understood`, and with the converter for what is `remembered`."""
        self.model = model
        self.recognizer = recognizer and recognizer.requires_grad_(False)
        self.converter = converter and converter.requires_grad_(False)
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

        And what `References` give of the speakers' other recordings, but of teachers, whom nobody enrolls.
        `table` knows the speakers of `rows`.
        """
        references = References(self.config.remembered)
        mels, pitches, shapes, vectors = [], [], [], []
        utterances = [utterance for utterance, _ in rows]
        for utterance, rng in rows:
            f0 = utterance.f0()
            median, spread = table.pitch[utterance.item.speaker]
            shape = np.where(f0 > 0, np.log(np.maximum(f0, 1.0) / median) / spread, 0.0)
            shapes.append(np.clip(shape, -4, 4).astype(np.float32))
            chance = rng if disguise else None
            mel, f0, vector, factor = disguised(self, utterance, utterance.mel(), f0, chance)
            if vector is None:
                astray = self.config.astray if disguise else 0.0
                vector = table.vector(utterance, rng, astray=astray)
            enrolled = disguise and self.config.remembered and utterance.item.id in utterance.store.forced
            references.append(table.another(utterance, rng) if enrolled else None, factor, rng)
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
            **references.batch(),
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
        if self.recognizer is not None:
            self.recognizer.to(mel.device)
        heard = mel[: (len(mel) + 1) // 2]  # by the recognizer: every row would take as long as all else
        if self.converter is not None and self.recognizer is not None and step >= 0:
            rows = torch.arange(len(mel), device=mel.device)
            known = tables_for(self.converter.to(mel.device), self.recognizer, batch, rows)
            heard = add_lacking(heard, batch["f0"][: len(heard)], known[: len(heard)], OF_TEXT)
            mel = add_lacking(mel, batch["f0"], known, ONCE)  # more would be unlearnt by the distance in mel

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
        if self.recognizer is not None and self.config.understood and step >= 0:
            beyond = mask[: len(heard), :, 0] == 0
            made, said = (
                x[: len(heard)].masked_fill(beyond[:, None], _SILENT) for x in (heard, batch["mel"])
            )
            losses["understood"] = self.config.understood * misunderstood(self.recognizer, made, said)
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


def draw_mel(mel: Tensor) -> np.ndarray:
    """A log-mel [M, T] as a picture [H, W] in 0…1, low bands at the bottom."""
    return ((mel.float().cpu().numpy()[::-1] + 11.5) / 13.5).clip(0, 1)
