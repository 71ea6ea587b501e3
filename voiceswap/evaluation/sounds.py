"""Sounds as data inside of an HTML page: Ogg that is small, and a picture of the mel, as `data:` addresses.

Recordings and speech that lie in files are re-encoded, for the pages of `page` and `listening`; the comment
in the Ogg stream says which of these a sound is.
"""

from __future__ import annotations

import io
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from voiceswap.evaluation.extras import require


@dataclass(frozen=True)
class Sound:
    """A sound of 24 kHz as data that a page can hold."""

    ogg: str
    mel: str
    seconds: float


def encoded(path: Path, comment: str, seconds: float) -> Sound:
    """The first `seconds` of a recording as Ogg and as a picture."""
    from voiceswap.audio import SAMPLE_RATE, read

    samples = read(path)
    samples = samples[: int(min(seconds * SAMPLE_RATE, len(samples)))]
    return Sound(ogg(samples, comment), _data("image/png", _mel(samples)), len(samples) / SAMPLE_RATE)


def ogg(samples: np.ndarray, comment: str) -> str:
    """`samples` [N] at 24 kHz as Ogg that a page can hold."""
    import soundfile

    from voiceswap.audio import SAMPLE_RATE

    samples = np.clip(samples, -1, 1)
    # libsndfile makes some 42 kbit/s of Opus at this level; builds without Opus get Vorbis.
    coding, level = ("OPUS", 0.84) if "OPUS" in soundfile.available_subtypes("OGG") else ("VORBIS", 0.5)
    whole = io.BytesIO()
    with soundfile.SoundFile(
        whole, "w", SAMPLE_RATE, 1, format="OGG", subtype=coding, compression_level=level
    ) as file:
        file.comment = comment
        for start in range(0, len(samples), SAMPLE_RATE):  # Vorbis overflows its stack on long writes
            file.write(samples[start : start + SAMPLE_RATE])
    return _data("audio/ogg", whole)


def _mel(samples: np.ndarray) -> io.BytesIO:
    """A grey picture of the log-mel of `samples` [N]: a column for two frames, sixteen levels to be small."""
    import torch

    from voiceswap.acoustics import log_mel

    mel = log_mel(torch.from_numpy(samples)[None])[0, :, ::2].numpy()[::-1]
    grey = (15 - np.clip((mel + 9) / 11, 0, 1) * 15).round().astype(np.uint8) * 17
    png = io.BytesIO()
    require("PIL.Image", package="pillow").fromarray(grey).save(png, "png", optimize=True)
    return png


def _data(kind: str, content: io.BytesIO) -> str:
    return f"data:{kind};base64,{b64encode(content.getvalue()).decode()}"
