"""Sizes with their training settings: `tiny` for tests, `base` is what ships, `large` for a GPU.

A preset is a module with one `Preset` a model; `find` looks it up.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Any

from voiceswap.errors import OptionError
from voiceswap.training.optimization import TrainingConfig

NAMES = ("tiny", "base", "large")


@dataclass(frozen=True)
class Preset:
    """What one model's training is made of."""

    model: Any
    """The model's configuration, such as a VocoderConfig."""
    task: Any
    """What its batches and losses are, such as a VocoderTraining."""
    loop: TrainingConfig


def find(kind: str, name: str) -> Preset:
    """The preset `name` of the model `kind`; OptionError for another name."""
    if name not in NAMES:
        raise OptionError(
            f"preset {name!r}", "there is none of this name", f"Choose one of {', '.join(NAMES)}"
        )
    presets: dict[str, Preset] = import_module(f"{__name__}.{name}").PRESETS
    return presets[kind]
