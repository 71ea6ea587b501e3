"""Text to spoken words, sentences and phonemes. The table's expectations were written before the rules."""

from __future__ import annotations

import re
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceswap.errors import OptionError, PhonemeError, TextError, VoiceswapError
from voiceswap.text import LONGEST, normalize, parse, phonemize, sentences
from voiceswap.text.phonemes import FIRST_PHONE

TABLE = [
    line.split("\t")
    for line in (Path(__file__).parent / "data" / "normalization.tsv")
    .read_text(encoding="utf-8")
    .splitlines()
    if not line.startswith("# ")
]
WORDS = "the cat sat on a mat and Mary had little lambs while birds sing".split()


def words(text: str) -> list[str]:
    return re.findall(r"[\w'-]+", text)


# --- normalize


@pytest.mark.parametrize(("written", "spoken"), TABLE, ids=[written for written, _ in TABLE])
def test_written_text_is_spoken_as_a_person_reads_it(written: str, spoken: str) -> None:
    assert normalize(written) == spoken


@pytest.mark.parametrize("spoken", sorted({spoken for _, spoken in TABLE}))
def test_spoken_words_stay_as_they_are(spoken: str) -> None:
    assert normalize(spoken) == spoken


def test_the_table_is_as_long_as_promised() -> None:
    assert len(TABLE) >= 120
    assert all(len(case) == 2 for case in TABLE)


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=80))
def test_any_text_is_normalized_or_refused(text: str) -> None:
    try:
        spoken = normalize(text)
    except (TextError, PhonemeError):
        return
    assert not re.search(r"\d", re.sub(r"\[\[.*?\]\]", "", spoken, flags=re.DOTALL))
    assert spoken.strip() == spoken != ""


@settings(deadline=None, max_examples=300)
@given(st.text(alphabet="0123456789.,:-/ $%€+'xkmMA°()st^=<>#@&", min_size=1, max_size=30))
def test_no_digit_is_left(text: str) -> None:
    try:
        spoken = normalize("word " + text)
    except VoiceswapError:
        return
    assert not re.search(r"\d", spoken)
    assert re.fullmatch(r"[A-Za-z.,!?;:' -]+", spoken)


@settings(deadline=None)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=30))
def test_plain_words_are_not_touched(chosen: list[str]) -> None:
    assert normalize(" ".join(chosen)) == " ".join(chosen)


@settings(deadline=None)
@given(st.integers(0, 10**15 - 1))
def test_cardinals_are_those_of_num2words(number: int) -> None:
    from num2words import num2words

    expected = num2words(number).replace(",", "").replace(" and ", " ")
    assert normalize(f"{number:,} plums") == f"{expected} plums"


# --- refusals


@pytest.mark.parametrize(
    ("text", "naming"),
    [
        ("", "empty or blank"),
        (" \n\t ", "empty or blank"),
        ("?!... --- ***", "only punctuation or pictures"),
        ("👍🎉❤️", "only punctuation or pictures"),
        ("\u200b\u0301", "only punctuation or pictures"),
        ("你好世界", "'你好世界'.*cannot be read as English"),
        ("Привет, world", "'Привет'.*phonemes between"),
        ("He said שלום to me", "'שלום'"),
        ("the ŋ and ʃ sounds", "'ʃ'"),
        (None, "type NoneType.*must be a str"),
        (b"bytes", "type bytes"),
        (7, "type int"),
    ],
)
def test_text_that_cannot_be_spoken_is_refused_at_once(text: object, naming: str) -> None:
    for speak in (normalize, sentences):
        with pytest.raises(TextError, match=naming):
            speak(text)  # type: ignore[arg-type, operator]


@pytest.mark.parametrize(
    ("text", "naming"),
    [
        ("I say [[t ə m", "never closed"),
        ("[[h iː]] and [[", "never closed"),
        ("[[ ]] hello", "no sound"),
        ("[[ , ]] hello", "no sound"),
        ("say [[h ♫ iː]]", "'♫'.*not in the inventory.*INVENTORY"),
        ("[[h [[ iː]]", r"'\[\['"),
    ],
)
def test_malformed_phonemes_are_refused_at_once(text: str, naming: str) -> None:
    for speak in (normalize, sentences):
        with pytest.raises(PhonemeError, match=naming):
            speak(text)  # type: ignore[operator]


