"""Numbers in English text as the words an American reader says: dates, times, money, units, fractions, years.

Each rule is a pattern and the words for a match; `speak_numbers` applies them in order, the specific before
the general, so that the last one (any number left) never sees a date or a price. How a numeral that was found
is said, `numerals` knows.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from voiceswap.text.lexicon import CURRENCIES, KINGS, MAGNITUDES, MONTH, MONTHS, NUMBERED, SPACED_UNITS, UNITS
from voiceswap.text.numerals import cardinal, in_pairs, one_by_one, ordinal, roman, year

Match = re.Match[str]


def _plural(words: str) -> str:
    return words[:-1] + "ies" if words.endswith("y") else words + ("es" if words.endswith("x") else "s")


def _attributive(match: Match) -> bool:
    """Whether "a 5 km" stands before a noun, where the unit is singular: a five kilometer run."""
    before, after = match.string[max(0, match.start() - 3) : match.start()], match.string[match.end() :][:2]
    return bool(re.search(r"\b[Aa]n? $", before) and re.match(r"[ -][A-Za-z]", after))


# --- dates and times

_NUM = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|(?<!\d)\.\d+)"
_MONTH = r"\b(?P<month>" + "|".join(sorted(MONTH, key=len, reverse=True)) + r")\b\.?"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"


def _date(month: str, day: str, years: str | None = None) -> str:
    full = years if years is None or len(years) == 4 else ("19" if int(years) >= 50 else "20") + years
    return f"{month} {ordinal(day)}" + (f", {year(full)}" if full else "")


def _numeric_date(a: str, b: str, years: str | None, otherwise: str) -> str:
    """Month first as Americans write; day first where only that is a date."""
    month, day = (int(a), b) if int(a) <= 12 else (int(b), a)
    if not (1 <= month <= 12 and 1 <= int(day) <= 31):
        return otherwise
    return _date(MONTHS[month - 1], day, years)


def _month_day(m: Match) -> str:
    if not 1 <= int(m["day"]) <= 31:
        return m[0]
    until = f" to {ordinal(m['until'])}" if m["until"] else ""
    return f"{MONTH[m['month']]} {ordinal(m['day'])}{until}" + (f", {year(m['year'])}" if m["year"] else "")


def _day_month(m: Match) -> str:
    if not 1 <= int(m["day"]) <= 31:
        return m[0]
    years = f", {year(m['year'])}" if m["year"] else ""
    return f"{m['the'] or 'the '}{ordinal(m['day'])} of {MONTH[m['month']]}{years}"


def _time(m: Match) -> str:
    hour, minute, second = int(m["hour"]), m["minute"] or "00", m["second"]
    if hour > 24 or int(minute) > 59 or not (m["minute"] or m["half"]):
        return m[0]
    said = cardinal(str(hour))
    if minute != "00":
        said += " " + in_pairs(minute)
    elif not m["half"]:
        said += " o'clock" if 0 < hour <= 12 else " hundred"
    if second:
        said += f" and {cardinal(str(int(second)))} second" + "s" * (int(second) != 1)
    if m["half"]:
        said += f" {m['half'].upper()} M"
    return said


# --- money and units

_CURRENCY = "|".join(map(re.escape, sorted(CURRENCIES, key=len, reverse=True)))
_MAGNITUDE = r"(?:(?:[ ]?|-)(?P<magnitude>thousand|million|billion|trillion|mn|bn|tn|[kKmMbB])\b)?"
_UNIT = "|".join(map(re.escape, sorted(UNITS, key=len, reverse=True)))


def _money(m: Match) -> str:
    one, many, small, smalls = CURRENCIES[m["currency"]]
    amount, low = m["amount"], m["low"]
    magnitude = m["magnitude"] and MAGNITUDES.get(m["magnitude"].lower(), m["magnitude"])
    name = one if _attributive(m) or (amount == "1" and not magnitude and not low) else many
    per = f" per {UNITS.get(m['per'], (m['per'],))[0]}" if m["per"] else ""
    if low:
        return f"{cardinal(low)} to {cardinal(amount)}{' ' + magnitude if magnitude else ''} {many}{per}"
    whole, _, cents = amount.replace(",", "").partition(".")
    if magnitude or not small or len(cents) > 2:
        return f"{cardinal(amount)}{' ' + magnitude if magnitude else ''} {name}{per}"
    parts = []
    count = int(cents.ljust(2, "0")) if cents else 0
    if not count or whole.strip("0"):
        parts.append(f"{cardinal(whole or '0')} {one if whole == '1' or name == one else many}")
    if count:
        parts.append(f"{cardinal(str(count))} {small if count == 1 else smalls}")
    return " and ".join(parts) + per


def _measure(m: Match) -> str:
    unit, gap = m["unit"], m["gap"]
    if unit in SPACED_UNITS and (not gap or (unit == "in" and not m["dot"])):
        return m[0]
    name = UNITS[unit][m["number"] != "1" and gap != "-" and not _attributive(m)]
    power = {"^2": "square ", "^3": "cubic "}.get(m["power"] or "", "")
    if m["area"]:
        power = "square " if m["area"].startswith("sq") else "cubic "
    per = ""
    if m["per"]:
        per = (
            " per "
            + UNITS.get(m["per"], (m["per"],))[0]
            + {"^2": " squared", "^3": " cubed"}.get(m["per_power"] or "", "")
        )
    by = " by " if m["by"] else ""
    return f"{cardinal(m['number'])} {power}{name}{per}{by}"


# --- fractions, digits, years

_SPECIAL_RATIOS = {"24/7": "twenty-four seven", "9/11": "nine eleven", "50/50": "fifty fifty"}


def _fraction(m: Match) -> str:
    over, under = m["over"], m["under"]
    if m[0] in _SPECIAL_RATIOS:
        return _SPECIAL_RATIOS[m[0]]
    if len(over) > 3 or len(under) > 3 or not (2 <= int(under) <= 20 or int(under) in (32, 64, 100)):
        return f"{cardinal(m['whole']) + ' ' if m['whole'] else ''}{cardinal(over)} over {cardinal(under)}"
    one, many = {2: ("half", "halves"), 4: ("quarter", "quarters")}.get(
        int(under), (ordinal(under), ordinal(under) + "s")
    )
    count = "a" if m["whole"] and over == "1" else cardinal(str(int(over)))
    part = f"{count} {one if int(over) == 1 else many}"
    return f"{cardinal(m['whole'])} and {part}" if m["whole"] else part


def _groups(m: Match) -> str:
    """Telephone and other numbers in groups, digit by digit."""
    groups = ", ".join(one_by_one(group) for group in re.findall(r"\d+", m[0]))
    return "plus " + groups if m[0].startswith("+") else groups


def _decade(m: Match) -> str:
    digits = m["decade"]
    return _plural(year(digits) if len(digits) == 4 else cardinal(digits))


_COUNTED_NEXT = re.compile(r"\s+(?:people|men|women|children|feet|more|or so|(?!(?:was|is|has|his|this|its|as|us|"
                           r"does|thus|across|versus|miles per)\b)[a-z]+s)\b")  # fmt: skip
_COUNTED_BEFORE = re.compile(
    r"\b(?:over|nearly|almost|than|least|most|only|exactly|page|number|minus) $|= ?$", re.I
)


def _number(m: Match) -> str:
    digits = m[0]
    if len(digits) == 4 and digits.isdigit() and 1000 < int(digits) < 2100:
        before, after = m.string[max(0, m.start() - 12) : m.start()], m.string[m.end() : m.end() + 40]
        if not _COUNTED_NEXT.match(after) and not _COUNTED_BEFORE.search(before):
            return year(digits)
    return cardinal(digits)


def _mixed(m: Match) -> str:
    """Letters and digits in one word: MP3, CO2, F-16, A320, 4K, H2O."""
    parts = re.findall(r"[^\W\d_]+|\d+", m[0])
    if parts[-1] == "s" and parts[-2].isdigit():  # MP3s
        return " ".join([*(_part(part) for part in parts[:-2]), _plural(in_pairs(parts[-2]))])
    return " ".join(map(_part, parts))


def _part(part: str) -> str:
    if part[0].isdigit():
        return in_pairs(part)
    return " ".join(part) if part.isupper() and len(part) < 4 else part


def _regnal(m: Match) -> str:
    value = roman(m["roman"])
    return f"{m['name']} the {ordinal(str(value))}" if value else m[0]


def _numbered(m: Match) -> str:
    value = roman(m["roman"])
    return f"{m['name']} {cardinal(str(value))}".strip() if value else m[0]


_ROYAL = r"(?:King|Queen|Pope|Emperor|Tsar|Czar|Sultan|Kaiser|Prince|Empress)"
_RULES: tuple[tuple[re.Pattern[str], Callable[[Match], str]], ...] = tuple(
    (re.compile(pattern, re.VERBOSE), speak)
    for pattern, speak in (
        # Roman numerals: rulers, numbered parts, centuries, then names such as Apollo XI
        (rf"\b(?P<name>{_ROYAL}(?:[ ][A-Z][a-z]+){{1,3}})[ ](?P<roman>[IVXL]+)\b", _regnal),
        (rf"\b(?P<name>{'|'.join(KINGS)})[ ](?P<roman>[IVX]{{2,}}|[VX]\b(?![.]))\b", _regnal),
        (rf"\b(?P<name>{'|'.join(KINGS)})[ ](?P<roman>I)(?=[,;)]|[ ](?:of|was|had|ruled|reigned|became|died)\b)", _regnal),
        (rf"\b(?P<name>{'|'.join(NUMBERED)})[ ](?P<roman>[IVXL]+|[ivx]+)\b", _numbered),
        (rf"\b(?P<name>{'|'.join(NUMBERED).lower()})[ ](?P<roman>[IVXL]{{2,}}|[ivx]{{2,}}|[IV](?=[.,;:)]|$|[ ](?:and|of|to)\b))\b",
         _numbered),
        (r"\b(?P<roman>[IVX]+)(?=(?:th)?[ ]century)", lambda m: ordinal(str(roman(m[0]))) if roman(m[0]) else m[0]),
        (r"\b(?P<name>[A-Z][a-z]+)[ ](?P<roman>[IVXL]{2,})\b", _numbered),
        (r"(?P<name>)\b(?P<roman>[IVX]{2,})\b(?!')", _numbered),
        # telephone numbers and other digits in groups
        (r"(?<![\w+])\+\d{1,3}[ .-]?\(?\d+\)?(?:[ .-]\d+)+", _groups),
        (r"\(\d{3}\)[ ]?\d{3}[-. ]\d{4}\b|(?<![\w.-])\d{3}[-. ]\d{3}[-. ]\d{4}\b", _groups),
        (r"(?P<verb>\b(?:[Cc]all|[Dd]ial|[Rr]ing)[ ])(?P<digits>\d{3})\b(?![-.,:/]?\d)",
         lambda m: m["verb"] + one_by_one(m["digits"])),
        # dates
        (r"(?<![\w.-])(?P<y>\d{4})-(?P<m>\d\d?)-(?P<d>\d\d?)(?:T(?=\d))?(?![\w-])",
         lambda m: _numeric_date(m["m"], m["d"], m["y"], m[0]) + (" " if m[0][-1] == "T" else "")),
        (r"(?<![\w./-])(?P<a>\d\d?)/(?P<b>\d\d?)/(?P<y>\d{4}|\d\d)(?![\w/])",
         lambda m: _numeric_date(m["a"], m["b"], m["y"], m[0])),
        (r"(?<![\w./-])(?P<d>\d\d?)\.(?P<m>\d\d?)\.(?P<y>\d{4})(?!\w|\.\d)",
         lambda m: _numeric_date(m["m"], m["d"], m["y"], m[0])),
        (r"(?P<before>\b(?:[Oo]n|[Bb]y|[Uu]ntil|[Ss]ince)[ ])(?P<a>\d\d?)/(?P<b>\d\d?)(?![\w/])",
         lambda m: m["before"] + _numeric_date(m["a"], m["b"], None, m[0][len(m["before"]):])),
        (r"(?<![\w./-])(?P<m>0?[1-9]|1[0-2])/(?P<year>(?:19|20)\d\d)(?![\w/])",
         lambda m: f"{MONTHS[int(m['m']) - 1]} {year(m['year'])}"),
        (rf"{_MONTH}[ ]{_DAY}(?![\d:/%]|[.,]\d)(?:-(?P<until>[0-3]?\d)(?:th|st|nd|rd)?\b)?(?:,?[ ](?P<year>\d{{4}})\b)?",
         _month_day),
        (rf"(?<![\w.,$£€-])(?P<the>[Tt]he[ ])?{_DAY}[ ](?:of[ ])?{_MONTH}(?:,?[ ](?P<year>\d{{4}})\b)?", _day_month),
        (rf"{_MONTH}[ ](?P<year>\d{{4}})\b(?!,\d)", lambda m: f"{MONTH[m['month']]} {year(m['year'])}"),
        (r"(?<![\w.,$£€])(?P<decade>[12]\d\d0|(?<!\d)[1-9]0)'?s\b", _decade),
        # chains of digits, ranges, signs
        (r"(?<![\w.,-])(?P<from>1\d{3}|20\d\d)-(?P<to>\d\d)(?![\w-])", lambda m: f"{year(m['from'])} to {in_pairs(m['to'])}"),
        (r"(?<![\w.-])(?:\d+(?:-\d+){2,}|\d{3}-\d{4}|0\d+-\d+|\d-\d{3}(?=-[A-Z]))(?![\w]|-\d)", _groups),
        (r"(?P<from>\d|[ap]\.?m\.?|%|°[CF]?)-(?=[$£€¥]?\d)", lambda m: m["from"] + " to "),
        (r"(?<![\w.,)])-(?=[$£€¥.]?\d)", lambda m: "minus "),
        # times and ratios
        (r"(?<![\w.:,])(?P<hour>\d\d?)(?::(?P<minute>\d\d)(?::(?P<second>\d\d))?)?(?![:\d])"
         r"(?:[ ]?(?P<half>[apAP])(?:\.[ ]?[mM]\.|[mM]\b))?", _time),
        (r"(?<=\d):(?=\d)", lambda m: " to "),
        # money
        (rf"(?<![A-Za-z])(?P<currency>{_CURRENCY})\.?[ ]?(?:(?P<low>{_NUM})[ ]to[ ](?:[$£€¥][ ]?)?)?(?P<amount>{_NUM})"
         rf"{_MAGNITUDE}(?:[ ]?/[ ]?(?P<per>[a-z]+))?", _money),
        (rf"(?<![\w.,])(?:(?P<low>{_NUM})[ ]to[ ])?(?P<amount>{_NUM}){_MAGNITUDE}[ ]?(?P<currency>{_CURRENCY})(?![A-Za-z])"
         r"(?:[ ]?/[ ]?(?P<per>[a-z]+))?", _money),
        # measures
        (r"(?<![\w.,])(?P<feet>\d+)(?:[ ]?ft\.?[ ]?|')[ ]?(?P<inches>\d+)(?:[ ]?in\b\.?(?![ ]?\d)|\"|'')",
         lambda m: f"{cardinal(m['feet'])} f{'oo' if m['feet'] == '1' else 'ee'}t {cardinal(m['inches'])} inch"
         + "es" * (m["inches"] != "1")),
        (rf"(?<![\w.,])(?P<number>{_NUM})(?P<gap>[ -]?)(?P<area>(?:sq|cu)\.?[ ])?(?P<unit>{_UNIT})(?![\w'])"
         rf"(?P<power>\^[23])?(?:/(?P<per>{_UNIT}|[a-z]+)(?P<per_power>\^[23])?(?!\w))?(?P<dot>\.(?=[ ][a-z]))?"
         r"(?P<by>[ ]?[×x][ ]?(?=\d))?", _measure),
        # fractions, versions, ordinals
        (r"(?<![\w./,])(?:(?P<whole>\d{1,4})[ ])?(?P<over>\d+)/(?P<under>\d+)(?![\w/]|\.\d)", _fraction),
        (r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]*\d)", lambda m: " dot ".join(map(in_pairs, m[0].split(".")))),
        (r"\b[vV](?:er(?:sion)?)?\.?[ ]?(?P<v>\d+(?:\.\d+)*)(?![\w.]*\d)|(?<![\w.])(?P<w>\d+(?:\.\d+){2,})(?!\w)",
         lambda m: "version " * bool(m["v"]) + " point ".join(map(cardinal, (m["v"] or m["w"]).split(".")))),
        (r"(?P<name>\b(?:Python|Java|Node|Ubuntu|Windows|macOS|iOS|Android|Linux|Ruby|Go|PHP|[Rr]elease)[ ])"
         r"(?P<v>\d+(?:\.\d+)+)(?!\w)", lambda m: m["name"] + " point ".join(map(cardinal, m["v"].split(".")))),
        (r"(?<![\w.])(?P<n>\d{1,3}(?:,\d{3})+|\d+)(?:st|nd|rd|th)\b", lambda m: ordinal(m["n"])),
        (r"(?<!\w)(?P<a>\d+)[ ]?x[ ]?(?=\d)", lambda m: in_pairs(m["a"]) + " by "),
        (r"(?<=[ ]by[ ])\d{3,4}(?![\w.,])", lambda m: in_pairs(m[0])),
        (r"(?<![\w.])(?P<n>\d+(?:\.\d+)?)[eE](?P<minus>-)?[+]?(?P<power>\d+)\b", lambda m:
         f"{cardinal(m['n'])} times ten to the power of {'minus ' * bool(m['minus'])}{cardinal(m['power'])}"),
        (r"(?<![\w.])(?P<n>\d+(?:\.\d+)?)x\b", lambda m: cardinal(m["n"]) + " times"),
        (r"(?P<name>\b(?:Boeing|Airbus|[Ff]light|Route|Highway|Interstate|[Rr]oom|Bus|Suite|Apartment)[ ])"
         r"(?P<n>\d{3})\b(?![.,]\d)", lambda m: m["name"] + in_pairs(m["n"])),
        (r"\b(?P<name>COVID)-(?=\d)", lambda m: "COVID "),
        (r"(?<![^\W_])(?:[^\W\d_]+-?\d+|\d+[^\W\d_]+)[^\W_]*", _mixed),
        (r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d)|(?<!\d)\.\d+|\d+(?:\.\d+)?", _number),
    )
)  # fmt: skip


def speak_numbers(text: str) -> str:
    """Text in which every digit has become words; anything else is left as it was."""
    for pattern, speak in _RULES:
        text = pattern.sub(speak, text)
    return text
