"""What German and Dutch have in common: comma decimals, dates with the day first, and how rules are applied.

Each language is a `Words` of tables and of rules of its own (`german`, `dutch`); number words come from
num2words. As in English, each rule writes what the next must not see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from num2words import num2words

from voiceswap.text.addresses import speak_addresses
from voiceswap.text.numerals import roman

Match = re.Match[str]
Rule = tuple[str, str | Callable[[Match], str]]

_THOUSANDS = r"\d{1,3}(?:\.\d{3})+"
NUM = rf"(?:{_THOUSANDS}(?:,\d+)?|" r"\d{1,3}(?: \d{3})+(?:,\d+)?(?!\d)|\d+(?:,\d+)?)"
CAPITAL = "A-ZÄÖÜ"
_LONGEST = 15  # digits; anything longer is no quantity and is read digit by digit
_SYMBOLS = "$€£¥"


@dataclass(frozen=True)
class Words:
    """A language's words and rules; tables map what is written to what is said."""

    code: str
    comma: str
    signs: Mapping[str, str]
    """Signs inside of addresses."""
    latin: Sequence[Rule]
    """Abbreviations that need a pattern."""
    short: Mapping[str, str]
    """Written with a period, which is no end of a sentence."""
    closing: frozenset[str]
    """Of those, the ones that may end one, before a capital."""
    months: Mapping[str, int]
    month_names: Sequence[str]
    units: Mapping[str, tuple[str, str]]
    """Sign → one, several."""
    currencies: Mapping[str, tuple[str, str]]
    """Sign → name, hundredth."""
    magnitudes: Mapping[str, tuple[str, str]]
    between: Sequence[Rule]
    """Signs between numbers, before those are spoken."""
    numbers: Sequence[Rule]
    """Rules of the language's own, before the common ones."""
    after: Sequence[Rule]
    """Signs that are left."""
    said: frozenset[str]
    """Acronyms of up to four letters that are read as words; longer ones are, if they have a vowel."""
    common: frozenset[str]
    """Words that, in capitals, say that a run of capital words is loud."""
    numbered: Sequence[str]
    """What Roman numerals follow."""
    one: Callable[[str], str]
    """1 before the word given."""
    day: Callable[[int, str], str]
    """A day of a month, and the text before it."""
    time: Callable[[int, int], str]
    half: Callable[[int], str]
    """A whole number, or none, and a half."""
    part: Callable[[int], str]
    """What as many make a whole of."""


def steps(words: Words) -> tuple[Callable[[str], str], ...]:
    """The language's steps from clean text to spoken words."""
    speaker = Numbers(words)
    between, after = _compiled(words.between), _compiled(words.after)
    numbers = _compiled((*words.numbers, *speaker.rules()))
    abbreviations = _compiled((*words.latin, *_abbreviations(words)))
    return (
        lambda text: speak_addresses(text, words.signs, speaker.digits),
        lambda text: apply(abbreviations, text),
        lambda text: apply(between, text),
        lambda text: apply(numbers, text),
        lambda text: apply(after, text),
        lambda text: _acronyms(text, words),
    )


def _compiled(rules: Sequence[Rule]) -> tuple[tuple[re.Pattern[str], str | Callable[[Match], str]], ...]:
    return tuple((re.compile(pattern), said) for pattern, said in rules)


def apply(rules: Sequence[tuple[re.Pattern[str], str | Callable[[Match], str]]], text: str) -> str:
    """`text` after every rule in order."""
    for pattern, said in rules:
        text = pattern.sub(said, text)
    return text


def _abbreviations(words: Words) -> Sequence[Rule]:
    def said(match: Match) -> str:
        ends = match[1] in words.closing and re.match(
            rf"\s*$|\s+[{CAPITAL}]", match.string[match.end() :][:20]
        )
        return words.short[match[1]] + ("." if ends else "")

    names = "|".join(map(re.escape, sorted(words.short, key=len, reverse=True)))
    return ((rf"(?<![\w.])({names})\.(?!\w)", said),)


@lru_cache(maxsize=4096)
def number_words(number: int, code: str, form: str = "cardinal") -> str:
    """Words of a number by num2words."""
    return str(num2words(number, lang=code, to=form))


