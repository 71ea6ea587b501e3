"""A voice is used only as its person consented, whatever way it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from voiceswap import Studio, Voice, batch
from voiceswap.errors import ConsentError, FileError, VoiceFileError
from voiceswap.models.adapter import Adapter
from voiceswap.provenance import Consent
from voiceswap.provenance.keys import home
from voiceswap.voice import fingerprint

Use = Callable[[Studio, Voice, Path], object]
ALL = "speak,convert,train"
NEXT_WEEK = date.today() + timedelta(days=7)


def blocks() -> Iterator[np.ndarray]:
    raise AssertionError("nothing is heard before the consent is checked")
    yield


def adapting(studio: Studio, voice: Voice, recording: Path) -> object:
    pytest.importorskip("accelerate")
    from voiceswap.training.adapt import adapt

    return adapt(voice, recording, recording.with_suffix(".run"), steps=1, weights=studio.weights)


def in_a_batch(studio: Studio, voice: Voice, recording: Path) -> object:
    rows = [batch.Row(id="a", text="Hi.", voice=voice)]
    try:
        return batch.run(rows, recording.with_suffix(".made"), weights=studio.weights, device="cpu")
    finally:
        assert not recording.with_suffix(".made").exists()


# Each is called, and nothing is drawn from what it returns: a refusal comes before any work.
USES: dict[str, tuple[str, Use]] = {
    "speak": ("speak", lambda studio, voice, path: studio.speak("Hi.", voice)),
    "speak like": ("speak", lambda studio, voice, path: studio.speak("Hi.", voice, like=path)),
    "stream": ("speak", lambda studio, voice, path: studio.stream("Hi.", voice)),
    "convert": ("convert", lambda studio, voice, path: studio.convert(path, voice)),
    "convert_stream": ("convert", lambda studio, voice, path: studio.convert_stream(path, voice)),
    "stream_convert": ("convert", lambda studio, voice, path: studio.stream_convert(blocks(), voice)),
    "batch": ("speak", in_a_batch),
    "adapt": ("train", adapting),
}


@pytest.fixture(params=USES)
def use(request: pytest.FixtureRequest) -> tuple[str, Use]:
    """What it needs consent to, and the use."""
    return USES[request.param]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICESWAP_HOME", str(tmp_path / "home"))


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    """A path at which there is no recording: no refusal needs to read it."""
    return tmp_path / "talk.wav"


def person(studio: Studio, scope: str = ALL, **changes: object) -> Voice:
    return replace(
        studio.voices["alto-1"], consent=Consent("Ada", scope, NEXT_WEEK), builtin=False, **changes
    )


def test_every_use_keeps_to_the_scope(tiny_studio: Studio, talk: Path, use: tuple[str, Use]) -> None:
    others = [action for action in ALL.split(",") if action != use[0]]
    with pytest.raises(ConsentError, match=f"does not cover '{use[0]}'"):
        use[1](tiny_studio, person(tiny_studio, ",".join(others)), talk)


def test_every_use_keeps_to_the_days(tiny_studio: Studio, talk: Path, use: tuple[str, Use]) -> None:
    record = person(tiny_studio).to_dict()["consent"]
    for days, message in (
        ({"since": "2001-01-01", "until": "2001-12-31"}, "ended on 2001-12-31"),
        ({"since": "2999-01-01", "until": None}, "begins on 2999-01-01"),
    ):
        consent = Consent.from_dict(record | days)  # type: ignore[operator]
        with pytest.raises(ConsentError, match=message):
            use[1](tiny_studio, replace(person(tiny_studio), consent=consent), talk)


def test_every_use_asks_what_was_revoked(tiny_studio: Studio, talk: Path, use: tuple[str, Use]) -> None:
    voice = person(tiny_studio)
    voice.revoke()
    with pytest.raises(ConsentError, match=f"the consent of 'Ada' was revoked on {date.today()}"):
        use[1](tiny_studio, voice, talk)


def test_no_use_goes_by_a_damaged_list(tiny_studio: Studio, talk: Path, use: tuple[str, Use]) -> None:
    replace(person(tiny_studio), consent=Consent("Eve", "speak", NEXT_WEEK)).revoke()
    (home() / "revoked.json").write_text("{}", encoding="utf-8")
    with pytest.raises(FileError, match=r"revoked consents .* is damaged"):
        use[1](tiny_studio, person(tiny_studio), talk)


def test_no_voice_is_built_in_by_its_own_word(tiny_studio: Studio, talk: Path, use: tuple[str, Use]) -> None:
    someone = np.roll(tiny_studio.voices["alto-1"].vector, 77)
    with pytest.raises(ConsentError, match=r"built[ -]in"):
        use[1](tiny_studio, replace(tiny_studio.voices["alto-1"], vector=someone), talk)
    adapter = Adapter("0" * 64, np.zeros((2, 8), np.float32))
    with pytest.raises(ConsentError, match=r"built[ -]in"):
        use[1](tiny_studio, replace(tiny_studio.voices["alto-1"], adapter=adapter), talk)


def test_every_use_keeps_to_the_space(tiny_studio: Studio, talk: Path, use: tuple[str, Use]) -> None:
    with pytest.raises(VoiceFileError, match="embedding space"):
        use[1](tiny_studio, person(tiny_studio, space="0" * 64), talk)


def test_enrolling_asks_what_was_revoked(tiny_studio: Studio, kathleen: list[Path]) -> None:
    voice = person(tiny_studio)
    assert voice.consent is not None
    voice.revoke()
    with pytest.raises(ConsentError, match="was revoked"):
        tiny_studio.enroll(kathleen, consent=voice.consent)


def test_no_voice_is_made_by_hand_without_consent(tiny_studio: Studio) -> None:
    voice = person(tiny_studio)
    with pytest.raises(ConsentError, match="without a consent"):
        replace(voice, consent=None)
    with pytest.raises(ConsentError, match="with a consent"):
        replace(voice, builtin=True)
    with pytest.raises(ConsentError, match="without a consent"):
        Voice("ada", voice.vector, 200.0, 0.2, 13.0, None, voice.space)


def test_what_was_spoken_holds_for_its_record_and_its_voice_alone(tiny_studio: Studio) -> None:
    from test_statement import spoken

    plain = person(tiny_studio, "speak")
    assert plain.consent is not None
    heard = replace(plain.consent, spoken=spoken(plain.consent, plain))
    voice = replace(plain, consent=heard)
    assert heard.spoken is not None
    assert heard.spoken.voice == fingerprint(voice.vector)
    for wider in ({"scope": ALL}, {"until": None}, {"name": "Eve"}, {"since": "2020-01-01"}, {"given": "so"}):
        with pytest.raises(ConsentError, match="the recorded statement of another"):
            replace(heard, **wider)  # type: ignore[arg-type]
    with pytest.raises(ConsentError, match="the recorded statement of another voice"):
        replace(voice, vector=np.roll(voice.vector, 5))
