from __future__ import annotations

import json
import os
import pickle
import stat
import zipfile
from contextlib import suppress
from datetime import date
from math import isnan, nan
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from voiceswap.errors import ConsentError, FileError, OptionError, OutputError, VoiceFileError
from voiceswap.models.adapter import Adapter
from voiceswap.provenance import Consent
from voiceswap.provenance.keys import home, signing_key
from voiceswap.voice import MAGIC, MAX_BYTES, Voice

CONSENT = Consent("Ada Example", "speak,convert", "2099-12-31", since="2026-01-01")


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VOICESWAP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def unit(seed: int = 0) -> np.ndarray:
    vector = np.random.default_rng(seed).standard_normal(192)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def voice(**changes: object) -> Voice:
    values: dict[str, object] = {
        "name": "ada",
        "vector": unit(),
        "f0_median": 201.5,
        "f0_spread": 0.21,
        "rate": 11.3,
        "consent": CONSENT,
        "space": "5ba0",
    }
    return Voice(**(values | changes))  # type: ignore[arg-type]


def preset(name: str, seed: int, **changes: object) -> Voice:
    return voice(name=name, vector=unit(seed), consent=None, builtin=True, **changes)


def signed(data: object) -> bytes:
    """A file whose signature holds, whatever it says."""
    text = data if isinstance(data, bytes) else json.dumps(data).encode()
    key = Ed25519PrivateKey.generate()
    head = MAGIC + b"\x01" + key.public_key().public_bytes_raw()
    return head + key.sign(head + text) + text


def test_a_file_returns_the_same_voice(tmp_path: Path) -> None:
    for rate in (11.3, nan):
        original = voice(rate=rate, name="Ada 🙂")
        original.save(tmp_path / "ada.voice", force=True)
        again = Voice.load(str(tmp_path / "ada.voice"))
        assert again.to_dict() == original.to_dict()
        np.testing.assert_array_equal(again.vector, original.vector)
        assert again.consent == CONSENT
    assert isnan(again.rate)
    assert names(tmp_path) == ["ada.voice", "home"]


def test_value_is_frozen() -> None:
    vector = unit()
    made = voice(vector=vector)
    vector[:] = 0
    np.testing.assert_array_equal(made.vector, unit())
    with pytest.raises(ValueError, match="read-only"):
        made.vector[0] = 1
    with pytest.raises(AttributeError):
        made.consent = None  # type: ignore[misc]
    assert repr(made) == "Voice('ada', of 'Ada Example', 202 Hz)"
    assert repr(preset("alto-1", 1)) == "Voice('alto-1', built in, 202 Hz)"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name=''"),
        ({"name": "a\0b"}, "name="),
        ({"name": "a" * 201}, "name="),
        ({"vector": 1.01 * unit()}, "speaker vector"),
        ({"vector": np.zeros(192)}, "speaker vector"),
        ({"vector": np.full(192, np.nan)}, "speaker vector"),
        ({"vector": np.full(192, 1e300)}, "speaker vector"),
        ({"vector": unit()[None]}, "speaker vector"),
        ({"f0_median": 0.0}, "f0_median=0.0"),
        ({"f0_median": nan}, "f0_median=nan"),
        ({"f0_spread": -0.1}, "f0_spread=-0.1"),
        ({"f0_spread": nan}, "f0_spread=nan"),
        ({"rate": 0.0}, "rate=0.0"),
        ({"rate": 1e9}, "rate="),
        ({"space": ""}, "space=''"),
    ],
)
def test_values_out_of_range_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        voice(**changes)


def test_a_person_has_a_consent_and_nobody_has_none() -> None:
    with pytest.raises(ConsentError, match="without a consent"):
        voice(consent=None)
    with pytest.raises(ConsentError, match="with a consent"):
        voice(builtin=True)
    for other in ("yes", CONSENT.to_dict(), True):
        with pytest.raises(ConsentError, match=r"^consent="):
            voice(consent=other)


@pytest.mark.parametrize(
    "offsets", [np.zeros(3), np.full((2, 2), nan), np.full((2, 2), 1e30), np.zeros((1001, 1000))]
)
def test_what_is_no_adapter(offsets: np.ndarray) -> None:
    with np.errstate(over="ignore"), pytest.raises(OptionError, match="the adapter"):
        Adapter("0" * 64, offsets)


def test_check_holds_consent_and_space() -> None:
    voice().check("speak", space="5ba0")
    with pytest.raises(ConsentError, match="does not cover 'train'"):
        voice().check("train")
    with pytest.raises(ConsentError, match="ended on 2099-12-31"):
        voice().check("speak", on=date(2100, 1, 1))
    with pytest.raises(VoiceFileError, match="embedding space 5ba0: these weights understand ffff alone"):
        voice().check("speak", space="ffff")
    preset("alto-1", 1).check("train")
    with pytest.raises(VoiceFileError, match="embedding space"):
        preset("alto-1", 1).check("speak", space="ffff")


