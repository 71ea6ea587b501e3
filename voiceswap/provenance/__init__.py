"""Where speech comes from: who consented to the voice, and what was made with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from voiceswap import __version__
from voiceswap.provenance.consent import Consent

__all__ = ["Consent", "Provenance"]


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """What made a piece of speech."""

    verb: str
    """``speak``, ``convert``, or ``resynthesize`` for a recording given back as it was."""
    voice: str
    """Name of the voice; empty where the recording's own is kept."""
    consent: str | None
    """`Consent.digest` of the voice, None if it is built in."""
    source: str
    """SHA-256 of the text, of the recording's file, or of the array's samples; empty for a live stream."""
    weights: str
    """Hash of the weights."""
    mark: int
    """What the watermark says: `voiceswap.provenance.watermark.payload_of` of the weights and the voice."""
    made_by: str = "voiceswap"
    version: str = __version__

    def to_dict(self) -> dict[str, str | int | None]:
        """Plain values, for a manifest."""
        return asdict(self)
