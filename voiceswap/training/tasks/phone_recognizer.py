"""Training the PhoneRecognizer: frames of aligned speech and CTC on recordings with text, in every batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voiceswap.data.batches import Pool, Utterance, crop, load_utterances, pad
from voiceswap.data.perturb import babble, mask_patches, perturb, stretch, warp_formants
from voiceswap.models.converter import loudness_of
from voiceswap.models.phone_recognizer import CLASSES, PhoneRecognizer, to_class
from voiceswap.nn.blocks import lengths_to_mask
from voiceswap.nn.decoder import recording_quality
from voiceswap.text.phonemes import FIRST_PHONE
from voiceswap.training.loop import Batch, Report, Task
from voiceswap.training.speakers import SpeakerTable
from voiceswap.training.tasks.synthesizer import band_weights, unlike

_IGNORE = -100


@dataclass(frozen=True)
class PhoneRecognizerTraining:
    """Batch sizes and what each part weighs."""

    aligned: int = 10
    """Crops of aligned speech in a batch, of `frames` frames."""
    frames: int = 224
    spoken: int = 7
    """Whole recordings with text but without alignment."""
    longest: int = 1100
    ctc: float = 0.25
    prior: float = 0.3
    """How much of the label prior is taken off in CTC, against peaks (Huang et al., 2024)."""
    rebuilt: float = 0.0
    """Weight of what a trained Converter, which stands still, makes of the content: the natural mel again."""
    swapped: int = 3
    """Rows that it also makes for somebody else, whom the SpeakerEncoder has to hear; 0 for none."""
    aligned_weights: tuple[tuple[str, float], ...] = ()
    spoken_weights: tuple[tuple[str, float], ...] = ()


def frame_labels(utterance: Utterance) -> np.ndarray:
    """Class of every frame [T] of an aligned utterance."""
    item = utterance.item
    classes = to_class(torch.tensor(item.phonemes)).numpy()
    labels = np.repeat(classes, item.durations)
    return np.pad(labels, (0, max(0, item.frames - len(labels))))[: item.frames]


class PhoneRecognizerTask(Task):
    """Aligned speech of the teachers, or of recordings once they have been aligned, and CTC on the rest."""

    def __init__(
        self,
        model: PhoneRecognizer,
        folders: Sequence[Path],
        config: PhoneRecognizerTraining,
        teacher: Callable[[str], Any] | None = None,
    ) -> None:
        """`teacher` gives the trained model of a kind; only `rebuilt` asks for it."""
        self.model = model
        self.config = config
        found = load_utterances(folders, lambda item: bool(item.phonemes))
        aligned = [u for u in found if u.item.durations]
        # Recordings aligned by an earlier recognizer teach frames too; CTC, which may move them, stays.
        guessed = [u for u in found if not u.item.durations or u.item.id in u.store.forced]
        spoken = [u for u in guessed if u.item.frames <= config.longest]
        self.aligned = Pool([u for u in aligned if not u.held_out], dict(config.aligned_weights) or None)
        self.spoken = (
            Pool([u for u in spoken if not u.held_out], dict(config.spoken_weights) or None)
            if spoken
            else None
        )
        rng = np.random.default_rng(0)
        held = [u for u in aligned if u.held_out] or aligned
        self.held_aligned = [held[i] for i in rng.permutation(len(held))[:40]]
        held = [u for u in spoken if u.held_out]
        self.held_spoken = [held[i] for i in rng.permutation(len(held))[:60]]
        self.log_prior = torch.full((CLASSES,), -float(np.log(CLASSES)))
        self.table: SpeakerTable | None = None
        if teacher is not None and config.rebuilt:
            self.converter = teacher("converter").requires_grad_(False)
            self.encoder = teacher("speaker-encoder").requires_grad_(False)
            self.table = SpeakerTable(self.encoder, self.aligned.utterances)

    def batch(self, rng: np.random.Generator) -> Batch:
        """mel [A, T, M], labels [A, T / 2]; ctc_mel [S, T, M], ctc_labels [S, ceil(T / 2)], phones [S, P].

        With the counts of frames and phones [S], and what `rebuilt` needs (`_natural`).
        """
        mels, labels, clean, pitches = [], [], [], []
        frames = self.config.frames
        chosen = self.aligned.draw(rng, self.config.aligned)
        for utterance in chosen:
            whole = frame_labels(utterance)
            length = round(frames * float(rng.uniform(0.85, 1.15)))  # another tempo
            mel, f0, start = crop(utterance, length, rng)
            label = np.resize(whole, max(len(whole), start + length))[start : start + length]
            clean.append(stretch(mel, frames / length))
            pitches.append(f0[np.arange(frames) * length // frames])
            mels.append(perturb(clean[-1], rng))
            labels.append(label[np.arange(0, frames, 2) * length // frames])
        natural = {} if self.table is None else self._natural(chosen, clean, mels, pitches, rng)
        mels = [
            mask_patches(babble(mel, mels[i - 1], rng), rng, most_frames=7) if rng.random() < 0.7 else mel
            for i, mel in enumerate(mels)
        ]
        batch = {"mel": torch.from_numpy(np.stack(mels)), "labels": torch.from_numpy(np.stack(labels))}
        batch |= natural
        if self.spoken is None or not self.config.spoken:
            return batch
        spoken: list[np.ndarray] = []
        phones, whole_labels = [], []
        for utterance in self.spoken.draw_alike(rng, self.config.spoken):
            tempo = float(rng.uniform(0.9, 1.15))
            heard = perturb(stretch(utterance.mel(), tempo), rng)
            if spoken:
                heard = babble(heard, spoken[-1], rng)
            spoken.append(mask_patches(heard, rng))
            whole = frame_labels(utterance) if utterance.item.durations else np.array([_IGNORE])
            whole_labels.append(whole[np.arange(0, len(heard), 2) * len(whole) // len(heard)])
            ids = np.array(utterance.item.phonemes)
            phones.append(to_class(torch.from_numpy(ids[ids >= FIRST_PHONE])).numpy())
        return batch | {
            "ctc_mel": pad(spoken, -8.0),
            "ctc_labels": pad(whole_labels, _IGNORE),
            "ctc_frames": torch.tensor([len(mel) for mel in spoken]),
            "phones": pad(phones),
            "phone_counts": torch.tensor([len(p) for p in phones]),
        }

    def _natural(
        self,
        utterances: Sequence[Utterance],
        clean: Sequence[np.ndarray],
        heard: Sequence[np.ndarray],
        f0: Sequence[np.ndarray],
        rng: np.random.Generator,
    ) -> Batch:
        """natural, outlined [A, M, T], f0 [A, T], speaker [A, S], quality [A], bands [A, M, 1].

        As the Converter learns them; its outline is that of another tract, lest it tells the speaker.
        """
        assert self.table is not None
        outlined = [warp_formants(mel, float(np.exp(rng.uniform(-0.2, 0.2)))) for mel in heard]
        return {
            "natural": torch.from_numpy(np.stack(clean)).transpose(1, 2).contiguous(),
            "outlined": torch.from_numpy(np.stack(outlined)).transpose(1, 2).contiguous(),
            "f0": torch.from_numpy(np.stack(f0)),
            "speaker": torch.from_numpy(np.stack([self.table.vector(u, rng) for u in utterances])),
            "quality": torch.stack([recording_quality(torch.from_numpy(u.mel()).T) for u in utterances]),
            "bands": band_weights([u.item.band for u in utterances]),
        }

    def _rebuild(self, content: Tensor, logits: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Terms of the mels that the Converter makes of the content: natural ones, of whoever is asked for.

        What the decoder needs and phonemes do not name, such as where exactly a sound lies between two, is
        worth reading too. The input is of another tract, room and level than the wanted mel.
        """
        device = content.device
        natural, loudness = batch["natural"], loudness_of(batch["natural"])
        inputs = (content, logits, batch["f0"], batch["outlined"], loudness)
        made = self.converter.to(device)(*inputs, batch["speaker"], batch["quality"]).float()
        weight = batch["bands"].expand_as(made)
        losses = {"rebuilt": self.config.rebuilt * ((made - natural).abs() * weight).sum() / weight.sum()}
        if rows := self.config.swapped:
            other = batch["speaker"].roll(1, 0)[:rows]
            made = self.converter(*(x[:rows] for x in inputs), other, batch["quality"][:rows]).float()
            losses["swapped"] = self.config.rebuilt * unlike(self.encoder.to(device), made, other)
        return losses

    def losses(self, model: nn.Module, batch: Batch, step: int) -> tuple[dict[str, Tensor], Any]:
        """Cross-entropy of frames, CTC with the label prior taken off, and what the content is good for."""
        content, logits = model(batch["mel"].transpose(1, 2))
        frames, labels = [logits.float().flatten(0, 1)], [batch["labels"].flatten()]
        losses = self._rebuild(content, logits, batch) if "natural" in batch else {}
        if "ctc_mel" in batch:
            lengths = (batch["ctc_frames"] + 1) // 2
            mask = lengths_to_mask(lengths, (batch["ctc_mel"].shape[1] + 1) // 2)
            _, logits = model(batch["ctc_mel"].transpose(1, 2), mask)
            # Whole recordings count by frames too: CTC alone lets the phones of long ones drift in time.
            frames.append(logits.float().flatten(0, 1))
            labels.append(batch["ctc_labels"].flatten())
            scores = logits.float().log_softmax(-1)
            with torch.no_grad():
                mean = ((scores.exp() * mask).sum((0, 1)) / mask.sum()).cpu()
                self.log_prior = torch.log(0.98 * self.log_prior.exp() + 0.02 * mean + 1e-6)
            scaled = (scores - self.config.prior * self.log_prior.to(scores.device)).log_softmax(-1)
            losses["ctc"] = self.config.ctc * F.ctc_loss(
                scaled.transpose(0, 1), batch["phones"], lengths, batch["phone_counts"], zero_infinity=True
            )
        losses["frames"] = F.cross_entropy(
            torch.cat(frames), torch.cat(labels), ignore_index=_IGNORE, label_smoothing=0.05
        )
        return losses, None

    def state(self) -> dict[str, Tensor]:
        """The running label prior."""
        return {"log_prior": self.log_prior}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """As `state` gave it."""
        if "log_prior" in state:
            self.log_prior = state["log_prior"].cpu()

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> Report:
        """Share of held-out aligned frames that are right, and greedy phoneme error rate by source."""
        device = next(model.parameters()).device
        right = total = 0
        for utterance in self.held_aligned:
            logits = model(torch.from_numpy(utterance.mel()).T[None].to(device))[1][0]
            truth = torch.from_numpy(frame_labels(utterance)[::2]).to(device)
            right += int((logits[: len(truth)].argmax(-1) == truth).sum())
            total += len(truth)
        errors: dict[str, list[int]] = {}
        picture = None
        for utterance in self.held_spoken:
            logits = model(torch.from_numpy(utterance.mel()).T[None].to(device))[1][0]
            said = collapse(logits.argmax(-1).cpu().numpy())
            ids = torch.tensor([i for i in utterance.item.phonemes if i >= FIRST_PHONE])
            wanted = to_class(ids).tolist()
            counts = errors.setdefault(utterance.item.source, [0, 0])
            counts[0] += edit_distance(said, wanted)
            counts[1] += len(wanted)
            picture = logits.softmax(-1).T.cpu().numpy()[::-1]
        metrics = {"frames_right": right / max(1, total)}
        metrics |= {f"phone_error/{source}": wrong / count for source, (wrong, count) in errors.items()}
        wrong, count = map(sum, zip(*errors.values(), strict=True)) if errors else (0, 0)
        judged = wrong / count if count else 1 - metrics["frames_right"]
        return Report(metrics, judged, pictures={} if picture is None else {"posteriors": picture})


def collapse(classes: np.ndarray) -> list[int]:
    """CTC's greedy reading: repetitions merged, silence dropped."""
    kept = classes[np.insert(np.diff(classes) != 0, 0, True)]
    return [int(c) for c in kept if c]


def edit_distance(a: Sequence[int], b: Sequence[int]) -> int:
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]