def test_a_consent_that_is_over_loads_and_refuses(tmp_path: Path) -> None:
    over = voice().to_dict() | {"consent": CONSENT.to_dict() | {"since": "1999-01-01", "until": "2000-01-01"}}
    (tmp_path / "old.voice").write_bytes(signed(over))
    with pytest.raises(ConsentError, match="ended on 2000-01-01"):
        Voice.load(tmp_path / "old.voice").check("speak")


@pytest.mark.parametrize(
    ("before", "after"),
    [(b'"convert"', b'"trained"'), (b"2099", b"2199"), (b"Ada", b"Eve"), (b"5ba0", b"5ba1")],
)
def test_an_edit_is_noticed(tmp_path: Path, before: bytes, after: bytes) -> None:
    path = tmp_path / "ada.voice"
    voice().save(path)
    content = path.read_bytes()
    assert before in content
    path.write_bytes(content.replace(before, after))
    with pytest.raises(VoiceFileError, match=r"ada\.voice' was cut or changed after it was signed"):
        Voice.load(path)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_no_damage_gets_through(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "ada.voice"
    if not (tmp_path / "whole").exists():
        voice().save(tmp_path / "whole")
    content = (tmp_path / "whole").read_bytes()
    at = data.draw(st.integers(0, len(content) - 1))
    damaged = data.draw(
        st.one_of(
            st.integers(1, 255).map(
                lambda flip: content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :]
            ),
            st.just(content[:at]),
            st.binary(min_size=1, max_size=50).map(lambda more: content + more),
            st.binary(min_size=1, max_size=50).map(lambda more: content[:at] + more + content[at:]),
            st.binary(max_size=300),
            st.binary(max_size=300).map(lambda rest: MAGIC + b"\x01" + rest),
        )
    )
    if damaged == content:
        return
    path.write_bytes(damaged)
    with pytest.raises(VoiceFileError) as caught:
        Voice.load(path)
    assert caught.value.rule
    assert caught.value.remedy


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(field=st.sampled_from(sorted(voice().to_dict())), value=JSON, inner=st.booleans())
def test_signed_nonsense_is_no_voice(tmp_path: Path, field: str, value: object, inner: bool) -> None:
    whole = voice().to_dict()
    content = whole | {"consent": CONSENT.to_dict() | {"scope": value}} if inner else whole | {field: value}
    (tmp_path / "odd.voice").write_bytes(signed(content))
    with suppress(VoiceFileError):  # some values are fine: a name, a number in range
        Voice.load(tmp_path / "odd.voice")


