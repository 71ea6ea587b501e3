"""The Synthesizer's own speech, exactly aligned: more text by more people for the PhoneRecognizer.

`python -m voiceswap.training.spoken sentences.txt FEATURES… --out FOLDER --count 3000` writes a feature store
(without audio). Every sentence has another speaker, between two of those of the feature folders, with another
range, rate and room. Such speech is no target for a model that speaks: keep the store out of their data.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from voiceswap import checkpoint
from voiceswap.acoustics import Acoustics
from voiceswap.bundle import WEIGHTS
from voiceswap.data.batches import load_utterances
from voiceswap.data.features import append, padded
from voiceswap.models.synthesizer import Synthesizer
from voiceswap.text import sentences
from voiceswap.training.run import stores
from voiceswap.training.speakers import SpeakerTable, unit


def speak(
    texts: Sequence[str], synthesizer: Synthesizer, table: SpeakerTable, *, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """A row of a feature store, with its arrays, for every sentence in `texts`."""
    rng = np.random.default_rng(seed)
    names = sorted(table.vectors)
    for number, text in enumerate(texts):
        for part, sentence in enumerate(sentences(text)):
            ids, stress = padded(list(sentence.phonemes.ids)), padded(list(sentence.phonemes.stress), 0)
            two = [names[i] for i in rng.choice(len(names), 2)]
            said, durations = _say(synthesizer, table, two, ids, stress, rng)
            yield {
                "id": f"self-{seed}-{number}-{part}",
                "speaker": f"self-{number}",
                "language": "en",
                "gender": "",
                "split": "train",
                "band": "full",
                "source": "self",
                "text": sentence.text,
                "phonemes": ids,
                "stress": stress,
                "durations": durations.tolist(),
                "mel": said.mel.T.numpy().astype(np.float16),
                "f0": said.f0.numpy().astype(np.float32),
                "pcm": np.zeros(0, np.int16),
            }


@torch.inference_mode()
def _say(
    synthesizer: Synthesizer,
    table: SpeakerTable,
    two: Sequence[str],
    ids: Sequence[int],
    stress: Sequence[int],
    rng: np.random.Generator,
) -> tuple[Acoustics, torch.Tensor]:
    """Acoustics by somebody between `two` speakers, and the frames [P] of each phoneme."""
    share = float(rng.uniform())
    one, other = (table.vectors[name][rng.integers(len(table.vectors[name]))] for name in two)
    speaker = torch.from_numpy(unit(share * one + (1 - share) * other))
    quality = torch.tensor([float(rng.uniform(0.1, 1.0))])
    condition = synthesizer.condition(speaker[None], quality)
    rate = torch.tensor([float(rng.uniform(9.5, 17.5))])
    hidden, planned = synthesizer.plan(torch.tensor([ids]), torch.tensor([stress]), condition, rate)
    jitter = np.exp(rng.normal(0, 0.12, len(ids))).astype(np.float32)  # people time sounds less evenly
    exact = torch.expm1(planned[0]).clamp(0, 120) * torch.from_numpy(jitter)
    durations = torch.diff(torch.round(exact.cumsum(0)), prepend=torch.zeros(1)).long()
    (low, spread), (high, _) = (table.pitch[name] for name in two)
    frames = int(durations.sum())
    hidden = synthesizer.spread(hidden, durations[None], frames)
    shape, voicing = synthesizer.melody(hidden, condition)
    median = low**share * high ** (1 - share)
    f0 = median * torch.exp(float(rng.uniform(0.8, 1.5)) * spread * shape.clamp(-3, 3)) * (voicing > 0)
    return Acoustics(synthesizer.decode(hidden, f0, condition)[0], f0[0]), durations


def main() -> None:
    """Read the arguments, and append to the store what it does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sentences", type=Path)
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    arguments = parser.parse_args()
    encoder = checkpoint.load(arguments.weights / "speaker-encoder.safetensors", "speaker-encoder")
    synthesizer = checkpoint.load(arguments.weights / "synthesizer.safetensors", "synthesizer")
    folders = [folder for path in arguments.data for folder in stores(path)]
    table = SpeakerTable(encoder, load_utterances(folders, lambda item: item.language == "en"))
    lines = arguments.sentences.read_text("utf-8").splitlines()
    chosen = np.random.default_rng(arguments.seed).permutation(len(lines))[: arguments.count]
    append(speak([lines[i] for i in chosen], synthesizer, table, seed=arguments.seed), arguments.out)


if __name__ == "__main__":
    main()
