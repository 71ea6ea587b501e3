"""The record of a person's consent to the use of their voice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from voiceswap.errors import ConsentError
from voiceswap.provenance.statement import Statement, sentence

ACTIONS = ("speak", "convert", "train")
"""What can be consented to."""

_FIELDS = ("name", "scope", "until", "since", "given", "spoken")


@dataclass(frozen=True, init=False)
class Consent:
    """Who consents, to what, since when and until when, and how it was given.

    `scope` is any of ``speak``, ``convert`` and ``train``, as a sequence or separated by commas. Dates are
    `datetime.date` or ISO text (``"2027-12-31"``), both days included; `until` may be None: no end, and
    `since` is today unless given. `given` says in words how the person consented, `spoken` that they were
    heard to. Raises ConsentError for a record that is incomplete, or over already, or not the one spoken for.
    """

    name: str
    scope: tuple[str, ...]
    until: date | None
    since: date
    given: str
    spoken: Statement | None
    """What `Studio.enroll` heard in a recorded statement of this very consent; None without one."""

    def __init__(
        self,
        name: str,
        scope: str | Iterable[str],
        until: date | str | None,
        *,
        since: date | str | None = None,
        given: str = "",
        spoken: Statement | None = None,
    ) -> None:
        self._fill(name, scope, until, date.today() if since is None else since, given, spoken)
        if self.until is not None and self.until < date.today():
            raise self._refusal(f"ended on {self.until}", "a new consent lies not all in the past")

    def _fill(
        self,
        name: str,
        scope: str | Iterable[str],
        until: date | str | None,
        since: date | str,
        given: str,
        spoken: Statement | None = None,
    ) -> None:
        values = {
            "name": _text(name, "name", 200),
            "scope": _scope(scope),
            "until": None if until is None else _date(until, "until"),
            "since": _date(since, "since"),
            "given": _text(given, "given", 2000) if given != "" else "",
            "spoken": None,
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)
        if self.until is not None and self.until < self.since:
            raise ConsentError(
                f"a consent since {self.since} until {self.until}",
                "it ends after it begins",
                "Give a later date",
            )
        own = self.digest(spoken=False)
        if spoken is not None and (not isinstance(spoken, Statement) or spoken.consent != own):
            raise self._refusal("has the recorded statement of another", "a statement holds for what it says")
        object.__setattr__(self, "spoken", spoken)

    @property
    def statement(self) -> str:
        """The English sentences that the person reads aloud for a recorded statement of this consent.

        They name the person, the scope and the last day. Raises TextError for a name that is not in Latin
        letters.
        """
        return sentence(self.name, self.scope, self.until)

    def check(self, action: str, *, on: date | None = None) -> None:
        """Raises ConsentError unless `action` is within this consent on that day (today)."""
        day = date.today() if on is None else on
        if action not in self.scope:
            raise self._refusal(f"does not cover {action!r}", f"it covers {', '.join(self.scope)} alone")
        if day < self.since:
            raise self._refusal(f"begins on {self.since}", f"it does not hold on {day}")
        if self.until is not None and day > self.until:
            raise self._refusal(f"ended on {self.until}", f"it does not hold on {day}")

    def _refusal(self, got: str, rule: str) -> ConsentError:
        return ConsentError(
            f"the consent of {self.name!r} {got}", rule, "Ask the person, and enroll with one that holds"
        )

    def to_dict(self) -> dict[str, object]:
        """Plain values, dates as ISO text; `spoken` only where there is a statement."""
        plain: dict[str, object] = {
            "name": self.name,
            "scope": list(self.scope),
            "until": None if self.until is None else self.until.isoformat(),
            "since": self.since.isoformat(),
            "given": self.given,
        }
        return plain if self.spoken is None else plain | {"spoken": self.spoken.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, object]) -> Consent:
        """The record that `to_dict` gave, even if it is over by now; raises ConsentError if it is not one."""
        if not isinstance(data, Mapping) or {*data, "spoken"} != set(_FIELDS):
            raise ConsentError(
                "a record that is no consent", f"one has the fields {', '.join(_FIELDS)}", "Enroll again"
            )
        values = dict(data)
        if values.get("spoken") is not None:
            values["spoken"] = Statement.from_dict(values["spoken"])
        consent = cls.__new__(cls)
        consent._fill(**values)  # type: ignore[arg-type]  # every field is checked in there
        return consent

    def digest(self, *, spoken: bool = True) -> str:
        """SHA-256 of the record as JSON (keys sorted, no spaces, UTF-8), in hexadecimal.

        Without `spoken`, of the record alone, which is the same before and after its statement was heard.
        """
        record = {key: value for key, value in self.to_dict().items() if spoken or key != "spoken"}
        text = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def _text(value: object, field: str, limit: int) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > limit or not value.isprintable():
        shown = repr(value) if len(repr(value)) <= 80 else repr(value)[:80] + "…"
        raise ConsentError(
            f"{field}={shown}", f"it is printable text of 1 to {limit} characters", "Write it out in one line"
        )
    return value.strip()


def _scope(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",")]
    wanted = list(value) if isinstance(value, Iterable) else [value]
    if not wanted or any(part not in ACTIONS for part in wanted):
        raise ConsentError(
            f"scope={wanted!r}", f"it is one or more of {', '.join(ACTIONS)}", "Name what was consented to"
        )
    return tuple(action for action in ACTIONS if action in wanted)


def _date(value: object, field: str) -> date:
    if isinstance(value, datetime):
        return value.date()
    if isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise ConsentError(f"{field}={value!r}", "it is a day", 'Write it like "2027-12-31"') from None