@pytest.mark.parametrize("language", ["xx", "", "EN"])
def test_another_language_is_refused_with_those_there_are(language: str) -> None:
    for speak in (normalize, sentences):
        with pytest.raises(OptionError, match="choose one of en, de, nl"):
            speak("hello", language)  # type: ignore[operator]


# --- sentences


def test_sentences_end_where_a_reader_stops() -> None:
    text = (
        "Dr. Smith paid $3.50 at 5 p.m. on Main St. Then he left. "
        '"What?" he said. J. R. Brown nodded... slowly! '
        "Was it 3.14? Yes.\n\nA new paragraph, e.g. this.\n- one\n- two\n* * *\n"
    )
    got = [(sentence.text, sentence.pause) for sentence in sentences(text)]
    assert got == [
        ("Doctor Smith paid three dollars and fifty cents at five P M on Main Street.", 0.35),
        ("Then he left.", 0.35),
        ("What? he said.", 0.35),
        ("J R Brown nodded... slowly!", 0.35),
        ("Was it three point one four?", 0.35),
        ("Yes.", 0.7),
        ("A new paragraph, for example this.", 0.7),
        ("one", 0.7),
        ("two", 0.0),
    ]


def test_a_line_break_alone_does_not_end_a_sentence() -> None:
    assert [sentence.text for sentence in sentences("One line\nand its end.")] == ["One line and its end."]


@pytest.mark.parametrize(
    "text",
    [
        " ".join(WORDS * 40),
        ", ".join(WORDS * 40),
        "Then we went home and " * 60 + "slept.",
        "He said (and I quote) " * 200,
        "extraordinarily" * 100,
        "[[" + "h ə l ˈoʊ | " * 200 + "]]",
        "see[[h ə l ˈoʊ]]" * 100,
    ],
)
def test_long_sentences_are_split_and_lose_nothing(text: str) -> None:
    pieces = list(sentences(text))
    assert len(pieces) > 1
    assert all(len(piece.phonemes) <= LONGEST for piece in pieces)
    assert [piece.pause for piece in pieces[:-1]] == [0.1] * (len(pieces) - 1)
    letters = re.compile(r"[^\W\d_]")
    assert letters.findall("".join(piece.text for piece in pieces)) == letters.findall(normalize(text))


@settings(deadline=None, max_examples=40)
@given(
    st.lists(
        st.sampled_from([*WORDS, "and", "3", "$5", "Dr.", "etc.", "end.", "why?", "U.S.", "\n\n"]),
        max_size=300,
    )
)
def test_every_word_comes_out_in_order(chosen: list[str]) -> None:
    text = " ".join(["Start", *chosen])
    said = [word for sentence in sentences(text) for word in words(sentence.text)]
    assert [word for word in said if word in WORDS] == [word for word in chosen if word in WORDS]


def test_long_text_is_whole_and_pauses_only_between() -> None:
    count = 400
    text = " ".join(f"This is sentence {number} of the story, said Mr. Fox." for number in range(count))
    got = list(sentences(text))
    assert [sentence.text for sentence in got] == [
        normalize(f"This is sentence {number} of the story, said Mr. Fox.") for number in range(count)
    ]
    assert [sentence.pause for sentence in got] == [0.35] * (count - 1) + [0.0]


def test_a_megabyte_starts_at_once_and_needs_little_memory() -> None:
    text = ("The fox, 3 years old, left Main St. at 3:30 p.m. with $5. " * 20_000)[:1_000_000]
    next(sentences("Warm up."))
    tracemalloc.start()
    made = sentences(text)
    for _, sentence in zip(range(300), made, strict=False):
        assert sentence.text
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * len(text)


@pytest.mark.parametrize(
    "text", ["a" * 50_000, "1" * 50_000, "a." * 25_000, "1-" * 25_000, "(" * 50_000 + "a"]
)
def test_monstrous_words_are_bounded(text: str) -> None:
    assert all(
        len(sentence.phonemes) <= LONGEST for _, sentence in zip(range(20), sentences(text), strict=False)
    )


