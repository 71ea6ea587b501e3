"""The page of sounds: what it holds, that it stays small, and that it can do no harm."""

from __future__ import annotations

import csv
import io
import re
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import soundfile

from voiceswap import cli
from voiceswap.errors import DataError, OptionError
from voiceswap.evaluation import page as page_of_sounds
from voiceswap.evaluation.judge import Verdict
from voiceswap.evaluation.page import choose, write
from voiceswap.evaluation.report import Report, load

pytest.importorskip("PIL", reason="Pillow of voiceswap[eval] is not installed")

RATE = 24000
PEOPLE = ("ann", "bob", "cyd")
EVIL = "<script src=\"https://example.org/x.js\">alert('heard')</script>&"


def noise(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 2 * RATE // 5), RATE)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Three people, three recordings each; of ann's collection the licence is known."""
    folder = tmp_path / "corpus"
    rows = []
    for person in PEOPLE:
        for number in range(3):
            id = f"{person}-to-{number}"  # a name that a conversion's could be mistaken at
            noise(folder / f"{id}.wav")
            source = "librispeech-dev" if person == "ann" else "attic"
            rows.append([id, f"{id}.wav", person, "", "dev-unseen", "0.4", "given", "Yes.", source])
    with (folder / "manifest.tsv").open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, delimiter="\t")
        writer.writerow(
            ["id", "path", "speaker", "gender", "split", "seconds", "text_origin", "text", "source"]
        )
        writer.writerows(rows)
    return folder


@pytest.fixture
def report(tmp_path: Path, corpus: Path) -> Report:
    """Nine items a task by us, one by hal; the last of each is understood worst, the first sounds worst."""

    def verdict(system: str, task: str, id: str, speaker: str, number: int) -> Verdict:
        judged = {"dnsmos": 2 + 0.1 * number} | (
            {} if task == "copy" else {"errors": number, "characters": 10}
        )
        return Verdict(id, judged, "A text.", "" if task == "copy" else EVIL, system, task, speaker)

    verdicts = []
    for number in range(9):
        person, other = PEOPLE[number % 3], PEOPLE[(number + 1) % 3]
        recording = f"{person}-to-{number // 3}"
        verdicts += [
            verdict("recordings", "references", recording, person, number),
            verdict("voiceswap", "builtin", f"builtin-{number + 1:03d}", "", number),
            verdict("voiceswap", "speak", f"speak-{number + 1:03d}-{person}", person, number),
            verdict("voiceswap", "convert", f"convert-{recording}-to-{other}", other, number),
            verdict("voiceswap", "copy", f"copy-{recording}", person, number),
        ]
    ours = [v for v in verdicts if v.system == "voiceswap"]
    for one in ours:
        noise(tmp_path / "out" / "voiceswap" / f"{one.id}.wav")
    for one in ours[:1]:
        noise(tmp_path / "hal" / f"{one.id}.flac")
        verdicts.append(replace(one, system="hal", heard="I am sorry"))
    settings = {"corpus": "corpus", "split": "dev-unseen", "people": PEOPLE, "count": 9, "seed": 0}
    voices = {f"builtin-{number + 1:03d}": ("alto-1", "bass-1")[number % 2] for number in range(9)}
    made = Report({**settings, "likeness": {}}, (), tuple(verdicts), {"voiceswap": {"voices": voices}})
    made.save(tmp_path / "out")
    return made


