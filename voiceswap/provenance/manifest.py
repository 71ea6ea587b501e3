"""The signed manifest of a file: C2PA inside WAV, FLAC and MP3, a file of its own beside Ogg and long files.

C2PA (Coalition for Content Provenance and Authenticity, specification 2.2) binds what is claimed about a file
to a hash of its content and to a certificate. `c2pa-python` writes and checks it; it does not know Ogg, for
which the same claims, a SHA-256 of the file and a signature by the same certificate lie beside it, in JSON.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import pairwise
from pathlib import Path
from typing import Any

import c2pa
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding

from voiceswap.errors import OutputError
from voiceswap.files import digest
from voiceswap.provenance import Provenance
from voiceswap.provenance.certificates import Identity, identity, own_chains

EMBEDDED = {".wav": "audio/wav", ".flac": "audio/flac", ".mp3": "audio/mpeg"}
"""Suffixes whose files hold their manifest; the others have it beside them."""
LARGEST = 2**26
"""Bytes of a file that holds its manifest, 23 minutes of WAV: c2pa needs twice as much memory."""
BESIDE = ".manifest.json"
"""Appended to the file's name."""
LABEL = "org.voiceswap.provenance"
"""Of our own assertion: the fields of `Provenance`, and when it was made."""

_SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
_MAX_BYTES = 2**20  # of a manifest beside a file
_FOREIGN = (UnsupportedAlgorithm, x509.InvalidVersion)  # of certificates with a key, or in a form, of no use
_SETTINGS = {  # never the network, and little memory
    "verify": {"remote_manifest_fetch": False, "ocsp_fetch": False},
    "core": {"backing_store_memory_threshold_in_mb": 8},
}


@dataclass(frozen=True)
class Manifest:
    """What a file's manifest says, and whether that holds."""

    claims: dict[str, Any]
    """Our assertion; empty where another program signed."""
    signer: str
    """Name in the certificate."""
    own: bool
    """Whether this computer's, or its user's, certificate signed it."""
    generator: str
    """The program that made it."""
    faults: tuple[str, ...]
    """What does not hold: any of ``content``, ``signature``, ``expired``, ``unreadable``."""


def describe(made: Provenance) -> dict[str, Any]:
    """The claims of a file made now."""
    return made.to_dict() | {"made": datetime.now(timezone.utc).isoformat(timespec="seconds")}


def beside(path: Path) -> Path:
    """Where the manifest of the file at `path` lies if it is not inside."""
    return path.with_name(path.name + BESIDE)


def sign(path: Path, suffix: str, made: Provenance) -> bytes | None:
    """Signs the file at `path`; gives what belongs beside it, None where it was put inside.

    Raises OutputError where that fails, FileError for a key or certificate that cannot be used.
    """
    signer = identity()
    claims = describe(made)
    if suffix not in EMBEDDED or path.stat().st_size > LARGEST:
        return _detached(path, claims, signer)
    manifest = {
        "claim_generator_info": [{"name": "voiceswap", "version": made.version}],
        "assertions": [
            {
                "label": "c2pa.actions.v2",
                "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": _SOURCE_TYPE}]},
            },
            {"label": LABEL, "data": claims},
        ],
    }
    signed = path.with_name(path.name + ".signed")
    try:
        algorithm = c2pa.C2paSigningAlg[signer.algorithm]
        with (
            c2pa.Context(c2pa.Settings.from_dict(_SETTINGS)) as context,
            c2pa.Signer.from_callback(signer.sign, algorithm, signer.chain) as c2pa_signer,
            c2pa.Builder(json.dumps(manifest), context=context) as builder,
            path.open("rb") as plain,
            signed.open("w+b") as out,
        ):
            builder.sign(c2pa_signer, EMBEDDED[suffix], plain, out)
        signed.replace(path)
    except (c2pa.C2paError, OSError) as error:
        raise OutputError(
            f"the manifest of {str(path)!r} could not be written ({error})",
            "what is saved is signed",
            "Free some space, or check the certificate in VOICESWAP_HOME",
        ) from error
    finally:
        signed.unlink(missing_ok=True)
    return None


def _detached(path: Path, claims: dict[str, Any], signer: Identity) -> bytes:
    signed = {"claims": claims, "sha256": digest(path), "source_type": _SOURCE_TYPE}
    signature = signer.sign(_canonical(signed)).hex()
    whole = signed | {"algorithm": signer.algorithm, "certificates": signer.chain, "signature": signature}
    return (json.dumps(whole, indent=1, ensure_ascii=False) + "\n").encode()


def _canonical(signed: dict[str, Any]) -> bytes:
    kept = {key: signed[key] for key in ("claims", "sha256", "source_type")}
    text = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return b"voiceswap manifest 1\n" + text.encode()  # no other signature of the key begins so


