"""The one phoneme inventory, and text to phonemes by eSpeak NG.

A phoneme is a symbol of `INVENTORY` with a stress (0 none, 1 primary, 2 secondary). The alphabet is
IPA as eSpeak spells it; pairs that eSpeak writes as one symbol (``əl``, ``ɚ``, ``ɑːɹ`` …) are split, so
that text, the training data's alignments and the recognizer all mean the same by a symbol.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from voiceswap.errors import OptionError, PhonemeError, TextError

SILENCE = "_"
BOUNDARY = "|"
PUNCTUATION = (",", ".", "!", "?", ";", ":", "—", "…")
_VOWELS = (
    *"aɑæɐəɛɪiɔoʊuʌʏyøœɒ",
    *("iː", "uː", "ɑː", "ɔː", "ɜː", "eː", "oː", "yː", "øː", "aː", "ɛː"),
    *("eɪ", "aɪ", "aʊ", "ɔɪ", "oʊ", "əʊ", "œy", "ɛɪ", "ʌʊ"),
)
_CONSONANTS = (*"pbtdkɡmnŋfvθðszʃʒhlɹjwɾʔrxçɣʁʋɲ", "tʃ", "dʒ", "ts", "pf")
INVENTORY: tuple[str, ...] = (SILENCE, BOUNDARY, *PUNCTUATION, *_VOWELS, *_CONSONANTS)
"""Every symbol; its place is its id. Silence comes first: it is the recognizer's blank as well."""

FIRST_PHONE = 2 + len(PUNCTUATION)
"""Ids from here on are sounds; below it are silence, the word boundary and punctuation."""

LANGUAGES = {"en": "en-us", "de": "de", "nl": "nl"}
_ID = {symbol: index for index, symbol in enumerate(INVENTORY)}
_STRESS = {"": 0, "ˈ": 1, "ˌ": 2}

# What eSpeak and others spell otherwise; longest first.
_RESPELL = {
    "aɪɚ": "aɪ ə ɹ", "aɪə": "aɪ ə", "aʊɚ": "aʊ ə ɹ", "ɑːɹ": "ɑː ɹ", "oːɹ": "ɔː ɹ", "ɔːɹ": "ɔː ɹ", "ɪɹ": "ɪ ɹ",
    "ʊɹ": "ʊ ɹ", "ɛɹ": "ɛ ɹ", "əl": "ə l", "ɚ": "ə ɹ", "ɝ": "ɜː ɹ", "ɜ": "ɜː", "ᵻ": "ɪ", "ɫ": "l", "g": "ɡ",
    "n̩": "ə n", "m̩": "ə m", "l̩": "ə l", "ɐ̃": "ɐ n", "ɔ̃": "ɔ n", "ɑ̃": "ɑː n", "ɬ": "l", "e": "ɛ", "ɵ": "ʊ",
    "ɨ": "ɪ", "ɪː": "ɪ", "ʲ": "", "ʰ": "", "̩": "", "̃": "", "ʍ": "w", "χ": "x", "ʀ": "ʁ", "β": "v", "ʎ": "l j",
    "oː": "oː", "iə": "iː ə", "ᵊ": "ə", "ɔø": "ɔɪ", "ɛɐ": "ɛ ɐ", "ɑ": "ɑ", "ɛ̃": "ɛ n", "–": "—", "-": "—",
}  # fmt: skip
_TOKEN = re.compile("|".join(map(re.escape, sorted({*_RESPELL, *INVENTORY[1:]}, key=len, reverse=True))))


@dataclass(frozen=True)
class Phonemes:
    """A run of phonemes: inventory ids and stresses (0, 1, 2), both of length P."""

    ids: tuple[int, ...]
    stress: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def __add__(self, other: Phonemes) -> Phonemes:
        return Phonemes(self.ids + other.ids, self.stress + other.stress)

    def __str__(self) -> str:
        marks = ("", "ˈ", "ˌ")
        return " ".join(marks[s] + INVENTORY[i] for i, s in zip(self.ids, self.stress, strict=True))

    @property
    def sounds(self) -> int:
        """How many are sounds rather than boundaries or punctuation."""
        return sum(i >= FIRST_PHONE for i in self.ids)


