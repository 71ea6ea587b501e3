from __future__ import annotations

import json
from datetime import date, datetime, timedelta

import pytest

from voiceswap.errors import ConsentError
from voiceswap.provenance import Consent, Provenance

TODAY = date.today()


def ada(**changes: object) -> Consent:
    values = {"name": "Ada Example", "scope": ["speak", "convert"], "until": "2099-12-31"} | changes
    return Consent(**values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "scope", [["convert", "speak"], ("speak", "convert"), "speak, convert", {"speak", "convert"}]
)
def test_scope_takes_any_form_and_has_one(scope: object) -> None:
    assert ada(scope=scope).scope == ("speak", "convert")
    assert ada(scope=scope) == ada()
    assert ada(scope=scope).digest() == ada().digest()


@pytest.mark.parametrize("until", ["2099-12-31", date(2099, 12, 31), datetime(2099, 12, 31, 8, 0)])
def test_dates_take_any_form(until: object) -> None:
    assert ada(until=until).until == date(2099, 12, 31)


def test_defaults() -> None:
    assert ada().since == TODAY
    assert ada().given == ""
    assert ada(until=None).until is None
    ada(until=TODAY).check("speak")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": ""}, "name=''"),
        ({"name": "  "}, "name="),
        ({"name": None}, "name=None"),
        ({"name": "a\nb"}, "name="),
        ({"name": "\ud800"}, "name="),
        ({"name": "a" * 201}, "name="),
        ({"scope": []}, r"scope=\[\].*speak, convert, train"),
        ({"scope": ""}, "scope="),
        ({"scope": "speak,sing"}, r"scope=\['speak', 'sing'\]"),
        ({"scope": ["speak", None]}, "scope="),
        ({"scope": [["speak"]]}, "scope="),
        ({"scope": 3}, "scope="),
        ({"until": "next year"}, "until='next year'.*2027-12-31"),
        ({"until": "2027-13-01"}, "until="),
        ({"until": 20271231}, "until="),
        ({"since": "soon"}, "since='soon'"),
        ({"until": "2000-01-01", "since": "1999-01-01"}, "ended on 2000-01-01"),
        ({"until": TODAY - timedelta(1), "since": "1999-01-01"}, "ended on"),
        ({"since": "2099-12-31", "until": "2099-01-01"}, "since 2099-12-31 until 2099-01-01"),
        ({"given": 3}, "given=3"),
        ({"given": "x" * 2001}, "given="),
    ],
)
def test_what_is_no_consent(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ConsentError, match=message) as caught:
        ada(**changes)
    assert len(str(caught.value)) < 300


def test_check_holds_scope_and_days() -> None:
    consent = ada(since="2030-01-01", until="2030-12-31")
    consent.check("speak", on=date(2030, 1, 1))
    consent.check("convert", on=date(2030, 12, 31))
    with pytest.raises(
        ConsentError, match="'Ada Example' does not cover 'train': it covers speak, convert alone"
    ):
        consent.check("train", on=date(2030, 6, 1))
    with pytest.raises(ConsentError, match="ended on 2030-12-31"):
        consent.check("speak", on=date(2031, 1, 1))
    with pytest.raises(ConsentError, match="begins on 2030-01-01"):
        consent.check("speak", on=date(2029, 12, 31))
    with pytest.raises(ConsentError, match="begins on"):
        consent.check("speak")
    ada(until=None).check("speak", on=date(9999, 12, 31))


def test_dictionary_returns_the_same_record() -> None:
    consent = ada(given="in writing, 2026-11-02", until=None, scope="train")
    again = Consent.from_dict(json.loads(json.dumps(consent.to_dict())))
    assert again == consent
    assert hash(again) == hash(consent)
    assert again.digest() == consent.digest()


def test_a_record_that_is_over_can_be_read_but_not_used() -> None:
    old = Consent.from_dict(ada().to_dict() | {"since": "1999-01-01", "until": "2000-01-01"})
    with pytest.raises(ConsentError, match="ended on 2000-01-01"):
        old.check("speak")


@pytest.mark.parametrize("data", [{}, [], None, {"name": "Ada"}, ada().to_dict() | {"extra": 1}])
def test_other_records_are_refused(data: object) -> None:
    with pytest.raises(ConsentError, match="no consent"):
        Consent.from_dict(data)  # type: ignore[arg-type]


def test_digest_is_of_canonical_json_and_of_every_field() -> None:
    import hashlib

    consent = Consent("Zoë", "speak", None, since="2026-01-02")
    text = '{"given":"","name":"Zoë","scope":["speak"],"since":"2026-01-02","until":null}'
    assert consent.digest() == hashlib.sha256(text.encode()).hexdigest()
    changed = [
        ada(name="Eve"),
        ada(scope="speak"),
        ada(until=None),
        ada(since="2020-01-01"),
        ada(given="orally"),
    ]
    assert len({ada().digest(), *(other.digest() for other in changed)}) == 6


def test_frozen() -> None:
    with pytest.raises(AttributeError):
        ada().scope = ("train",)  # type: ignore[misc]
    with pytest.raises(AttributeError):
        Provenance(verb="speak", voice="Ada", consent=None, source="", weights="0", mark=0).verb = "x"  # type: ignore[misc]


def test_provenance_says_what_made_it() -> None:
    import voiceswap

    made = Provenance(
        verb="speak", voice="Ada", consent=ada().digest(), source="fe", weights="abc", mark=7
    ).to_dict()
    assert made == {
        "verb": "speak",
        "voice": "Ada",
        "consent": ada().digest(),
        "source": "fe",
        "weights": "abc",
        "mark": 7,
        "made_by": "voiceswap",
        "version": voiceswap.__version__,
    }
