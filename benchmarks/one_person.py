"""How well two people in one enrollment are noticed: what `voiceswap.enrollment._ONE_PERSON` rests on.

python benchmarks/one_person.py FEATURES

FEATURES is a folder that `voiceswap prepare` wrote; its `dev-unseen` people, up to 14 recordings of each, are
drawn for 10 to 20 s of one person, or 5 to 10 s of each of two.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from voiceswap import audio, checkpoint
from voiceswap.acoustics import log_mel
from voiceswap.data.features import FeatureStore, Item
from voiceswap.enrollment import group_likeness, window_vectors

THRESHOLDS = (0.2, 0.3, 0.4, 0.45, 0.5, 0.55, 0.6)
Windows = list[tuple[float, list[np.ndarray]]]  # seconds and vectors of each recording


def windows_of(store: FeatureStore, items: list[Item], encoder: torch.nn.Module) -> Windows:
    """The windows of every recording with at least a second of speech."""
    found = []
    for item in items:
        speech = audio.only_speech(store.audio(item).astype(np.float32) / 32767)
        if len(speech) > audio.SAMPLE_RATE:
            mel = log_mel(torch.from_numpy(audio.level(speech))[None])
            found.append((len(speech) / audio.SAMPLE_RATE, window_vectors(mel, encoder)))
    return found


def draw(windows: Windows, seconds: float, rng: np.random.Generator) -> list[np.ndarray]:
    """The vectors of whole recordings, in random order, until there are so many seconds."""
    vectors: list[np.ndarray] = []
    for index in rng.permutation(len(windows)):
        vectors += windows[index][1]
        seconds -= windows[index][0]
        if seconds <= 0:
            break
    return vectors


@torch.inference_mode()
def main(features: Path) -> None:
    store, rng = FeatureStore(features), np.random.default_rng(0)
    weights = Path(checkpoint.__file__).parent / "weights"
    encoder = checkpoint.load(weights / "speaker-encoder.safetensors", "speaker-encoder")
    people: dict[str, list[Item]] = {}
    for item in store.raw_items:
        if item.split == "dev-unseen":
            people.setdefault(item.speaker, []).append(item)
    windows, gender = {}, {name: items[0].gender for name, items in people.items()}
    for name, items in people.items():
        windows[name] = windows_of(store, [items[i] for i in rng.permutation(len(items))[:14]], encoder)
    found: dict[str, list[float]] = {"one person": [], "two, one gender": [], "two genders": []}
    for own in windows.values():
        for _ in range(100):
            found["one person"].append(group_likeness(np.stack(draw(own, rng.uniform(10, 20), rng))))
    for _ in range(4000):
        a, b = rng.choice(list(people), 2, replace=False)
        if gender[a] and gender[b]:
            vectors = [v for name in (a, b) for v in draw(windows[name], rng.uniform(5, 10), rng)]
            kind = "two, one gender" if gender[a] == gender[b] else "two genders"
            found[kind].append(group_likeness(np.stack(vectors)))
    for kind, values in found.items():
        below = ", ".join(f"{t}: {(np.array(values) < t).mean():.1%}" for t in THRESHOLDS)
        print(f"{kind} ({len(values)} trials), likeness below {below}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
