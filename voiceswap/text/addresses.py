"""E-mail, web and file addresses in words: their parts and signs, one after the other."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from voiceswap.text import lexicon

_TAIL = r"(?:[/?#][^\s<>\"()]*)?"
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"\b(?:(?:https?|ftp)://|www\.)[^\s<>\"()]+")
_DOMAIN = re.compile(
    rf"(?<![\w.-])(?:[\w-]+\.)+(?:{'|'.join(lexicon.DOMAINS)})(?![\w-]|\.\w)(?::\d+)?{_TAIL}"
)
_FILE = re.compile(rf"(?<![\w.-])(?:[\w-]+\.)+(?:{'|'.join(lexicon.FILE_TYPES)})(?![\w-]|\.\w)")
_PATH = re.compile(r"(?<![\w/.])~?/[A-Za-z_][\w-]*(?:/[\w.-]+)*/?")


def speak_addresses(text: str, signs: Mapping[str, str], digits: Callable[[str], str]) -> str:
    """`text` with every address in words; `signs` names the signs in it and ``hashtag``, `digits` numbers."""

    def part(written: str) -> str:
        if written.isdigit():
            return digits(written)
        return lexicon.ADDRESS_WORDS.get(written, signs.get(written, written))

    def address(match: re.Match[str]) -> str:
        whole = match[0]
        bare = whole.rstrip(".,;:!?'")
        words = re.sub(r"^\w+://", "", bare).rstrip("/")
        return " ".join(map(part, re.findall(r"\d+|[^\W\d_]+|_|[^\w\s]", words))) + whole[len(bare) :]

    def hashtag(match: re.Match[str]) -> str:
        words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=\d)|_", " ", match[1])
        return f"hashtag {words}"

    for pattern in (_EMAIL, _URL, _DOMAIN, _FILE, _PATH):
        text = pattern.sub(address, text)
    text = re.sub(r"(?<![\w@])@\w+(?:\.\w+)*", address, text)
    return re.sub(r"(?<![\w#])#(\d*[^\W\d]\w*)", hashtag, text)
