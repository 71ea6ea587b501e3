"""One numeral at a time: the words that an American reader says for digits, and the value of Roman letters.

Whether digits are a year, a count or a name, those who call know; here are the ways to say them. Number words
come from num2words, without its commas and "and".
"""

from __future__ import annotations

import re
from functools import lru_cache

from num2words import num2words

_LONGEST = 15  # digits; anything longer is no quantity and is read digit by digit


@lru_cache(maxsize=4096)
def _words(number: int, form: str) -> str:
    return str(num2words(number, to=form)).replace(",", "").replace(" and ", " ")


def cardinal(digits: str) -> str:
    """1,234 → one thousand two hundred thirty-four; 3.14 → three point one four; 007 → digit by digit."""
    whole, point, rest = digits.replace(",", "").partition(".")
    if len(whole) > _LONGEST or (len(whole) > 1 and whole[0] == "0"):
        said = one_by_one(whole)
    else:
        said = _words(int(whole), "cardinal") if whole else ""
    return f"{said} point {one_by_one(rest)}".strip() if point else said


def ordinal(digits: str) -> str:
    """21 → twenty-first."""
    plain = digits.replace(",", "")
    return _words(int(plain), "ordinal") if len(plain) <= _LONGEST else one_by_one(plain) + "th"


def one_by_one(digits: str) -> str:
    """911 → nine one one."""
    return " ".join(_words(int(digit), "cardinal") for digit in digits if digit.isdigit())


def year(digits: str) -> str:
    """1984 → nineteen eighty-four, 1905 → nineteen oh five, 1900 → nineteen hundred, 2005 → two thousand five."""
    number = int(digits)
    high, low = divmod(number, 100)
    if number % 1000 < 10 or not 1000 <= number <= 9999:
        return _words(number, "cardinal")
    return f"{_words(high, 'cardinal')} {'hundred' if not low else in_pairs(f'{low:02}')}"


def in_pairs(digits: str) -> str:
    """Names by number: 747 → seven forty-seven, 101 → one oh one, 1080 → ten eighty; others as cardinals."""
    if len(digits) == 2 and digits[0] == "0":
        return f"oh {cardinal(digits[1])}"
    if len(digits) == 3 and digits[0] != "0" and digits[1:] != "00":
        return f"{cardinal(digits[0])} {in_pairs(digits[1:])}"
    return year(digits) if len(digits) == 4 and digits[0] != "0" else cardinal(digits)


def roman(letters: str) -> int:
    """The value of a well-formed Roman numeral of either case, 0 for any other word."""
    upper = letters.upper()
    if not re.fullmatch("M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})", upper):
        return 0
    values = [{"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}[letter] for letter in upper]
    return sum(-a if a < b else a for a, b in zip(values, [*values[1:], 0], strict=True))
