"""A folder of weights: its models, the languages they read, and its built-in voices."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from voiceswap import checkpoint
from voiceswap.errors import CheckpointError
from voiceswap.models.timbre import Timbre
from voiceswap.nn.precision import halved, multiplies_bfloat16
from voiceswap.voice import Voice

WEIGHTS = Path(__file__).parent / "weights"
"""The folder that comes with the package."""


class Models:
    """The five models of a folder, each loaded when it is first needed, and its voices.

    `space` is the hash of the speaker encoder, which is read at once: a folder without weights is an error.
    """

    def __init__(self, weights: Path, device: torch.device) -> None:
        self._weights, self.device = weights, device
        self.space = self._header("speaker-encoder")["sha256"]

    def _header(self, kind: str) -> dict[str, str]:
        return checkpoint.read_header(self._weights / f"{kind}.safetensors")

    def _load(self, kind: str, *, halve: bool = False) -> Any:
        model = checkpoint.load_from(self._weights, kind, device=self.device)
        return halved(model) if halve and self.device.type == "cpu" and multiplies_bfloat16() else model

    @cached_property
    def encoder(self) -> Any:
        """Who speaks: mel to vector."""
        return self._load("speaker-encoder")

    @cached_property
    def recognizer(self) -> Any:
        """What is said: mel to content and phones."""
        return self._load("phone-recognizer")

    @cached_property
    def synthesizer(self) -> Any:
        """Phonemes to mel and F0."""
        return self._load("synthesizer", halve=True)

    @cached_property
    def converter(self) -> Any:
        """Content, F0 and a voice to mel."""
        return self._load("converter", halve=True)

    @cached_property
    def _remembering(self) -> str:
        """Hash of the converter's weights. Reading it takes longer than a word takes to speak."""
        return self._header("converter")["sha256"]

    def timbre(self, voice: Voice, *, converted: bool = False) -> Timbre | None:
        """What is remembered of the person's reference, with a warning if another converter remembered it.

        An adapter, which is for what is `converted`, has its own.
        """
        if converted and voice.adapter is not None:
            return voice.adapter.timbre
        timbre = voice.timbre
        if timbre is None or timbre.converter == self._remembering:
            return timbre
        warnings.warn(
            f"the voice {voice.name!r} was enrolled with other weights, and with these it is less like the "
            "person: enroll it again",
            stacklevel=3,
        )
        return None

    @cached_property
    def vocoder(self) -> Any:
        """Mel and F0 to samples."""
        return self._load("vocoder", halve=True)

    @cached_property
    def digest(self) -> str:
        """Hash of all the weights together."""
        kinds = sorted({*checkpoint.MODELS} - {"detector"})  # which makes nothing
        return sha256(" ".join(self._header(kind)["sha256"] for kind in kinds).encode()).hexdigest()

    @cached_property
    def languages(self) -> tuple[str, ...]:
        """Those that the synthesizer reads."""
        config = json.loads(self._header("synthesizer")["config"])
        return tuple(config.get("languages", ("en",)))

    @cached_property
    def voices(self) -> Mapping[str, Voice]:
        """The built-in voices by name; CheckpointError for a voices.json that cannot be used."""
        path = self._weights / "voices.json"
        if not path.exists():  # one's own weights need not come with voices
            return MappingProxyType({})
        try:
            rows = json.loads(path.read_text("utf-8"))
            made = {row["name"]: _built_in(row, self.space) for row in rows}
            others = {str(row.get("space", self.space)) for row in rows} - {self.space}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                str(path), f"the built-in voices cannot be read ({error})", "Reinstall voiceswap"
            ) from error
        if others:
            raise CheckpointError(
                str(path),
                f"it is of the speaker-encoder {min(others)[:12]}, and beside it lies {self.space[:12]}",
                "Blend voices anew by python -m voiceswap.training.voices, or leave the file out",
            )
        return MappingProxyType(made)


def _built_in(row: Mapping[str, Any], space: str) -> Voice:
    """A built-in voice from its row in voices.json."""
    vector = np.array(row["vector"], np.float32)
    return Voice(
        name=row["name"],
        vector=vector / np.linalg.norm(vector),
        f0_median=row["f0_median"],
        f0_spread=row["f0_spread"],
        rate=row["rate"],
        consent=None,
        space=space,
        builtin=True,
    )