def test_words_that_run_together_are_no_news(capfd: pytest.CaptureFixture[str]) -> None:
    phonemes = phonemize("I have been in the house of the king")  # eSpeak joins "in the" to one word
    assert str(phonemes).count("|") < 8
    assert capfd.readouterr() == ("", "")


# --- inline phonemes


def test_inline_phonemes_are_spoken_as_written() -> None:
    (sentence,) = sentences("I say [[t ə m ˈɑː t oʊ]], not [[p ə t ˈeɪ t oʊ]].")
    assert sentence.text == "I say [[t ə m ˈɑː t oʊ]], not [[p ə t ˈeɪ t oʊ]]."
    spelled = str(sentence.phonemes)
    assert "| t ə m ˈɑː t oʊ , | n" in spelled
    assert spelled.endswith("| p ə t ˈeɪ t oʊ .")


def test_inline_phonemes_alone_are_those_of_parse() -> None:
    (sentence,) = sentences("[[h ə l ˈoʊ | w ˈɜː l d]]")
    assert sentence.phonemes == parse("h ə l ˈoʊ | w ˈɜː l d")


def test_inline_phonemes_need_no_espeak() -> None:
    code = (
        "import sys; sys.modules['phonemizer'] = sys.modules['espeakng_loader'] = None\n"
        "from voiceswap.text import sentences\n"
        "print([len(s.phonemes) for s in sentences('[[h ə l ˈoʊ]], [[h iː]]!')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[9]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("The café is *very* good.", "v ˈɛ ɹ i"),
        ("Go *now*, please!", "n ˈaʊ"),
        ("It is *3 km* away", "θ ɹ ˈiː k ɪ l ˈɑː m ɪ ɾ ə ɹ z"),
        ("Say *[[h iː]]* and *[[h ə]] it*", "h iː h ə ɪ t"),
        ("Then *she left. He* stayed.", "ʃ iː l ˈɛ f t h iː"),
        ("3*4*5, * a list, a **bold** one, a * b * c", ""),
    ],
)
def test_starred_words_are_emphasized(text: str, words: str) -> None:
    said = list(sentences(text))
    found = [str(s.phonemes).split()[place] for s in said for place in s.emphasized]
    assert " ".join(found) == words
    assert [s.text for s in said] == [s.text for s in sentences(normalize(text))]


def test_emphasis_survives_the_cutting_of_long_sentences() -> None:
    pieces = list(sentences("*" + " ".join(["seventeen"] * 28) + "*"))
    assert len(pieces) > 1
    for piece in pieces:
        sounds = [i for i, symbol in enumerate(piece.phonemes.ids) if symbol >= FIRST_PHONE]
        assert list(piece.emphasized) == sounds


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Wait [[pause 300ms]] here.", [("Wait", 0.3, True), ("here.", 0.0, False)]),
        ("Wait. [[ pause 1.5 s ]] Go.", [("Wait.", 1.5, True), ("Go.", 0.0, False)]),
        ("[[pause 2s]]Go", [("", 2.0, True), ("Go", 0.0, False)]),
        ("Go. [[pause 1s]] [[pause 250ms]]", [("Go.", 1.25, True)]),
        ("One. Two [[pause 1s]] three", [("One.", 0.35, False), ("Two", 1.0, True), ("three", 0.0, False)]),
    ],
)
def test_pauses_that_are_asked_for(text: str, pieces: list[tuple[str, float, bool]]) -> None:
    assert [(s.text, s.pause, s.exact) for s in sentences(text)] == pieces


@pytest.mark.parametrize(
    "pause", ["[[pause]]", "[[pause 0ms]]", "[[pause 61s]]", "[[pause -1s]]", "[[pause 3]]"]
)
def test_pauses_that_cannot_be_meant(pause: str) -> None:
    with pytest.raises(TextError, match=r"pause.*more than 0 and at most 60 seconds"):
        sentences(f"Hello {pause} there")
    with pytest.raises(TextError, match="only punctuation"):
        sentences("[[pause 1s]] ...")


def test_spelled_letters_are_said_by_their_names() -> None:
    (sentence,) = sentences("AT&T saw a USA map")
    assert str(sentence.phonemes).startswith("ˈeɪ | t ˈiː")
    assert "ˈɛ s | ˈeɪ | m" in str(sentence.phonemes)
