"""German and Dutch: text to spoken words and sentences, and which language a studio speaks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import voiceswap
from voiceswap import checkpoint
from voiceswap.errors import OptionError, TextError, VoiceswapError
from voiceswap.text import normalize, phonemize, sentences

TABLES = [
    (language, *line.split("\t"))
    for language in ("de", "nl")
    for line in (Path(__file__).parent / "data" / f"normalization.{language}.tsv")
    .read_text(encoding="utf-8")
    .splitlines()
]
LANGUAGE = st.sampled_from(("de", "nl"))
WORDS = {
    "de": "der Hund lief über die Straße und sah das große Haus",
    "nl": "de hond liep over straat en zag het huis",
}


@pytest.mark.parametrize(("language", "written", "spoken"), TABLES)
def test_written_text_is_spoken_as_a_person_reads_it(language: str, written: str, spoken: str) -> None:
    assert normalize(written, language) == spoken
    assert normalize(spoken, language) == spoken


@settings(deadline=None, max_examples=300)
@given(LANGUAGE, st.text(max_size=60))
def test_any_text_is_normalized_or_refused(language: str, text: str) -> None:
    try:
        spoken = normalize(text, language)
    except VoiceswapError:
        return
    assert not re.search(r"\d", re.sub(r"\[\[.*?\]\]", "", spoken, flags=re.DOTALL))


@settings(deadline=None, max_examples=300)
@given(LANGUAGE, st.text(alphabet="0123456789.,:-/ $%€+'xkmMA°()e^=<>#@&", min_size=1, max_size=30))
def test_no_digit_is_left(language: str, text: str) -> None:
    try:
        spoken = normalize("und " + text, language)
    except VoiceswapError:
        return
    assert not re.search(r"\d", spoken)


@settings(deadline=None)
@given(st.data())
def test_plain_words_are_not_touched(data: st.DataObject) -> None:
    language = data.draw(LANGUAGE)
    chosen = " ".join(data.draw(st.lists(st.sampled_from(WORDS[language].split()), min_size=1)))
    assert normalize(chosen, language) == chosen


@settings(deadline=None)
@given(LANGUAGE, st.integers(2000, 10**12))
def test_cardinals_are_those_of_num2words(language: str, number: int) -> None:
    from num2words import num2words

    written = f"{number:,}".replace(",", ".")
    assert normalize(f"{written} x", language) == f"{num2words(number, lang=language)} x"


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("de", "Am 3. Mai kam Dr. Weiß. Er blieb usw. Dann ging er.",
         ["Am dritten Mai kam Doktor Weiß.", "Er blieb und so weiter.", "Dann ging er."]),
        ("de", "Das war im Mai. Danach, z. B. im Juni, nicht.",
         ["Das war im Mai.", "Danach, zum Beispiel im Juni, nicht."]),
        ("nl", "Dhr. De Vries kwam op 3 mei. 's Avonds ging hij. Waarheen?",
         ["De heer De Vries kwam op drie mei.", "sAvonds ging hij.", "Waarheen?"]),
    ],
)  # fmt: skip
def test_sentences_end_where_they_do(language: str, text: str, expected: list[str]) -> None:
    assert [sentence.text for sentence in sentences(text, language)] == expected


def test_a_long_text_loses_no_word() -> None:
    text = "Am 3. Mai kamen die Leute aus dem Dorf, und sie blieben lange dort. " * 60
    said = " ".join(sentence.text for sentence in sentences(text, "de"))
    assert said.split() == normalize(text, "de").split()


def test_emphasis_and_inline_phonemes_are_kept() -> None:
    (sentence,) = sentences("Das ist *sehr* [[ʃ ˈøː n]].", "de")
    places = set(sentence.emphasized)
    assert "".join(s for i, s in enumerate(str(sentence.phonemes).split()) if i in places) == "zˈeːɾ"
    assert str(sentence.phonemes).endswith("ʃ ˈøː n .")


def test_a_language_has_its_own_sounds() -> None:
    assert "ç" in str(phonemize("ich", "de"))
    assert "ɣ" in str(phonemize("goed", "nl"))


@pytest.mark.parametrize("language", ["de", "nl"])
def test_another_script_is_named(language: str) -> None:
    with pytest.raises(TextError, match=r"cannot be read as (German|Dutch)"):
        normalize("привет", language)


@pytest.fixture
def german(tiny_weights: Path, tmp_path: Path) -> voiceswap.Studio:
    """A studio of tiny weights whose synthesizer reads English and German."""
    for path in tiny_weights.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    path = tmp_path / "synthesizer.safetensors"
    model = checkpoint.load(path, "synthesizer")
    checkpoint.save(model.reading(["de"]), path)
    return voiceswap.load("cpu", weights=tmp_path)


def test_a_studio_speaks_what_its_synthesizer_learnt(german: voiceswap.Studio) -> None:
    voice = next(iter(german.voices.values()))
    one, other = (german.speak("Ich bin 3", voice, language=language) for language in ("de", "en"))
    assert one.duration > 0
    assert one.samples.shape != other.samples.shape or (one.samples != other.samples).any()
    for language in ("nl", "xx"):
        with pytest.raises(OptionError, match="speak en, de"):
            german.speak("drie", voice, language=language)
