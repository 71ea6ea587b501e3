"""Narrow the blocks of a vocoder, and teach what is left to do as it did.

    python benchmarks/narrow.py FEATURES OUT [--weights FILE] [--expansion 2] [--minutes 19] [--rate 7e-4]
        [--seed 0]

Of each block's hidden units one after another goes whose loss the others can best make up for, and the
outputs' weights of those that stay are moved to do so (the optimal brain surgeon of Hassibi & Stork, 1993,
on the products of the units over recordings). Then the narrow vocoder learns from the wide one
(distillation; Hinton et al., 2015): its spectra, before corrections, of recordings of FEATURES that were
trained on, half of the mels smoothed or sharpened as models' mels are. Prints the distance as a share of the
level that the mel asks for.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from voiceswap import checkpoint
from voiceswap.acoustics import ACOUSTICS
from voiceswap.bundle import WEIGHTS
from voiceswap.data.batches import load_utterances
from voiceswap.models.vocoder import Vocoder, bridge, pulses
from voiceswap.nn.blocks import ConvNeXtBlock

BATCH, FRAMES = 16, 96
EVERY = 100
EXAMPLES = 120


class Recordings:
    """What the vocoder learns from: mels and F0 of recordings with sound up to 12 kHz."""

    def __init__(self, features: Path, rng: np.random.Generator) -> None:
        found = load_utterances([features], lambda i: i.split == "train" and i.band == "full")
        self.utterances = [found[i] for i in rng.permutation(len(found)) if found[i].item.frames >= FRAMES]
        hertz = torch.fft.rfftfreq(ACOUSTICS.n_fft, 1 / ACOUSTICS.sample_rate)
        weight = 1 / (700 + hertz)  # bins count by how many of them a mel has
        self.weight = (weight / weight.mean())[:, None]

    def run(self, model: Vocoder) -> None:
        """Put `EXAMPLES` of them through the model."""
        for utterance in self.utterances[:EXAMPLES]:
            mel = torch.from_numpy(utterance.mel()).T[None]
            model(mel, torch.from_numpy(utterance.f0())[None], corrections=0)

    def loss(self, narrow: Vocoder, wide: Vocoder, rng: np.random.Generator) -> Tensor:
        """How far apart the two models' spectra of a batch are."""
        mel, f0 = self.crops(rng)
        pulse = pulses(f0)
        noise = torch.from_numpy(rng.standard_normal(pulse.shape, np.float32))
        with torch.no_grad():
            asked = wide.spectrum(mel, f0, noise, pulse)
            level = torch.exp(torch.einsum("nm,bmt->bnt", wide.bands_to_bins, mel - wide.noise_mel[:, None]))
        return ((narrow.spectrum(mel, f0, noise, pulse) - asked).abs() * self.weight / level).mean()

    def crops(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Mels [B, M, T] and bridged F0 [B, T]; half of the mels blurred over bands or with more contrast."""
        mels, pitches = [], []
        for number in rng.integers(0, len(self.utterances), BATCH):
            utterance = self.utterances[number]
            start = int(rng.integers(0, utterance.item.frames - FRAMES + 1))
            mels.append(torch.from_numpy(utterance.mel()[start : start + FRAMES]).T)
            pitches.append(bridge(torch.from_numpy(utterance.f0())[None])[0, start : start + FRAMES])
        mel = torch.stack(mels)
        blurred = nn.functional.avg_pool2d(mel, (5, 3), 1, (2, 1), count_include_pad=False)
        share = torch.from_numpy(rng.uniform(-0.5, 1.0, (BATCH, 1, 1)).astype(np.float32))
        chosen = torch.from_numpy(rng.random((BATCH, 1, 1)) < 0.5)
        return torch.where(chosen, mel + share * (blurred - mel), mel), torch.stack(pitches)


def surgery(gram: Tensor, weights: Tensor, keep: int) -> tuple[Tensor, Tensor]:
    """Indices of the `keep` units that stay, and the weights [outputs, units] with zeros for the others.

    `gram` [units, units] are the mean products of the units; the last one is the constant 1 of the bias,
    and stays.
    """
    units = len(gram) - 1
    ridge = 1e-6 * gram.diagonal().mean()
    inverse = torch.linalg.inv(gram + ridge * torch.eye(len(gram), dtype=gram.dtype))
    weights, staying = weights.clone(), torch.ones(units, dtype=torch.bool)
    for _ in range(units - keep):
        pivots = inverse.diagonal()
        costs = (weights[:, :units] ** 2).sum(0) / pivots[:units]
        gone = int(torch.where(staying, costs, torch.inf).argmin())
        row = inverse[gone] / pivots[gone]
        weights -= weights[:, gone, None] * row
        inverse = inverse - torch.outer(inverse[:, gone], row)
        # Rounding leaves traces; and a unit that is gone has no pivot to divide by.
        weights[:, gone] = 0.0
        inverse[gone] = inverse[:, gone] = 0.0
        inverse[gone, gone] = 1.0
        staying[gone] = False
    return staying.nonzero()[:, 0], weights


@torch.inference_mode()
def products(block: ConvNeXtBlock, run: Callable[[], None]) -> Tensor:
    """Mean products of a block's hidden units, and of the constant 1, over the examples that `run` has."""
    size = block.narrow.in_features + 1
    total, frames = torch.zeros(size, size, dtype=torch.double), 0

    def add(_: nn.Module, given: tuple[Tensor]) -> None:
        nonlocal frames
        hidden = given[0].flatten(0, -2).double()
        hidden = torch.cat([hidden, torch.ones(len(hidden), 1, dtype=hidden.dtype)], 1)
        total.add_(hidden.T @ hidden)
        frames += len(hidden)

    watching = block.narrow.register_forward_pre_hook(add)
    run()
    watching.remove()
    return total / frames


def narrowed(model: Vocoder, expansion: int, recordings: Recordings) -> Vocoder:
    """A vocoder whose blocks have `expansion` times the channels for hidden units; `model` is spoilt."""
    for block in model.filter.blocks:
        assert isinstance(block, ConvNeXtBlock)
        matrix, narrow = products(block, lambda: recordings.run(model)), block.narrow
        weights = torch.cat([narrow.weight, narrow.bias[:, None]], 1).detach().double()
        staying, moved = surgery(matrix, weights, narrow.out_features * expansion)
        lost, asked = ((w @ matrix * w).sum() for w in (moved - weights, weights))
        print(f"what a block adds, lost: {100 * float(lost / asked):.2f} %", flush=True)
        narrow.weight = nn.Parameter(moved[:, staying].float())
        narrow.bias = nn.Parameter(moved[:, -1].float())
        block.widen.weight = nn.Parameter(block.widen.weight.detach()[staying])
        block.widen.bias = nn.Parameter(block.widen.bias.detach()[staying])
        narrow.in_features = block.widen.out_features = len(staying)
    made = Vocoder(replace(model.config, expansion=expansion))
    made.load_state_dict(model.state_dict())
    return made.eval()


def distill(narrow: Vocoder, wide: Vocoder, recordings: Recordings, args: argparse.Namespace) -> int:
    """Teach `narrow` what `wide` does for `args.minutes`; returns the steps that it took."""
    rng = np.random.default_rng(args.seed)
    optimizer = torch.optim.AdamW(narrow.parameters(), args.rate, betas=(0.9, 0.99))
    begin, step, shown = time.monotonic(), 0, 0.0
    while (done := (time.monotonic() - begin) / (60 * args.minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = args.rate * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * done))
        loss = recordings.loss(narrow, wide, rng)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(narrow.parameters(), 1.0)
        optimizer.step()
        step, shown = step + 1, shown + float(loss.detach()) / EVERY
        if step % EVERY == 0:
            print(f"step {step}: distance {shown:.4f}, {100 * done:.0f} % of the time", flush=True)
            shown = 0.0
    return step


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path, default=WEIGHTS / "vocoder.safetensors")
    parser.add_argument("--expansion", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=19.0)
    parser.add_argument("--rate", type=float, default=7e-4)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    wide = checkpoint.load(args.weights, "vocoder")
    recordings = Recordings(args.features, np.random.default_rng(args.seed))
    model = narrowed(copy.deepcopy(wide), args.expansion, recordings)
    steps = distill(model, wide, recordings, args) if args.minutes else 0
    training = {
        "before": json.loads(checkpoint.read_header(args.weights)["training"]),
        "data": [args.features.name],
        "hours": round(args.minutes / 60, 3),
        "narrowed_from": wide.weights_hash,
        "steps": steps,
    }
    print(checkpoint.save(model, args.out, training=training))


if __name__ == "__main__":
    main()