def odd(**changes: object) -> bytes:
    return signed(voice().to_dict() | changes)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no voice"),
        (b"some words", "is no voice"),
        (pickle.dumps({"vector": [1.0]}), "is a pickle, which is never opened"),
        (b"RIFF\x24\x00\x00\x00WAVE", "is a WAV file"),
        (MAGIC, "has version none"),
        (MAGIC + b"\x02" + bytes(200), "has version 2: this voiceswap reads version 1"),
        (MAGIC + b"\x01", "was cut or changed"),
        (signed(b"[" * 100_000), "holds no voice"),
        (signed(b"\xff\xfe"), "holds no voice"),
        (signed(b""), "holds no voice"),
        (signed([1, 2]), "fields name, vector"),
        (signed({"name": "ada"}), "fields name, vector"),
        (odd(extra=1), "fields name, vector"),
        (odd(vector=[float("nan")] * 192), "speaker vector"),
        (odd(vector=[1.0] * 192), "speaker vector"),
        (odd(vector=[1e300] * 192), "speaker vector"),
        (odd(vector=["a"]), "wrong kind"),
        (odd(vector=[[1.0], [0.0, 1.0]]), "wrong kind"),
        (odd(vector=[10**400]), "wrong kind"),
        (odd(f0_median="high"), "wrong kind"),
        (odd(f0_median=10**400), "f0_median="),
        (odd(f0_spread=float("inf")), "f0_spread=inf"),
        (odd(adapter={}), "wrong kind"),
        (odd(adapter={"converter": "0", "blocks": 1, "offsets": "!"}), "wrong kind"),
        (odd(adapter={"converter": "0", "blocks": 0, "offsets": ""}), "wrong kind"),
        (odd(adapter={"converter": "0", "blocks": 1, "offsets": "AHw="}), "the adapter"),  # infinite
        (odd(timbre={}), "wrong kind"),
        (odd(consent=None), "without a consent"),
        (odd(consent={}), "no consent"),
        (odd(consent=CONSENT.to_dict() | {"scope": ["everything"]}), "everything"),
        (odd(consent=None, builtin=True), "claims to be built in"),
    ],
)
def test_what_is_no_voice_file(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "ada.voice"
    path.write_bytes(content)
    with pytest.raises(VoiceFileError, match=message) as caught:
        Voice.load(path)
    assert "ada.voice" in caught.value.got


def test_places_that_hold_no_voice(tmp_path: Path) -> None:
    with pytest.raises(VoiceFileError, match="does not exist"):
        Voice.load(tmp_path / "none.voice")
    with pytest.raises(VoiceFileError, match="is a directory"):
        Voice.load(tmp_path)
    with pytest.raises(VoiceFileError, match="is no file"):
        Voice.load("/dev/zero")
    with zipfile.ZipFile(tmp_path / "bomb.voice", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("zeros", bytes(10**7))
    with pytest.raises(VoiceFileError, match="is a zip archive"):
        Voice.load(tmp_path / "bomb.voice")
    with (tmp_path / "huge.voice").open("wb") as file:
        file.truncate(10**9)
    with pytest.raises(VoiceFileError, match=f"has 1000000000 bytes: a voice file has at most {MAX_BYTES}"):
        Voice.load(tmp_path / "huge.voice")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / "ada.voice").touch()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(VoiceFileError, match=r"ada\.voice' cannot be read \(Permission denied\)"):
        Voice.load(tmp_path / "ada.voice")


def test_existing_files_stay_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "ada.voice"
    voice().save(path)
    content = path.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        voice(name="eve").save(path)
    assert path.read_bytes() == content
    voice(name="eve").save(path, force=True)
    assert Voice.load(path).name == "eve"
    with pytest.raises(OutputError, match="not a directory"):
        voice().save(tmp_path / "none" / "ada.voice")
    with pytest.raises(ConsentError, match="built-in voice 'alto-1'"):
        preset("alto-1", 1).save(tmp_path / "alto.voice")
    assert names(tmp_path) == ["ada.voice", "home"]


def test_key_is_made_once_and_private(tmp_path: Path, own_home: Path) -> None:
    assert home() == own_home
    first = signing_key().public_key().public_bytes_raw()
    assert signing_key().public_key().public_bytes_raw() == first
    assert names(own_home) == ["key"]
    if os.name == "posix":
        assert stat.S_IMODE((own_home / "key").stat().st_mode) == 0o600
    voice().save(tmp_path / "ada.voice")
    assert first in (tmp_path / "ada.voice").read_bytes()


def test_the_key_that_another_process_made_meanwhile_stays(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = []

    def meanwhile(count: int) -> str:
        monkeypatch.undo()
        monkeypatch.setenv("VOICESWAP_HOME", str(own_home))
        theirs.append(signing_key().public_key())
        return "0" * count

    monkeypatch.setattr("voiceswap.provenance.keys.secrets.token_hex", meanwhile)
    assert signing_key().public_key() == theirs[0]
    assert names(own_home) == ["key"]


def test_a_key_needs_no_links(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", link)
    first = signing_key().public_key()
    assert signing_key().public_key() == first
    assert names(own_home) == ["key"]


def pem(key: Ed25519PrivateKey | ec.EllipticCurvePrivateKey, password: bytes = b"") -> bytes:
    how = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, how)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        pem(ec.generate_private_key(ec.SECP256R1())),
        pem(Ed25519PrivateKey.generate(), b"secret"),
    ],
    ids=["empty", "nonsense", "no key", "another kind", "with a password"],
)
def test_a_damaged_key_is_named(own_home: Path, content: bytes) -> None:
    own_home.mkdir()
    (own_home / "key").write_bytes(content)
    with pytest.raises(FileError, match=r"signing key .* is damaged"):
        signing_key()


def test_a_home_that_cannot_be_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("VOICESWAP_HOME", str(tmp_path / "file"))
    with pytest.raises(OutputError, match="VOICESWAP_HOME"):
        voice().save(tmp_path / "ada.voice")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CONFIG_HOME": "/c"}, "/c/voiceswap"),
        ("linux", {"HOME": "/h"}, "/h/.config/voiceswap"),
        ("darwin", {"HOME": "/h"}, "/h/Library/Application Support/voiceswap"),
        ("win32", {"APPDATA": "/a"}, "/a/voiceswap"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="written for paths of POSIX")
def test_home_follows_the_platform(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], expected: str
) -> None:
    for name in ("VOICESWAP_HOME", "XDG_CONFIG_HOME", "APPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", platform)
    assert home() == Path(expected)


def test_dictionary_returns_the_same_voice() -> None:
    for made in (voice(), preset("alto-1", 1, rate=nan)):
        assert Voice.from_dict(json.loads(json.dumps(made.to_dict()))).to_dict() == made.to_dict()
