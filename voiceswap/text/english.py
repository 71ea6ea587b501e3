"""English as an American reads it: addresses, what is written short, signs and acronyms, in words.

The steps come in this order since each writes what the next must not see; `numbers` is the one in their middle.
"""

from __future__ import annotations

import re

from voiceswap.text import lexicon
from voiceswap.text.addresses import speak_addresses
from voiceswap.text.lexicon import STARTERS
from voiceswap.text.numbers import speak_numbers
from voiceswap.text.numerals import in_pairs, one_by_one

Match = re.Match[str]

# --- addresses

_ADDRESS_SIGNS = {".": "dot", "/": "slash", "-": "dash", "_": "underscore", "@": "at", ":": "colon", "&": "and",
                  "?": "question mark", "=": "equals", "#": "hash", "%": "percent", "+": "plus", "~": "tilde"}  # fmt: skip


def _addresses(text: str) -> str:
    def digits(written: str) -> str:
        return in_pairs(written) if len(written) <= 4 else one_by_one(written)

    return speak_addresses(text, _ADDRESS_SIGNS, digits)


# --- abbreviations

_FINAL = rf"(?=\s*$|\s+(?:{'|'.join(STARTERS)})\b)"  # where a period ends the sentence as well
_TITLE = re.compile(rf"\b({'|'.join(lexicon.TITLES)})(?:\.(?=\s*[A-Z(])|(?<=Mr|Ms)(?=\s[A-Z])|(?<=Mrs)(?=\s[A-Z]))|"
                    r"\b(Mr|Mrs|Ms)\b\.?")  # fmt: skip
_COUNTED = re.compile(rf"\b({'|'.join(lexicon.COUNTED)})\.\s?(?=\d)")
_SHORT = re.compile(rf"\b({'|'.join(lexicon.SHORTENED)})\.(?!\w)|\b(vs|etc)\b(?!\.)")
_SAINT_OR_STREET = re.compile(r"(?P<before>\b[A-Z]?\w*\s)?\b(?P<word>St|Dr)\b(?:\.|(?=\s[A-Z]))")
_STREET = {"St": ("Saint", "Street"), "Dr": ("Doctor", "Drive")}
_LATIN = ((r"\be\.\s?g\.", "for example"), (r"\bi\.\s?e\.", "that is"), (r"\bw/o\b", "without"),
          (r"\bw/(?=\s|\w)", "with "), (r"\bc/o\b", "care of"), (r"\bb/c\b", "because"),
          (r"\b([Aa])nd/or\b", r"\1nd or"), (r"\b[nN]/[aA]\b", "N A"))  # fmt: skip


def _ends(match: Match) -> str:
    """The period of an abbreviation that closes its sentence too."""
    return "." if match[0].endswith(".") and re.match(_FINAL, match.string[match.end() :][:20]) else ""


def _saint_or_street(match: Match) -> str:
    saint, street = _STREET[match["word"]]
    before, after = match["before"] or "", match.string[match.end() :][:20]
    followed = re.match(r"\s+[A-Z]", after) and not re.match(r"\s+(?:" + "|".join(STARTERS) + r")\b", after)
    numbered = before[:1].isdigit()  # 3rd St. NW
    if not numbered and (followed or not before[:1].isupper()):
        return before + saint
    return before + street + _ends(match)


def _abbreviations(text: str) -> str:
    for pattern, words in _LATIN:
        text = re.sub(pattern, words, text)
    text = _SAINT_OR_STREET.sub(_saint_or_street, text)
    text = _TITLE.sub(lambda m: lexicon.TITLES[m[1] or m[2]], text)
    text = _COUNTED.sub(lambda m: lexicon.COUNTED[m[1]] + " ", text)
    text = _SHORT.sub(lambda m: lexicon.SHORTENED[m[1] or m[2]] + _ends(m), text)
    text = re.sub(rf"\b({'|'.join(lexicon.DAYS)})-({'|'.join(lexicon.DAYS)})\b",
                  lambda m: f"{lexicon.DAYS[m[1]]} to {lexicon.DAYS[m[2]]}", text)  # fmt: skip
    text = re.sub(
        rf"\b({'|'.join(lexicon.DAYS)})(?:\.|(?=,? (?:the )?\d|, [A-Z]))", lambda m: lexicon.DAYS[m[1]], text
    )
    months = "|".join(name for name in lexicon.MONTH if name != lexicon.MONTH[name])
    text = re.sub(rf"\b({months})\.(?! ?\d)", lambda m: lexicon.MONTH[m[1]] + _ends(m), text)
    text = re.sub(rf"(?<=, )({'|'.join(lexicon.STATES)}) (\d{{5}})(?:-(\d{{4}}))?\b", _state, text)
    text = re.sub(
        r"\b(Ph\. ?D|[BM]\. ?Sc)\b\.?", lambda m: " ".join(re.sub("[. ]", "", m[1]).upper()) + _ends(m), text
    )
    text = re.sub(
        r"\b(?<![.'])(?:[A-Za-z]\.){2,}", lambda m: " ".join(m[0].upper().split("."))[:-1] + _ends(m), text
    )
    return re.sub(rf"\b([A-Z])\.(?=\s?[A-Z])(?!{_FINAL})", r"\1 ", text)


