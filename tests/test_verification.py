"""What `verify` says of files: signed, changed, saved anew, foreign, expired, and damaged."""

from __future__ import annotations

import base64
import io
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import voiceswap
from voiceswap import audio
from voiceswap.errors import AudioError, FileError, OutputError
from voiceswap.provenance import Provenance, certificates, manifest
from voiceswap.provenance.keys import home, signing_key
from voiceswap.provenance.watermark import embed
from voiceswap.speech import FORMATS, Speech, SpeechWriter

DATA = Path(__file__).parent / "data"
MARK = 0xA3F12AB4
MADE = Provenance(
    verb="speak", voice="alto-1", consent=None, source="fe", weights="a3f" + "0" * 61, mark=MARK
)

CREATED = {
    "action": "c2pa.created",
    "digitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture",
}


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICESWAP_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def talk(kathleen: list[Path], nathalie: list[Path]) -> np.ndarray:
    """Marked speech [N] of 12 s."""
    return embed(np.concatenate([audio.read(path) for path in [*kathleen, *nathalie]])[: 12 * 24000], MARK)


@pytest.fixture
def speech(talk: np.ndarray) -> Speech:
    return Speech(talk, 24000, MADE)


def saved(speech: Speech, path: Path) -> Path:
    speech.save(path)
    return path


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_is_saved_is_signed(speech: Speech, tmp_path: Path, suffix: str) -> None:
    path = saved(speech, tmp_path / f"a{suffix}")
    found = voiceswap.verify(path)
    assert found.synthetic
    assert found.manifest is not None
    assert (found.manifest.generator, found.manifest.own, found.manifest.faults) == ("voiceswap", True, ())
    made = dict(found.manifest.claims)
    assert abs(datetime.fromisoformat(made.pop("made")) - datetime.now(timezone.utc)) < timedelta(minutes=5)
    assert made == {key: value for key, value in MADE.to_dict().items() if value is not None or key in made}
    assert found.mark.verdict == "marked"
    assert found.mark.payload in (MARK, None)
    assert found.findings[0].startswith("Made by voiceswap: the manifest says so")
    assert "nothing was changed since" in str(found)
    beside = [name.name for name in tmp_path.iterdir() if name.is_file()]
    assert sorted(beside) == sorted(
        [path.name] + [path.name + manifest.BESIDE] * (suffix in (".ogg", ".opus"))
    )


def test_the_manifest_says_that_a_model_made_it(speech: Speech, tmp_path: Path) -> None:
    for suffix in (".wav", ".ogg"):
        path = saved(speech, tmp_path / f"a{suffix}")
        content = (path if suffix == ".wav" else manifest.beside(path)).read_bytes()
        assert b"trainedAlgorithmicMedia" in content


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_change_is_noticed(speech: Speech, tmp_path: Path, suffix: str) -> None:
    path = saved(speech, tmp_path / f"a{suffix}")
    content = bytearray(path.read_bytes())
    content[-20000 if suffix == ".wav" else -2000] ^= 4
    path.write_bytes(content)
    signed = manifest.read(path)
    assert signed is not None
    assert signed.faults == ("content",)
    if suffix == ".wav":
        found = voiceswap.verify(path)
        assert found.findings[0].startswith("Made by voiceswap, at least in part: the mark")
        assert "changed after it was signed" in str(found)


def test_what_is_saved_anew_keeps_the_mark(speech: Speech, tmp_path: Path) -> None:
    samples, rate = soundfile.read(saved(speech, tmp_path / "a.mp3"))
    soundfile.write(tmp_path / "b.flac", samples, rate)
    found = voiceswap.verify(tmp_path / "b.flac")
    assert (found.synthetic, found.manifest) == (True, None)
    assert "It has no manifest, or no longer" in found.findings[0]


def test_a_recording(kathleen: list[Path]) -> None:
    found = voiceswap.verify(kathleen[0])
    assert (found.synthetic, found.manifest) == (False, None)
    assert found.findings[0].startswith("Nothing says that voiceswap made this")


def test_a_manifest_of_another_sound(speech: Speech, tmp_path: Path) -> None:
    path = saved(speech, tmp_path / "a.ogg")
    other = Speech(embed(speech.samples[::-1], 7), 24000, MADE)
    saved(other, tmp_path / "b.ogg")
    manifest.beside(tmp_path / "b.ogg").replace(manifest.beside(path))
    assert "The file was changed after it was signed" in str(voiceswap.verify(path))
    found = voiceswap.verify(saved(other, tmp_path / "c.wav"))
    assert "The manifest says otherwise" in str(found)


