"""Mean d-vectors of the training speakers, which teach the speaker encoder (needs the eval extra).

python benchmarks/speaker_teacher.py vectors.json FEATURES…
voiceswap train speaker-encoder … --set 'teacher_vectors="vectors.json"'
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from voiceswap.data.batches import Utterance, load_utterances
from voiceswap.evaluation.similarity import embed

_UTTERANCES, _SECONDS = 6, 4


def main(out: Path, folders: list[Path]) -> None:
    """Six utterances of four seconds of every speaker with audio; `dev-unseen` people are left out."""
    speakers: dict[str, list[Utterance]] = {}
    for utterance in load_utterances(folders, lambda item: item.samples > 0):
        speakers.setdefault(utterance.item.speaker, []).append(utterance)
    rng = np.random.default_rng(0)
    means = {}
    for speaker, utterances in speakers.items():
        chosen = [utterances[i] for i in rng.permutation(len(utterances))[:_UTTERANCES]]
        vectors = [embed(u.audio()[: 24000 * _SECONDS], 24000, encoder="dvector") for u in chosen]
        mean = np.nanmean(vectors, 0)
        means[speaker] = (mean / np.linalg.norm(mean)).tolist()
    out.write_text(json.dumps(means))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
