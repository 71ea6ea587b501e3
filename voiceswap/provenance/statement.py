"""The sentences in which a person says their consent aloud, and the record that they did."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import date

from voiceswap.errors import ConsentError

_PHRASES = {
    "speak": "to speak any text",
    "convert": "to convert recordings of others",
    "train": "to train on my recordings",
}
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August"),
    *("September", "October", "November", "December"),
)
# People who do not exist, of names as unlike one another as may be. Of n names of which none was said, the
# claimed one is the likeliest about once in n: the more, the fewer wrong names get through.
OTHER_NAMES = (
    *("Ann Lee", "Oscar Blum", "Theodora Quist", "Ivo Marsh", "Priya Raman", "Kofi Mensah", "Tom Hall"),
    *("Yuki Tanaka", "Guillermo Ortega", "Ruth Klein", "Samuel Abernathy", "Noor Haddad", "Finn Byrne"),
    *(
        "Beatrice Vaughan",
        "Charlotte Dupont",
        "Max Weber",
        "Isabella Romano",
        "Jack Shaw",
        "Wanda Kowalski",
        "Amir Farouk",
    ),
    *("Eleanor Pemberton", "Bo Chen", "Victoria Lundqvist", "Hugh Doyle", "Maria Gonzalez", "Peter Novak"),
    *("Zara Khan", "Douglas Fitzgerald", "Mei Wong", "Olivia Thatcher", "George Papadakis", "Sue Park"),
    *("Alexander Petrov", "June Cho", "Bridget Gallagher", "Luke Voss", "Farah Siddiqui", "Edward Jones"),
    *("Genevieve Moreau", "Ken Ito"),
)


def sentence(name: str, scope: Sequence[str], until: date | None) -> str:
    """What somebody of that name reads aloud to consent to `scope` until that day; the date is in words."""
    end = None if until is None else _day(until.day, until.month, until.year)
    return _sentence(name, scope, end)


def other_sentences(name: str, scope: Sequence[str], until: date | None) -> Iterator[str]:
    """What the same person does not say: that they refuse, another scope, another last day."""
    end = None if until is None else _day(until.day, until.month, until.year)
    for refused in ("I do not agree", "I don't agree", "I never agreed"):
        yield _sentence(name, scope, end).replace("I agree", refused)
    actions = list(_PHRASES)
    for chosen in range(1, 2 ** len(actions)):
        other = [action for number, action in enumerate(actions) if chosen >> number & 1]
        if other != list(scope):
            yield _sentence(name, other, end)
    for day in _other_days(until):
        yield _sentence(name, scope, day)


def _sentence(name: str, scope: Sequence[str], end: str | None) -> str:
    phrases = [_PHRASES[action] for action in scope]
    listed = phrases[0] if len(phrases) == 1 else ", ".join(phrases[:-1]) + ", and " + phrases[-1]
    ending = "My consent has no end." if end is None else f"My consent ends after {end}."
    return f"My name is {name}. I agree that voiceswap copies my voice, {listed}. {ending}"


def _day(day: int, month: int, year: int) -> str:
    """31, 12, 2027 → the thirty-first of December, twenty twenty-seven."""
    from voiceswap.text import normalize

    return normalize(f"{day} {_MONTHS[month - 1]} {year}")


def _other_days(until: date | None) -> Iterator[str | None]:
    """Other years, other months of the year, other days of the month, and no end; or, for none, ten ends."""
    if until is None:
        yield from (_day(31, 12, date.today().year + ahead) for ahead in range(10))
        return
    yield None
    years = range(max(until.year - 3, 1000), min(until.year + 11, 10000))
    yield from (_day(until.day, until.month, year) for year in years if year != until.year)
    yield from (_day(until.day, month, until.year) for month in range(1, 13) if month != until.month)
    yield from (_day(day, until.month, until.year) for day in range(1, 32) if day != until.day)


@dataclass(frozen=True, kw_only=True)
class Statement:
    """That a recording was heard to say a consent, in the voice that was enrolled with it.

    Raises ConsentError for values that `voiceswap.statement.verify` does not give.
    """

    text: str
    """The sentences that were to be read."""
    consent: str
    """`Consent.digest(spoken=False)`: it speaks for no other."""
    voice: str
    """SHA-256 of the vector of the voice, as little-endian float32: it speaks in no other."""
    recording: str
    """SHA-256 of the recording's file, or of the array's float32 samples."""
    words: float
    """Log-likelihood of the text over that of whatever sounds best, nats per 21 ms; near 0 if it was said."""
    weakest: float
    """The same along the best path, in the worst second."""
    speaker: float
    """Cosine between the statement's speaker and the voice."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in ("words", "weakest", "speaker"):
                right = isinstance(value, float) and math.isfinite(value)
            elif field.name == "text":
                right = isinstance(value, str) and 1 <= len(value) <= 2000 and value.isprintable()
            else:
                right = isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")
            if not right:
                raise ConsentError(
                    f"a statement with {field.name}={value!r:.80}",
                    "it holds a text, three hashes and three numbers",
                    "Enroll again with the recording",
                )

    def to_dict(self) -> dict[str, str | float]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> Statement:
        """The record that `to_dict` gave; raises ConsentError if it is none."""
        names = [field.name for field in fields(cls)]
        if not isinstance(data, Mapping) or set(data) != set(names):
            raise ConsentError(
                "a record that is no statement", f"one has the fields {', '.join(names)}", "Enroll again"
            )
        return cls(**data)
