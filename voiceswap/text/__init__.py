"""Text to what is spoken: `sentences` cuts text of any length into pieces with their phonemes and pauses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from voiceswap.errors import TextError
from voiceswap.text import dutch, german
from voiceswap.text.lexicon import COUNTED, DAYS, MONTH, SHORTENED, TITLES
from voiceswap.text.normalize import (
    EMPHASIS,
    INLINE,
    PAUSE,
    check,
    normalize,
    normalize_marked,
    pause_seconds,
)
from voiceswap.text.phonemes import BOUNDARY, FIRST_PHONE, INVENTORY, Phonemes, make, parse, phonemize

__all__ = ["INVENTORY", "LONGEST", "Phonemes", "Sentence", "normalize", "parse", "phonemize", "sentences"]

_OTHERS = {"de": german.WORDS, "nl": dutch.WORDS}
LONGEST = 200
"""No piece has more phonemes than this (boundaries and punctuation counted)."""

SPLIT_PAUSE, SENTENCE_PAUSE, PARAGRAPH_PAUSE = 0.1, 0.35, 0.7  # seconds

_READ_AT_ONCE = 2000  # characters normalized together: bounds memory and the wait for the first sentence
_INLINE = r"\[\[.*?\]\]"
_PARAGRAPH = r"\n[ \t\r\f\v]*\n\s*|\n(?=[ \t]*(?:[-*•]|\d{1,3}[.)])[ \t])"
# Not after an abbreviation or an initial: what stands here is cut before its periods are understood.
_SHORT = {
    "en": (*TITLES, *COUNTED, *SHORTENED, *MONTH, *DAYS, "St", "Dr"),
    **{language: (*words.short, *words.months, r"\d+") for language, words in _OTHERS.items()},
}
_CERTAIN_END = {
    language: rf"\b(?!(?:{'|'.join(short)}|[A-Za-z])\.)\w+[.!?][\"')\]”’]*\s+(?=[A-ZÄÖÜ\"'“‘(\[])"
    for language, short in _SHORT.items()
}
# After a period always (abbreviations have gone by then); after ? ! … not inside a sentence: "What?" he said.
_SENTENCE_END = r"(?<=\.)(?<!\.\.)\s+|(?:(?<=[!?])|(?<=\.\.\.))\s+(?![a-z])"
_CONJUNCTIONS = {
    "en": "and|but|or|nor|so|yet|because|although|though|while|when|where|which|who|that|if|unless|until"
    "|since|as",
    "de": "und|aber|oder|denn|sondern|weil|obwohl|während|wenn|wo|dass|falls|bis|seit|als|damit|nachdem",
    "nl": "en|maar|of|want|dus|omdat|hoewel|terwijl|wanneer|waar|die|dat|als|tenzij|totdat|sinds|zodat",
}
_CUTS = {
    language: (r"(?<=[,;:.!?])\s+", rf"\s+(?=(?:{words})\b)", r"\s+", rf"(?={_INLINE})|(?<=\]\])")
    for language, words in _CONJUNCTIONS.items()
}
# Inline phonemes, and runs of emphasized words: eSpeak reads what lies between them.
_APART = re.compile(
    rf"{EMPHASIS}?({_INLINE})|{EMPHASIS}(?:(?!\[\[)\S)+(?:\s+{EMPHASIS}(?:(?!\[\[)\S)+)*", re.DOTALL
)
_MARKS = re.compile(r"[\s,.!?;:]+")
_LETTER_A = re.compile(r"\bA(?= (?:[A-Z]\b|and [A-Z]\b))|(?<=\b[A-Z] )A\b")


@dataclass(frozen=True)
class Sentence:
    """A piece of text to speak in one go: spoken words, their phonemes, seconds of silence after it.

    `emphasized` tells the phonemes of ``*starred*`` words by their places.
    `exact` is a pause that was asked for: it is that long at any speed, silence within the pieces included.
    A pause before the first word comes as a piece without text.
    """

    text: str
    phonemes: Phonemes
    pause: float
    exact: bool = False
    emphasized: tuple[int, ...] = ()


def sentences(text: str, language: str = "en") -> Iterator[Sentence]:
    """Cut text into sentences, each of at most `LONGEST` phonemes, made one at a time as they are asked for.

    Sentences that are too long are cut at punctuation, then before conjunctions, then between words; no word
    is left out. Phonemes between ``[[ ]]`` are taken as written and need no eSpeak; ``[[pause 300ms]]`` is a
    silence instead of whatever pause would be there. The whole text is checked
    before the first sentence is made, so that an error comes before any sound.

    Errors: those of `normalize`, raised by the call itself.
    """
    check(text, language)
    return _sentences(text, language)


def _sentences(text: str, language: str) -> Iterator[Sentence]:
    waiting: tuple[str, float, bool] | None = None  # one behind, since the last piece has no pause
    for spoken, pause, exact in _spoken(text, language):
        if (
            not spoken
        ):  # a pause alone: it takes the place of the one before, or adds to one that was asked for
            before, already, asked = waiting or ("", 0.0, True)
            waiting = before, pause + (already if asked else 0.0), True
            continue
        if waiting is not None:
            yield from _said(*waiting, language)
        waiting = spoken, pause, exact
    if waiting is None or not waiting[0]:
        raise TextError(
            f"text {text[:40]!r}", "it has nothing that can be spoken", "give it at least one word"
        )
    spoken, pause, exact = waiting
    yield from _said(spoken, pause if exact else 0.0, exact, language)


def _said(spoken: str, pause: float, exact: bool, language: str) -> Iterator[Sentence]:
    if not spoken:
        yield Sentence("", Phonemes((), ()), pause, exact)
        return
    pieces = _pieces(spoken, language)
    for number, (piece, phonemes, emphasized) in enumerate(pieces, start=1):
        last = number == len(pieces)
        yield Sentence(
            piece.replace(EMPHASIS, ""), phonemes, pause if last else SPLIT_PAUSE, last and exact, emphasized
        )


def _spoken(text: str, language: str) -> Iterator[tuple[str, float, bool]]:
    """Normalized sentences, each the pause after each, and whether it was asked for (alone: "")."""
    for chunk, pause in _chunks(text, language):
        start = 0
        for asked in PAUSE.finditer(chunk):
            yield from _read(chunk[start : asked.start()], 0.0, language)
            yield "", pause_seconds(asked[0]), True
            start = asked.end()
        yield from _read(chunk[start:], pause, language)


def _read(written: str, pause: float, language: str) -> Iterator[tuple[str, float, bool]]:
    try:
        spoken = normalize_marked(written, language)
    except TextError:  # a line of asterisks, say; check() has refused whatever cannot be read
        return
    start = 0
    for end, after in _outside(_SENTENCE_END, spoken):
        yield spoken[start:end], SENTENCE_PAUSE, False
        start = after
    yield spoken[start:], pause, False


def _outside(pattern: str, text: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, int]]:
    """Where the pattern lies in the text (or a stretch of it), leaving out what is inside of [[ ]]."""
    found = re.compile(f"({pattern})|{_INLINE}", re.DOTALL)
    stop = len(text) if stop is None else stop
    return (match.span() for match in found.finditer(text, start, stop) if match[1] is not None)


def _chunks(text: str, language: str) -> Iterator[tuple[str, float]]:
    """Written text in runs of bounded length that end with a paragraph, a certain sentence, or a word."""
    start = 0
    for stop, after in chain(_outside(_PARAGRAPH, text), [(len(text), len(text))]):
        while stop - start > _READ_AT_ONCE:
            cut, pause = _cut(text, start, language)
            yield text[start:cut], pause
            start = cut
        yield text[start:stop], PARAGRAPH_PAUSE
        start = after


def _cut(text: str, start: int, language: str) -> tuple[int, float]:
    """A place to cut at most `_READ_AT_ONCE` characters on, and the pause there."""
    stop = start + _READ_AT_ONCE
    opened = text.rfind("[[", start, stop + 1)
    if opened >= 0 and text.find("]]", opened, stop) < 0:
        if opened == start:
            return text.index("]]", start) + 2, SPLIT_PAUSE
        stop = opened
    for pattern, pause in ((_CERTAIN_END[language], SENTENCE_PAUSE), (r"\s+", SPLIT_PAUSE)):
        ends = [end for _, end in _outside(pattern, text, start, stop)]
        if ends:
            return ends[-1], pause
    return stop, SPLIT_PAUSE


def _pieces(spoken: str, language: str) -> list[tuple[str, Phonemes, tuple[int, ...]]]:
    """The sentence in pieces of at most `LONGEST` phonemes, halved until they fit; what is emphasized."""
    if len(INLINE.sub("", spoken)) <= 2 * LONGEST:
        phonemes, emphasized = _phonemes(spoken, language)
        if len(phonemes) <= LONGEST:
            return [(spoken, phonemes, emphasized)]
    return [piece for half in _halves(spoken, language) for piece in _pieces(half, language)]


def _halves(spoken: str, language: str) -> tuple[str, str]:
    """Cut near the middle, at the best kind of place there is."""
    middle = len(spoken) / 2
    cuts = _CUTS[language]
    for pattern in cuts:
        near = min(_outside(pattern, spoken), key=lambda span: abs(span[0] - middle), default=(0, 0))
        if near[0] and near[1] < len(spoken) and (pattern in cuts[2:] or abs(near[0] - middle) < middle / 2):
            return spoken[: near[0]], spoken[near[1] :]
    inline = INLINE.fullmatch(spoken)
    if inline:
        symbols = str(parse(inline[1])).split()
        half = len(symbols) // 2
        return f"[[{' '.join(symbols[:half])}]]", f"[[{' '.join(symbols[half:])}]]"
    return spoken[: len(spoken) // 2], spoken[len(spoken) // 2 :]


def _phonemes(spoken: str, language: str) -> tuple[Phonemes, tuple[int, ...]]:
    """Phonemes of normalized text, those inside of [[ ]] as they are written; places of emphasized sounds."""
    parts: list[tuple[Phonemes, bool]] = []
    start = 0
    for apart in _APART.finditer(spoken):
        parts += [(part, False) for part in _words(spoken[start : apart.start()], language)]
        if apart[1]:
            said = parse(apart[1][2:-2]), apart[0].startswith(EMPHASIS)
            parts.append(said)
        else:
            parts += [(part, True) for part in _words(apart[0].replace(EMPHASIS, ""), language)]
        start = apart.end()
    parts += [(part, False) for part in _words(spoken[start:], language)]
    joined = Phonemes((), ())
    emphasized: list[int] = []
    for part, stressed in parts:
        if joined and part.ids[0] >= FIRST_PHONE:
            joined += make([BOUNDARY])
        if stressed:
            emphasized += [len(joined) + i for i, symbol in enumerate(part.ids) if symbol >= FIRST_PHONE]
        joined += part
    return joined, tuple(emphasized)


def _words(spoken: str, language: str) -> list[Phonemes]:
    """Phonemes of the words between inline phonemes, punctuation that stands before them first."""
    marks = _MARKS.match(spoken)
    words = spoken[marks.end() :] if marks else spoken
    before = "…" if marks and "..." in marks[0] else marks[0].strip()[:1] if marks else ""
    # eSpeak takes the letter in A T and T for the article
    said = _LETTER_A.sub("eigh", words) if language == "en" else words
    return ([make([before])] if before else []) + ([phonemize(said, language)] if words else [])