def test_claims_that_were_edited(speech: Speech, tmp_path: Path) -> None:
    path = saved(speech, tmp_path / "a.ogg")
    text = manifest.beside(path).read_text("utf-8")
    manifest.beside(path).write_text(text.replace("alto-1", "tenor-1"), "utf-8")
    assert "signature" in voiceswap.verify(path).manifest.faults  # type: ignore[union-attr]
    wav = saved(speech, tmp_path / "a.wav")
    wav.write_bytes(wav.read_bytes().replace(b"alto-1", b"alto-2"))
    signed = manifest.read(wav)
    assert signed is not None
    assert "signature" in signed.faults
    assert not signed.own


def test_anothers_signature_is_said_to_be_so(
    speech: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [saved(speech, tmp_path / f"a{suffix}") for suffix in (".wav", ".opus")]
    monkeypatch.setenv("VOICESWAP_HOME", str(tmp_path / "elsewhere"))
    for path in paths:
        signed = manifest.read(path)
        assert signed is not None
        assert (signed.own, signed.faults) == (False, ())
        assert "for whom nobody vouches here" in str(voiceswap.verify(path))
    assert not (tmp_path / "elsewhere").exists()  # looking makes no key


def test_a_manifest_of_another_program(speech: Speech, tmp_path: Path) -> None:
    import c2pa

    signer = certificates.identity()
    plain = io.BytesIO()
    soundfile.write(plain, speech.samples[::-1], 24000, format="WAV")
    action = {"label": "c2pa.actions.v2", "data": {"actions": [CREATED]}}
    made = {"claim_generator_info": [{"name": "a camera"}], "assertions": [action]}
    builder = c2pa.Builder(json.dumps(made))
    path = tmp_path / "a.wav"
    with path.open("w+b") as out:
        plain.seek(0)
        builder.sign(
            c2pa.Signer.from_callback(signer.sign, c2pa.C2paSigningAlg.ED25519, signer.chain),
            "audio/wav",
            plain,
            out,
        )
    signed = manifest.read(path)
    assert signed is not None
    assert (signed.claims, signed.generator, signed.faults) == ({}, "a camera", ())
    found = voiceswap.verify(path)
    assert "another program's" in str(found)
    assert not found.synthetic


def own_certificate(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
    until: timedelta,
    *,
    since: timedelta = -timedelta(days=9),
) -> None:
    """A chain of one's own in `home`."""
    above = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(timezone.utc)
    made = []
    for name, public, authority in (("Ada", key.public_key(), False), ("Root", above.public_key(), True)):
        usage = dict.fromkeys(certificates._USAGES, False) | (
            {"key_cert_sign": True, "crl_sign": True} if authority else {"digital_signature": True}
        )
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Root")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=9) if authority else now + since)
            .not_valid_after(now + (timedelta(days=9) if authority else until))
            .add_extension(x509.BasicConstraints(authority, None), True)
            .add_extension(x509.KeyUsage(**usage), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(above.public_key()), False)
        )
        if not authority:
            builder = builder.add_extension(
                x509.ExtendedKeyUsage([ExtendedKeyUsageOID.EMAIL_PROTECTION]), False
            )
        from cryptography.hazmat.primitives import hashes

        made.append(builder.sign(above, hashes.SHA256()).public_bytes(Encoding.PEM))
    home().mkdir(exist_ok=True)
    (home() / "certificate.pem").write_bytes(b"".join(made))
    (home() / "certificate-key.pem").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )


@pytest.mark.parametrize(
    "make",
    [
        lambda: ec.generate_private_key(ec.SECP256R1()),
        lambda: ec.generate_private_key(ec.SECP384R1()),
        lambda: rsa.generate_private_key(65537, 2048),
    ],
    ids=["ES256", "ES384", "PS256"],
)
@pytest.mark.parametrize("suffix", [".flac", ".opus"])
def test_a_certificate_of_ones_own(
    speech: Speech, tmp_path: Path, make: Callable[[], ec.EllipticCurvePrivateKey], suffix: str
) -> None:
    own_certificate(make(), timedelta(days=5))
    signed = manifest.read(saved(speech, tmp_path / f"a{suffix}"))
    assert signed is not None
    assert (signed.signer, signed.own, signed.faults) == ("Ada", True, ())


