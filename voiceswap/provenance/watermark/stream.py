"""A stream of speech marked as it is made, and the mark heard in what goes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from voiceswap.errors import WatermarkError
from voiceswap.provenance.watermark import marking
from voiceswap.provenance.watermark.detecting import SURE, confirmed
from voiceswap.provenance.watermark.marking import PUBLIC_KEY, Marker, Samples

_CONFIRMED = 3 * marking.PERIOD * marking.CELL * marking.HOP  # samples that are listened to at once: 6.1 s


def payload_of(weights: str, voice: str) -> int:
    """What a mark says: 12 bits of the weights' hash and 20 of the voice's, both in hexadecimal, or empty."""
    return int(weights[:3] or "0", 16) << 20 | int(voice[:5] or "0", 16)


def mark(
    pieces: Iterable[tuple[Samples, Samples | None]], payload: int, *, key: bytes = PUBLIC_KEY
) -> Iterator[Samples]:
    """Pieces [N] marked; with each comes what will follow it, if that is known, which saves its delay.

    Every six seconds, and of shorter speech the whole, are listened to before the last of it goes out: raises
    WatermarkError where there are three seconds of sound and the mark is not heard in them.
    """
    marker = Marker(payload, key=key)
    unheard = np.zeros(0, np.float32)
    for samples, ahead in pieces:
        made = marker.push(samples, ahead)
        unheard = _listened(np.concatenate([unheard, made]), key)
        if len(made):
            yield made
    rest = marker.flush()
    unheard = np.concatenate([unheard, rest])
    if len(unheard) >= SURE * marking.RATE:
        _confirm(unheard, key)
    if len(rest):
        yield rest


def _listened(samples: Samples, key: bytes) -> Samples:
    """What is left of `samples` after as much as is listened to at once."""
    while len(samples) >= _CONFIRMED:
        _confirm(samples[:_CONFIRMED], key)
        samples = samples[_CONFIRMED:]
    return samples


def _confirm(samples: Samples, key: bytes) -> None:
    if not confirmed(samples, key):
        raise WatermarkError(
            "speech whose mark was not heard after it was put in",
            "nothing leaves without a mark",
            "Report the text or recording; other words, or another voice, may go",
        )
