"""A voice's adapter from minutes of the person's speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from voiceswap import audio, checkpoint
from voiceswap.bundle import WEIGHTS
from voiceswap.enrollment import REMEMBERED
from voiceswap.errors import ConsentError, DataError
from voiceswap.models.adapter import Adapter
from voiceswap.training.loop import train
from voiceswap.training.optimization import TrainingConfig
from voiceswap.training.raw import recordings_in
from voiceswap.training.tasks.adapter import AdapterTask, AdapterTraining
from voiceswap.voice import Voice

SHORTEST, LONGEST = 30.0, 3600.0
"""Seconds of speech: with less nothing is learned, more is left out."""
_BLOCK = 30.0  # seconds read at once


def adapt(
    voice: Voice,
    recordings: Path | Sequence[Path],
    out: Path,
    *,
    minutes: float = 12.0,
    steps: int | None = None,
    weights: Path | None = None,
    resume: bool = False,
) -> Voice:
    """`voice` with an adapter that was trained on its person's `recordings`: a folder, or files.

    Two to twenty minutes of speech are meant. The run folder is `out`. The encoder is the same for everybody,
    so speech of anyone goes in and this person's comes out; two adapted voices are the two decoders of the
    classic swap. Training ends after `minutes`, or `steps`. Raises ConsentError unless the voice's consent
    covers ``train``, DataError for too little speech, AudioError for files that cannot be read.
    """
    if voice.consent is None:
        raise ConsentError(
            f"the built-in voice {voice.name!r}",
            "an adapter is learned from a person, with their consent",
            "Enroll the person first",
        )
    voice.check("train")
    folder = weights or WEIGHTS
    voice.check("train", space=checkpoint.read_header(folder / "speaker-encoder.safetensors")["sha256"])
    converter = checkpoint.load_from(folder, "converter")
    recognizer = checkpoint.load(folder / "phone-recognizer.safetensors", "phone-recognizer")
    task = AdapterTask(converter, recognizer, voice.vector, _speech(recordings), AdapterTraining())
    config = TrainingConfig(
        minutes=0.0 if steps else minutes,
        steps=steps or 0,
        learning_rate=1e-2,
        warmup=20,
        ema=0.99,
        weight_decay=0.0,
        validate_minutes=2.0,
    )
    train(task, out, config=config, resume=resume)
    assert task.learned is not None  # the loop saves at its end
    converter.cpu()  # wherever it was trained
    timbre = converter.remember(task.heard(REMEMBERED), task.vector[None], torch.from_numpy(task.learned))
    return replace(voice, adapter=Adapter(converter.weights_hash, task.learned, timbre))


def _speech(recordings: Path | Sequence[Path]) -> list[np.ndarray]:
    """Leveled pieces of at most 30 s of the files in which someone speaks, with their pauses.

    The pauses tell `recording_quality`, so that the adapter does not learn the room.
    """
    if isinstance(recordings, Path) and recordings.is_dir():
        paths = recordings_in(recordings)  # texts may lie beside them
    else:
        paths = [recordings] if isinstance(recordings, Path) else list(recordings)
    pieces, seconds = [], 0.0
    for path in paths:
        for block in audio.blocks(path, seconds=_BLOCK):
            spoken = len(audio.only_speech(block)) / audio.SAMPLE_RATE
            if spoken > 0.5 and seconds < LONGEST:
                pieces.append(audio.level(block))
                seconds += spoken
    if seconds < SHORTEST:
        raise DataError(
            f"{seconds:.0f} s of speech in {recordings}",
            f"an adapter needs at least {SHORTEST:.0f} s",
            "Give 2 to 20 minutes of the person's speech",
        )
    return pieces
