from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from voiceswap import Studio, Voice, audio
from voiceswap.errors import AudioError, ConsentError, TextError
from voiceswap.models.alignment import worst_stretch
from voiceswap.provenance import Consent
from voiceswap.provenance.statement import OTHER_NAMES, Statement, other_sentences
from voiceswap.statement import SPEAKER, Hearing, _likelihoods, decoys_of, hear, phones
from voiceswap.voice import fingerprint

END = date(date.today().year + 1, 12, 31)
TEXTS = [  # of the recordings of kathleen
    "For the twentieth time that evening the two men shook hands.",
    "Gregson shoved back his chair and rose to his feet.",
    "He turned sharply, and faced Gregson across the table.",
]


def consent(name: str = "Ada Example", scope: str = "speak,convert", until: date | None = END) -> Consent:
    return Consent(name, scope, until)


def spoken(record: Consent, voice: Voice, **changes: object) -> Statement:
    """As if `record` had been heard in `voice`."""
    values = {"text": record.statement, "consent": record.digest(spoken=False), "recording": "0" * 64}
    values |= {"voice": fingerprint(voice.vector), "words": -0.2, "weakest": -0.9, "speaker": 0.91}
    return Statement(**(values | changes))  # type: ignore[arg-type]


def test_the_sentences_hold_name_scope_and_end_in_words() -> None:
    assert Consent("Ada Example", "speak,convert,train", "2097-12-31").statement == (
        "My name is Ada Example. I agree that voiceswap copies my voice, to speak any text, to convert "
        "recordings of others, and to train on my recordings. My consent ends after the thirty-first of "
        "December, twenty ninety-seven."
    )
    assert Consent("Zoë", "train", None).statement == (
        "My name is Zoë. I agree that voiceswap copies my voice, to train on my recordings. "
        "My consent has no end."
    )


@pytest.mark.parametrize("until", [END, None])
def test_decoys_are_refusals_and_every_other_scope_and_end(until: date | None) -> None:
    record = consent(until=until)
    others = list(other_sentences(record.name, record.scope, record.until))
    assert len(set(others)) == len(others)
    assert record.statement not in others
    for scope in ("speak", "convert", "train", "speak,convert,train", "convert,train"):
        assert consent(scope=scope, until=until).statement in others
    assert consent(until=None if until else END).statement in others
    assert record.statement.replace("I agree", "I do not agree") in others
    if until:
        for other in (END.replace(year=END.year + 10), END.replace(day=30), END.replace(month=1)):
            assert consent(until=other).statement in others
    assert len(decoys_of(record)) == len(others) + len(OTHER_NAMES)


def test_a_name_is_no_decoy_of_itself() -> None:
    own = consent(name=OTHER_NAMES[0])
    assert phones(own.statement) not in decoys_of(own)
    assert len(decoys_of(own)) == len(decoys_of(consent())) - 1


@pytest.fixture(scope="module")
def said(studio: Studio) -> Callable[[Consent, str], tuple[np.ndarray, int]]:
    """The statement of a record, said by a built-in voice (there is no recording of a person's)."""
    made: dict[tuple[str, str], tuple[np.ndarray, int]] = {}

    def say(record: Consent, voice: str) -> tuple[np.ndarray, int]:
        key = (record.statement, voice)
        if key not in made:
            speech = studio.speak(record.statement, studio.voices[voice])
            made[key] = (speech.samples, speech.sample_rate)
        return made[key]

    return say


Said = Callable[[Consent, str], tuple[np.ndarray, int]]