def test_an_expired_certificate_is_said_to_be_so(speech: Speech, tmp_path: Path) -> None:
    own_certificate(ec.generate_private_key(ec.SECP256R1()), -timedelta(days=2))
    found = voiceswap.verify(saved(speech, tmp_path / "a.ogg"))
    assert found.manifest is not None
    assert found.manifest.faults == ("expired",)
    assert "The certificate was not valid" in str(found)
    own_certificate(ec.generate_private_key(ec.SECP256R1()), timedelta(days=8), since=timedelta(days=7))
    signed = manifest.read(saved(speech, tmp_path / "early.ogg"))
    assert signed is not None
    assert signed.faults == ("expired",)


def test_a_certificate_that_expired_since_is_said_to_have() -> None:
    found = voiceswap.verify(DATA / "expired.wav")  # signed while it held
    assert found.manifest is not None
    assert (found.manifest.signer, found.manifest.faults) == ("Ada", ("expired",))
    assert found.synthetic  # nothing was changed
    assert "The certificate was not valid" in str(found)


def test_certificates_that_cannot_be_used(speech: Speech, tmp_path: Path) -> None:
    own_certificate(ec.generate_private_key(ec.SECP256R1()), timedelta(days=5))
    own_certificate_key = home() / "certificate-key.pem"
    other = ec.generate_private_key(ec.SECP256R1())
    for how, message in (
        (None, "cannot be used"),
        (BestAvailableEncryption(b"secret"), "cannot be used"),
        (NoEncryption(), "is not for the key in"),
    ):
        own_certificate_key.write_bytes(
            b"" if how is None else other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)
        )
        with pytest.raises(FileError, match=message):
            speech.save(tmp_path / "a.wav")
    own_certificate(ec.generate_private_key(ec.SECP521R1()), timedelta(days=5))
    with pytest.raises(FileError, match="is for a key of another kind"):
        speech.save(tmp_path / "a.wav")
    for spoilt in SPOILT:
        (home() / "certificate.pem").write_text(spoilt(certificates._made(signing_key())), "utf-8")
        with pytest.raises(FileError, match="cannot be used"):
            speech.save(tmp_path / "a.wav")
    assert not list(tmp_path.glob("*a.wav*"))


def test_this_computers_certificate_is_for_its_key_and_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    def made_now() -> bool:
        before = (home() / "computer.pem").read_bytes()
        chain = certificates.identity().chain
        assert chain == (home() / "computer.pem").read_text("utf-8")
        return chain.encode() != before

    certificates.identity()
    assert not made_now()
    (home() / "computer.pem").write_text("no certificate", "utf-8")
    assert made_now()
    (home() / "key").unlink()
    assert made_now()
    monkeypatch.setattr(certificates, "YEARS", -1 / 365 / 24)
    (home() / "computer.pem").unlink()
    certificates.identity()
    assert made_now()


def test_the_certificate_that_another_process_made_meanwhile_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    make, theirs = certificates._made, []

    def meanwhile(key: Ed25519PrivateKey) -> str:
        monkeypatch.setattr(certificates, "_made", make)
        theirs.append(certificates.identity().chain)
        return make(key)

    monkeypatch.setattr(certificates, "_made", meanwhile)
    assert certificates.identity().chain == theirs[0] == (home() / "computer.pem").read_text("utf-8")