class Tags(HTMLParser):
    """The tags of a page, each closed in its turn."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[Mapping[str, str | None]]:
        return [attributes for name, attributes in self.seen if name == tag]


def content(address: str | None) -> io.BytesIO:
    kind, _, code = (address or "").partition(";base64,")
    assert kind in ("data:audio/ogg", "data:image/png")
    return io.BytesIO(b64decode(code, validate=True))


def test_page_holds_each_task_with_what_it_was_made_of(
    tmp_path: Path, corpus: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_of_sounds, "REFERENCE_SECONDS", 0.2)
    path = write(report, corpus, tmp_path / "out", others={"hal": tmp_path / "hal"}, drawn=9)
    assert path == tmp_path / "out" / "page.html"
    page = path.read_text(encoding="utf-8")
    tags = Tags(page)
    assert len(tags.all("article")) == 4 * 9
    # builtin alone, speak and copy beside a recording, convert beside two; hal has one of builtin
    assert len(tags.all("audio")) == len(tags.all("img")) == 9 * (1 + 2 + 3 + 2) + 1
    labels = [str(audio["aria-label"]) for audio in tags.all("audio")]
    assert all("controls" in audio for audio in tags.all("audio"))
    assert "Synthetic: voiceswap, as alto-1, builtin-001" in labels
    assert "Synthetic: hal, builtin-001" in labels
    assert "Recording: the source, ann, ann-to-1" in labels
    seconds = {}
    for audio, label in zip(tags.all("audio"), labels, strict=True):
        with soundfile.SoundFile(content(audio["src"])) as file:
            assert (file.samplerate, file.channels) == (RATE, 1)
            assert label.startswith(file.comment)
            seconds[label] = file.frames / RATE
    assert seconds["Recording: the target, ann, ann-to-0"] == pytest.approx(0.2, abs=0.05)
    assert seconds["Recording: the source, ann, ann-to-0"] == pytest.approx(0.4, abs=0.05)
    assert {content(image["src"]).read(4) for image in tags.all("img")} == {b"\x89PNG"}
    assert all(image["alt"] for image in tags.all("img"))
    assert "Every sound is synthetic unless it says “recording”" in page
    assert "LibriSpeech" in page
    assert "attic, a licence that this program does not know" in page
    assert "voiceswap evaluate --corpus corpus --split dev-unseen --count 9 --seed 0" in page
    assert "I am sorry" in page


def test_page_fetches_nothing_and_runs_nothing(tmp_path: Path, corpus: Path, report: Report) -> None:
    evil = tuple(replace(v, text=EVIL) for v in report.verdicts)
    page = write(replace(report, verdicts=evil), corpus, tmp_path / "out", drawn=1).read_text(
        encoding="utf-8"
    )
    tags = Tags(page)
    assert {tag for tag, _ in tags.seen}.isdisjoint({"script", "link", "iframe", "object", "base", "form"})
    for _, attributes in tags.seen:
        assert not [name for name in attributes if name.startswith("on")]
        assert str(attributes.get("src", "data:")).startswith("data:")
        assert str(attributes.get("href", "#")).startswith("#")
    assert "url(" not in page
    assert "@import" not in page
    assert re.findall(r"\w+://[^/]*", page.replace("https://example.org", "")) == []
    assert "&lt;script src=&quot;https://example.org/x.js&quot;&gt;" in page
    assert any("default-src 'none'" in str(meta.get("content")) for meta in tags.all("meta"))


def test_page_never_passes_its_limit(tmp_path: Path, corpus: Path, report: Report) -> None:
    out = tmp_path / "out"
    counts = []
    whole = write(report, corpus, out, drawn=2).stat().st_size
    for limit in (whole, whole - 1):
        path = write(report, corpus, out, drawn=2, limit=limit)
        assert path.stat().st_size <= limit
        counts.append(len(Tags(path.read_text(encoding="utf-8")).all("article")))
    assert counts[0] > counts[1]
    before = path.read_bytes()
    with pytest.raises(DataError, match="has 9999 at most"):
        write(report, corpus, out, drawn=1, limit=9999)
    assert path.read_bytes() == before


def test_items_are_drawn_by_seed_and_the_worst_are_named(report: Report) -> None:
    drawn = choose(report, "speak", 4)
    assert drawn == choose(report, "speak", 4)
    other = replace(report, settings={**report.settings, "seed": 1})
    assert [v.id for v, _ in choose(other, "speak", 4)] != [v.id for v, _ in drawn]
    assert {verdict.speaker for verdict, _ in drawn[:3]} == set(PEOPLE)
    builtin = [v for v, why in choose(report, "builtin", 4) if "drawn" in why]
    assert sum(int(v.id[-1]) % 2 for v in builtin) == 2  # two voices, in turn
    reasons = {verdict.id: why for verdict, why in drawn}
    assert "the worst of 9 by character error rate, % (80.0)" in reasons["speak-009-cyd"]
    assert "the worst of 9 by DNSMOS, overall (2.00)" in reasons["speak-001-ann"]
    # Nothing but the seed decides what is drawn: figures turned round change the worst alone.
    turned = [replace(v, scores={**v.scores, "dnsmos": 5 - v.scores["dnsmos"]}) for v in report.verdicts]
    again = choose(replace(report, verdicts=tuple(turned)), "speak", 4)
    assert [v.id for v, why in again if "drawn" in why] == [v.id for v, why in drawn if "drawn" in why]


def test_without_opus_it_is_vorbis(
    tmp_path: Path, corpus: Path, report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soundfile, "available_subtypes", lambda container: {"VORBIS": "Vorbis"})
    page = write(report, corpus, tmp_path / "out", drawn=1).read_text(encoding="utf-8")
    with soundfile.SoundFile(content(Tags(page).all("audio")[0]["src"])) as file:
        assert file.subtype == "VORBIS"


def test_page_refuses_what_it_cannot_show(tmp_path: Path, corpus: Path, report: Report) -> None:
    out = tmp_path / "out"
    with pytest.raises(OptionError, match="drawn 0"):
        write(report, corpus, out, drawn=0)
    with pytest.raises(OptionError, match="taken"):
        write(report, corpus, out, others={"voiceswap": tmp_path / "hal"})
    with pytest.raises(DataError, match="nowhere"):
        write(report, corpus, out, others={"hal": tmp_path / "nowhere"})
    with pytest.raises(DataError, match="no recordings by voiceswap"):
        write(replace(report, verdicts=report.verdicts[:1]), corpus, out)
    (corpus / "manifest.tsv").write_text(
        "".join((corpus / "manifest.tsv").read_text(encoding="utf-8").splitlines(keepends=True)[:2])
    )
    with pytest.raises(DataError, match="the corpus lacks it"):
        write(report, corpus, out)
    (out / "voiceswap" / "builtin-001.wav").unlink()
    with pytest.raises(DataError, match=r"builtin-001\.wav"):
        write(report, corpus, out)


def test_a_report_is_read_again_as_it_was(tmp_path: Path, report: Report) -> None:
    unknown = replace(report.verdicts[0], scores={"dnsmos": float("nan")})
    replace(report, verdicts=(unknown, *report.verdicts[1:])).save(tmp_path / "again")
    again = load(tmp_path / "again")
    assert again.verdicts[1:] == report.verdicts[1:]
    assert again.verdicts[0].figure("dnsmos") is None
    assert again.speed == report.speed
    (tmp_path / "again" / "report.json").write_text('{"settings": {}}', encoding="utf-8")
    for folder in ("again", "nowhere"):
        with pytest.raises(DataError, match="Measure first"):
            load(tmp_path / folder)


def test_the_command_makes_the_page_of_a_report_that_is_there(
    tmp_path: Path, corpus: Path, report: Report, capsys: pytest.CaptureFixture[str]
) -> None:
    place = ["--corpus", str(corpus), "--out", str(tmp_path / "out")]
    assert cli.main(["evaluate", *place, "--page-only", "--other", f"hal={tmp_path / 'hal'}"]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out' / 'page.html'}\n"
    assert cli.main(["evaluate", *place, "--page", "--others-only"]) == 2
    assert "leave out" in capsys.readouterr().err
    assert cli.main(["evaluate", "--corpus", str(corpus), "--out", str(tmp_path), "--page-only"]) == 2
    assert "Measure first" in capsys.readouterr().err


def test_the_command_makes_the_page_of_what_it_measured(
    tmp_path: Path,
    corpus: Path,
    report: Report,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("voiceswap.cli_evaluation.load_studio", lambda device, weights: None)
    monkeypatch.setattr("voiceswap.evaluation.report.evaluate", lambda *given, **options: report)
    place = ["--corpus", str(corpus), "--out", str(tmp_path / "out")]
    assert cli.main(["evaluate", *place]) == 0
    assert not (tmp_path / "out" / "page.html").exists()
    assert cli.main(["evaluate", *place, "--page"]) == 0
    assert capsys.readouterr().out.endswith(f"{tmp_path / 'out' / 'page.html'}\n")
    assert (tmp_path / "out" / "page.html").exists()


@pytest.mark.slow
def test_a_browser_shows_it(tmp_path: Path, corpus: Path, report: Report) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium here")
    path = write(report, corpus, tmp_path / "out", drawn=2)
    picture = tmp_path / "page.png"
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--screenshot={picture}"]
    subprocess.run([browser, *options, path.as_uri()], check=True, timeout=60, capture_output=True)
    assert picture.stat().st_size > 10_000