def test_a_statement_is_heard_and_kept(studio: Studio, said: Said, tmp_path: Path) -> None:
    samples, rate = said(consent(), "alto-1")
    soundfile.write(tmp_path / "me.wav", samples, rate, subtype="FLOAT")
    voice = studio.enroll(tmp_path / "me.wav", consent=consent(), statement=tmp_path / "me.wav")
    record = voice.consent
    assert record is not None
    heard = record.spoken
    assert heard is not None
    assert replace(record, spoken=None) == consent()
    assert heard.text == consent().statement
    assert heard.recording == sha256((tmp_path / "me.wav").read_bytes()).hexdigest()
    assert heard.speaker > 0.9
    assert -0.9 < heard.words < 0.1
    assert -1.8 < heard.weakest <= 0
    voice.save(tmp_path / "ada.voice")
    assert Voice.load(tmp_path / "ada.voice").consent == record
    assert studio.speak("Hi.", voice).provenance.consent == record.digest() != consent().digest()


@pytest.mark.parametrize(
    "claimed",
    [
        consent(scope="speak,convert,train"),
        consent(until=END.replace(year=END.year + 1)),
        consent(name="Grace Bloom"),
    ],
    ids=["wider", "longer", "another"],
)
def test_a_statement_of_another_consent_is_refused(studio: Studio, said: Said, claimed: Consent) -> None:
    recording = said(consent(), "alto-1")
    with pytest.raises(ConsentError, match="does not say the words of this consent") as caught:
        studio.enroll(recording, consent=claimed, statement=recording)
    assert claimed.statement in str(caught.value)  # what is to be read


def test_a_refusal_is_not_taken_for_consent(studio: Studio) -> None:
    refusal = consent().statement.replace("I agree", "I don't agree")
    speech = studio.speak(refusal, studio.voices["alto-1"])
    recording = (speech.samples, speech.sample_rate)
    with pytest.raises(ConsentError, match="does not say the words"):
        studio.enroll(recording, consent=consent(), statement=recording)


def test_a_statement_of_another_person_is_refused(studio: Studio, said: Said) -> None:
    own, other = said(consent(), "alto-1"), said(consent(), "baritone-1")
    with pytest.raises(ConsentError, match=r"another voice than the one enrolled \(likeness 0") as caught:
        studio.enroll(own, consent=consent(), statement=other)
    assert str(SPEAKER) in str(caught.value)


