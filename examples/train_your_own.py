"""Train all five models on a corpus of your own (needs `voiceswap[train]`).

The folder holds audio and a tab-separated manifest.tsv: id, path, speaker, gender, language, source, split,
band, text. This shows the way with the tiny preset; for real use take "base", or "large" on a GPU.

python examples/train_your_own.py my-corpus my-models 2
"""

import shutil
import sys
from pathlib import Path

import voiceswap
from voiceswap.data.corpora import prepare_tsv
from voiceswap.data.features import compute
from voiceswap.training.run import align, run

ORDER = ["speaker-encoder", "phone-recognizer", "vocoder", "synthesizer", "converter"]


def main(corpus: str, out: str, steps: str) -> None:
    features, weights = Path(out, "features"), Path(out, "weights")
    weights.mkdir(parents=True, exist_ok=True)
    for line in compute(prepare_tsv(Path(corpus)), features, jobs=2):
        print("skipped", line)
    align([features])  # where each phone lies, by the bundled recognizer
    for model in ORDER:
        place = Path(out, model)
        run(model, preset="tiny", data=[features], out=place, teachers=weights, loop={"steps": int(steps)})
        shutil.copy(place / f"{model}.safetensors", weights)
    voiceswap.load("cpu", weights=weights)  # whole, and of one acoustic setting
    print(f"Use them by voiceswap.load(weights={str(weights)!r})")


if __name__ == "__main__":
    main(*sys.argv[1:])
