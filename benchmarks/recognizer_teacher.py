"""A PhoneRecognizer that begins as Moonshine tiny's encoder, and hears that encoder while it learns.

    python benchmarks/recognizer_teacher.py FEATURES… --out recognizer.safetensors --minutes 10

fits the stem, which makes of our mels what Moonshine's convolutions make of the waveform, and exports a
recognizer whose layers are Moonshine's, for `--init`. It also writes what Moonshine understands of every
recording with English speech beside its features; `taught` is the weight of agreeing with that. Nine hours
of recordings are too few to learn from what a phone is whoever speaks; Moonshine heard two hundred thousand.

Jeffries et al., "Moonshine: Speech Recognition for Live Transcription and Voice Commands", 2024; weights
(MIT) from the package `moonshine-voice` of the eval extra, read with `onnx`.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voiceswap import checkpoint
from voiceswap.acoustics import ACOUSTICS
from voiceswap.data.batches import Pool, Utterance, crop, load_utterances
from voiceswap.data.features import FeatureStore
from voiceswap.data.perturb import perturb
from voiceswap.evaluation.extras import at_judge_rate, packaged, require
from voiceswap.models.phone_recognizer import PhoneRecognizer
from voiceswap.nn.transformer import Transformer
from voiceswap.training.lessons import WIDTH, at_pairs
from voiceswap.training.run import stores

_MARGIN = 16  # frames around a piece, so that its ends are heard as they are within


class Moonshine(nn.Module):
    """Waveform [B, N] at 16 kHz → [B, T, 288], a frame of 24 ms each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(1, WIDTH, 127, stride=64, bias=False)
        self.groupnorm = nn.GroupNorm(1, WIDTH)
        self.conv2 = nn.Conv1d(WIDTH, 2 * WIDTH, 7, stride=3)
        self.conv3 = nn.Conv1d(2 * WIDTH, WIDTH, 3, stride=2)
        self.layers = Transformer(WIDTH, layers=6, heads=8, rotated=32)

    def listen(self, wave: Tensor) -> Tensor:
        """What the layers are given."""
        x = self.groupnorm(torch.tanh(self.conv1(wave[:, None])))
        return F.gelu(self.conv3(F.gelu(self.conv2(x)))).transpose(1, 2)

    def forward(self, wave: Tensor) -> Tensor:
        """What they make of it."""
        return self.layers(self.listen(wave))


def packaged_moonshine() -> Moonshine:
    """The encoder of the installed package, its weights in whole numbers made floats again."""
    onnx: Any = require("onnx", package="onnx")
    runtime: Any = require("onnxruntime", package="onnxruntime")
    path = packaged("moonshine_voice", "assets", "tiny-en", "encoder_model.ort", package="moonshine-voice")
    with tempfile.TemporaryDirectory() as folder:
        options = runtime.SessionOptions()
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.add_session_config_entry("session.save_model_format", "ONNX")
        options.optimized_model_filepath = str(Path(folder) / "encoder.onnx")
        runtime.InferenceSession(str(path), options)
        graph = onnx.load(options.optimized_model_filepath).graph
    values = {i.name: torch.from_numpy(onnx.numpy_helper.to_array(i).copy()) for i in graph.initializer}
    products = {}
    for node in graph.node:
        if node.name.endswith("/MatMul_quant"):
            name = next(i for i in node.input if i.endswith("_quantized") and i in values).removesuffix(
                "_quantized"
            )
            whole = values[f"{name}_quantized"].float() - values[f"{name}_zero_point"].float()
            products[node.name.removeprefix("/").removesuffix("/MatMul_quant")] = (
                whole * values[f"{name}_scale"]
            ).T
    state = {
        "conv1.weight": values["conv1.weight_add_tensor"],
        "groupnorm.weight": values["onnx::Mul_2080"].flatten(),
        "groupnorm.bias": values["onnx::Add_2081"].flatten(),
        "layers.norm.weight": values["layer_norm.weight"],
    }
    for name in ("conv2", "conv3"):
        state |= {
            f"{name}.weight": values[f"{name}.weight_add_tensor"],
            f"{name}.bias": values[f"{name}.bias"],
        }
    for number in range(6):
        at, ours = f"layers.{number}", f"layers.layers.{number}"
        attention = f"{at}/self_attn"
        state |= {
            f"{ours}.norm.weight": values[f"{at}.input_layernorm.weight"],
            f"{ours}.ask.weight": torch.cat([products[f"{attention}/{part}_proj"] for part in "qkv"]),
            f"{ours}.answer.weight": products[f"{attention}/o_proj"],
            f"{ours}.norm_mlp.weight": values[f"{at}.post_attention_layernorm.weight"],
            f"{ours}.widen.weight": products[f"{at}/mlp/fc1"],
            f"{ours}.widen.bias": values[f"{at}.mlp.fc1.bias"],
            f"{ours}.narrow.weight": products[f"{at}/mlp/fc2"],
            f"{ours}.narrow.bias": values[f"{at}.mlp.fc2.bias"],
        }
    model = Moonshine()
    model.load_state_dict(state)
    return model.eval().requires_grad_(False)


