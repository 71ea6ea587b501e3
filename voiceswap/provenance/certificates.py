"""Who signs manifests: the user's own certificate, or one that this computer made for its key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from voiceswap.errors import FileError
from voiceswap.files import refusals, replacing
from voiceswap.provenance.keys import home, put_first, signing_key

YEARS = 10
"""That a certificate of this computer's holds."""

_USAGES = (
    *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement"),
    *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
)


@dataclass(frozen=True)
class Identity:
    """How to sign, in the words of C2PA: the algorithm's name, certificates in PEM, the signing itself."""

    algorithm: str
    chain: str
    sign: Callable[[bytes], bytes]


def identity() -> Identity:
    """The certificate in `home`, ``certificate.pem`` with ``certificate-key.pem``; else this computer's own.

    A certificate of one's own is a chain in PEM, the signer's first, as C2PA asks for (with the usage
    ``digitalSignature``, and ``emailProtection`` or ``documentSigning``), of an Ed25519, an EC or an RSA key
    without a password. The computer's is made at first use, for the key of `signing_key`: it names nobody,
    and nobody vouches for it. Raises FileError for what cannot be used, OutputError where none can be made.
    """
    own, secret = home() / "certificate.pem", home() / "certificate-key.pem"
    if not own.exists():
        return _of_this_computer()
    try:
        key = load_pem_private_key(secret.read_bytes(), password=None)
        chain = own.read_text("utf-8")
        public = x509.load_pem_x509_certificate(chain.encode()).public_key()
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise _refusal(own, f"cannot be used ({error})") from error
    if key.public_key() != public:
        raise _refusal(own, f"is not for the key in {secret.name!r}")
    if isinstance(key, Ed25519PrivateKey):
        return Identity("ED25519", chain, key.sign)
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.key_size in _DIGESTS:
        return Identity(f"ES{key.curve.key_size}", chain, _signing_ec(key))
    if isinstance(key, rsa.RSAPrivateKey):
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256.digest_size)
        return Identity("PS256", chain, lambda data: key.sign(data, scheme, hashes.SHA256()))
    raise _refusal(own, "is for a key of another kind")


def own_chains() -> list[list[x509.Certificate]]:
    """The chains that `identity` signs with, of the user and of this computer; makes none."""
    found = []
    for name in ("certificate.pem", "computer.pem"):
        try:
            found.append(x509.load_pem_x509_certificates((home() / name).read_bytes()))
        except (OSError, ValueError, x509.InvalidVersion):
            continue
    return found


_DIGESTS = {256: hashes.SHA256(), 384: hashes.SHA384()}


def _signing_ec(key: ec.EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    """COSE wants the two numbers of a signature side by side, not in DER."""
    size = key.curve.key_size // 8

    def sign(data: bytes) -> bytes:
        first, second = decode_dss_signature(key.sign(data, ec.ECDSA(_DIGESTS[key.curve.key_size])))
        return first.to_bytes(size, "big") + second.to_bytes(size, "big")

    return sign


def _refusal(path: Path, what: str) -> FileError:
    return FileError(
        f"the certificate {str(path)!r} {what}",
        "it is a chain in PEM, with its key beside it in 'certificate-key.pem', without a password",
        "Restore both, or move them away: this computer's own is used then",
    )


def _of_this_computer() -> Identity:
    key, path = signing_key(), home() / "computer.pem"
    chain = _fitting(path, key)
    if chain is None and not path.exists():
        with refusals(path):
            put_first(path, _made(key).encode())
        chain = _fitting(path, key)
    if chain is None:
        chain = _made(key)
        with replacing(path, force=True) as temporary:
            temporary.write_text(chain, "utf-8")
    return Identity("ED25519", chain, key.sign)


def _fitting(path: Path, key: Ed25519PrivateKey) -> str | None:
    """The chain at `path`, if it is for `key` and has not expired."""
    try:
        chain = path.read_text("utf-8")
        known = x509.load_pem_x509_certificate(chain.encode())
        fits = (
            known.public_key() == key.public_key() and datetime.now(timezone.utc) < known.not_valid_after_utc
        )
    except (OSError, ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        return None
    return chain if fits else None


def _made(key: Ed25519PrivateKey) -> str:
    """A certificate for `key`, and the one that vouches for it, whose key is forgotten at once.

    C2PA refuses certificates that vouch for themselves.
    """
    voucher = Ed25519PrivateKey.generate()
    subject, issuer = (
        x509.Name(
            [
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, "voiceswap"),
                x509.NameAttribute(NameOID.COMMON_NAME, name),
            ]
        )
        for name in ("a computer with voiceswap", "a computer with voiceswap, for itself")
    )
    now = datetime.now(timezone.utc)
    made = []
    for name, public, authority in ((subject, key.public_key(), False), (issuer, voucher.public_key(), True)):
        allowed = ("key_cert_sign", "crl_sign") if authority else ("digital_signature",)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=365 * YEARS))
            .add_extension(x509.BasicConstraints(authority, None), True)
            .add_extension(x509.KeyUsage(**{usage: usage in allowed for usage in _USAGES}), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
        )
        if not authority:
            above = x509.AuthorityKeyIdentifier.from_issuer_public_key(voucher.public_key())
            purpose = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION])
            builder = builder.add_extension(purpose, False).add_extension(above, False)
        made.append(builder.sign(voucher, None).public_bytes(Encoding.PEM).decode())
    return "".join(made)
