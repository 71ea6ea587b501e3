"""Written text to the words that a reader says: nothing is left that is not a word or a pause.

`normalize` cleans the characters, then takes the steps of the language (`english`, `german`, `dutch`), then
tidies the punctuation. ``[[ … ]]`` holds phonemes and passes through untouched.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable

from voiceswap.errors import OptionError, PhonemeError, TextError
from voiceswap.text import dutch, english, german, lexicon
from voiceswap.text.phonemes import parse

LANGUAGES = {"en": "English", "de": "German", "nl": "Dutch"}
"""Languages whose numbers and abbreviations are known."""

INLINE = re.compile(r"\[\[(.*?)\]\]", re.DOTALL)
PAUSE = re.compile(r"\[\[\s*pause\s+(\d{1,6}(?:\.\d{1,6})?)\s*(ms|s)\s*\]\]")
LONGEST_PAUSE = 60.0  # seconds
_HELD = "\ue000"  # stands for one [[ … ]] while rules run; private use, so no text holds it after cleaning
EMPHASIS = "\ue001"  # stands before each word of what was *starred*
_OPEN, _CLOSE = "\ue002", "\ue003"  # and these around it while rules run
_PRIVATE = re.compile("[\ue000-\ue003]")
_STARRED = re.compile(r"(?<![\w*\\])\*(?=[^\s*])([^*\n]{1,300}?)(?<=[^\s*])\*(?![\w*])")


def normalize(text: str, language: str = "en") -> str:
    """Spoken words, with punctuation, of written text; idempotent on its own output.

    Words keep their case, but shouted ones (``STOP THAT``) are lowered; spelled letters stand apart as
    capitals (``F B I``). Emoji and decoration are dropped; ``[[ … ]]``, phonemes or a pause, is kept as it is.

    Errors: `TextError` for a non-string, for text without a word, and for a word in a script that cannot be
    read in the language (naming it: nothing is skipped silently); `PhonemeError` for an unclosed ``[[`` or a
    symbol inside that is no phoneme; `OptionError` for a language that is not supported.
    """
    return normalize_marked(text, language).replace(EMPHASIS, "")


def normalize_marked(text: str, language: str = "en") -> str:
    """As `normalize`, with `EMPHASIS` before every word of what stands between ``*`` and ``*``."""
    check(text, language)
    spoken = _normalize(text, language)
    if not re.search(r"\w|\[\[", spoken):
        raise _wordless(text)
    return spoken


def check(text: str, language: str = "en") -> None:
    """Raise what `normalize` would raise for any part of the text, in one quick pass."""
    if not isinstance(text, str):
        raise TextError(
            f"text of type {type(text).__name__}", "text must be a str", "pass a string of words to say"
        )
    if language not in LANGUAGES:
        raise OptionError(f"language {language!r}", "its numbers and abbreviations are not known",
                          f"choose one of {', '.join(LANGUAGES)}")  # fmt: skip
    if not text.strip():
        raise TextError(f"text {text[:20]!r}", "it is empty or blank", "give it at least one word")
    for inline in INLINE.finditer(text):
        if inline[1].split()[:1] == ["pause"]:
            pause_seconds(inline[0])
        elif not inline[1].strip() or not parse(inline[1]).sounds:
            raise PhonemeError(inline[0][:40], "there is no sound between the brackets",
                               "write phonemes separated by blanks, such as [[h ə l ˈoʊ]]")  # fmt: skip
    plain = INLINE.sub(" word ", PAUSE.sub(" ", text))
    if "[[" in plain:
        at = plain.index("[[")
        raise PhonemeError(f"text {plain[at : at + 40]!r}", "[[ opens phonemes and is never closed by ]]",
                           "close it, or leave a blank between the two brackets")  # fmt: skip
    has_words = False
    for part in re.finditer(r"\S.{0,4000}\S*", plain, re.DOTALL):  # in parts: a long text is not held twice
        cleaned = _clean(part[0], language)
        foreign = next((word for word in re.finditer(r"[^\W\d_]+", cleaned) if _unreadable(word[0])), None)
        if foreign:
            raise TextError(f"word {foreign[0][:40]!r}", f"it is in a script that cannot be read as {LANGUAGES[language]}",
                            "write it in Latin letters, as phonemes between [[ ]], or leave it out")  # fmt: skip
        has_words = has_words or bool(re.search(r"[^\W_]|[%°$£€¥&+=@∞√]", cleaned))
    if not has_words:
        raise _wordless(text)


def pause_seconds(written: str) -> float:
    """Seconds of a written pause such as ``[[pause 300ms]]``; TextError for one that cannot be meant."""
    pause = PAUSE.fullmatch(written)
    seconds = float(pause[1]) / (1000 if pause[2] == "ms" else 1) if pause else -1.0
    if not 0 < seconds <= LONGEST_PAUSE:
        raise TextError(f"pause {written[:40]!r}", f"it lasts more than 0 and at most {LONGEST_PAUSE:.0f} seconds",
                        "write [[pause 300ms]] or [[pause 1.5s]]")  # fmt: skip
    return seconds


def _wordless(text: str) -> TextError:
    return TextError(
        f"text {text[:40]!r}", "it has only punctuation or pictures", "give it at least one word"
    )


def _normalize(text: str, language: str) -> str:
    held = [match[0] for match in INLINE.finditer(text)]
    text = INLINE.sub(lambda match: _HELD, _PRIVATE.sub(" ", text))
    text = _clean(_STARRED.sub(rf"{_OPEN}\1{_CLOSE}", text), language)
    for step in _STEPS[language]:
        text = step(text)
    # From around the span to before its words, so that sentences may be cut anywhere.
    text = re.sub(f"{_OPEN}([^{_CLOSE}]*){_CLOSE}", lambda m: re.sub(r"(?<!\S)(?=\S)", EMPHASIS, m[1]), text)
    text = re.sub(f"[{_OPEN}{_CLOSE}]", "", text)
    waiting = iter(held)
    return re.sub(_HELD, lambda match: next(waiting), text)


# --- characters

_TRANSLATED = {ord(char): to for char, to in {
    "‘": "'", "’": "'", "‛": "'", "ʼ": "'", "ʻ": "'", "`": "'", "´": "'", "′": "'", "“": '"', "”": '"', "„": '"',
    "«": '"', "»": '"', "″": '"', "−": "-", "‐": "-", "‑": "-", "‒": "-", "—": " — ", "―": " — ", "™": "", "®": "",
    "℠": "", "⁄": "/", "∕": "/", "·": " ", "•": " ", "Ω": "Ω", "\u00ad": "", "\ufeff": "",
    "\u200b": "", "\u2060": "", "¿": "", "¡": "", "。": ". ", "、": ", ",
}.items()}  # fmt: skip
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻", "0123456789-")
_KEPT_SIGNS = set("°©+<=>|~±×÷√∞≈≠≤≥→^$£€¥¢₹₩₽₺₴₪₫₦₱฿₿%‰&@#*/\\§_'\"-–—.,!?;:()[]{}…")
_KEPT_SIGNS |= {_HELD, _OPEN, _CLOSE}


# A dash between two amounts; the sign of a number.
_TO = {"en": (" to ", "No. "), "de": (" bis ", "Nr. "), "nl": (" tot ", "nr. ")}


def _clean(text: str, language: str) -> str:
    """One spelling for every sign and digit; pictures and controls gone; blanks single."""
    to, number = _TO[language]
    text = text.replace("№", number)
    text = re.sub("‘([^‘’]*)’(?!\\w)", r"\1", text).translate(_TRANSLATED)
    if not text.isascii():
        text = re.sub("[⁰¹²³⁴-⁹⁻]+", lambda m: "^" + m[0].translate(_SUPERSCRIPTS), text)
        text = re.sub("(?<=[0-9])(?=[¼-¾⅐-⅞])", " ", text)
        text = unicodedata.normalize("NFKC", text).translate(_TRANSLATED)
        text = "".join(char if char.isascii() else _letter(char) for char in text)
    text = re.sub(r"(?<=\d) ?– ?(?=[\d$£€¥])", "-", text)
    text = re.sub(r"(?<=[\w.%]) ?– ?(?=[$£€¥]?\d)", to, text).replace("–", " — ").replace("--", " — ")
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", text.replace("…", "...")).strip()


def _letter(char: str) -> str:
    """A character outside of ASCII as the rules know it: digits plain, rare accents removed, pictures dropped."""
    if char in _KEPT_SIGNS:
        return char
    kind = unicodedata.category(char)
    if kind[0] == "N":
        value = unicodedata.digit(char, None)
        return " " if value is None else str(value)
    if kind[0] == "L":
        base = unicodedata.normalize("NFKD", char)[0]
        return base if base.isascii() and base.isalpha() and char > "\u017f" else char
    return "" if kind in ("Mn", "Me", "Cf", "Sk") else " "


def _unreadable(word: str) -> bool:
    if word.isascii() or word.lower() in lexicon.GREEK or word in lexicon.UNITS:
        return False
    return any(char > "\u017f" for char in word)


# --- what is left

_FINISH = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        (r"[*_/\\#~^<>{}\"]", " "), (r" ?[(\[] ?", ", "), (r" ?[)\]]", ", "), (r" *— *", ", "),
        (r"(?<![^\W_])'(?=\w)|(?<=\w)'(?!\w)(?<!s')|(?<!\w)'", " "), (r"(?<![^\W_])-+|-+(?![^\W_])", " "),
        (rf"[^\w\s.,!?;:'{_HELD}{_OPEN}{_CLOSE}-]", " "), (r"\.(?: ?\.){2,}", "..."), (r"(?<!\.)\.\.(?!\.)", "."),
        (r"([!?,;:])(?: ?\1)+", r"\1"), (r"\s+(?=[.,!?;:])", ""), (r",(?:\s*,)+", ","), (r"[,;:]+(?=[.!?;:])", ""),
        (r"(?<=[.!?;:]),", ""), (r"^[\s.,!?;:]+", ""), (r"(?<=[,;!?])(?=[^\W\d_])|(?<=[a-z]{2}[.:])(?=[A-Z])", " "),
        (r"[\s,;:]+$", ""), (r"\s+", " "),
    )
)  # fmt: skip


def _finish(text: str) -> str:
    for pattern, words in _FINISH:
        text = pattern.sub(words, text)
    return text.strip()


_STEPS: dict[str, tuple[Callable[[str], str], ...]] = {
    "en": (*english.STEPS, _finish),
    "de": (*german.STEPS, _finish),
    "nl": (*dutch.STEPS, _finish),
}