def read(path: Path) -> Manifest | None:
    """The manifest of the file at `path`, None where there is none; whatever is in it, no error."""
    if beside(path).is_file():
        return _read_beside(path)
    try:
        report = _report(path)
        if report is None:
            return None
        found = _read_report(report)
        return replace(found, own=_is_own(path, report)) if "signature" not in found.faults else found
    except c2pa.C2paError as error:
        if type(error).__name__.endswith(("ManifestNotFound", "NotSupported")):
            return None
        return Manifest({}, "", False, "", ("unreadable",))


def _report(path: Path, believed: str = "") -> dict[str, Any] | None:
    """What c2pa says of a file, None without a manifest; `believed` is who may vouch, certificates in PEM."""
    settings = _SETTINGS | ({"trust": {"user_anchors": believed}} if believed else {})
    with c2pa.Context(c2pa.Settings.from_dict(settings)) as context:
        reader = c2pa.Reader.try_create(path, context=context)
        if reader is None:
            return None
        with reader:
            return dict(json.loads(reader.json()))


def _is_own(path: Path, report: dict[str, Any]) -> bool:
    """Whether one's own certificate signed: its number, by whoever issued it.

    Anyone can make a certificate with that number, but not in the name of that issuer. Asked apart, so that
    whom c2pa believes here changes nothing in what it finds at fault.
    """
    number = str(_signature(report).get("cert_serial_number", ""))
    for chain in own_chains():
        if number == str(chain[0].serial_number):
            issuers = "".join(above.public_bytes(Encoding.PEM).decode() for above in chain[1:])
            asked = _report(path, issuers) if issuers else None
            if asked is not None and "signingCredential.untrusted" not in _codes(asked):
                return True
    return False


def _active(report: dict[str, Any]) -> dict[str, Any]:
    return dict(report.get("manifests", {}).get(report.get("active_manifest"), {}))


def _signature(report: dict[str, Any]) -> dict[str, Any]:
    return _active(report).get("signature_info") or {}


def _codes(report: dict[str, Any]) -> set[str]:
    return {status.get("code", "") for status in report.get("validation_status") or []}


def _read_report(report: dict[str, Any]) -> Manifest:
    active = _active(report)
    found = [a.get("data") for a in active.get("assertions", []) if a.get("label") == LABEL]
    claims = found[0] if found and isinstance(found[0], dict) else {}
    kinds = {
        "signingCredential.untrusted": "",
        "signingCredential.expired": "expired",
        "claimSignature.outsideValidity": "expired",
        "assertion.dataHash.mismatch": "content",
    }
    faults = {kinds.get(code, "signature") for code in _codes(report)} - {""}
    info = (active.get("claim_generator_info") or [{}])[0]
    signature = _signature(report)
    signer = signature.get("common_name") or signature.get("issuer") or ""
    return Manifest(claims, str(signer), False, str(info.get("name", "")), tuple(sorted(faults)))


def _read_beside(path: Path) -> Manifest:
    try:
        if beside(path).stat().st_size > _MAX_BYTES:
            raise ValueError
        data = json.loads(beside(path).read_bytes())
        chain = x509.load_pem_x509_certificates(data["certificates"].encode())
        claims, faults = dict(data["claims"]), set()
        if data["sha256"] != digest(path):
            faults.add("content")
        if not _vouched(chain) or not _signed_by(chain[0], data):
            faults.add("signature")
        if not chain[0].not_valid_before_utc <= datetime.now(timezone.utc) <= chain[0].not_valid_after_utc:
            faults.add("expired")
        names = chain[0].subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        signer = str(names[0].value) if names else ""
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, IndexError, *_FOREIGN):
        return Manifest({}, "", False, "", ("unreadable",))
    own = "signature" not in faults and chain[0] in [known[0] for known in own_chains()]
    return Manifest(claims, signer, own, "voiceswap", tuple(sorted(faults)))


def _vouched(chain: list[x509.Certificate]) -> bool:
    try:
        for below, above in pairwise(chain):
            below.verify_directly_issued_by(above)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def _signed_by(certificate: x509.Certificate, data: dict[str, Any]) -> bool:
    key, signature = certificate.public_key(), bytes.fromhex(data["signature"])
    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(signature, _canonical(data))
        elif isinstance(key, ec.EllipticCurvePublicKey):
            half = len(signature) // 2
            numbers = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
            digest = hashes.SHA384() if key.curve.key_size == 384 else hashes.SHA256()
            key.verify(encode_dss_signature(*numbers), _canonical(data), ec.ECDSA(digest))
        elif isinstance(key, rsa.RSAPublicKey):
            scheme = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
            key.verify(signature, _canonical(data), scheme, hashes.SHA256())
        else:
            return False
    except InvalidSignature:
        return False
    return True