def _state(match: Match) -> str:
    zips = ", ".join(one_by_one(group) for group in match.groups()[1:] if group)
    return f"{lexicon.STATES[match[1]].replace('_', ' ')} {zips}"


# --- signs

_COMPARED = {"<": "less than", ">": "greater than", "≤": "less than or equal to", "≥": "greater than or equal to",
             "≈": "approximately equal to", "≠": "not equal to"}  # fmt: skip
_BEFORE_NUMBERS = (
    (r"\bC\+\+", "C plus plus"), (r"\b([CF])#", r"\1 sharp"), (r"#(?=\d)", "number "), (r"<=", "≤"), (r">=", "≥"), (r"<?[-=]+>", " to "),
    (r"\b([A-Z]{1,3}) ?& ?([A-Z]{1,3})\b", lambda m: f"{' '.join(m[1])} and {' '.join(m[2])}"),
    (r"(?<=\d) - (?=\d)|(?<=\b[a-z]) - (?=[a-z\d]\b)", " minus "), (r"(?<=\d) ?× ?(?=\d)", " times "),
    (r"(?<=\d) ?\* ?(?=\d)", " times "), (r"(?<=\d) ?÷ ?(?=\d)", " divided by "), (r"~ ?(?=[\d$£€¥])", "approximately "),
    (r"(?P<operand>(?:\d|(?<![\w<>/])[A-Za-z]) ?)?(?<![^\s\w])(?P<sign>[<>≤≥≈≠])(?=\s|[$£€¥-]?\d)",
     lambda m: f"{m['operand'] or ''} {'is ' if m['operand'] else ''}{_COMPARED[m['sign']]} "),
    (r"(?<![\w'])'(?=\d)", ""),
)  # fmt: skip
_AFTER_NUMBERS = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"\^two\b", " squared"), (r"\^three\b", " cubed"), (r"\^(?=\w)", " to the power of "), (r"%", " percent"),
        (r"‰", " per mille"), (r"±|\+/-", " plus or minus "), (r"√", " square root of "), (r"×", " times "),
        (r"÷", " divided by "), (r"∞", " infinity "), (r"°", " degrees "), (r"&", " and "), (r"\+", " plus "),
        (r"=+", " equals "), (r"@", " at "), (r"§", " section "), (r"©", " copyright "), (r"→", " to "), (r"\|", ", "),
        ("[α-ωΑ-Ω]", lambda m: f" {lexicon.GREEK[m[0].lower()]} "),
        ("[$£€¥¢₹₩₽₺₴₪₫₦₱฿₿]", lambda m: f" {lexicon.CURRENCIES[m[0]][1]} "),
    )
)  # fmt: skip


def _signs_between(text: str) -> str:
    for pattern, words in _BEFORE_NUMBERS:
        text = re.sub(pattern, words, text)
    return text


def _signs_alone(text: str) -> str:
    for pattern, words in _AFTER_NUMBERS:
        text = pattern.sub(words, text)
    return text


# --- acronyms

_CAPITALS = re.compile(r"\b([A-ZÀ-ÖØ-Þ]{2,})('s|s|'S)?\b")
_SHOUT = re.compile(r"\b[A-Z]+(?:'[A-Z]+)?(?:[ ,;:]+[A-Z]+(?:'[A-Z]+)?)+")


def _shouted(match: Match) -> str:
    """Several capital words in a row with a common one among them are loud, not acronyms."""
    words = re.findall(r"[A-Z]{2,}", match[0])
    if not any(word.lower() in lexicon.SHORT_WORDS and word not in lexicon.SPELLED for word in words):
        return match[0]
    return re.sub(
        "[A-Z']{2,}", lambda m: m[0] if m[0] in lexicon.SPELLED | lexicon.SAID else _loud(m[0]), match[0]
    )


def _loud(word: str) -> str:
    return word.lower() if re.search("[AEIOUY]", word) else word


def _acronym(match: Match) -> str:
    word, ending = match[1], match[2]
    suffix = "'s" if ending else ""
    if word in lexicon.RESPELLED:
        return lexicon.RESPELLED[word] + suffix
    if word not in lexicon.SPELLED:
        if word in lexicon.SAID:
            return word + suffix
        if word.lower() in lexicon.SHORT_WORDS and not ending:
            return word.lower()
        if len(word) > 3 and re.search("[AEIOUYÀ-Þ]", word) and not re.search("[^AEIOUYÀ-Þ]{4}", word):
            return word + suffix
    return " ".join(word) + suffix


def _acronyms(text: str) -> str:
    return _CAPITALS.sub(_acronym, _SHOUT.sub(_shouted, text))


STEPS = (_addresses, _abbreviations, _signs_between, speak_numbers, _signs_alone, _acronyms)
"""From clean text to spoken words, in order."""