class Numbers:
    """The rules for numbers, with one language's words."""

    def __init__(self, words: Words) -> None:
        self.words = words
        units, currencies, magnitudes = (
            "|".join(map(re.escape, sorted(table, key=len, reverse=True)))
            for table in (words.units, words.currencies, words.magnitudes)
        )
        self._unit = units
        self._currency = rf"(?:{currencies})"
        self._magnitude = rf"(?: ?(?P<magnitude>{magnitudes})\b\.?)?"
        short = "|".join(sorted(set(words.months) - set(words.month_names), key=len, reverse=True))
        self._month = rf"(?:(?P<month>{'|'.join(words.month_names)})\b|(?P<short>{short})\b\.?)"

    def cardinal(self, written: str) -> str:
        """1.234,5 in words; leading zeros and very long numbers digit by digit."""
        whole, comma, rest = re.sub(r"[. ]", "", written).partition(",")
        if len(whole) > _LONGEST or (len(whole) > 1 and whole[0] == "0"):
            said = self.digits(whole)
        else:
            said = number_words(int(whole), self.words.code)
        return f"{said} {self.words.comma} {self.digits(rest)}" if comma else said

    def digits(self, written: str) -> str:
        """Digit by digit."""
        return " ".join(number_words(int(d), self.words.code) for d in written if d.isdigit())

    def year(self, written: str) -> str:
        """1984 by hundreds, 2024 as a number."""
        number = int(written)
        if not 1100 <= number <= 1999:
            return self.cardinal(written)
        return number_words(number, self.words.code, "year").replace(" honderd", "honderd")

    def counted(self, written: str, after: str) -> str:
        """A number before the word `after`: one agrees with it."""
        return self.words.one(after) if written == "1" else self.cardinal(written)

    def rules(self) -> Sequence[Rule]:
        """In order, the specific before the general."""
        day = r"(?P<day>[0-3]?\d)"
        numbered = "|".join(self.words.numbered)
        return (
            (rf"\b(?P<name>{numbered}) (?P<roman>[IVXL]+)\b", self._numbered),
            (r"(?<![\w+])\+\d{1,3}[ .-]?\(?\d+\)?(?:[ ./-]\d+)+", self._groups),
            (r"(?<![\w.,-])0\d{1,5}(?:[ /-]+\d{2,})+(?![\w,-])", self._groups),
            (r"(?<![\w.-])(?P<year>\d{4})-(?P<mm>[01]?\d)-(?P<day>[0-3]?\d)(?![\w-])", self._date),
            (rf"(?<![\w.,/-]){day}(?P<sep>[./-])(?P<mm>[01]?\d)(?P=sep)(?P<year>\d{{4}}|\d\d)(?!\w|[./-]\d)",
             self._date),
            (rf"(?<![\w.,]){day}\.(?P<mm>[01]?\d)\.(?P<year>)(?! ?\d)", self._date_alone),
            (rf"(?<![\w.,]){day}\.? {self._month}(?: (?P<year>\d{{4}})\b)?", self._date),
            (r"(?<![\w.:,])(?P<hour>[0-2]?\d):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?: (?:Uhr|uur|u\.|h)(?!\w))?(?![\d:])",
             self._time),
            (r"(?<![\w.:,/])(?P<hour>[0-2]?\d)(?:\.(?P<minute>[0-5]\d))?(?P<second>) (?:Uhr|uur|u\.(?= [a-z]))(?!\w)", self._time),
            (r"(?<=\d) ?: ?(?=\d)", f" {self.words.signs[':to']} "),
            (rf"(?<![A-Za-z])(?P<currency>{self._currency}) ?(?P<amount>{NUM})(?:,-+)?{self._magnitude}", self._money),
            (rf"(?<![\w.,])(?P<amount>{NUM})(?:,-+)?{self._magnitude} ?(?P<currency>{self._currency})(?![A-Za-z])",
             self._money),
            (rf"(?<![\w.,])(?P<amount>{NUM}) ?(?P<unit>{self._unit})(?![\w'])(?P<power>\^[23])?", self._measure),
            (rf"(?<![\w.,])(?P<amount>{NUM}) (?P<magnitude>{'|'.join(self.words.magnitudes)})\b\.?", self._large),
            (r"(?<![\w./,])(?:(?P<whole>\d{1,4}) )?(?P<over>\d{1,3})/(?P<under>\d{1,3})(?![\w/]|[.,]\d)",
             self._fraction),
            (rf"(?<![\w.])(?!{_THOUSANDS}(?!\.?\d))\d+(?:\.\d+){{2,}}(?![\w.]*\d)|(?<![\w.,])\d+\.\d{{1,2}}(?![\d.,])", self._dotted),
            (r"(?<!\w)(?:[^\W\d_]+\d+|\d+[^\W\d_]+)(?:[^\W\d_]|\d)*", self._mixed),
            (rf"(?<![\w,]){NUM}(?= (?P<after>[^\W\d_]+))", lambda m: self._plain(m, m["after"])),
            (NUM, lambda m: self._plain(m, "")),
            (r"\d+", lambda m: self.digits(m[0])),
        )  # fmt: skip

    def _plain(self, m: Match, after: str) -> str:
        year = re.fullmatch(r"1[1-9]\d\d", m[0])
        return self.year(m[0]) if year else self.counted(m[0], after)

    def _numbered(self, m: Match) -> str:
        value = roman(m["roman"])
        return f"{m['name']} {self.cardinal(str(value))}" if value else m[0]

    def _groups(self, m: Match) -> str:
        groups = ", ".join(self.digits(group) for group in re.findall(r"\d+", m[0]))
        return "plus " + groups if m[0].startswith("+") else groups

    def _date(self, m: Match) -> str:
        found = m.groupdict()
        name = found.get("month") or found.get("short")
        month = self.words.months[name] if name else int(found["mm"])
        day, year = int(found["day"]), found["year"]
        if not (1 <= day <= 31 and 1 <= month <= 12):
            return m[0]
        if year and len(year) == 2:
            year = ("19" if int(year) >= 50 else "20") + year
        said = f"{self.words.day(day, m.string[: m.start()][-12:])} {self.words.month_names[month - 1]}"
        return f"{said} {self.year(year)}" if year else said

    def _date_alone(self, m: Match) -> str:
        """24.12., whose last period may be the sentence's too."""
        said = self._date(m)
        return said if said == m[0] or m.string[m.end() :].strip() else said + "."

    def _time(self, m: Match) -> str:
        hour, minute = int(m["hour"]), int(m["minute"] or 0)
        if hour > 24:
            return m[0]
        said = self.words.time(hour, minute)
        return f"{said} {self.words.signs['and']} {self._seconds(m['second'])}" if m["second"] else said

    def _seconds(self, written: str) -> str:
        one, many = self.words.units["s"]
        number = str(int(written))
        return f"{self.counted(number, one)} {one if number == '1' else many}"

    def _large(self, m: Match) -> str:
        one, many = self.words.magnitudes[m["magnitude"]]
        return f"{self.counted(m['amount'], one)} {one if m['amount'] == '1' else many}"

    def _money(self, m: Match) -> str:
        name, _ = self.words.currencies[m["currency"]]
        if m["magnitude"]:
            return f"{self._large(m)} {name}"
        whole, _, cents = m["amount"].partition(",")
        if len(cents) > 2:
            return f"{self.cardinal(m['amount'])} {name}"
        said = f"{self.counted(whole, name)} {name}"
        count = int(cents.ljust(2, "0")) if cents else 0
        return f"{said} {self.cardinal(str(count))}" if count else said

    def _measure(self, m: Match) -> str:
        one, many = self.words.units[m["unit"]]
        power = {"^2": self.words.signs["^2"], "^3": self.words.signs["^3"]}.get(m["power"] or "", "")
        name = one if m["amount"] == "1" else many
        name = power + (name.lower() if power else name)
        return f"{self.counted(m['amount'], name)} {name}"

    def _fraction(self, m: Match) -> str:
        over, under = int(m["over"]), int(m["under"])
        whole = f"{self.cardinal(m['whole'])} {self.words.signs['and']} " if m["whole"] else ""
        if (over, under) == (1, 2):
            return self.words.half(int(m["whole"] or 0))
        if not 2 <= under <= 100:
            return f"{whole}{self.cardinal(str(over))} {self.words.signs['over']} {self.cardinal(str(under))}"
        return f"{whole}{self.words.one(' ') if over == 1 else self.cardinal(str(over))} {self.words.part(under)}"

    def _dotted(self, m: Match) -> str:
        return f" {self.words.signs['.']} ".join(map(self.cardinal, m[0].split(".")))

    def _mixed(self, m: Match) -> str:
        parts = re.findall(r"[^\W\d_]+|\d+", m[0])
        return " ".join(self.cardinal(part) if part.isdigit() else _letters(part) for part in parts)


def _letters(part: str) -> str:
    return " ".join(part) if part.isupper() and len(part) < 4 else part


_RUN = re.compile(r"\b[A-ZÀ-ÖØ-Þ]{2,}(?:[ ,;:]+[A-ZÀ-ÖØ-Þ]{2,})+")
_CAPITALS = re.compile(r"\b([A-ZÀ-ÖØ-Þ]{2,})(s)?\b")


def _acronyms(text: str, words: Words) -> str:
    """Loud words lowered, acronyms spelled with blanks, but those that are read as words."""

    def loud(match: Match) -> str:
        parts = re.findall(r"\w+", match[0])
        return match[0].lower() if any(part.lower() in words.common for part in parts) else match[0]

    def acronym(match: Match) -> str:
        word = match[1]
        read = word in words.said or (len(word) > 4 and re.search("[AEIOUYÀ-Þ]", word))
        return match[0] if read else " ".join(word) + (match[2] or "")

    return _CAPITALS.sub(acronym, _RUN.sub(loud, text))
