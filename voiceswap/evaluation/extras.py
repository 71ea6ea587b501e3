"""Finding the packages of `voiceswap[eval]`, which are loaded when a judge is first asked and not before."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from voiceswap.errors import MissingExtraError

JUDGE_RATE = 16000
"""Samples a second at which every judge listens."""


def _missing(package: str) -> MissingExtraError:
    return MissingExtraError(
        f"the judge package {package!r} is not installed",
        "measuring needs the evaluation extra",
        "Run: pip install 'voiceswap[eval]'",
    )


def require(module: str, *, package: str) -> Any:
    """Import `module`; raises `MissingExtraError` naming the `package` that would bring it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise _missing(package) from error


def packaged(module: str, *parts: str, package: str) -> Path:
    """A data file inside an installed `module`, found without importing what that imports."""
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise _missing(package)
    return Path(spec.submodule_search_locations[0]).joinpath(*parts)


def onnx_session(path: Path) -> Any:
    """An ONNX Runtime session on one CPU thread."""
    runtime = require("onnxruntime", package="onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def at_judge_rate(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """`samples` [N] as float32 at 16 kHz, limited to -1…1."""
    from voiceswap.audio import resample

    moved = samples if sample_rate == JUDGE_RATE else resample(samples, sample_rate, JUDGE_RATE)
    return np.clip(np.asarray(moved, np.float32), -1.0, 1.0)
