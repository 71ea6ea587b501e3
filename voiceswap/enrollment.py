"""Reference recordings to the traits of a voice, or an error that says what is wrong with them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceswap import audio
from voiceswap.acoustics import ACOUSTICS, f0_track, log_mel, pitch_statistics
from voiceswap.errors import EnrollmentError
from voiceswap.models.converter import Converter
from voiceswap.models.phone_recognizer import PhoneRecognizer
from voiceswap.models.speaker_encoder import SpeakerEncoder
from voiceswap.models.timbre import Timbre

SHORTEST = 1.0
"""Seconds of speech below which nothing is enrolled."""
REMEMBERED = 20
"""Pieces of at most 30 s that a timbre is drawn from."""
ADVISED = 5.0
"""Seconds of speech below which there is a warning."""
_CLIPPED = 0.005  # share of samples at the peak that is refused; a tenth of it warns, clean speech has 0.0001
_WINDOW = 3.0  # seconds over which a vector is taken
_PIECE = 30.0  # seconds measured at once
_GAP = 4  # frame pairs (85 ms) of silence that are no pause: with them, rates are those of aligned speech
_RATES = (8.0, 20.0)  # phones a second; the 13 people whose speech could be aligned have 10.5 to 16.7
# Likeness of two groups of windows, measured by benchmarks/one_person.py on 18 people never trained on,
# with the bundled encoder and 10 to 20 s each time. Below the first number they are taken for two people:
# 0.1 % of one person's references, 99.5 % of those of a woman and a man, 90 % of those of two women or two
# men. Below the second there is a warning: 0.8 %, 100 %, 96 %. A dull microphone for half of one person's
# recordings left 0.64 or more in 32 trials; a telephone line for half of them makes two people of one.
_TWO_PEOPLE, _ONE_PERSON = 0.5, 0.6


class Traits(TypedDict):
    """The fields of a Voice that are heard."""

    vector: NDArray[np.float32]
    f0_median: float
    f0_spread: float
    rate: float
    timbre: Timbre


@torch.inference_mode()
def measure(
    recordings: Sequence[audio.Source],
    *,
    encoder: SpeakerEncoder,
    recognizer: PhoneRecognizer,
    converter: Converter,
) -> Traits:
    """Traits of the one person heard in all `recordings`, silence removed, each second counting the same.

    Raises EnrollmentError (silent, clipped, under a second of speech, two people); warns of less than five
    seconds, of some clipping, and of what may be two people.
    """
    if not recordings:
        raise EnrollmentError(
            "no recordings", "a voice needs at least one", "Give about 10 s of clean speech"
        )
    device = next(encoder.parameters()).device
    vectors, pitches = [], []
    pieces: list[tuple[Tensor, Tensor, tuple[Tensor, Tensor]]] = []
    phones, speaking, heard = 0, 0.0, 0.0
    for speech in (piece for recording in recordings for piece in _in_pieces(_speech(recording))):
        heard += len(speech) / ACOUSTICS.sample_rate
        f0 = f0_track(speech)
        pitches.append(np.log(f0[f0 > 0]))
        mel = log_mel(torch.from_numpy(speech)[None]).to(device)
        said = recognizer(mel)
        if len(pieces) < REMEMBERED:
            pieces.append((mel, torch.from_numpy(f0)[None].to(device), said))
        counted = _count_phones(said[1][0].argmax(-1).cpu().numpy())
        phones, speaking = phones + counted[0], speaking + counted[1]
        vectors += window_vectors(mel, encoder)
    voiced = len(np.concatenate(pitches)) / ACOUSTICS.frame_rate
    if voiced < SHORTEST * 0.3:
        raise EnrollmentError(
            f"{voiced:.1f} s of voiced sound",
            "a voice needs at least 1 s of speech",
            "Give about 10 s of clean speech",
        )
    if heard < ADVISED:
        warnings.warn(
            f"only {heard:.1f} s of speech: {ADVISED:.0f} s or more give a better likeness", stacklevel=4
        )
    _check_one_person(np.stack(vectors))
    mean = np.mean(vectors, 0)
    median, spread = pitch_statistics(np.concatenate(pitches))
    rate = float(np.clip(phones / speaking, *_RATES)) if speaking > 1.0 else float("nan")
    vector = (mean / np.linalg.norm(mean)).astype(np.float32)
    speaker = torch.from_numpy(vector)[None].to(device)
    return Traits(
        vector=vector,
        f0_median=median,
        f0_spread=spread,
        rate=rate,
        timbre=converter.remember(pieces, speaker),
    )


def _in_pieces(speech: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Parts of equal length, of `_PIECE` seconds at most: an hour of references takes their memory."""
    return np.array_split(speech, -(-len(speech) // round(_PIECE * ACOUSTICS.sample_rate)))


def _count_phones(sounds: NDArray[np.int64]) -> tuple[int, float]:
    """Phones in the recognizer's best classes [T / 2] (0: silence), and the seconds that they take."""
    edges = np.flatnonzero(np.diff(np.pad(sounds == 0, 1).astype(np.int8)))
    silences = edges[1::2] - edges[::2]
    speaking = len(sounds) - int(silences[silences > _GAP].sum())
    phones = int(((sounds != 0) & (np.diff(sounds, prepend=0) != 0)).sum())
    return phones, speaking * 2 / ACOUSTICS.frame_rate


def window_vectors(mel: torch.Tensor, encoder: SpeakerEncoder) -> list[NDArray[np.float32]]:
    """The vectors of windows of about 3 s of the log-mel [1, M, T]."""
    count = max(1, round(mel.shape[2] / (_WINDOW * ACOUSTICS.frame_rate)))
    return [encoder(part)[0].cpu().numpy() for part in mel.tensor_split(count, -1)]


def _speech(recording: audio.Source) -> NDArray[np.float32]:
    """The leveled speech of one reference [N], pauses cut out; errors as `measure`."""
    name = "the recording" if isinstance(recording, tuple) else str(recording)
    samples = audio.read(recording)
    remedy = "Record it again: about 10 s of clean speech, not too loud"
    size = np.abs(samples)  # relative to the peak, as what is clipped may have been turned down later
    clipped = float((size >= min(0.999, 0.98 * float(size.max()))).mean()) if size.any() else 0.0
    if clipped > _CLIPPED:
        raise EnrollmentError(
            name, f"{clipped:.1%} of its samples are clipped, at most {_CLIPPED:.1%} may be", remedy
        )
    if clipped > _CLIPPED / 10:
        warnings.warn(
            f"{name}: {clipped:.2%} of its samples are clipped; the voice may sound rough", stacklevel=6
        )
    speech = audio.only_speech(samples)
    seconds = len(speech) / ACOUSTICS.sample_rate
    if not seconds:
        raise EnrollmentError(name, "it is silent, or only noise", remedy)
    if seconds < SHORTEST:
        raise EnrollmentError(
            name, f"it holds {seconds:.1f} s of speech, at least {SHORTEST:.0f} s is needed", remedy
        )
    return audio.level(speech)


def group_likeness(vectors: NDArray[np.float32]) -> float:
    """Cosine of the means of the two groups in which windows [W, S] differ most; 1 with under two in a group.

    The groups gather around the two windows that are least alike. A single odd window is a cough, no person.
    """
    cosine = vectors @ vectors.T
    seeds = np.unravel_index(int(cosine.argmin()), cosine.shape)
    second = cosine[:, seeds[1]] > cosine[:, seeds[0]]
    if min(second.sum(), (~second).sum()) < 2:
        return 1.0
    a, b = vectors[second].mean(0), vectors[~second].mean(0)
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def _check_one_person(vectors: NDArray[np.float32]) -> None:
    """Raises EnrollmentError, or warns, if windows [W, S] fall into two groups that are too little alike."""
    alike = group_likeness(vectors)
    if _TWO_PEOPLE <= alike < _ONE_PERSON:
        warnings.warn(
            f"the recordings may hold two people (likeness {alike:.2f}); the voice would be between them",
            stacklevel=5,
        )
    if alike < _TWO_PEOPLE:
        raise EnrollmentError(
            "the recordings",
            f"they seem to hold two people (likeness {alike:.2f}, one person has over {_TWO_PEOPLE})",
            "Give recordings of one person alone, none of them from a telephone if others are not",
        )
