"""Damaged and made-up bytes where files are read: our error or a sound value, soon, in little memory."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_statement import spoken
from test_voice import JSON, signed, voice

from voiceswap import audio
from voiceswap.errors import AudioError, FileError, VoiceFileError
from voiceswap.models.adapter import Adapter
from voiceswap.models.timbre import Timbre
from voiceswap.provenance import Provenance, manifest
from voiceswap.provenance.revocation import check_not_revoked, revoke
from voiceswap.speech import Speech
from voiceswap.verification import _about_manifest
from voiceswap.voice import MAGIC, Voice

LONGEST_CASE = 5.0  # seconds; the slowest takes some hundredths
MOST_MEMORY = 64e6  # bytes by which the process may grow in all the cases of a test
FORMATS = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "adpcm.wav": ("WAV", "IMA_ADPCM"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
    "w64": ("W64", "PCM_16"),
}
NUMBERS = [bytes(4), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x01\0\0\0", b"\0\0\0\x01"]

thorough = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICESWAP_HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True)
def bounded_memory() -> Iterator[None]:
    """Fails a test whose cases raise the peak of the process by more than `MOST_MEMORY`."""
    resource = pytest.importorskip("resource", reason="peaks are told by POSIX alone")

    def peak() -> int:
        return int(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * 1024

    before = peak()
    yield
    assert peak() - before < MOST_MEMORY


@pytest.fixture(autouse=True, scope="module")
def what_is_read_once() -> None:
    """Tables that hypothesis reads, and our sources, whose constants it collects, are no growth of ours."""

    @settings(max_examples=20, deadline=None, database=None)
    @given(JSON)
    def draw(value: object) -> None:
        assert value is value

    draw()


@contextmanager
def soon() -> Iterator[None]:
    start = time.monotonic()
    yield
    assert time.monotonic() - start < LONGEST_CASE


def whole_files() -> dict[str, bytes]:
    """Half a second of a tone in every format."""
    tone = 0.3 * np.sin(2 * np.pi * 220 * np.arange(12000) / 24000)
    made = {}
    for suffix, (container, subtype) in FORMATS.items():
        file = io.BytesIO()
        soundfile.write(file, tone, 24000, format=container, subtype=subtype)
        made[suffix] = file.getvalue()
    return made


WHOLE = whole_files()


@st.composite
def damaged(draw: st.DrawFn, content: bytes) -> bytes:
    """`content` with bytes changed, cut, put in, doubled, or replaced by numbers that are often wrong."""
    for _ in range(draw(st.integers(1, 6))):
        head = draw(st.sampled_from([64, 256, len(content)]))  # where formats say what comes
        at = draw(st.integers(0, max(0, min(head, len(content)) - 1)))
        kind = draw(st.sampled_from(["flip", "cut", "put in", "number", "end", "double"]))
        length = draw(st.integers(1, 40))
        if kind == "flip":
            content = content[:at] + draw(st.binary(min_size=1, max_size=1)) + content[at + 1 :]
        elif kind == "cut":
            content = content[:at] + content[at + length :]
        elif kind == "put in":
            content = content[:at] + draw(st.binary(min_size=1, max_size=40)) + content[at:]
        elif kind == "number":
            content = content[:at] + draw(st.sampled_from(NUMBERS)) + content[at + 4 :]
        elif kind == "end":
            content = content[:at]
        else:
            content = content[:at] + content[at : at + 100 * length] * 2 + content[at + 100 * length :]
    return content


def check_audio(path: Path) -> None:
    with soon(), suppress(AudioError):
        samples = audio.read(path)
        assert (samples.dtype, samples.ndim) == (np.float32, 1)
        assert np.isfinite(samples).all()


@thorough
@given(data=st.data())
def test_damaged_audio(tmp_path: Path, data: st.DataObject) -> None:
    suffix = data.draw(st.sampled_from(sorted(WHOLE)))
    path = tmp_path / f"talk.{suffix}"
    path.write_bytes(data.draw(damaged(WHOLE[suffix])))
    check_audio(path)


@thorough
@given(
    suffix=st.sampled_from(["wav", "flac", "ogg", "mp3", "raw", "txt"]),
    start=st.sampled_from(
        [b"", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC", b"OggS", b"ID3", b"\xff\xfb", b"FORM"]
    ),
    rest=st.binary(max_size=2000),
)
def test_made_up_audio(tmp_path: Path, suffix: str, start: bytes, rest: bytes) -> None:
    (tmp_path / f"talk.{suffix}").write_bytes(start + rest)
    check_audio(tmp_path / f"talk.{suffix}")


def whole_voice() -> dict[str, object]:
    """A voice with all that a file can hold."""
    made = voice()
    assert made.consent is not None
    sounds = Timbre.learn("0" * 64, torch.zeros(80, 2), torch.zeros(80, 2), torch.tensor([0.0, 150.0]))
    consent = replace(made.consent, spoken=spoken(made.consent, made))
    adapter = Adapter("0" * 64, np.zeros((2, 8), np.float32), sounds)
    return replace(made, consent=consent, adapter=adapter, timbre=sounds).to_dict()


VOICE = json.dumps(whole_voice()).encode()


@thorough
@given(
    content=st.one_of(
        st.binary(max_size=400), st.binary(max_size=400).map(lambda rest: MAGIC + b"\x01" + rest)
    )
)
def test_made_up_voice_files(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "ada.voice").write_bytes(content)
    with soon(), pytest.raises(VoiceFileError):
        Voice.load(tmp_path / "ada.voice")


@thorough
@given(content=damaged(VOICE))
def test_damage_that_was_signed(tmp_path: Path, content: bytes) -> None:
    """Anyone can sign anything with a key of their own: what is read then is a voice, or refused."""
    (tmp_path / "ada.voice").write_bytes(signed(content))
    with soon(), suppress(VoiceFileError):
        read = Voice.load(tmp_path / "ada.voice")
        assert read.consent is not None
        assert np.linalg.norm(read.vector) == pytest.approx(1, abs=1e-3)


@thorough
@given(
    number=st.sampled_from(["1e999", "-0.0", "9" * 5000, "NaN", "-Infinity", '"1"', "null", "[[]]", "true"]),
    data=st.data(),
)
def test_numbers_that_are_none(tmp_path: Path, number: str, data: st.DataObject) -> None:
    """Every number of a voice replaced by what JSON also allows."""
    fields = ["f0_median", "f0_spread", "rate", "words", "weakest", "speaker"]
    field = data.draw(st.sampled_from(fields))
    parts = json.loads(VOICE)
    inner = parts if field in parts else parts["consent"]["spoken"]
    inner[field] = "@"
    (tmp_path / "ada.voice").write_bytes(signed(json.dumps(parts).replace('"@"', number).encode()))
    with soon(), suppress(VoiceFileError):
        read = Voice.load(tmp_path / "ada.voice")
        assert 30 <= read.f0_median <= 1000
        read.to_dict()


@thorough
@given(data=st.data())
def test_damaged_lists_of_revoked_consents(tmp_path: Path, data: st.DataObject) -> None:
    consent = voice().consent
    assert consent is not None
    path = tmp_path / "home" / "revoked.json"
    if not (tmp_path / "list").exists():
        revoke(consent)
        path.rename(tmp_path / "list")
    whole = (tmp_path / "list").read_bytes()
    content = data.draw(damaged(whole))
    path.write_bytes(content)
    with soon():
        try:
            check_not_revoked(replace(consent, name="Eve"))
        except FileError:
            return
    assert json.loads(content) == json.loads(whole)  # nothing but blanks was changed


SPEECH = Speech(
    0.1 * np.random.default_rng(0).standard_normal(2400),
    24000,
    Provenance(verb="speak", voice="ada", consent=None, source="", weights="0", mark=0),
)


def signed_files(folder: Path) -> dict[str, bytes]:
    """What `save` writes: files with a manifest inside, and one that lies beside."""
    found = {}
    for suffix in (".wav", ".flac", ".mp3", ".ogg"):
        path = folder / f"whole{suffix}"
        if not path.exists():
            SPEECH.save(path)
        found[suffix] = (manifest.beside(path) if suffix == ".ogg" else path).read_bytes()
    return found


def check_manifest(path: Path) -> None:
    with soon():
        signed = manifest.read(path)
        assert signed is None or isinstance(signed.faults, tuple)
        about = "".join(_about_manifest(signed))
    assert about.isprintable()


@thorough
@given(data=st.data())
def test_damaged_manifests(tmp_path: Path, data: st.DataObject) -> None:
    whole = signed_files(tmp_path)
    suffix = data.draw(st.sampled_from(sorted(whole)))
    content = data.draw(damaged(whole[suffix]))
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes((tmp_path / "whole.ogg").read_bytes() if suffix == ".ogg" else content)
    if suffix == ".ogg":
        manifest.beside(path).write_bytes(content)
    check_manifest(path)


@thorough
@given(field=st.sampled_from(["claims", "sha256", "certificates", "signature", "algorithm"]), value=JSON)
def test_manifests_of_nonsense(tmp_path: Path, field: str, value: object) -> None:
    content = json.loads(signed_files(tmp_path)[".ogg"])
    path = tmp_path / "odd.ogg"
    path.write_bytes((tmp_path / "whole.ogg").read_bytes())
    manifest.beside(path).write_text(json.dumps(content | {field: value}), "utf-8")
    check_manifest(path)
