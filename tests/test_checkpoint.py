from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from voiceswap import checkpoint
from voiceswap.acoustics import ACOUSTICS
from voiceswap.errors import CheckpointError
from voiceswap.models.vocoder import SIZES, Vocoder


@pytest.fixture
def weights(tiny_weights: Path, tmp_path: Path) -> Path:
    """A copy of the tiny vocoder's weights, to be damaged."""
    path = tmp_path / "vocoder.safetensors"
    shutil.copy(tiny_weights / "vocoder.safetensors", path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rewritten(path: Path, **changes: str | None) -> None:
    """Change header fields (None leaves one out) and sign the file again, as someone would who knows how."""
    with safe_open(str(path), framework="pt") as file:
        header = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    del header["sha256"]
    header = {name: value for name, value in (header | changes).items() if value is not None}
    save_file(tensors, str(path), metadata=header | {"sha256": checkpoint._digest(tensors, header)})


def refused(path: Path, message: str, kind: str = "vocoder") -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        checkpoint.load(path, kind)
    assert path.name in caught.value.got
    assert caught.value.rule
    assert caught.value.remedy


@pytest.mark.parametrize("kind", checkpoint.MODELS)
def test_a_model_comes_back_in_half_precision(tiny_weights: Path, tmp_path: Path, kind: str) -> None:
    path = tiny_weights / f"{kind}.safetensors"
    model = checkpoint.load(path, kind)
    assert isinstance(model, checkpoint.MODELS[kind][0])
    assert not model.training
    assert all(p.dtype == torch.float32 for p in model.parameters())
    digest = checkpoint.save(model, tmp_path / "again.safetensors")
    assert digest == model.weights_hash == checkpoint.read_header(path)["sha256"]
    again = checkpoint.load(tmp_path / "again.safetensors", kind)
    assert again.config == model.config
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=0, atol=0)
    assert names(tmp_path) == ["again.safetensors"]


def test_precision_lost_is_that_of_half_floats(tmp_path: Path) -> None:
    model = Vocoder(SIZES["tiny"])
    checkpoint.save(model, tmp_path / "vocoder.safetensors")
    again = checkpoint.load(tmp_path / "vocoder.safetensors", "vocoder")
    for name, value in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[name], value, rtol=1e-3, atol=1e-6)


def test_the_header_says_what_the_model_is(tmp_path: Path) -> None:
    training = {"steps": 3, "data": ["mine"]}
    digest = checkpoint.save(Vocoder(SIZES["tiny"]), tmp_path / "v.safetensors", training=training)
    header = checkpoint.read_header(tmp_path / "v.safetensors")
    assert header["sha256"] == digest
    assert (header["format"], header["kind"]) == (checkpoint.FORMAT, "vocoder")
    assert json.loads(header["training"]) == training
    assert json.loads(header["config"]) == {"channels": 32, "blocks": 1, "expansion": 3, "corrections": 4}
    assert json.loads(header["acoustics"]) == ACOUSTICS.to_dict()


def test_no_flipped_bit_gets_through(weights: Path) -> None:
    content = bytearray(weights.read_bytes())
    end = 8 + int.from_bytes(content[:8], "little")
    rng = np.random.default_rng(0)
    places = [*range(16), *rng.integers(16, end, 250), *range(end - 8, end + 8)]
    places += [*rng.integers(end, len(content), 100), len(content) - 1]
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << int(rng.integers(8))
        weights.write_bytes(flipped)
        with pytest.raises(CheckpointError):
            checkpoint.load(weights, "vocoder")
    weights.write_bytes(content)
    checkpoint.load(weights, "vocoder")


@pytest.mark.parametrize("keep", [0, 4, 8, 300, 0.5, -1])
def test_a_cut_file_is_refused(weights: Path, keep: float) -> None:
    content = weights.read_bytes()
    weights.write_bytes(content[: int(len(content) * keep) if 0 < keep < 1 else int(keep)])
    refused(weights, "is not a safetensors file")


def test_a_longer_file_is_refused(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes() + b"\0")
    refused(weights, "is not a safetensors file")


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("opened",)


def test_a_pickle_is_never_opened(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for zipped in (True, False):
        torch.save({"model": Harmful()}, weights, _use_new_zipfile_serialization=zipped)
        refused(weights, "is not a safetensors file")
    assert names(tmp_path) == ["vocoder.safetensors"]


def test_files_that_hold_no_weights(tmp_path: Path) -> None:
    refused(tmp_path / "none.safetensors", "no such weights file")
    refused(tmp_path, "no such weights file")
    (tmp_path / "text.safetensors").write_text("some words " * 100)
    refused(tmp_path / "text.safetensors", "is not a safetensors file")
    save_file({"a": torch.zeros(2)}, str(tmp_path / "other.safetensors"))
    refused(tmp_path / "other.safetensors", "its format is None")
    for size, message in ((10**9, "is not a safetensors file"), (3 * 10**9, "larger than")):
        with (tmp_path / "zeros.safetensors").open("wb") as file:
            file.truncate(size)
        refused(tmp_path / "zeros.safetensors", message)


def test_another_kind_is_refused(tiny_weights: Path) -> None:
    refused(tiny_weights / "converter.safetensors", "it holds a converter, not a vocoder")


def test_another_version_is_refused(weights: Path) -> None:
    rewritten(weights, format="voiceswap-weights-2")
    refused(weights, "its format is 'voiceswap-weights-2', not 'voiceswap-weights-1'")


def test_another_acoustic_setting_is_refused(weights: Path) -> None:
    rewritten(weights, acoustics=json.dumps(replace(ACOUSTICS, hop=300).to_dict()))
    refused(weights, "its acoustic setting differs")


def test_another_inventory_is_refused(weights: Path) -> None:
    rewritten(weights, inventory=checkpoint.read_header(weights)["inventory"] + " ʘ")
    refused(weights, "its phoneme inventory differs")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": '{"channels": 48, "blocks": 1, "expansion": 3}'}, "its parts do not fit a vocoder"),
        ({"config": '{"channels": 32, "depth": 1}'}, "its parts do not fit a vocoder"),
        ({"config": '{"channels": -1}'}, "its parts do not fit a vocoder"),
        ({"config": "[]"}, "its parts do not fit a vocoder"),
        ({"config": "no json"}, "its parts do not fit a vocoder"),
        ({"config": None}, "its header lacks a field"),
        ({"kind": None}, "its header lacks a field"),
        ({"acoustics": None}, "its header lacks a field"),
        ({"inventory": None}, "its header lacks a field"),
    ],
)
def test_a_signed_header_is_not_believed_either(
    weights: Path, changes: dict[str, str | None], message: str
) -> None:
    rewritten(weights, **changes)
    refused(weights, message)


def test_a_header_that_was_edited_alone_is_refused(weights: Path) -> None:
    content = weights.read_bytes()
    assert content.count(b'\\"blocks\\": 1') == 1
    weights.write_bytes(content.replace(b'\\"blocks\\": 1', b'\\"blocks\\": 2'))
    refused(weights, "does not match its hash")


def test_saving_leaves_nothing_half_written(tmp_path: Path) -> None:
    model = Vocoder(SIZES["tiny"])
    with pytest.raises(CheckpointError, match="cannot be written"):
        checkpoint.save(model, tmp_path / "none" / "vocoder.safetensors")
    (tmp_path / "folder.safetensors").mkdir()
    with pytest.raises(CheckpointError, match="cannot be written"):
        checkpoint.save(model, tmp_path / "folder.safetensors")
    assert names(tmp_path) == ["folder.safetensors"]
