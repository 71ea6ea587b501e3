"""Mel-cepstral distortion of conversions against the target's own recording of the same sentence.

    python benchmarks/parallel.py ONE OTHER [--weights FOLDER]

ONE and OTHER are folders in which two speakers say the same sentences under the same file names. Each is
enrolled from three of them; the rest are converted both ways and aligned with the target's recording by
dynamic time warping. The distortion (Kubichek, 1993) is that of 24 cepstral coefficients of the 80-band
log-mel, without the first, which is the level. The unconverted source against the same recording is the
figure to beat. Consent is recorded as the open licence of what is read: give recordings that have one.
"""

from __future__ import annotations

import argparse
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs=2, metavar=("ONE", "OTHER"))
    parser.add_argument("--weights", type=Path)
    args = parser.parse_args()
    studio = voiceswap.load("cpu", weights=args.weights)
    files = [{path.stem: path for path in sorted(folder.iterdir())} for folder in args.folders]
    names = sorted(files[0].keys() & files[1].keys())
    voices = [
        studio.enroll(
            [found[name] for name in names[:ENROLLED]],
            consent=Consent(folder.name, ("convert",), date.today(), given="the open licence of the speech"),
        )
        for folder, found in zip(args.folders, files, strict=True)
    ]
    for source, target in ((0, 1), (1, 0)):
        before, after = [], []
        for name in names[ENROLLED:]:
            wanted = audio.read(files[target][name])
            before.append(distortion(audio.read(files[source][name]), wanted))
            after.append(distortion(studio.convert(files[source][name], voices[target]).samples, wanted))
        fall = 100 * (1 - np.mean(after) / np.mean(before))
        print(
            f"{args.folders[source].name} → {args.folders[target].name}: {len(after)} sentences, "
            f"{np.mean(before):.2f} dB unconverted, {np.mean(after):.2f} dB converted, {fall:.0f} % less"
        )


if __name__ == "__main__":
    main()
