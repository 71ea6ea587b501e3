"""A page of sounds to listen to, made of a report and of the recordings that it was measured on.

Only :class:`voiceswap.speech.Speech` writes the audio that is made. This page re-encodes files that
`Speech.save` wrote, that other systems wrote, and recordings of people, so that they fit into one HTML file;
each of its sounds says in words, and in the comment of its Ogg stream, which of these it is.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date
from functools import cache
from html import escape
from math import inf
from pathlib import Path

import numpy as np

from voiceswap import __version__
from voiceswap.errors import DataError, OptionError
from voiceswap.evaluation import tables
from voiceswap.evaluation.judge import Verdict, recording_in
from voiceswap.evaluation.measure import RECORDINGS
from voiceswap.evaluation.protocol import TASKS, Recording, read_manifest
from voiceswap.evaluation.report import OURS, Report, check_names
from voiceswap.evaluation.sounds import Sound, encoded

LIMIT = 5_000_000
"""Bytes that a page has at most."""
DRAWN = 8
"""Items of each task that are drawn, fewer where the page would become too large."""
REFERENCE_SECONDS = 8.0
"""A recording of the target is heard so long: enough to know a voice by."""
WORST = ("character_error_rate", "dnsmos")
"""Judges whose worst item of each task is shown beside those drawn."""
FIGURES = (
    "character_error_rate",
    "ge2e_share",
    "f0_correlation",
    "pesq",
    "mel_distance",
    "dnsmos",
    "distillmos",
)
_BY, _CC0 = (
    f"{name} (creativecommons.org/{place})"  # as words: a page that is passed on by hand fetches nothing
    for name, place in (("CC BY 4.0", "licenses/by/4.0"), ("CC0 1.0", "publicdomain/zero/1.0"))
)
_LIBRISPEECH = f"LibriSpeech, Panayotov et al. 2015, read by volunteers of LibriVox, {_BY}"
CREDITS = {
    "common-voice": f"Mozilla Common Voice, {_CC0}",
    "kathleen": f"rhasspy dataset-voice-kathleen, {_CC0}",
    "kerstin": f"rhasspy dataset-voice-kerstin, {_CC0}",
    "nathalie": f"rhasspy dataset-voice-nathalie, {_CC0}",
    "librispeech-100": _LIBRISPEECH,
    "librispeech-dev": _LIBRISPEECH,
    "librispeech-test-other": _LIBRISPEECH,
    "ljspeech": "LJ Speech, Keith Ito, read by Linda Johnson, public domain",
    "speechocean762": f"speechocean762, Zhang et al. 2021, {_BY}",
}
"""Credit and licence by what a manifest says in its column `source`."""
_STYLE = """
:root { color-scheme: light dark;
  --ink: #1b1b1b; --paper: #fff; --faint: #555; --line: #bbb; --mine: #0b57a4 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #eee; --paper: #161616; --faint: #b5b5b5; --line: #555; --mine: #8ec5ff }
  img { filter: invert(1) }
}
body { font: 1rem/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 75rem; margin: 0 auto; padding: 1rem }
a { color: var(--mine) }
article { border-top: 1px solid var(--line); margin-top: 1.5rem }
.sounds { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start }
figure { margin: 0; padding: .5rem .75rem; border: 1px solid var(--line); flex: 0 1 21rem; min-width: 0 }
figure.made { border: 2px solid var(--mine) }
audio { width: 100% } img { display: block; max-width: 100%; height: 80px }
table, .why { color: var(--faint); font-size: .875rem }
th { font-weight: normal; text-align: left; padding-right: .5rem }
"""


Encode = Callable[[Path, str, float], Sound]


def write(
    report: Report,
    corpus: Path,
    out: Path,
    *,
    others: Mapping[str, Path] | None = None,
    drawn: int = DRAWN,
    limit: int = LIMIT,
) -> Path:
    """Write `out`/page.html, of at most `limit` bytes, and return its path.

    `report` is what `evaluate` measured on `corpus` and generated into `out`; `others` are the folders of the
    systems that are to be heard beside. Of each task `drawn` items are drawn, fewer until the page is small
    enough, and the worst by `WORST` are added. Raises `DataError` where a recording is missing or a page
    cannot be so small, `OptionError` for a `drawn` below 1 or a name that is taken,
    `MissingExtraError` without Pillow.
    """
    if drawn < 1:
        raise OptionError(f"drawn {drawn}", "a page holds one item of each task or more", "Pass 1 or more")
    check_names(others or ())
    if not any(verdict.system == OURS for verdict in report.verdicts):
        raise DataError(str(out), f"its report has no recordings by {OURS}", "Measure without --others-only")
    recordings = {r.id: r for r in read_manifest(corpus, split=report.settings["split"])}
    for folder in (others or {}).values():
        if not folder.is_dir():
            raise DataError(str(folder), "another system is a folder of recordings", "Check the path")
    # A page too large is put together again with fewer items; each sound is encoded once.
    encode = cache(encoded)
    for number in range(drawn, -1, -1):
        page = _Page(report, recordings, {OURS: out / OURS, **(others or {})}, encode).html(number)
        size = len(page.encode())
        if size <= limit:
            (out / "page.html").write_text(page, encoding="utf-8")
            return out / "page.html"
    raise DataError(
        f"a page of {size} bytes",
        f"it has {limit} at most, and the worst of each task are longer",
        "Name fewer other systems, or measure shorter recordings",
    )


def choose(report: Report, task: str, drawn: int) -> list[tuple[Verdict, str]]:
    """Items of one task, each with the reason why it is shown: drawn by the report's seed, or the worst.

    The draw goes through all people (built-in voices) before anybody comes again. It knows nothing of the
    figures: what is worst and drawn as well is both.
    """
    ours = [v for v in report.verdicts if (v.system, v.task) == (OURS, task)]
    rng = np.random.default_rng([report.settings["seed"], TASKS.index(task)])
    turns: Counter[str] = Counter()
    in_turn: list[tuple[int, Verdict]] = []
    for verdict in (ours[i] for i in rng.permutation(len(ours))):
        in_turn.append((turns[_voice(report, verdict)], verdict))
        turns[_voice(report, verdict)] += 1
    chosen = {
        v.id: (v, ["one of those drawn by chance"])
        for _, v in sorted(in_turn, key=lambda pair: pair[0])[:drawn]
    }
    for name in WORST:
        for verdict, value in report.worst(task, name, count=1):
            reason = f"the worst of {len(ours)} by {tables.LABELS[name]} ({tables.written(name, value)})"
            chosen.setdefault(verdict.id, (verdict, []))[1].append(reason)
    return [(verdict, "; ".join(reasons)) for verdict, reasons in chosen.values()]


def _voice(report: Report, verdict: Verdict) -> str:
    """Whose voice it is, or which built-in one; empty for those of reports that do not say."""
    return verdict.speaker or str(report.speed.get(OURS, {}).get("voices", {}).get(verdict.id, ""))


class _Page:
    """The page as it is put together, and the collections whose recordings went into it."""

    def __init__(
        self,
        report: Report,
        recordings: Mapping[str, Recording],
        folders: Mapping[str, Path],
        encode: Encode,
    ) -> None:
        self.report, self.recordings, self.folders, self.encode = report, recordings, folders, encode
        self.verdicts = {(v.system, v.task, v.id): v for v in report.verdicts}
        self.collections: set[str] = set()

    def html(self, drawn: int) -> str:
        """The page with `drawn` items of each task and the worst."""
        chosen = {task: items for task in TASKS if (items := choose(self.report, task, drawn))}
        sections = "".join(
            f'<section aria-labelledby="{task}"><h2 id="{task}">{tables.TITLES[task]}</h2>'
            f"{''.join(self._item(verdict, why) for verdict, why in items)}</section>"
            for task, items in chosen.items()
        )
        links = " · ".join(
            f'<a href="#{task}">{tables.TITLES[task]} ({len(items)})</a>' for task, items in chosen.items()
        )
        return (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">'
            # Nothing is fetched from anywhere and nothing runs, whatever a text may hold.
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "style-src 'unsafe-inline'; media-src data:; img-src data:\">"
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>voiceswap, to listen to</title><style>{_STYLE}</style></head><body>"
            f"<header><h1>voiceswap, to listen to</h1>{self._about(drawn)}"
            f'<nav aria-label="Tasks">{links}</nav></header><main>{sections}</main></body></html>\n'
        )

    def _about(self, drawn: int) -> str:
        settings = self.report.settings
        command = ["voiceswap", "evaluate", "--corpus", settings["corpus"], "--split", settings["split"]]
        command += ["--count", str(settings["count"]), "--seed", str(settings["seed"]), "--out", "measured"]
        command += [f"--other={name}=peers/{name}" for name in self.folders if name != OURS] + ["--page"]
        unknown = "a licence that this program does not know: find it out before you pass the page on"
        credits = {
            CREDITS.get(name, f"{name or 'a corpus without a name'}, {unknown}") for name in self.collections
        }
        paragraphs = (
            "<strong>Every sound is synthetic unless it says “recording”</strong>: a program made it, and "
            "the person it sounds like did not say it so.",
            f"Of each task up to {drawn} items were drawn by chance (seed {settings['seed']}), in turn "
            "through the voices and without regard to their figures; the worst by character error rate and "
            "by DNSMOS are there as well, and say so. “Heard” is what Whisper tiny.en understood. Pictures "
            "are mel spectra from 0 to 8 kHz; what is loud stands out from the page.",
            f"Recordings: {escape('; '.join(sorted(credits))) or 'none'}. They are re-encoded; those of "
            f"targets are cut to {REFERENCE_SECONDS:.0f} s and were judged whole. Nobody may try to find "
            "out who the people are.",
            f"Made on {date.today().isoformat()} by voiceswap {__version__} from what was measured with "
            f"<code>{escape(shlex.join(command))}</code>",
        )
        return "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs)

    def _item(self, verdict: Verdict, why: str) -> str:
        id, task, speaker = verdict.id, verdict.task, verdict.speaker
        sounds = []
        if task in ("convert", "copy"):
            source = id.removeprefix(f"{task}-")
            source = source.removesuffix(f"-to-{speaker}") if task == "convert" else source
            judged = "sources" if task == "convert" else "references"
            sounds.append(self._recording(source, "the source", judged, inf))
        if task in ("speak", "convert"):
            # The first reference: the plan shuffled them, so none is there for how it sounds.
            own = (v.id for v in self.report.verdicts if (v.task, v.speaker) == ("references", speaker))
            sounds.append(self._recording(next(own, ""), "the target", "references", REFERENCE_SECONDS))
        for system, folder in self.folders.items():
            path = recording_in(folder, id)
            if path is None and system == OURS:
                raise DataError(f"{folder / id}.wav", "the report says that it was made", "Measure again")
            if path:
                voice = _voice(self.report, verdict) if system == OURS or speaker else ""
                label = f"Synthetic: {system}" + (f", as {voice}" if voice else "")
                sounds.append(self._sound(label, path, self.verdicts.get((system, task, id)), inf))
        return (
            f'<article><h3>{escape(id)}</h3><p class="why">Shown because it is {escape(why)}.</p>'
            + (f"<p>Text: <q>{escape(verdict.text)}</q></p>" if verdict.text else "")
            + f'<div class="sounds">{"".join(sounds)}</div></article>'
        )

    def _recording(self, id: str, role: str, task: str, seconds: float) -> str:
        if id not in self.recordings:
            raise DataError(
                f"the recording {id!r}", "the report is of it, and the corpus lacks it", "Name its own corpus"
            )
        found = self.recordings[id]
        self.collections.add(found.collection)
        label = f"Recording: {role}, {found.speaker}"
        return self._sound(label, found.path, self.verdicts.get((RECORDINGS, task, id)), seconds)

    def _sound(self, label: str, path: Path, verdict: Verdict | None, seconds: float) -> str:
        sound = self.encode(path, label, seconds)
        rows = [
            f'<tr><th scope="row">{tables.LABELS[name]}</th><td>{tables.written(name, value)}</td></tr>'
            for name in FIGURES
            if verdict and (value := verdict.figure(name)) is not None
        ]
        understood = verdict is not None and "errors" in verdict.scores
        heard = f"<br>Heard: <q>{escape(verdict.heard)}</q>" if verdict and understood else ""
        kind = "recording" if label.startswith("Recording") else "made"
        name = f"{escape(label)}, {escape(path.stem)}"
        return (
            f'<figure class="{kind}"><figcaption><strong>{escape(label)}</strong>{heard}</figcaption>'
            f'<audio controls preload="metadata" aria-label="{name}" src="{sound.ogg}"></audio>'
            f'<img alt="Mel spectrum, {sound.seconds:.1f} s: {name}" src="{sound.mel}">'
            f"<table>{''.join(rows)}</table></figure>"
        )
