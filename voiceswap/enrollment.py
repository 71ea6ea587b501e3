"""Reference recordings to the traits of a voice, or an error that says what is wrong with them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray

from voiceswap import audio
from voiceswap.acoustics import ACOUSTICS, f0_track, log_mel, pitch_statistics
from voiceswap.errors import EnrollmentError
from voiceswap.models.phone_recognizer import PhoneRecognizer
from voiceswap.models.speaker_encoder import SpeakerEncoder

SHORTEST = 1.0
"""Seconds of speech below which nothing is enrolled."""
ADVISED = 5.0
"""Seconds of speech below which there is a warning."""
_CLIPPED = 0.005  # share of samples at full scale that is refused; a tenth of it warns
_WINDOW = 3.0  # seconds over which a vector is taken
_ONE_PERSON = 0.2  # cosine of two windows' means below which they are two people


class Traits(TypedDict):
    """The fields of a Voice that are heard."""

    vector: NDArray[np.float32]
    f0_median: float
    f0_spread: float
    rate: float


@torch.inference_mode()
def measure(
    recordings: Sequence[audio.Source], *, encoder: SpeakerEncoder, recognizer: PhoneRecognizer
) -> Traits:
    """Traits of the one person heard in all `recordings`, silence removed, each second counting the same.

    Raises EnrollmentError (silent, clipped, under a second of speech, two people); warns of less than five
    seconds and of some clipping.
    """
    if not recordings:
        raise EnrollmentError(
            "no recordings", "a voice needs at least one", "Give about 10 s of clean speech"
        )
    device = next(encoder.parameters()).device
    vectors, pitches = [], []
    phones, speaking, heard = 0, 0.0, 0.0
    for recording in recordings:
        speech = _speech(recording)
        heard += len(speech) / ACOUSTICS.sample_rate
        f0 = f0_track(speech)
        pitches.append(np.log(f0[f0 > 0]))
        mel = log_mel(torch.from_numpy(speech)[None]).to(device)
        sounds = recognizer(mel)[1][0].argmax(-1).cpu().numpy()
        phones += int(((sounds != 0) & (np.diff(sounds, prepend=0) != 0)).sum())
        speaking += float((sounds != 0).sum()) * 2 / ACOUSTICS.frame_rate
        size = round(_WINDOW * ACOUSTICS.frame_rate)
        count = max(1, round(mel.shape[2] / size))
        vectors += [
            encoder(part)[0].cpu().numpy() for part in mel.tensor_split(count, -1) if part.shape[2] > 40
        ]
    voiced = len(np.concatenate(pitches)) / ACOUSTICS.frame_rate
    if not vectors or voiced < SHORTEST * 0.3:
        raise EnrollmentError(
            f"{voiced:.1f} s of voiced sound",
            "a voice needs at least 1 s of speech",
            "Give about 10 s of clean speech",
        )
    if heard < ADVISED:
        warnings.warn(
            f"only {heard:.1f} s of speech: {ADVISED:.0f} s or more give a better likeness", stacklevel=3
        )
    _check_one_person(np.stack(vectors))
    mean = np.mean(vectors, 0)
    median, spread = pitch_statistics(np.concatenate(pitches))
    rate = phones / speaking if speaking > 1.0 else float("nan")
    return Traits(
        vector=(mean / np.linalg.norm(mean)).astype(np.float32), f0_median=median, f0_spread=spread, rate=rate
    )


def _speech(recording: audio.Source) -> NDArray[np.float32]:
    """The leveled speech of one reference [N], pauses cut out; errors as `measure`."""
    name = "the recording" if isinstance(recording, tuple) else str(recording)
    samples = audio.read(recording)
    remedy = "Record it again: about 10 s of clean speech, not too loud"
    clipped = float((np.abs(samples) >= 0.999).mean())
    if clipped > _CLIPPED:
        raise EnrollmentError(
            name, f"{clipped:.1%} of its samples are clipped, at most {_CLIPPED:.1%} may be", remedy
        )
    if clipped > _CLIPPED / 10:
        warnings.warn(
            f"{name}: {clipped:.2%} of its samples are clipped; the voice may sound rough", stacklevel=4
        )
    stretches = audio.find_speech(samples)
    seconds = sum(end - start for start, end in stretches)
    if not stretches:
        raise EnrollmentError(name, "it is silent, or only noise", remedy)
    if seconds < SHORTEST:
        raise EnrollmentError(
            name, f"it holds {seconds:.1f} s of speech, at least {SHORTEST:.0f} s is needed", remedy
        )
    if seconds < ADVISED:
        warnings.warn(
            f"{name}: only {seconds:.1f} s of speech; {ADVISED:.0f} s or more give a better likeness",
            stacklevel=4,
        )
    rate = ACOUSTICS.sample_rate
    return audio.level(np.concatenate([samples[round(a * rate) : round(b * rate)] for a, b in stretches]))


def _check_one_person(vectors: NDArray[np.float32]) -> None:
    """Split the windows [W, S] in the two groups that differ most: if their means do, they are two people."""
    if len(vectors) < 4:
        return
    cosine = vectors @ vectors.T
    seeds = np.unravel_index(int(cosine.argmin()), cosine.shape)
    second = cosine[:, seeds[1]] > cosine[:, seeds[0]]
    if min(second.sum(), (~second).sum()) < 2:
        return
    a, b = vectors[second].mean(0), vectors[~second].mean(0)
    alike = float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
    if alike < _ONE_PERSON:
        raise EnrollmentError(
            "the recordings",
            f"they seem to hold two people (likeness {alike:.2f}, one person has over {_ONE_PERSON})",
            "Give recordings of one person alone",
        )
