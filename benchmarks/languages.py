"""Measure how well German and Dutch are understood, recorded and spoken, and write a table.

    python benchmarks/languages.py ../shared/corpus docs/languages.md [--weights FOLDER] [--count 40]

Of each language: recordings of the corpus that come with their text; the sentences of sentences.de.txt and
sentences.nl.txt, which are in no training text, by the built-in voices in turn; and the same by the corpus'
reader of the language, enrolled from 10 s. Whisper base listens, and knows these languages less well than
English: the recordings' own errors are the measure. Needs `voiceswap[eval]`.
"""

from __future__ import annotations

import argparse
import csv
import datetime
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from shown import table

import voiceswap
from voiceswap import audio
from voiceswap.evaluation import intelligibility, quality
from voiceswap.evaluation.stats import bootstrap

LANGUAGES = {"de": "German", "nl": "Dutch"}
Said = Iterable[tuple[str, np.ndarray]]
"""Texts and samples [N] at 24 kHz."""


def recordings(corpus: Path, language: str, count: int) -> list[tuple[str, Path]]:
    """Texts and files of `count` recordings, spread over the corpus."""
    with (corpus / "manifest.tsv").open(encoding="utf-8", newline="") as handle:
        rows = csv.DictReader(handle, delimiter="\t", quoting=csv.QUOTE_NONE)
        found = [
            (row["text"], corpus / row["path"])
            for row in rows
            if row["language"] == language and row["text_origin"] == "given" and float(row["seconds"]) > 2
        ]
    places = np.linspace(0, len(found) - 1, min(count, len(found))).astype(int)
    return [found[place] for place in places]


def spoken(studio: voiceswap.Studio, voices: list[voiceswap.Voice], language: str, count: int) -> Said:
    """The sentences of a language by `voices` in turn."""
    texts = Path(__file__).with_name(f"sentences.{language}.txt").read_text("utf-8").splitlines()[:count]
    for number, text in enumerate(texts):
        made = studio.speak(text, voices[number % len(voices)], language=language)
        yield text, audio.resample(made.samples, made.sample_rate, 24000)


def reader(studio: voiceswap.Studio, files: list[Path], language: str) -> voiceswap.Voice:
    """The voice of who is heard in `files`, about 10 s of them."""
    chosen: list[Path] = []
    while sum(len(audio.read(path)) for path in chosen) < 10 * 24000:
        chosen.append(files[len(chosen)])
    until = datetime.date.today() + datetime.timedelta(days=1)
    given = "published for speech synthesis under CC0; enrolled to be measured, and not kept"
    consent = voiceswap.Consent(f"reader of the {LANGUAGES[language]} corpus", ["speak"], until, given=given)
    return studio.enroll(chosen, consent=consent)


def judged(said: Said, language: str) -> tuple[str, str, str]:
    """Character errors in percent with their interval, DNSMOS and Distill-MOS."""
    errors, lengths, scores = [], [], []
    for text, samples in said:
        heard = intelligibility.transcribe(samples, 24000, language)
        wrong, length = intelligibility.character_errors(text, heard, language)
        errors.append(wrong)
        lengths.append(length)
        scores.append((quality.dnsmos(samples, 24000), quality.distillmos(samples, 24000)))
    rate = bootstrap(errors, weights=lengths)
    dnsmos, distillmos = np.mean(scores, 0)
    told = f"{100 * rate.mean:.1f} [{100 * rate.low:.1f}, {100 * rate.high:.1f}]"
    return told, f"{dnsmos:.2f}", f"{distillmos:.2f}"


def rows(corpus: Path, studio: voiceswap.Studio, count: int) -> Iterator[tuple[str, ...]]:
    """Language, what is heard, and its figures."""
    for language, name in LANGUAGES.items():
        found = recordings(corpus, language, count)
        yield name, "recordings", *judged(((text, audio.read(path)) for text, path in found), language)
        if language not in studio.languages:
            continue
        built_in = list(studio.voices.values())
        yield name, "built-in voices", *judged(spoken(studio, built_in, language, count), language)
        own = reader(studio, [path for _, path in found], language)
        yield name, "that reader's voice", *judged(spoken(studio, [own], language, count), language)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("corpus", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--count", type=int, default=40)
    given = parser.parse_args()
    studio = voiceswap.load("cpu", weights=given.weights)
    head = ("language", "what is heard", "character errors, %", "DNSMOS", "Distill-MOS")
    made = table(head, list(rows(given.corpus, studio, given.count)))
    print(made)
    given.out.write_text(
        f"""# German and Dutch

Made by `python benchmarks/languages.py CORPUS docs/languages.md`: {given.count} recordings of the corpus'
only reader in each language, and {given.count} sentences that are in no training text. Whisper base listens;
what it mishears in recordings is its own share. DNSMOS and Distill-MOS were made for English.

{made}
""",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
