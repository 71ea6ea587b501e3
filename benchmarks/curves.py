"""Draw the loss curves of run folders: `python benchmarks/curves.py runs docs/pictures/training.png`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SHOWN = {
    "vocoder": ("mel", "linear"),
    "phone-recognizer": ("frames", "phone_error/kathleen", "phone_error/librispeech-dev"),
    "speaker-encoder": ("teacher", "equal_error"),
    "synthesizer": ("mel", "durations", "shape", "understood"),
    "converter": ("mel", "swapped", "understood"),
}


def draw(runs: Path, picture: Path) -> None:
    """One panel a model: means over the log's intervals as lines, held-out figures as dots; minutes below."""
    found = [kind for kind in SHOWN if (runs / kind / "log.jsonl").is_file()]
    figure, axes = plt.subplots(1, len(found), figsize=(4 * len(found), 3.2), squeeze=False)
    for axis, kind in zip(axes[0], found, strict=True):
        rows = [json.loads(line) for line in (runs / kind / "log.jsonl").read_text("utf-8").splitlines()]
        for number, name in enumerate(SHOWN[kind]):
            for row_kind, style in (("train", "-"), ("held-out", "o")):
                some = [row for row in rows if row["kind"] == row_kind and name in row]
                label = f"{name} ({row_kind})" if some else None
                minutes = [row["seconds"] / 60 for row in some]
                values = [row[name] for row in some]
                axis.plot(minutes, values, style, color=f"C{number}", ms=4, lw=1, label=label)
        axis.set(title=kind, xlabel="minutes in the loop", yscale="log")
        axis.legend(fontsize=7)
    figure.tight_layout()
    picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(picture, dpi=80)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