@torch.inference_mode()
def write_lessons(model: Moonshine, store: FeatureStore) -> None:
    """`moonshine.f16` and `moonshine.json` beside the features; goes on where it was stopped."""
    index, data = store.folder / "moonshine.json", store.folder / "moonshine.f16"
    places: dict[str, list[int]] = json.loads(index.read_text()) if index.is_file() else {}
    end = max((start + count for start, count in places.values()), default=0)
    wanted = [
        item
        for item in store.items
        if item.language == "en" and item.samples and item.split != "dev-unseen" and item.id not in places
    ]
    with data.open("r+b" if data.is_file() else "w+b") as handle:
        handle.truncate(end * WIDTH * 2)
        handle.seek(0, os.SEEK_END)
        for number, item in enumerate(wanted):
            wave = torch.from_numpy(at_judge_rate(Utterance(item, store).audio(), ACOUSTICS.sample_rate))
            said = model(wave[None])[0].numpy().astype(np.float16)
            handle.write(said.tobytes())
            places[item.id] = [end, len(said)]
            end += len(said)
            if number % 500 == 499 or number == len(wanted) - 1:
                handle.flush()
                index.with_suffix(".partial").write_text(json.dumps(places))
                index.with_suffix(".partial").replace(index)
                print(f"{store.folder.name}: {number + 1} of {len(wanted)}", flush=True)


def fit_stem(
    model: PhoneRecognizer, moonshine: Moonshine, utterances: Sequence[Utterance], *, minutes: float
) -> None:
    """Teach the stem what Moonshine's convolutions make of 1.7 s; prints what is left of the variance."""
    rng = np.random.default_rng(0)
    pool = Pool(list(utterances))
    optimizer = torch.optim.AdamW(model.stem.parameters(), lr=2e-3, weight_decay=0.01)
    started, step, mean = time.monotonic(), 0, 1.0
    while (done := (time.monotonic() - started) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(1.0, (step + 1) / 100, 0.02 + 2 * (1 - done))
        heard, wanted = [], []
        for utterance in pool.draw(rng, 16):
            mel, _, start = crop(utterance, min(160, utterance.item.frames // 2 * 2), rng)
            before = min(start, _MARGIN)
            first, last = start - before, start + len(mel) + _MARGIN
            piece = utterance.audio()[first * ACOUSTICS.hop : last * ACOUSTICS.hop]
            wave = torch.from_numpy(at_judge_rate(piece, ACOUSTICS.sample_rate))
            frames = moonshine.listen(wave[None])[0]
            places = before + torch.arange(0, len(mel), 2)
            heard.append(torch.from_numpy(perturb(mel, rng, strength=0.0) if rng.random() < 0.5 else mel))
            wanted.append(at_pairs(frames, places))
        count = min(len(piece) for piece in wanted)
        target = torch.stack([piece[:count] for piece in wanted])
        made = model.listen(torch.stack([mel[: 2 * count] for mel in heard]).transpose(1, 2))
        inner = slice(4, count - 4)
        loss = F.mse_loss(made[:, inner], target[:, inner]) / target[:, inner].var()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step, mean = step + 1, 0.98 * mean + 0.02 * float(loss.detach())
        if step % 50 == 0:
            print(f"step {step}: {mean:.4f} of the variance is left", flush=True)


def main() -> None:
    """Read the arguments; lessons for every store, then the stem."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    folders = [folder for path in arguments.data for folder in stores(path)]
    moonshine = packaged_moonshine()
    model = PhoneRecognizer()
    model.layers.load_state_dict(moonshine.layers.state_dict())
    found = load_utterances(folders, lambda item: item.samples > 0 and item.frames >= 64)
    fit_stem(model, moonshine, [u for u in found if not u.held_out], minutes=arguments.minutes)
    checkpoint.save(model, arguments.out, training={"layers": "Moonshine tiny"})
    for folder in folders:
        write_lessons(moonshine, FeatureStore(folder))


if __name__ == "__main__":
    main()
