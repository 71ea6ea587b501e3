"""Conversion while someone speaks: a window slides over the stream, N samples.

Every hop, what was heard last goes through the models once more. The window's last frames, the look-ahead,
serve as context alone: they are given out by the next windows, which have heard what comes after them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from voiceswap import audio
from voiceswap.acoustics import ACOUSTICS, f0_track, log_mel, pitch_statistics
from voiceswap.conversion import Source
from voiceswap.models.converter import CONVERSION_QUALITY, Converter
from voiceswap.models.phone_recognizer import PhoneRecognizer
from voiceswap.models.timbre import Timbre
from voiceswap.models.vocoder import PREDICTED, Vocoder, bridge, pulses
from voiceswap.voice import Voice

HOP = 6  # frames given out at once: 64 ms; even, as the recognizer takes frames in pairs
AHEAD = 12  # frames heard beyond them: 128 ms
DELAY = (HOP + AHEAD) * ACOUSTICS.hop / ACOUSTICS.sample_rate
"""Seconds from the coming of a piece's first sample to its going, without the time that computing takes."""

_CONTEXT = 80  # frames before the hop that are heard again, even too: more brings next to nothing
_RENDERED = 20  # of them, those that the vocoder is given
_CROSSFADE = 3  # frames over which a window's look-ahead gives way to the next window: 32 ms
_HEARD = 6 * ACOUSTICS.sample_rate  # samples that tell who speaks: more would take too long at once
_STREAM = (np.zeros(0, np.float32), ACOUSTICS.sample_rate)  # the recording of a Source that has none
_KEPT = 20 * ACOUSTICS.sample_rate  # samples of the stream that level and speaker are measured on
_VOICED = 11250  # voiced frames that the range is measured on: 2 minutes
_FIRST = 5  # voiced frames from which on something is known
_GROWTH, _RARELY = 1.25, 1000  # measured anew after a quarter more voiced frames, or so many
_LEVELED, _RANGED = 30.0, 100.0  # voiced frames that the measured level and spread have to outweigh
_FAINT = 0.05  # of the loud: voiced frames below are noise, and tell nothing
_MUTE = 0.0016  # RMS, at the models' level, below which nothing is voiced: 36 dB below the loud


class Listener:
    """What is known of someone who is still speaking: a Source that grows better as more is heard."""

    def __init__(self) -> None:
        self.source = Source(_STREAM, 1.0, 150.0, 0.2, np.zeros(0, np.float32), np.zeros(0, np.float32))
        self._samples = np.zeros(0, np.float32)
        self._voiced = np.zeros((2, 0))  # ln F0 and level of voiced frames
        self._due, self._loud = float(_FIRST), 0.0

    def hear(self, samples: NDArray[np.float32], f0: NDArray[np.float32], level: NDArray[np.float32]) -> bool:
        """Whether the source is another now, after new `samples` [N] and the F0 and RMS [T] from the hop on.

        What lies beyond the hop may still change, and only counts this time.
        """
        self._samples = np.concatenate([self._samples, samples])[-_KEPT:]
        voiced = np.stack([np.log(np.maximum(f0, 1.0)), level])
        known = np.concatenate([self._voiced, voiced[:, f0 > 0]], 1)
        self._voiced = np.concatenate([self._voiced, voiced[:, :HOP][:, f0[:HOP] > 0]], 1)[:, -_VOICED:]
        if not known.size:
            return False
        loud = float(np.percentile(known[1], 95))
        log_f0 = known[0, known[1] > loud * _FAINT]  # a voice that is found in noise is none
        count = len(log_f0)
        if count < _FIRST or (count < self._due and loud < 2 * self._loud):
            return False
        speech = audio.only_speech(self._samples)
        if not len(speech):
            return False
        self._due, self._loud = min(_GROWTH * count, count + _RARELY), loud
        peak = int(np.abs(speech).argmax())
        gain = float((audio.level(speech)[peak] / speech[peak]) ** (count / (count + _LEVELED)))
        median, spread = pitch_statistics(log_f0)
        median = median if count >= 10 else float(np.exp(np.median(log_f0)))  # better than anybody's
        spread = float(np.exp(np.log([0.2, spread]) @ [_RANGED, count] / (_RANGED + count)))
        recent = speech[-_HEARD:] if count > _RANGED else speech[:0]  # who it is takes some time to tell
        recent = (recent * gain).astype(np.float32)
        self.source = Source(_STREAM, gain, median, spread, recent, f0_track(recent))
        return True


