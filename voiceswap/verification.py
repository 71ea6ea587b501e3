"""What can be said of a file: is it signed, does that hold, is the mark in it, does it sound synthetic."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voiceswap import audio
from voiceswap.provenance import manifest, watermark
from voiceswap.provenance.manifest import Manifest
from voiceswap.provenance.watermark import PUBLIC_KEY, Finding
from voiceswap.suspicion import Suspicion, suspect

_BLOCK = 10.0  # seconds read at once


@dataclass(frozen=True)
class Verification:
    """What `verify` found."""

    synthetic: bool
    """Whether a signature that holds, or the mark, says that voiceswap made it or a part of it.

    False proves nothing: a recording, or one that lost both, or another program's.
    """
    manifest: Manifest | None
    """What is signed; None where there is no manifest."""
    mark: Finding
    """What is heard."""
    sound: Suspicion
    """How synthetic it sounds, which is a hint and counts for nothing in `synthetic`."""
    findings: tuple[str, ...]
    """All of it in sentences, the most telling first."""

    def __str__(self) -> str:
        return "\n".join(self.findings)


def verify(path: str | Path, *, key: bytes = PUBLIC_KEY) -> Verification:
    """Checks the signature of the file at `path`, the hash of its content, and `key`'s mark in its sound.

    Works offline, on files of any format and length. Raises AudioError for what cannot be read as audio.
    """
    path = Path(path)
    # Heard first: what is no audio is refused with the reasons that every other verb gives.
    mark = watermark.detect(audio.blocks(path, seconds=_BLOCK), key=key)
    signed = manifest.read(path)
    holds = signed is not None and bool(signed.claims) and not set(signed.faults) - {"expired"}
    synthetic = holds or mark.verdict == "marked"
    sound = suspect(path)
    findings = [
        _verdict(signed, holds, mark),
        *_about_manifest(signed),
        *_about_mark(mark, signed),
        _about(sound),
    ]
    return Verification(synthetic, signed, mark, sound, tuple(findings))


def _verdict(signed: Manifest | None, holds: bool, mark: Finding) -> str:
    marked = mark.verdict == "marked"
    if holds and marked:
        return "Made by voiceswap: the manifest says so, its signature holds, and the mark is in the sound."
    if holds:
        return "Made by voiceswap, says its manifest, whose signature holds; the mark was not heard."
    if marked and signed is None:
        return (
            "Made by voiceswap, at least in part: the mark is in the sound. It has no manifest, or no longer."
        )
    if marked:
        return "Made by voiceswap, at least in part: the mark is in the sound. Its manifest does not hold."
    if mark.verdict == "cannot tell":
        return (
            "Nothing says that voiceswap made this; there is too little sound, or too much damage, to tell."
        )
    return "Nothing says that voiceswap made this. That does not prove that it is a recording."


def _about_manifest(signed: Manifest | None) -> list[str]:
    if signed is None:
        return ["Manifest: none. Most programs drop it when they save a file anew."]
    if "unreadable" in signed.faults:
        return ["Manifest: damaged, or kept elsewhere: it cannot be read."]
    by = f"{signed.signer or 'nobody named'!r:.200}"
    who = (
        f"signed on this computer or with its user's certificate ({by})" if signed.own else f"signed by {by}"
    )
    if not signed.own:
        who += ", for whom nobody vouches here"
    lines = [f"Manifest: by {_plain(signed.generator) or 'an unnamed program'}, {who}."]
    if not signed.claims:
        lines.append("It is another program's: it says nothing about voiceswap.")
    told = {
        "content": "The file was changed after it was signed.",
        "signature": "The signature does not hold: the manifest was changed, or cut from another file.",
        "expired": "The certificate was not valid when it was used, or no longer is.",
    }
    lines += [told[fault] for fault in signed.faults]
    if not signed.faults:
        lines.append("The signature holds: nothing was changed since.")
    claims = signed.claims
    if claims:
        voice = f"as {claims.get('voice')!r:.200}" if claims.get("voice") else "in its own voice"
        verb, made, version = (_plain(claims.get(key)) for key in ("verb", "made", "version"))
        record = f"consent {_plain(claims['consent'])[:12]}" if claims.get("consent") else "no person's voice"
        weights = _plain(claims.get("weights"))[:12]
        lines.append(f"It says: {verb} {voice}, {made}, voiceswap {version}, weights {weights}, {record}.")
    return lines


def _plain(claimed: object) -> str:
    """What a manifest, which anyone can sign, may put into a sentence of ours: no lines, no codes."""
    return f"{repr(str(claimed))[1:-1]:.80}"


def _about_mark(mark: Finding, signed: Manifest | None) -> list[str]:
    if mark.verdict != "marked":
        why = "not found" if mark.verdict == "not marked" else "cannot be told"
        return [f"Mark: {why} (p = {mark.p_value:.2g})."]
    spans = ", ".join(f"{begin:.1f} to {end:.1f} s" for begin, end in mark.spans)
    changed = []
    if abs(mark.tempo - 1) > 0.01:
        changed.append(f"{mark.tempo:.2f} times as long as it was")
    if abs(mark.semitones) > 0.2:
        changed.append(f"{mark.semitones:+.1f} semitones")
    lines = [f"Mark: heard (p = {mark.p_value:.2g}), {'; '.join([spans, *changed])}."]
    if mark.payload is None:
        lines.append("What it says could not be read; that needs some ten seconds.")
        return lines
    lines.append(f"It says: weights {mark.payload >> 20:03x}…, voice {mark.payload & 0xFFFFF:05x}….")
    if signed is not None and signed.claims.get("mark") not in (None, mark.payload):
        lines.append("The manifest says otherwise: it belongs to another sound.")
    return lines


def _about(sound: Suspicion) -> str:
    if not sound.score >= 0:  # NaN
        return "Sound: silence."
    line = (
        f"Sound: {sound.score:.2f} on a scale from people (0) to the generators that the detector knows (1)"
    )
    spans = ", ".join(f"{begin:.1f} to {end:.1f} s" for begin, end in sound.spans)
    return f"{line}; synthetic sound {spans}. A hint." if spans else f"{line}. A hint."
