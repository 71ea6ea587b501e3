from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from test_statement import spoken
from test_voice import voice

from voiceswap.errors import ConsentError, FileError, OutputError
from voiceswap.provenance import Consent
from voiceswap.provenance.keys import home
from voiceswap.provenance.revocation import check_not_revoked, revoke
from voiceswap.voice import Voice


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VOICESWAP_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def consent(name: str = "Ada", scope: str = "speak") -> Consent:
    return Consent(name, scope, "2099-12-31", since="2026-01-01")


def test_a_revoked_voice_stays_refused_in_every_copy(tmp_path: Path) -> None:
    voice().save(tmp_path / "ada.voice")
    shutil.copy(tmp_path / "ada.voice", tmp_path / "kept.voice")
    Voice.load(tmp_path / "ada.voice").check("speak")
    Voice.load(tmp_path / "ada.voice").revoke()
    for path in ("ada.voice", "kept.voice"):
        again = Voice.load(tmp_path / path)
        with pytest.raises(ConsentError, match="was revoked on"):
            again.check("speak")
    voice().save(tmp_path / "new.voice")  # the same consent, signed anew
    with pytest.raises(ConsentError, match="was revoked on"):
        Voice.load(tmp_path / "new.voice").check("speak")


def test_only_the_consent_that_was_revoked() -> None:
    revoke(consent())
    revoke(consent("Grace"))
    revoke(consent())  # once more is no error
    check_not_revoked(consent("Eve"))
    check_not_revoked(consent(scope="convert"))
    for revoked in (consent(), consent("Grace")):
        with pytest.raises(ConsentError, match=f"{revoked.name}' was revoked"):
            check_not_revoked(revoked)


def test_a_record_is_revoked_with_its_statement_and_without() -> None:
    plain = voice().consent
    assert plain is not None
    heard = replace(plain, spoken=spoken(plain, voice()))
    revoke(heard)
    for either in (plain, heard):
        with pytest.raises(ConsentError, match="was revoked"):
            check_not_revoked(either)


def test_nothing_revoked_needs_neither_list_nor_key(own_home: Path) -> None:
    check_not_revoked(consent())
    assert not own_home.exists()


def test_built_in_voices_belong_to_nobody() -> None:
    with pytest.raises(ConsentError, match="it belongs to nobody"):
        voice(consent=None, builtin=True).revoke()


def without_entry(text: str) -> str:
    return json.dumps({**json.loads(text), "revoked": {}})


def other_day(text: str) -> str:
    data = json.loads(text)
    return json.dumps({**data, "revoked": dict.fromkeys(data["revoked"], "2001-01-01")})


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: "",
        lambda text: text[:-20],
        lambda text: "[" * 100_000,
        lambda text: "[]",
        lambda text: "{}",
        lambda text: '{"revoked": {}}',
        lambda text: '{"revoked": [], "signature": ""}',
        lambda text: '{"revoked": {}, "signature": "zz"}',
        lambda text: '{"revoked": {}, "signature": 3}',
        lambda text: "\ud800",
        without_entry,
        other_day,
    ],
)
def test_a_damaged_list_lets_nobody_through(own_home: Path, damage: Callable[[str], str]) -> None:
    revoke(consent())
    path = own_home / "revoked.json"
    path.write_bytes(damage(path.read_text("utf-8")).encode("utf-8", "surrogatepass"))
    before = path.read_bytes()
    for use in (check_not_revoked, revoke):
        with pytest.raises(FileError, match=r"the list of revoked consents .*revoked\.json' is damaged"):
            use(consent("Eve"))
    assert path.read_bytes() == before
    assert sorted(each.name for each in own_home.iterdir()) == ["key", "revoked.json"]


def test_a_list_of_another_key_or_none_lets_nobody_through(own_home: Path) -> None:
    revoke(consent())
    (own_home / "key").unlink()
    with pytest.raises(FileError, match="signed with a key that is gone"):
        check_not_revoked(consent("Eve"))
    assert not (own_home / "key").exists()  # asking makes no key
    with pytest.raises(FileError, match="was not signed with this computer's key"):
        revoke(consent("Eve"))
    with pytest.raises(FileError, match="was not signed with this computer's key"):
        check_not_revoked(consent("Eve"))


def test_a_list_that_cannot_be_read_lets_nobody_through(own_home: Path) -> None:
    (own_home / "revoked.json").mkdir(parents=True)
    with pytest.raises(FileError, match="cannot be read"):
        check_not_revoked(consent())


def test_a_list_without_end_is_not_read(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    revoke(consent())
    monkeypatch.setattr("voiceswap.provenance.revocation._MAX_BYTES", 200)
    with pytest.raises(FileError, match="is damaged"):
        check_not_revoked(consent("Eve"))


def test_many_at_once_are_all_kept() -> None:
    revoke(consent("first"))  # and the key is there
    people = [consent(f"person {number}") for number in range(12)]
    threads = [threading.Thread(target=revoke, args=(each,)) for each in people]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for each in people:
        with pytest.raises(ConsentError, match="was revoked"):
            check_not_revoked(each)
    assert sorted(path.name for path in home().iterdir()) == ["key", "revoked.json"]


def test_what_is_in_the_way_is_named(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voiceswap.provenance.revocation._PATIENCE", 0.05)
    own_home.mkdir()
    (own_home / ".revoked.part").touch()
    with pytest.raises(OutputError, match=r"\.revoked\.part' is in the way"):
        revoke(consent())
    assert (own_home / ".revoked.part").exists()  # it is another's


def test_a_list_that_cannot_be_written_is_named(own_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    revoke(consent())
    before = (own_home / "revoked.json").read_bytes()
    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OutputError, match=r"cannot be written \(No space left on device"):
        revoke(consent("Eve"))
    assert (own_home / "revoked.json").read_bytes() == before
    assert sorted(path.name for path in own_home.iterdir()) == ["key", "revoked.json"]