def make(symbols: Sequence[str]) -> Phonemes:
    """Phonemes of spelled symbols, each with its stress mark in front; unknown ones raise PhonemeError."""
    ids, stress = [], []
    for spelled in symbols:
        mark = spelled[0] if spelled and spelled[0] in "ˈˌ" else ""
        bare = spelled[len(mark) :].lstrip("ˈˌ")
        parts = _split(bare)
        if not parts:
            raise PhonemeError(
                f"phoneme {spelled!r}",
                "it is not in the inventory",
                "use the symbols of voiceswap.text.phonemes.INVENTORY, separated by blanks: "
                + " ".join(INVENTORY[2:]),
            )
        for number, part in enumerate(parts):
            ids.append(_ID[part])
            stress.append(_STRESS[mark] if number == 0 else 0)
    return Phonemes(tuple(ids), tuple(stress))


def _split(bare: str) -> list[str] | None:
    """Inventory symbols of one spelled symbol, or None if it holds anything else."""
    if bare in _ID and bare not in _RESPELL:
        return [bare]
    parts, at = [], 0
    while at < len(bare):
        match = _TOKEN.match(bare, at)
        if match is None:
            return None
        parts += _RESPELL.get(match.group(), match.group()).split()
        at = match.end()
    return parts


def parse(spelled: str) -> Phonemes:
    """Phonemes written by hand, separated by blanks, words by ``|``: ``h ə l ˈoʊ | w ˈɜː l d``."""
    return make(spelled.split())


@lru_cache(maxsize=4)
def _espeak(voice: str) -> object:
    """The eSpeak NG backend of phonemizer with the library that espeakng-loader carries."""
    import logging

    import espeakng_loader
    from phonemizer.backend import EspeakBackend
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())
    quiet = logging.getLogger("voiceswap.espeak")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    return EspeakBackend(voice, with_stress=True, tie=False, language_switch="remove-flags", logger=quiet)


_PIECES = re.compile("([" + re.escape("".join(PUNCTUATION)) + "])")


def phonemize(text: str, language: str = "en") -> Phonemes:
    """Phonemes of spoken words (already normalized), punctuation kept where it is.

    Errors: `OptionError` for a language that is not supported, `TextError` where eSpeak finds no sound.
    """
    if language not in LANGUAGES:
        raise OptionError(
            f"language {language!r}", "it is not supported", f"choose one of {', '.join(LANGUAGES)}"
        )
    from phonemizer.separator import Separator

    pieces = [piece.strip() for piece in _PIECES.split(text.replace("...", "…"))]
    spoken = [piece for piece in pieces if piece and piece not in PUNCTUATION and re.search(r"\w", piece)]
    if not spoken:
        raise TextError(
            f"text {text[:40]!r}", "it has nothing that can be spoken", "give it at least one word"
        )
    separator = Separator(phone=" ", word=" | ", syllable="")
    said = iter(_espeak(LANGUAGES[language]).phonemize(spoken, separator, strip=True))  # type: ignore[attr-defined]
    symbols: list[str] = []
    for piece in pieces:
        if piece in PUNCTUATION:
            if symbols and symbols[-1] == BOUNDARY:
                symbols[-1] = piece
            elif symbols and symbols[-1] not in PUNCTUATION:
                symbols.append(piece)
        elif piece and re.search(r"\w", piece):
            if symbols and symbols[-1] in PUNCTUATION:
                symbols.append(BOUNDARY)
            symbols += next(said).split()
            symbols.append(BOUNDARY)
    while symbols and symbols[-1] == BOUNDARY:
        symbols.pop()
    phonemes = make(symbols)
    if not phonemes.sounds:
        raise TextError(
            f"text {text[:40]!r}", "it has nothing that can be spoken", "give it words of the language"
        )
    return phonemes
