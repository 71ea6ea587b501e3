"""How much contrast outputs have: deviations of their log-mels from smooth ones, beside recordings'.

    voiceswap evaluate --corpus CORPUS --out measured
    python benchmarks/contrast.py CORPUS measured/voiceswap [OTHER FOLDER …]

Prints a Markdown table. What a decoder averages away is missing here; the postfilter gives it back.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch

from voiceswap import audio
from voiceswap.acoustics import f0_track, log_mel
from voiceswap.evaluation import protocol
from voiceswap.models.postfilter import BANDS, FRAMES, smooth

QUIET = 3.5  # log magnitude below the loud frames: pauses do not count
EVERY = 4  # of the evaluation's items


def deviations(path: Path) -> tuple[float, float, float]:
    """Across bands of voiced and of unvoiced frames, and from frame to frame of voiced ones."""
    samples = audio.level(audio.read(path))
    mel = log_mel(torch.from_numpy(samples)[None])
    voiced = torch.from_numpy(f0_track(samples)) > 0
    level = mel[0].mean(0)
    loud = level > torch.quantile(level, 0.95) - QUIET

    across = mel.transpose(1, 2)
    bands = (across - smooth(across, BANDS))[0].T[5:75]
    motion = (mel - smooth(mel, FRAMES))[0]
    parts = bands[:, voiced & loud], bands[:, ~voiced & loud], motion[:, voiced & loud]
    return float(parts[0].std()), float(parts[1].std()), float(parts[2].std())


def row(name: str, paths: Iterable[Path]) -> str:
    measured = np.array([deviations(path) for path in paths])
    cells = [f"{value:.2f}" for value in np.nanmean(measured, 0)]
    return f"| {' | '.join([name, *cells, str(len(measured))])} |"


def main(corpus: Path, folders: list[Path]) -> None:
    plan = protocol.plan(corpus, count=200)
    print(
        "| | across bands, voiced | unvoiced | from frame to frame, voiced | items |\n|---|---|---|---|---|"
    )
    sources = [item.source.path for item in plan.items if item.task == "copy" and item.source]
    print(row("recordings", sources[::EVERY]), flush=True)
    for folder in folders:
        for task in ("copy", "builtin", "speak", "convert"):
            made = [folder / f"{item.id}.wav" for item in plan.items if item.task == task]
            print(
                row(f"{folder.parent.name}: {task}", [path for path in made if path.exists()][::EVERY]),
                flush=True,
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
