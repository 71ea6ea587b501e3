"""Mel-cepstral distortion of conversions against the target's own recording of the same sentence.

    python benchmarks/parallel.py ONE OTHER... [--more FOLDER] [--minutes 12] [--weights FOLDER] [--out FILE]

ONE and every OTHER are folders in which speakers say the same sentences under the same file names. Each is
enrolled from three of them; the rest are converted from ONE to each OTHER and back, and aligned with the
target's recording by dynamic time warping. The distortion (Kubichek, 1993) is that of 24 cepstral
coefficients of the 80-band log-mel, without the first, which is the level. The unconverted source against
the same recording is the figure to beat.

With `--more` the same is measured again with an adapter for every speaker: FOLDER holds, in folders of the
speakers' names, 2 to 20 minutes of their speech in other sentences. Each is trained for `--minutes`, in
FOLDER/NAME.run, and kept in FOLDER/NAME.voice; what is kept is used again. Consent is recorded as the open
licence of what is read: give recordings that have one.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import librosa
import numpy as np
import scipy.fft
import torch

import voiceswap
from voiceswap import audio
from voiceswap.acoustics import ACOUSTICS, log_mel
from voiceswap.provenance import Consent
from voiceswap.training.adapt import adapt
from voiceswap.voice import Voice

ENROLLED = 3
COEFFICIENTS = 24


def cepstra(samples: np.ndarray) -> np.ndarray:
    """[T, COEFFICIENTS] of leveled speech; quiet frames at both ends are cut."""
    leveled = audio.level(librosa.effects.trim(samples, top_db=40)[0])
    mel = log_mel(torch.from_numpy(leveled)[None])[0].T.numpy()
    return np.asarray(scipy.fft.dct(mel, norm="ortho")[:, 1 : COEFFICIENTS + 1])


def distortion(one: np.ndarray, other: np.ndarray) -> float:
    """Decibels over the path of least distortion between two sounds [N]."""
    first, second = cepstra(one), cepstra(other)
    path = librosa.sequence.dtw(first.T, second.T, metric="euclidean")[1]
    gaps = np.linalg.norm(first[path[:, 0]] - second[path[:, 1]], axis=1)
    # By Parseval: 10 / ln 10 * sqrt(2 * sum of squares) of the cepstra is the rms over the bands, in dB.
    return float(20 / np.log(10) * gaps.mean() / np.sqrt(ACOUSTICS.n_mels))


def enrolled(studio: voiceswap.Studio, folder: Path, names: Sequence[str]) -> Voice:
    consent = Consent(folder.name, ("convert", "train"), date.today(), given="the open licence of the speech")
    return studio.enroll([recordings(folder)[name] for name in names], consent=consent)


def adapted(
    voice: Voice, speech: Path | Sequence[Path], out: Path, minutes: float, weights: Path | None = None
) -> Voice:
    """`voice` with an adapter from `speech`, trained in `out`/NAME.run unless `out`/NAME.voice is there."""
    kept = out / f"{voice.name}.voice"
    if not kept.exists():
        adapt(voice, speech, out / f"{voice.name}.run", minutes=minutes, weights=weights).save(kept)
    return Voice.load(kept)


def recordings(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in sorted(folder.iterdir())}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("one", type=Path, metavar="ONE")
    parser.add_argument("others", type=Path, nargs="+", metavar="OTHER")
    parser.add_argument("--more", type=Path)
    parser.add_argument("--minutes", type=float, default=12.0)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--out", type=Path, help="file for the means, which benchmarks/publish.py takes")
    args = parser.parse_args()
    studio = voiceswap.load("cpu", weights=args.weights)
    folders = [args.one, *args.others]
    names = sorted(set.intersection(*(set(recordings(folder)) for folder in folders)))
    voices = [[enrolled(studio, folder, names[:ENROLLED])] for folder in folders]
    if args.more:
        for kinds in voices:
            kinds.append(adapted(kinds[0], args.more / kinds[0].name, args.more, args.minutes, args.weights))
    falls = []
    print(f"{len(names) - ENROLLED} sentences, in dB: unconverted, converted" + ", adapted" * bool(args.more))
    for other, kinds in zip(args.others, voices[1:], strict=True):
        for source, target, known in ((args.one, other, kinds), (other, args.one, voices[0])):
            rows = []
            for name in names[ENROLLED:]:
                said, wanted = recordings(source)[name], audio.read(recordings(target)[name])
                made = [studio.convert(said, voice).samples for voice in known]
                rows.append([distortion(samples, wanted) for samples in (audio.read(said), *made)])
            means = np.mean(rows, 0)
            falls.append(100 * (1 - means[1:] / means[0]))
            shown = ", ".join(f"{mean:.2f}" for mean in means)
            less = " and ".join(f"{fall:.0f}" for fall in falls[-1])
            print(f"{source.name} → {target.name}: {shown}; {less} % less", flush=True)
    means = np.mean(falls, 0)
    print(f"mean of {len(falls)} directions: {' and '.join(f'{mean:.1f}' for mean in means)} % less")
    if args.out:
        names = ("parallel_enrolled", "parallel_adapted")[: len(means)]
        args.out.write_text(json.dumps(dict(zip(names, means.tolist(), strict=True))), encoding="utf-8")


if __name__ == "__main__":
    main()
