"""Weights and configuration in one safetensors file: versioned, hashed, and never a pickle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from voiceswap.acoustics import ACOUSTICS
from voiceswap.errors import CheckpointError
from voiceswap.models.converter import Converter, ConverterConfig
from voiceswap.models.detector import Detector, DetectorConfig
from voiceswap.models.phone_recognizer import PhoneRecognizer, PhoneRecognizerConfig
from voiceswap.models.speaker_encoder import SpeakerEncoder, SpeakerEncoderConfig
from voiceswap.models.synthesizer import Synthesizer, SynthesizerConfig
from voiceswap.models.vocoder import Vocoder, VocoderConfig
from voiceswap.text.phonemes import INVENTORY

FORMAT = "voiceswap-weights-1"
MODELS: dict[str, tuple[Any, Any]] = {
    "vocoder": (Vocoder, VocoderConfig),
    "phone-recognizer": (PhoneRecognizer, PhoneRecognizerConfig),
    "speaker-encoder": (SpeakerEncoder, SpeakerEncoderConfig),
    "synthesizer": (Synthesizer, SynthesizerConfig),
    "converter": (Converter, ConverterConfig),
    "detector": (Detector, DetectorConfig),
}
_TAUGHT_BY = {"synthesizer": ("speaker-encoder",), "converter": ("speaker-encoder", "phone-recognizer")}
"""Models to which the vectors of other ones mean nothing than those that they were trained with."""
_LARGEST = 2_000_000_000  # bytes; no model of ours comes near it


def _digest(tensors: dict[str, Tensor], header: dict[str, str]) -> str:
    """SHA-256 over every header field and every tensor, in the order of their names."""
    digest = hashlib.sha256()
    for key in sorted(header):
        digest.update(f"{key}={header[key]};".encode())
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def _header(kind: str, config: Any, training: dict[str, Any]) -> dict[str, str]:
    return {
        "format": FORMAT,
        "kind": kind,
        "config": json.dumps(dataclasses.asdict(config), sort_keys=True),
        "acoustics": json.dumps(ACOUSTICS.to_dict(), sort_keys=True),
        "inventory": " ".join(INVENTORY),
        "training": json.dumps(training, sort_keys=True),
    }


def save(model: nn.Module, path: Path, *, training: dict[str, Any] | None = None) -> str:
    """Write fp16 weights with the model's configuration; return their hash.

    `training` (steps, hours, data …) is kept in the header. The file appears whole or not at all.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    kind = str(model.kind)
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    tensors = {name: (v.half() if v.is_floating_point() else v).contiguous() for name, v in state.items()}
    header = _header(kind, model.config, training or {})
    header["sha256"] = _digest(tensors, header)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(tensors, str(partial), metadata=header)
        partial.chmod(0o644)  # safetensors makes it readable by its owner alone
        os.replace(partial, path)
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            str(path), f"it cannot be written ({error})", "choose a writable folder"
        ) from error
    finally:
        partial.unlink(missing_ok=True)
    return header["sha256"]


def read_header(path: Path) -> dict[str, str]:
    """The header of a weights file, without its tensors; errors as `load`."""
    return _open(Path(path))[1]


def _open(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    from safetensors import SafetensorError, safe_open

    remedy = "use a file written by `voiceswap train`, or reinstall voiceswap for the bundled weights"
    if not path.is_file():
        raise CheckpointError(str(path), "there is no such weights file", remedy)
    if path.stat().st_size > _LARGEST:
        raise CheckpointError(str(path), f"it is larger than {_LARGEST} bytes", remedy)
    try:
        with safe_open(str(path), framework="pt") as file:
            header = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(str(path), f"it is not a safetensors file ({error})", remedy) from error
    if header.get("format") != FORMAT:
        raise CheckpointError(str(path), f"its format is {header.get('format')!r}, not {FORMAT!r}", remedy)
    stored = header.pop("sha256", "")
    if stored != _digest(tensors, header):
        raise CheckpointError(
            str(path), "its content does not match its hash: the file is damaged or edited", remedy
        )
    if not {"kind", "config", "acoustics", "inventory", "training"} <= set(header):
        raise CheckpointError(str(path), "its header lacks a field", remedy)
    return tensors, {**header, "sha256": stored}


def load(path: str | Path, kind: str, *, device: torch.device | str = "cpu") -> Any:
    """The model of `kind` in `path`, float32, in evaluation mode, with its hash as `model.weights_hash`.

    `model.teachers` holds the hashes, by kind, of the models that it was trained with, where the file has
    them. Raises `CheckpointError` for a missing or damaged file, another kind, or another acoustic setting.
    """
    path = Path(path)
    tensors, header = _open(path)
    if header["kind"] != kind:
        raise CheckpointError(
            str(path), f"it holds a {header['kind']}, not a {kind}", f"name a {kind} checkpoint"
        )
    if header["acoustics"] != json.dumps(ACOUSTICS.to_dict(), sort_keys=True):
        raise CheckpointError(
            str(path),
            "its acoustic setting differs from this version's",
            "retrain it, or use the matching voiceswap",
        )
    if header["inventory"].split() != list(INVENTORY):
        raise CheckpointError(
            str(path), "its phoneme inventory differs from this version's", "retrain the model"
        )
    model_class, config_class = MODELS[kind]
    try:
        config = json.loads(header["config"])
        model = model_class(
            config_class(**{k: tuple(v) if isinstance(v, list) else v for k, v in config.items()})
        )
        model.load_state_dict(
            {name: v.float() if v.is_floating_point() else v for name, v in tensors.items()}
        )
    except (AttributeError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            str(path), f"its parts do not fit a {kind} ({error})", "use the matching voiceswap"
        ) from error
    model.weights_hash = header["sha256"]
    model.teachers = json.loads(header["training"]).get("teachers", {})
    return model.to(device).eval()


def load_from(folder: Path, kind: str, *, device: torch.device | str = "cpu") -> Any:
    """The model of `kind` in a folder of weights, as `load`, which it has to fit.

    Raises `CheckpointError` as well where it says that it was trained with another speaker encoder or
    recognizer than the folder holds; older weights do not say with which.
    """
    path = folder / f"{kind}.safetensors"
    model = load(path, kind, device=device)
    for teacher in _TAUGHT_BY.get(kind, ()):
        if teacher not in model.teachers:
            continue
        known, there = model.teachers[teacher], read_header(folder / f"{teacher}.safetensors")["sha256"]
        if known != there:
            raise CheckpointError(
                str(path),
                f"it was trained with the {teacher} {known[:12]}, and beside it lies {there[:12]}",
                f"Put that {teacher} beside it, or train it anew with the one that is there",
            )
    return model