def test_a_number_alone_makes_no_certificate_ones_own(
    speech: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates.identity()
    number = certificates.own_chains()[0][0].serial_number
    with monkeypatch.context() as forger:
        forger.setenv("VOICESWAP_HOME", str(tmp_path / "forger"))
        forger.setattr(x509, "random_serial_number", lambda: number)
        paths = [saved(speech, tmp_path / name) for name in ("a.wav", "a.ogg")]
        assert certificates.own_chains()[0][0].serial_number == number
    for path in paths:
        signed = manifest.read(path)
        assert signed is not None
        assert (signed.own, signed.faults) == (False, ())


def test_a_chain_that_does_not_hold_vouches_for_nobody(speech: Speech, tmp_path: Path) -> None:
    path = saved(speech, tmp_path / "a.ogg")
    data = json.loads(manifest.beside(path).read_bytes())
    own, _ = x509.load_pem_x509_certificates(data["certificates"].encode())
    _, other = x509.load_pem_x509_certificates(certificates._made(signing_key()).encode())
    data["certificates"] = "".join(one.public_bytes(Encoding.PEM).decode() for one in (own, other))
    manifest.beside(path).write_text(json.dumps(data), "utf-8")
    signed = manifest.read(path)
    assert signed is not None
    assert (signed.own, signed.faults) == (False, ("signature",))


def other_bytes(pem: str, before: bytes, after: bytes) -> str:
    """A chain with other bytes in its first certificate."""
    first = x509.load_pem_x509_certificates(pem.encode())[0].public_bytes(Encoding.DER)
    assert before in first
    text = base64.encodebytes(first.replace(before, after, 1)).decode()
    return f"-----BEGIN CERTIFICATE-----\n{text}-----END CERTIFICATE-----\n"


SPOILT: list[Callable[[str], str]] = [
    lambda pem: other_bytes(pem, b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x07"),  # version 8
    lambda pem: other_bytes(pem, b"\x06\x03\x2b\x65\x70\x03", b"\x06\x03\x2b\x65\x7f\x03"),  # of a key
    lambda pem: "no certificate",
]


def test_manifests_that_cannot_be_read(speech: Speech, tmp_path: Path) -> None:
    path = saved(speech, tmp_path / "a.ogg")
    place = manifest.beside(path)
    whole = json.loads(place.read_bytes())
    damaged: list[bytes] = [
        b"",
        b"[" * 100_000,
        place.read_bytes() + b" " * 2**20,  # larger than is read
        *(
            json.dumps(whole | {key: value}).encode()
            for key in {*whole} - {"algorithm"}
            for value in (None, 3, [], "\ud800")
        ),
        *(json.dumps(whole | {"certificates": spoilt(whole["certificates"])}).encode() for spoilt in SPOILT),
    ]
    for content in damaged:
        place.write_bytes(content)
        signed = manifest.read(path)
        assert signed is not None
        assert signed.faults
        assert not signed.own
        if len(content) < 100 or len(content) > 2**20:
            assert signed == manifest.Manifest({}, "", False, "", ("unreadable",))
    found = voiceswap.verify(path)
    assert "Manifest: damaged" in str(found)
    assert "Its manifest does not hold" in found.findings[0]


def test_what_is_signed_needs_no_mark(kathleen: list[Path], tmp_path: Path) -> None:
    unmarked = np.concatenate([audio.read(path) for path in kathleen])
    path = saved(Speech(unmarked, 24000, MADE), tmp_path / "a.wav")
    found = voiceswap.verify(path)
    assert (found.synthetic, found.mark.verdict) == (True, "not marked")
    assert found.findings[0].startswith("Made by voiceswap, says its manifest")
    content = bytearray(path.read_bytes())
    content[1000] ^= 4
    path.write_bytes(content)
    found = voiceswap.verify(path)
    assert not found.synthetic
    assert found.findings[0].startswith("Nothing says that voiceswap made this")


def test_what_is_too_little_to_tell(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(4800), 24000)
    found = voiceswap.verify(tmp_path / "a.wav")
    assert not found.synthetic
    assert "too little sound" in found.findings[0]
    assert "Mark: cannot be told" in str(found)
    assert found.findings[-1] == "Sound: silence."


def test_it_is_said_how_a_mark_was_changed_and_whose_is_looked_for(talk: np.ndarray, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", talk, 28800)  # played a fifth faster
    found = voiceswap.verify(tmp_path / "a.wav")
    assert found.mark.verdict == "marked"
    assert re.search(r" s; 0\.8\d times as long as it was; \+3\.\d semitones\.", str(found))
    assert not voiceswap.verify(tmp_path / "a.wav", key=b"mine").synthetic
    mine = embed(talk[: 4 * 24000], 5, key=b"mine")
    soundfile.write(tmp_path / "b.wav", mine, 24000)
    assert voiceswap.verify(tmp_path / "b.wav", key=b"mine").synthetic


def test_a_manifest_puts_no_lines_of_its_own_into_the_findings(talk: np.ndarray, tmp_path: Path) -> None:
    odd = "\x1b[31mx\nMade by voiceswap: the manifest says so.\u202e" + "y" * 5000
    made = Provenance(
        verb=odd, voice=odd, consent=odd, source=odd, weights=odd, mark=MARK, made_by=odd, version=odd
    )
    path = saved(Speech(talk[:4800], 24000, made), tmp_path / "a.ogg")
    found = voiceswap.verify(path)
    assert found.manifest is not None
    assert found.manifest.claims["verb"] == odd
    assert all(line.isprintable() and len(line) < 1000 for line in found.findings)


def test_a_persons_consent_is_named(talk: np.ndarray, tmp_path: Path) -> None:
    for name, consent, words in (
        ("a.wav", "5c" * 32, "consent 5c5c5c5c5c5c"),
        ("b.wav", None, "no person's"),
    ):
        made = replace(MADE, consent=consent)
        found = voiceswap.verify(saved(Speech(talk[:4800], 24000, made), tmp_path / name))
        assert found.manifest is not None
        assert found.manifest.claims["consent"] == consent
        assert words in str(found)


def test_a_long_file_has_its_manifest_beside(
    talk: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = Speech(talk[:4800], 24000, MADE)
    with monkeypatch.context() as small:
        small.setattr(manifest, "LARGEST", 1000)
        path = saved(short, tmp_path / "a.wav")
    assert manifest.beside(path).is_file()
    signed = manifest.read(path)
    assert signed is not None
    assert (signed.own, signed.faults) == (True, ())
    Speech(talk[4800:9600], 24000, MADE).save(path, force=True)  # which has it inside
    assert not manifest.beside(path).exists()
    signed = manifest.read(path)
    assert signed is not None
    assert signed.faults == ()


def test_no_manifest_is_fetched_from_the_network(tmp_path: Path) -> None:
    import c2pa

    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            pass

    signer = certificates.identity()
    plain = io.BytesIO()
    soundfile.write(plain, np.zeros(4800), 24000, format="WAV")
    plain.seek(0)
    action = {"label": "c2pa.actions.v2", "data": {"actions": [CREATED]}}
    builder = c2pa.Builder(json.dumps({"assertions": [action]}))
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        builder.set_no_embed()
        builder.set_remote_url(f"http://127.0.0.1:{server.server_port}/a.c2pa")
        with (tmp_path / "a.wav").open("w+b") as out:
            algorithm = c2pa.C2paSigningAlg.ED25519
            c2pa_signer = c2pa.Signer.from_callback(signer.sign, algorithm, signer.chain)
            builder.sign(c2pa_signer, "audio/wav", plain, out)
        signed = manifest.read(tmp_path / "a.wav")
        server.shutdown()
    assert signed is not None
    assert signed.faults == ("unreadable",)
    assert not asked


def test_a_manifest_beside_is_not_overwritten_unasked(speech: Speech, tmp_path: Path) -> None:
    manifest.beside(tmp_path / "a.ogg").write_text("mine", "utf-8")
    manifest.beside(tmp_path / "a.wav").write_text("mine", "utf-8")  # which a.wav would make untrue
    for name in ("a.ogg", "a.wav"):
        with pytest.raises(OutputError, match="exists already"):
            SpeechWriter(tmp_path / name)  # before any work
        with pytest.raises(OutputError, match="exists already"):
            speech.save(tmp_path / name)
        assert manifest.beside(tmp_path / name).read_text("utf-8") == "mine"
    speech.save(tmp_path / "a.ogg", force=True)
    assert voiceswap.verify(tmp_path / "a.ogg").synthetic


def test_a_file_that_cannot_be_signed_is_not_left(
    speech: Speech, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(manifest.EMBEDDED, ".wav", "audio/flac")
    with pytest.raises(OutputError, match="the manifest of"):
        speech.save(tmp_path / "a.wav")
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_what_is_no_audio_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"RIFF")
    for path in (tmp_path / "a.wav", tmp_path / "none.wav", tmp_path):
        with pytest.raises(AudioError):
            voiceswap.verify(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_manifests_are_no_crash(tmp_path: Path, data: st.DataObject) -> None:
    suffix = data.draw(st.sampled_from([".wav", ".flac", ".mp3", ".ogg"]))
    original = tmp_path / f"original{suffix}"
    if not original.exists():
        Speech(np.random.default_rng(0).normal(0, 0.1, 6000), 24000, MADE).save(original)
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(original.read_bytes())
    target = manifest.beside(path) if suffix == ".ogg" else path
    content = bytearray((manifest.beside(original) if suffix == ".ogg" else original).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    target.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    signed = manifest.read(path)
    assert signed is None or isinstance(signed.faults, tuple)


def test_the_command_line_says_what_verify_found(speech: Speech, tmp_path: Path) -> None:
    path = saved(speech, tmp_path / "a.wav")
    done = subprocess.run(
        [sys.executable, "-m", "voiceswap", "verify", str(path), str(tmp_path / "none.wav")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stdout.startswith(f"{path}: Made by voiceswap: the manifest says so")
    assert "none.wav" in done.stderr
    assert "Traceback" not in done.stderr