def test_real_recordings_of_other_words_are_refused(studio: Studio, kathleen: list[Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for statement, reason in (
            (kathleen[0], r"likelihood ratio -\d\.\d\d, what"),
            ((audio.read(kathleen[0])[:36000], 24000), "it is too short for them"),
        ):
            with pytest.raises(ConsentError, match=f"does not say the words of this consent .{reason}"):
                studio.enroll(kathleen, consent=consent(), statement=statement)


def test_real_recordings_say_their_own_words_and_no_others(studio: Studio, kathleen: list[Path]) -> None:
    def heard(path: Path, text: str, *decoys: str) -> Hearing:
        samples = audio.level(audio.read(path))
        return hear(samples, phones(text), [phones(d) for d in decoys], recognizer=studio._models.recognizer)

    for path, text in zip(kathleen, TEXTS, strict=True):
        others = [other for other in TEXTS if other != text]
        assert heard(path, text, *others).said
        for other in others:
            assert not heard(path, other).said  # without the truth among the decoys
    near = TEXTS[0].replace("evening", "morning")
    assert heard(kathleen[0], TEXTS[0], near).said
    assert not heard(kathleen[0], near, TEXTS[0]).said
    assert not heard(kathleen[0], TEXTS[0].replace("that evening", "in the month of May")).said


def test_statements_that_cannot_be_heard(tiny_studio: Studio, kathleen: list[Path], tmp_path: Path) -> None:
    spoken_twice = np.concatenate([audio.read(path) for path in kathleen] * 7)
    silence = np.zeros(48000, np.float32)
    (tmp_path / "text.wav").write_text("no audio", encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for statement, message in (
            ((spoken_twice, 24000), "at most 60 s"),
            ((silence, 24000), "no speech in it"),
            (tmp_path / "text.wav", "cannot be read"),
            (tmp_path / "none.wav", "does not exist"),
        ):
            with pytest.raises(AudioError, match=message):
                tiny_studio.enroll(kathleen, consent=consent(), statement=statement)
        with pytest.raises(TextError, match="李明"):
            tiny_studio.enroll(kathleen, consent=consent(name="李明"), statement=kathleen[0])


def test_likelihoods_are_sums_over_alignments() -> None:
    scores = torch.tensor([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.5, 0.1, 0.4]]).log()

    def brute(text: list[int]) -> float:
        total = 0.0
        for a in range(3):
            for b in range(3):
                for c in range(3):
                    path = [a, b, c]
                    kept = [x for i, x in enumerate(path) if i == 0 or x != path[i - 1]]
                    if [x for x in kept if x] == text:
                        total += float(scores[0, a].exp() * scores[1, b].exp() * scores[2, c].exp())
        return float(np.log(total)) if total else float("-inf")

    texts = [[1], [1, 2], [2, 1, 2], [1, 1], [1, 2, 1, 2]]
    found = _likelihoods(scores, texts)
    assert found.tolist() == pytest.approx([brute(text) for text in texts], rel=1e-5)


def test_the_worst_stretch_is_where_the_words_differ() -> None:
    sure, other = np.log([0.02, 0.96, 0.02]), np.log([0.02, 0.02, 0.96])
    scores = torch.tensor(np.array([sure] * 10 + [other] * 10), dtype=torch.float32)
    assert worst_stretch(scores, [1, 2], steps=5) == pytest.approx(0, abs=1e-5)
    assert worst_stretch(scores, [1], steps=5) == pytest.approx(np.log(0.02 / 0.96), rel=1e-4)
    assert worst_stretch(scores, [1], steps=100) == pytest.approx(np.log(0.02 / 0.96) / 2, rel=1e-4)
    assert worst_stretch(scores[:2], [1, 1], steps=5) == float("-inf")


@pytest.mark.parametrize(
    "hearing", [Hearing(-0.91, -0.1, 5.0), Hearing(-0.1, -1.81, 5.0), Hearing(-0.1, -0.1, -0.1)]
)
def test_each_measure_alone_refuses(hearing: Hearing) -> None:
    assert Hearing(-0.89, -1.79, 0.1).said
    assert not hearing.said


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            (number, value)
            for number in ("words", "weakest", "speaker")
            for value in (float("nan"), "0", None)
        ),
        *((name, value) for name in ("consent", "voice", "recording") for value in ("", "g" * 64, 3)),
        *(("text", value) for value in ("", "a\nb", 3, "a" * 2001)),
    ],
)
def test_what_is_no_statement(tiny_studio: Studio, field: str, value: object) -> None:
    good = spoken(consent(), tiny_studio.voices["alto-1"])
    with pytest.raises(ConsentError, match=f"a statement with {field}="):
        replace(good, **{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("record", [[], {}, "spoken", 3, {"text": "a"}])
def test_records_that_are_no_statement(record: object) -> None:
    data = consent().to_dict() | {"spoken": record}
    with pytest.raises(ConsentError, match="no statement"):
        Consent.from_dict(data)


def test_a_record_with_a_statement_returns_and_others_are_as_before(tiny_studio: Studio) -> None:
    plain = consent()
    assert "spoken" not in plain.to_dict()  # files of before have no such field, and keep their digests
    assert Consent.from_dict(plain.to_dict()).spoken is None
    heard = replace(plain, spoken=spoken(plain, tiny_studio.voices["alto-1"]))
    again = Consent.from_dict(json.loads(json.dumps(heard.to_dict())))
    assert again == heard
    assert again.digest() == heard.digest() != plain.digest()
    assert heard.digest(spoken=False) == plain.digest()
    with pytest.raises(ConsentError, match="recorded statement of another"):
        replace(plain, spoken="yes")  # type: ignore[arg-type]
    with pytest.raises(ConsentError, match="recorded statement of another"):
        Consent.from_dict(heard.to_dict() | {"scope": ["speak", "convert", "train"]})
