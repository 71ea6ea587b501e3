"""Whether a recorded statement says the words of a consent, in the voice that is enrolled with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from voiceswap import audio
from voiceswap.acoustics import ACOUSTICS, log_mel
from voiceswap.enrollment import window_vectors
from voiceswap.errors import AudioError, ConsentError
from voiceswap.files import digest
from voiceswap.models.alignment import worst_stretch
from voiceswap.models.phone_recognizer import PhoneRecognizer, to_class
from voiceswap.models.speaker_encoder import SpeakerEncoder
from voiceswap.provenance.consent import Consent
from voiceswap.provenance.statement import OTHER_NAMES, Statement, other_sentences, sentence
from voiceswap.text import sentences
from voiceswap.text.phonemes import FIRST_PHONE
from voiceswap.voice import fingerprint

LONGEST = 60.0
"""Seconds of a statement at most."""
# Chosen on 297 recordings by 18 people never trained on, of 121 of which the text is given; measured on
# others of theirs by benchmarks/statement.py, whose table is in docs/responsible-use.md.
WORDS = -0.9
"""Least log-likelihood ratio of the whole statement, nats per 21 ms."""
WEAKEST = -1.8
"""Least log-likelihood ratio of its worst second."""
SPEAKER = 0.65
"""Least cosine between the statement's speaker and the voice."""
_SAME = 0.6  # names whose phonemes match by more are no decoys of one another


@dataclass(frozen=True)
class Hearing:
    """How well a recording says a text: `words` and `weakest` as in `Statement`, and `lead`.

    `lead` is the log-likelihood of the text over that of the likeliest decoy, in nats; infinite without any.
    """

    words: float
    weakest: float
    lead: float

    @property
    def said(self) -> bool:
        """Whether the text was said, and none of the decoys."""
        return self.words >= WORDS and self.weakest >= WEAKEST and self.lead > 0


@torch.inference_mode()
def verify(
    recording: audio.Source,
    consent: Consent,
    vector: NDArray[np.float32],
    *,
    encoder: SpeakerEncoder,
    recognizer: PhoneRecognizer,
) -> Consent:
    """`consent` with what was heard in `recording`: its statement is said by the speaker of `vector` [S].

    Raises ConsentError for other words and for another speaker, AudioError for a recording that cannot be
    read or lasts over a minute, TextError for a name that is not in Latin letters.
    """
    text = consent.statement
    samples, digest = _samples(recording)
    heard = hear(samples, phones(text), decoys_of(consent), recognizer=recognizer)
    if not heard.said:
        raise ConsentError(
            f"the statement of {consent.name!r}",
            f"it does not say the words of this consent ({_reason(heard)})",
            f'Record it in a quiet place, read aloud in English: "{text}"',
        )
    speaker = likeness(samples, vector, encoder=encoder)
    if speaker < SPEAKER:
        raise ConsentError(
            f"the statement of {consent.name!r}",
            f"it is another voice than the one enrolled (likeness {speaker:.2f}, one person has {SPEAKER})",
            "Record it by the person who is enrolled, with the microphone of the other recordings",
        )
    spoken = Statement(
        text=text,
        consent=consent.digest(spoken=False),
        voice=fingerprint(vector),
        recording=digest,
        words=round(heard.words, 3),
        weakest=round(heard.weakest, 3),
        speaker=round(speaker, 3),
    )
    return replace(consent, spoken=spoken)


def phones(text: str) -> list[int]:
    """The recognizer's classes of the sounds of an English text."""
    ids = [symbol for piece in sentences(text) for symbol in piece.phonemes.ids]
    return to_class(torch.tensor([symbol for symbol in ids if symbol >= FIRST_PHONE])).tolist()