class Live:
    """Converts one stream into `voice`; `speaker` gives its vector [S] for what is known of the source.

    With a `source` that was measured in advance nothing is estimated on the way.
    """

    def __init__(
        self,
        recognizer: PhoneRecognizer,
        converter: Converter,
        vocoder: Vocoder,
        voice: Voice,
        *,
        speaker: Callable[[Source], Tensor],
        pitch: float,
        source: Source | None,
        timbre: Timbre | None,
    ) -> None:
        self._recognizer, self._converter, self._vocoder = recognizer, converter, vocoder
        self._voice, self._pitch, self._speaker = voice, pitch, speaker
        self._device = next(vocoder.parameters()).device
        self._quality = torch.tensor([CONVERSION_QUALITY], device=self._device)
        self._timbre = timbre
        adapter = voice.adapter
        offsets = None if adapter is None else torch.from_numpy(np.array(adapter.offsets))
        self._adapter = None if offsets is None else offsets.to(self._device)
        self._listener = Listener() if source is None else None
        self._source = Listener().source if source is None else source
        self._vector = speaker(self._source)[None].to(self._device)
        self._generator = torch.Generator().manual_seed(0)
        self._buffer = np.zeros(0, np.float32)  # the stream from `_before` frames before the next hop on
        self._before = 0
        self._pulse = self._noise = torch.zeros(1, 0)  # that the vocoder heard before the next hop
        self._turn = 0.0  # phase of the pulses there, in turns
        self._tail = np.zeros(0, np.float32)  # what the window before made of the beginning of the next hop

    @torch.inference_mode()
    def convert(
        self, blocks: Iterable[NDArray[np.float32]]
    ) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Pieces of `HOP` frames, the last one shorter, of `blocks` [N] at 24 kHz; in all as long as they.

        With each comes what will follow it, as far as its window knows.
        """
        hop = ACOUSTICS.hop
        waiting = 0
        for block in blocks:
            self._buffer = np.concatenate([self._buffer, block])
            waiting += len(block)
            while waiting >= (HOP + AHEAD) * hop:
                yield self._hop()
                waiting -= HOP * hop
        while waiting > 0:
            missing = (self._before + HOP + AHEAD) * hop - len(self._buffer)
            self._buffer = np.pad(self._buffer, (0, max(0, missing)))
            piece, ahead = self._hop()
            whole = np.concatenate([piece, ahead])
            yield whole[: min(waiting, len(piece))], whole[min(waiting, len(piece)) :]
            waiting -= HOP * hop

    def _hop(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The next hop's samples, and what its window makes of those after it; the window moves on by it."""
        hop, before = ACOUSTICS.hop, self._before
        samples = self._buffer[: (before + HOP + AHEAD) * hop]
        heard_f0 = f0_track(samples)
        power = np.pad(np.square(samples).reshape(-1, hop).mean(1), 1)
        level = np.sqrt((power[1:] + power[:-1]) / 2)
        new = samples[-HOP * hop :] if before else samples
        if self._listener is not None and self._listener.hear(new, heard_f0[before:], level[before:]):
            self._source = self._listener.source
            self._vector = self._speaker(self._source)[None].to(self._device)
        mel = log_mel(torch.from_numpy(samples * self._source.gain)[None])
        # Noise alone may look voiced to the tracker, which knows how loud the window is, not the voice.
        heard_f0 = np.where(level * self._source.gain > _MUTE, heard_f0, 0.0).astype(np.float32)
        f0 = self._source.move(heard_f0, self._voice, self._pitch)[None]
        low = max(0, before - _RENDERED)
        wave = self._rendered(self._converted(mel, f0)[:, :, low:], bridge(f0)[:, low:], before - low)
        ramp = np.linspace(0, 1, len(self._tail), dtype=np.float32)
        wave[: len(ramp)] = wave[: len(ramp)] * ramp + self._tail * (1 - ramp)
        self._tail = wave[HOP * hop :][: _CROSSFADE * hop]
        gone = max(0, before + HOP - _CONTEXT)
        self._buffer, self._before = self._buffer[gone * hop :], before + HOP - gone
        return wave[: HOP * hop], wave[HOP * hop :]

    def _converted(self, mel: Tensor, f0: Tensor) -> Tensor:
        """The log-mel [1, M, T] in the wanted voice of the window's, whose F0 [1, T] is moved already."""
        mel, f0 = mel.to(self._device), f0.to(self._device)
        content, logits = self._recognizer(mel)
        told = self._source.dynamics(mel, self._timbre, self._converter.config.outline)
        given = content, logits, f0, mel, *told, self._vector, self._quality
        return self._converter.convert(*given, self._adapter, self._timbre)

    def _rendered(self, mel: Tensor, f0: Tensor, before: int) -> NDArray[np.float32]:
        """Samples from the hop's beginning on of log-mel [1, M, T] and gapless F0 [1, T] after `before`.

        The context's pulses and noise are those of the windows before, and the new ones go on from there.
        """
        hop = ACOUSTICS.hop
        pulse = torch.cat([self._pulse, pulses(f0[:, before:], self._turn)], 1)
        fresh = torch.randn(1, pulse.shape[1] - self._noise.shape[1], generator=self._generator)
        self._noise = torch.cat([self._noise, fresh], 1)
        given = (x.to(self._device) for x in (mel, f0, self._noise, pulse))
        wave = self._vocoder(*given, PREDICTED)[0]
        # The phase at the next hop's beginning: what `pulses` sums up to there.
        spent = f0[0, before : before + HOP + 1].double()
        turns = (spent[:-1] * hop + spent.diff() * (hop - 1) / 2).sum() / ACOUSTICS.sample_rate
        self._turn = float((self._turn + turns) % 1)
        gone = max(0, before + HOP - _RENDERED) * hop
        self._pulse = pulse[:, gone : (before + HOP) * hop]
        self._noise = self._noise[:, gone:]
        return wave[before * hop :].float().cpu().numpy()
