"""The mark in the sound: `mark` and `embed` put it there, `detect` finds it."""

from voiceswap.provenance.watermark.detecting import Finding, detect
from voiceswap.provenance.watermark.marking import BITS, PUBLIC_KEY, Marker, embed
from voiceswap.provenance.watermark.stream import mark, payload_of

__all__ = ["BITS", "PUBLIC_KEY", "Finding", "Marker", "detect", "embed", "mark", "payload_of"]
