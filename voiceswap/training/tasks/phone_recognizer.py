"""Training the PhoneRecognizer: frames of aligned speech and CTC on recordings with text, in every batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voiceswap.data.batches import Pool, Utterance, crop, load_utterances, pad
from voiceswap.data.perturb import babble, mask_patches, perturb, stretch
from voiceswap.errors import DataError, OptionError
from voiceswap.models.phone_recognizer import CLASSES, PhoneRecognizer, to_class
from voiceswap.nn.blocks import lengths_to_mask
from voiceswap.text.phonemes import FIRST_PHONE
from voiceswap.training.lessons import WIDTH, Lessons
from voiceswap.training.loop import Batch, Report, Task

_IGNORE = -100


@dataclass(frozen=True)
class PhoneRecognizerTraining:
    """Batch sizes and what each part weighs."""

    aligned: int = 10
    """Crops of aligned speech in a batch, of `frames` frames."""
    frames: int = 256
    spoken: int = 7
    """Whole recordings with text but without alignment."""
    longest: int = 1100
    ctc: float = 0.25
    prior: float = 0.3
    """How much of the label prior is taken off in CTC, against peaks (Huang et al., 2024)."""
    taught: float = 0.0
    """Weight of understanding perturbed speech as Moonshine does the unperturbed (`training/lessons.py`)."""
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
    ) -> None:
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
        self.lessons = _lessons(model, found) if config.taught else {}

    def batch(self, rng: np.random.Generator) -> Batch:
        """mel [A, T, M], labels [A, T / 2]; ctc_mel [S, T, M], ctc_labels [S, ceil(T / 2)], phones [S, P].

        With the counts of frames and phones [S]; with `taught` also lesson [A, T / 2, C] and ctc_lesson
        [S, ceil(T / 2), C], nan where there is none.
        """
        mels, labels, lessons = [], [], []
        frames = self.config.frames
        for utterance in self.aligned.draw(rng, self.config.aligned):
            whole = frame_labels(utterance)
            length = round(frames * float(rng.uniform(0.85, 1.15)))  # another tempo
            mel, _, start = crop(utterance, length, rng)
            label = np.resize(whole, max(len(whole), start + length))[start : start + length]
            mels.append(perturb(stretch(mel, frames / length), rng))
            labels.append(label[np.arange(0, frames, 2) * length // frames])
            lessons.append(self._lesson(utterance, start, length, frames))
        mels = [
            mask_patches(babble(mel, mels[i - 1], rng), rng, most_frames=7) if rng.random() < 0.7 else mel
            for i, mel in enumerate(mels)
        ]
        batch = {"mel": torch.from_numpy(np.stack(mels)), "labels": torch.from_numpy(np.stack(labels))}
        if self.lessons:
            batch["lesson"] = torch.from_numpy(np.stack(lessons))
        if self.spoken is None or not self.config.spoken:
            return batch
        spoken: list[np.ndarray] = []
        phones, whole_labels, lessons = [], [], []
        for utterance in self.spoken.draw_alike(rng, self.config.spoken):
            tempo = float(rng.uniform(0.9, 1.15))
            heard = perturb(stretch(utterance.mel(), tempo), rng)
            if spoken:
                heard = babble(heard, spoken[-1], rng)
            spoken.append(mask_patches(heard, rng))
            whole = frame_labels(utterance) if utterance.item.durations else np.array([_IGNORE])
            whole_labels.append(whole[np.arange(0, len(heard), 2) * len(whole) // len(heard)])
            lessons.append(self._lesson(utterance, 0, utterance.item.frames, len(heard)))
            ids = np.array(utterance.item.phonemes)
            phones.append(to_class(torch.from_numpy(ids[ids >= FIRST_PHONE])).numpy())
        if self.lessons:
            batch["ctc_lesson"] = pad(lessons, np.nan)
        return batch | {
            "ctc_mel": pad(spoken, -8.0),
            "ctc_labels": pad(whole_labels, _IGNORE),
            "ctc_frames": torch.tensor([len(mel) for mel in spoken]),
            "phones": pad(phones),
            "phone_counts": torch.tensor([len(p) for p in phones]),
        }

    def _lesson(self, utterance: Utterance, start: int, length: int, frames: int) -> np.ndarray:
        """What Moonshine understood [ceil(frames / 2), C] of `length` frames, played as `frames` of them."""
        places = start + np.arange(0, frames, 2) * (length / frames)
        lessons = self.lessons.get(utterance.store.folder)
        found = lessons.of(utterance, places) if lessons and places[-1] < utterance.item.frames else None
        return np.full((len(places), WIDTH), np.nan, np.float32) if found is None else found

    def losses(self, model: nn.Module, batch: Batch, step: int) -> tuple[dict[str, Tensor], Any]:
        """Cross-entropy of frames, CTC with the label prior taken off, and the distance from lessons."""
        bare: Any = getattr(model, "module", model)
        understood = bare.understand(batch["mel"].transpose(1, 2))
        _, logits = bare.read(understood)
        taught = [(understood, batch["lesson"])] if "lesson" in batch else []
        frames, labels = [logits.float().flatten(0, 1)], [batch["labels"].flatten()]
        losses: dict[str, Tensor] = {}
        if "ctc_mel" in batch:
            lengths = (batch["ctc_frames"] + 1) // 2
            mask = lengths_to_mask(lengths, (batch["ctc_mel"].shape[1] + 1) // 2)
            understood = bare.understand(batch["ctc_mel"].transpose(1, 2), mask)
            _, logits = bare.read(understood)
            taught += [(understood, batch["ctc_lesson"])] if "ctc_lesson" in batch else []
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
        if taught:
            losses["taught"] = self.config.taught * _apart(
                torch.cat([understood.flatten(0, 1) for understood, _ in taught]),
                torch.cat([lesson.flatten(0, 1) for _, lesson in taught]),
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


def _lessons(model: PhoneRecognizer, utterances: Sequence[Utterance]) -> dict[Path, Lessons]:
    """By folder of a store, its lessons; refused where nothing can be learnt from them."""
    if model.config.channels != WIDTH:
        raise OptionError(
            f"taught with {model.config.channels} channels",
            f"lessons have {WIDTH}",
            "Take the preset base, or taught=0",
        )
    found = {u.store.folder: Lessons(u.store.folder) for u in utterances}
    if not any(lessons.places for lessons in found.values()):
        names = ", ".join(str(folder) for folder in found)
        raise DataError(
            names,
            "no lessons lie there to be taught",
            "Run benchmarks/recognizer_teacher.py, or set taught=0",
        )
    return found


def _apart(understood: Tensor, lessons: Tensor) -> Tensor:
    """Squared distance of [N, C] from lessons [N, C], as a share of their size, where there are any."""
    known = ~lessons[:, :1].isnan()
    wanted = torch.where(known, lessons, 0.0)
    return ((understood.float() - wanted).square() * known).sum() / wanted.square().sum().clamp(min=1.0)


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