@torch.inference_mode()
def hear(
    samples: NDArray[np.float32],
    text: Sequence[int],
    decoys: Sequence[Sequence[int]],
    *,
    recognizer: PhoneRecognizer,
) -> Hearing:
    """How well speech [N] says the classes of `text`, and not one of the `decoys`.

    Likelihoods are CTC's sum over all alignments (Graves et al., 2006), compared with free decoding as in the
    goodness of pronunciation of Witt and Young (2000).
    """
    device = next(recognizer.parameters()).device
    mel = log_mel(torch.from_numpy(samples)[None]).to(device)
    scores = recognizer(mel)[1][0].float().log_softmax(-1).cpu()
    found = _likelihoods(scores, [text, *decoys])
    free = float(scores.amax(-1).sum())
    step = 2 / ACOUSTICS.frame_rate
    return Hearing(
        words=(float(found[0]) - free) / len(scores),
        weakest=worst_stretch(scores, text, steps=round(1.0 / step)),
        lead=float(found[0] - found[1:].max()) if decoys else float("inf"),
    )


def likeness(samples: NDArray[np.float32], vector: NDArray[np.float32], *, encoder: SpeakerEncoder) -> float:
    """Cosine between the mean of the windows of speech [N], pauses cut out, and `vector` [S]."""
    speech = audio.level(audio.only_speech(samples))
    mel = log_mel(torch.from_numpy(speech)[None]).to(next(encoder.parameters()).device)
    mean = np.mean(window_vectors(mel, encoder), 0)
    return float(mean @ vector / np.linalg.norm(mean))


def _likelihoods(scores: Tensor, texts: Sequence[Sequence[int]]) -> Tensor:
    """Log-likelihoods [K] of K texts, under log-probabilities [T, CLASSES]; -inf for one that has no room."""
    steps = torch.full((len(texts),), len(scores))
    lengths = torch.tensor([len(text) for text in texts])
    joined = torch.tensor([symbol for text in texts for symbol in text])
    spread = scores[:, None].expand(-1, len(texts), -1)
    return -F.ctc_loss(spread, joined, steps, lengths, blank=0, reduction="none")


def decoys_of(consent: Consent) -> list[list[int]]:
    """Classes of what the statement must not be taken for; names that sound like this one are left out."""
    own = phones(consent.statement)
    others = [phones(text) for text in other_sentences(consent.name, consent.scope, consent.until)]
    names = [phones(sentence(name, consent.scope, consent.until)) for name in OTHER_NAMES]
    return [other for other in others if other != own] + [name for name in names if not _alike(name, own)]


def _alike(a: Sequence[int], b: Sequence[int]) -> bool:
    """Whether the one stretch in which two texts differ is nearly the same in both."""
    start = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    room = min(len(a), len(b)) - start
    ending = next((i for i in range(room) if a[-1 - i] != b[-1 - i]), room)
    first, second = a[start : len(a) - ending], b[start : len(b) - ending]
    return SequenceMatcher(None, first, second, autojunk=False).ratio() > _SAME


def _samples(recording: audio.Source) -> tuple[NDArray[np.float32], str]:
    """Leveled speech [N] from its first word to its last, pauses included, and the recording's SHA-256."""
    name = str(recording) if not isinstance(recording, tuple) else "the statement"
    samples = next(audio.blocks(recording, seconds=LONGEST + 1))
    if len(samples) > LONGEST * audio.SAMPLE_RATE:
        raise AudioError(name, f"a statement lasts at most {LONGEST:.0f} s", "Record its sentences alone")
    found = audio.find_speech(samples)
    if not found:
        raise AudioError(name, "there is no speech in it", "Record the statement's sentences")
    start, end = (round(at * audio.SAMPLE_RATE) for at in (found[0][0], found[-1][1]))
    return audio.level(samples[start:end]), digest(recording)


def _reason(heard: Hearing) -> str:
    if heard.words == float("-inf"):
        return "it is too short for them"
    if heard.words < WORDS:
        return f"likelihood ratio {heard.words:.2f}, what was read has {WORDS} or more"
    if heard.weakest < WEAKEST:
        return f"{heard.weakest:.2f} in its worst second, what was read has {WEAKEST} or more"
    return "that it is refused, or another name, scope or day, is likelier"
