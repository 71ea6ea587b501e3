"""A recording to samples in another voice, window by window."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from voiceswap.acoustics import ACOUSTICS, Acoustics, f0_track, log_mel
from voiceswap.bundle import Models
from voiceswap.conversion import Source, windows
from voiceswap.enrollment import window_vectors
from voiceswap.models.converter import CONVERSION_QUALITY
from voiceswap.models.vocoder import PREDICTED
from voiceswap.rendering import render
from voiceswap.voice import Voice

_CROSSFADE = 3  # frames over which one window of a conversion gives way to the next: 32 ms
_AWAY = 0.25  # how far, of the way from the source's speaker to the voice


@torch.inference_mode()
def swapped(source: Source, voice: Voice, models: Models, pitch: float) -> Iterator[NDArray[np.float32]]:
    """Samples of the source's windows, as `voice` says them, `pitch` semitones higher."""
    device = models.device
    speaker = away(source, voice, models)[None].to(device)
    quality = torch.tensor([CONVERSION_QUALITY], device=device)
    adapter = voice.adapter and torch.from_numpy(np.array(voice.adapter.offsets)).to(device)
    timbre = models.timbre(voice, converted=True)
    tail = np.zeros(0, np.float32)  # what the window before made of the beginning of this one
    for number, window in enumerate(windows(source)):
        mel = log_mel(torch.from_numpy(window.samples)[None]).to(device)
        f0 = source.move(f0_track(window.samples), voice, pitch)[None].to(device)
        content, logits = models.recognizer(mel)
        told = source.dynamics(mel, timbre, models.converter.config.outline)
        given = content, logits, f0, mel, *told, speaker, quality
        made = models.converter.convert(*given, adapter, timbre)
        frames = slice(window.before, window.before + window.frames + _CROSSFADE)
        part = Acoustics(made[0, :, frames], f0[0, frames])
        samples = np.concatenate(list(render(models.vocoder, part, seed=number, corrections=PREDICTED)))
        tail = tail[: len(samples)]  # the last window may be shorter than a crossfade
        ramp = np.linspace(0, 1, len(tail), dtype=np.float32)
        samples[: len(tail)] = samples[: len(tail)] * ramp + tail * (1 - ramp)
        tail = samples[window.length :][: _CROSSFADE * ACOUSTICS.hop]
        yield samples[: window.length]


@torch.inference_mode()
def away(source: Source, voice: Voice, models: Models) -> torch.Tensor:
    """The voice's vector [S], moved away from the source's speaker: the content tells a little of them.

    An adapter was learned with the vector as it is, and of a stream that begins nobody is known yet.
    """
    wanted = torch.from_numpy(np.array(voice.vector))
    if voice.adapter is not None or not len(source.speech):
        return wanted
    heard = torch.from_numpy(np.mean(window_vectors(source.mel.to(models.device), models.encoder), 0))
    heard = torch.nn.functional.normalize(heard, dim=0)
    return torch.nn.functional.normalize(wanted + _AWAY * (wanted - heard), dim=0)
