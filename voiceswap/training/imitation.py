"""A recording's mel as the acoustic models would make it: what the Vocoder meets in use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from voiceswap.data.batches import Utterance
from voiceswap.models.converter import Converter
from voiceswap.models.dynamics import loudness_of
from voiceswap.models.phone_recognizer import PhoneRecognizer
from voiceswap.models.speaker_encoder import SpeakerEncoder
from voiceswap.models.synthesizer import Synthesizer
from voiceswap.nn.decoder import recording_quality
from voiceswap.training.speakers import SpeakerTable
from voiceswap.training.tasks.synthesizer import phone_rate

_DECODED = 24  # frames that the decoders see to either side
_HEARD = 84  # of the frames that the recognizer sees, those that matter


class Imitation:
    """Mels of Synthesizer and Converter, with the recording's own timing, melody and speaker."""

    def __init__(self, model: Callable[[str], Any], utterances: Sequence[Utterance]) -> None:
        """`model` gives the trained model of a kind."""
        self.synthesizer: Synthesizer = model("synthesizer")
        self.converter: Converter = model("converter")
        self.recognizer: PhoneRecognizer = model("phone-recognizer")
        self.encoder: SpeakerEncoder = model("speaker-encoder")
        self.meet(utterances)

    def meet(self, utterances: Sequence[Utterance]) -> None:
        """Know the speakers of these `utterances`, and no others any more."""
        self.table = SpeakerTable(self.encoder, utterances)

    @torch.inference_mode()
    def mel(self, utterance: Utterance, start: int, frames: int, rng: np.random.Generator) -> np.ndarray:
        """Frames [frames, M] from `start` on: by chance spoken, where the text is aligned, or converted."""
        speaker = torch.from_numpy(self.table.vector(utterance, rng))[None]
        item, spoken = utterance.item, False
        if item.durations and item.language == "en":
            spoken = bool(rng.random() < 0.5)
        whole = torch.from_numpy(utterance.mel()).T[None]
        quality = recording_quality(whole)
        around = _DECODED if spoken else _HEARD
        first, last = max(0, start - around), min(item.frames, start + frames + around)
        first -= first % 2  # the recognizer reads pairs of frames
        f0 = torch.from_numpy(utterance.f0()[first:last])[None]
        if spoken:
            condition = self.synthesizer.condition(speaker, quality)
            ids, stress, durations = (torch.tensor([x]) for x in (item.phonemes, item.stress, item.durations))
            rate = torch.tensor([phone_rate(utterance)])
            hidden, _ = self.synthesizer.plan(ids, stress, condition, rate)
            spread = self.synthesizer.spread(hidden, durations, item.frames)[:, first:last]
            made = self.synthesizer.decode(spread, f0, condition)
        else:
            heard = whole[:, :, first:last]
            content, logits = self.recognizer(heard)
            made = self.converter(content, logits, f0, heard, loudness_of(heard), speaker, quality)
        return made[0, :, start - first : start - first + frames].T.numpy()
