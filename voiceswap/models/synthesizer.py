"""Synthesizer: phonemes, speaker and rate to durations, F0 and log-mel, all frames at once.

In the manner of FastSpeech 2 (Ren et al., 2021) with ConvNeXt blocks. F0 is predicted as a shape, in spreads
from the speaker's median; the voice brings both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voiceswap.acoustics import Acoustics
from voiceswap.models import postfilter
from voiceswap.models.timbre import OF_TEXT, Timbre
from voiceswap.nn.blocks import ConvNeXt
from voiceswap.nn.decoder import Decoder, SpeakerCondition
from voiceswap.text.phonemes import INVENTORY

_LONGER = 1.2  # times the duration: what a listener takes for emphasis by a reader
_HIGHER = 3.0  # semitones
_LOUDER = 0.35  # log magnitude: 3 dB
_LIVELY = 1.2  # a predicted melody is a mean of possible ones, and flatter than each of them by this much
_EVEN = 9  # frames over which people's melodies are smoothed: what is faster is a guess, and not theirs
_GUESSED = 0.2  # share of it that stays (docs/training-log.md, round 21)
DEFAULT_RATE = 13.0
"""Phones a second of ordinary reading."""


@dataclass(frozen=True)
class SynthesizerConfig:
    """Sizes of the network."""

    text_channels: int = 192
    text_blocks: int = 4
    channels: int = 256
    pitch_blocks: int = 2
    decoder_blocks: int = 6
    expansion: int = 3
    condition: int = 128
    speaker: int = 192
    languages: tuple[str, ...] = ("en",)
    """Those that it reads. With more than one a vector tells them apart, as they share phonemes."""


SIZES = {
    "tiny": SynthesizerConfig(
        text_channels=24, text_blocks=1, channels=32, pitch_blocks=1, decoder_blocks=1, condition=16
    ),
    "base": SynthesizerConfig(),
    "large": SynthesizerConfig(
        text_channels=384, text_blocks=6, channels=512, pitch_blocks=3, decoder_blocks=10, condition=256
    ),
}


class Synthesizer(nn.Module):
    """B utterances of P phonemes and T frames; see `plan` (durations), `melody` (F0) and `decode` (mel)."""

    kind = "synthesizer"

    def __init__(self, config: SynthesizerConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or SynthesizerConfig()
        self.symbol = nn.Embedding(len(INVENTORY), c.text_channels)
        self.stress = nn.Embedding(3, c.text_channels)
        self.language = nn.Embedding(len(c.languages), c.text_channels) if len(c.languages) > 1 else None
        if self.language is not None:
            nn.init.zeros_(self.language.weight)
        self.speaker = SpeakerCondition(c.speaker, c.condition)
        self.rate = nn.Linear(1, c.condition)
        self.text = ConvNeXt(
            c.text_channels,
            c.channels,
            channels=c.text_channels,
            blocks=c.text_blocks,
            expansion=c.expansion,
            condition=c.condition,
        )
        self.duration = ConvNeXt(
            c.channels,
            1,
            channels=c.text_channels,
            blocks=2,
            kernel=5,
            expansion=2,
            condition=c.condition,
        )
        nn.init.constant_(self.duration.leave.bias, 2.0)
        # Timing and melody are learnt by heart long before the mel is: their predictors see less of the text.
        self.forget = nn.Dropout(0.2)
        self.place = nn.Linear(3, c.channels)
        self.pitch = ConvNeXt(
            c.channels,
            2,
            channels=c.channels,
            blocks=c.pitch_blocks,
            kernel=15,
            expansion=2,
            condition=c.condition,
        )
        self.decoder = Decoder(
            c.channels,
            channels=c.channels,
            blocks=c.decoder_blocks,
            expansion=c.expansion,
            condition=c.condition,
        )

    def reading(self, languages: Iterable[str]) -> Synthesizer:
        """Itself, or one with its weights that reads `languages` as well once it has been trained to."""
        known = self.config.languages
        more = [language for language in languages if language not in known]
        if not more:
            return self
        wider = Synthesizer(replace(self.config, languages=(*known, *more)))
        for name, value in self.state_dict().items():
            wider.state_dict()[name][: len(value)] = value
        return wider.train(self.training)

    def condition(self, speaker: Tensor, quality: Tensor) -> Tensor:
        """Condition [B, C] of speaker vectors [B, S] and `recording_quality` [B]."""
        return self.speaker(speaker, quality)

    def plan(
        self,
        ids: Tensor,
        stress: Tensor,
        condition: Tensor,
        rate: Tensor,
        mask: Tensor | None = None,
        language: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Ids, stresses [B, P], `rate` [B] in phones a second → hidden [B, P, C], log(1 + frames) [B, P].

        `language` [B] counts in the configuration's `languages`; the first one if not given.
        """
        x = self.symbol(ids) + self.stress(stress)
        if self.language is not None:
            x = x + self.language(ids.new_zeros(len(ids)) if language is None else language)[:, None]
        hidden = self.text(x if mask is None else x * mask, mask, condition)
        paced = condition + self.rate(torch.log(rate / DEFAULT_RATE)[:, None] * 4)
        return hidden, self.duration(self.forget(hidden), mask, paced).squeeze(-1)

    def spread(self, hidden: Tensor, durations: Tensor, frames: int) -> Tensor:
        """Hidden phonemes [B, P, C] → frames [B, T, C] by whole durations [B, P], told their place."""
        ends = durations.cumsum(1)
        clock = torch.arange(frames, device=hidden.device).expand(len(hidden), -1).contiguous()
        index = torch.searchsorted(ends, clock, right=True).clamp(max=hidden.shape[1] - 1)
        length = torch.gather(durations, 1, index).clamp(min=1).to(hidden.dtype)
        since = (clock - torch.gather(ends - durations, 1, index)).to(hidden.dtype)
        place = torch.stack([since / length, (length - 1 - since) / length, torch.log(length) - 2.0], -1)
        x = torch.gather(hidden, 1, index.unsqueeze(-1).expand(-1, -1, hidden.shape[2]))
        return x + self.place(place)

    def melody(self, spread: Tensor, condition: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Frames [B, T, C] → F0 in spreads from the median [B, T], and voicing logits [B, T]."""
        shape, voicing = self.pitch(self.forget(spread), mask, condition).unbind(-1)
        return shape, voicing

    def decode(self, spread: Tensor, f0: Tensor, condition: Tensor, mask: Tensor | None = None) -> Tensor:
        """Frames [B, T, C] and F0 [B, T] in Hz → log-mel [B, M, T]."""
        return self.decoder(spread, f0, condition, mask)

    @torch.inference_mode()
    def synthesize(
        self,
        ids: Tensor,
        stress: Tensor,
        *,
        speaker: Tensor,
        f0_median: float,
        f0_spread: float,
        rate: float = DEFAULT_RATE,
        speed: float = 1.0,
        pitch: float = 0.0,
        quality: float = 0.5,
        durations: Tensor | None = None,
        f0: Tensor | None = None,
        emphasis: Tensor | None = None,
        language: str = "en",
        timbre: Timbre | None = None,
        sharpness: postfilter.Sharpness | None = postfilter.OF_BUILTIN,
    ) -> Acoustics:
        """One utterance: ids and stresses [P], speaker vector [S] → mel [M, T] and F0 [T] in Hz.

        `speed` multiplies the tempo; `pitch` moves F0 by semitones. With `durations` [P] in frames and the
        `f0` [T] that goes with them neither is predicted. Where `emphasis` [P] is 1 a phone is longer, higher
        and louder than predicted, by rule (`_LONGER`, `_HIGHER`, `_LOUDER`). `language` is one of the
        configuration's. `timbre` adds what is remembered of the speaker's reference, to a melody with little
        of what is faster than 0.1 s; `sharpness` is the postfilter's; with None there is none.
        """
        condition = self.condition(speaker[None], torch.tensor([quality], device=ids.device))
        pace = torch.tensor([rate], device=ids.device)
        place = torch.tensor([self.config.languages.index(language)], device=ids.device)
        hidden, log_durations = self.plan(ids[None], stress[None], condition, pace, language=place)
        if durations is None:
            exact = (torch.expm1(log_durations).clamp(min=0.0, max=120.0) / speed)[0]
            if emphasis is not None:
                exact = exact * (1 + (_LONGER - 1) * emphasis)
            # Rounding the running sum keeps the total: no phone's error adds up.
            durations = torch.diff(torch.round(exact.cumsum(0)), prepend=exact.new_zeros(1)).long()
        frames = max(2, int(durations.sum()))
        spread = self.spread(hidden, durations[None], frames)
        swell = None if emphasis is None else _swell(emphasis, durations, frames)
        if f0 is None:
            shape, voicing = self.melody(spread, condition)
            if timbre is not None:
                shape = _evened(shape, voicing > 0)
            hertz = f0_median * 2 ** (pitch / 12) * torch.exp((_LIVELY * shape).clamp(-3.5, 3.5) * f0_spread)
            if swell is not None:
                hertz = hertz * 2 ** (_HIGHER / 12 * swell)
            f0 = torch.where(voicing > 0, hertz, torch.zeros_like(hertz))[0]
        mel = self.decode(spread, f0[None], condition)
        if timbre is not None:
            mel = timbre.add(mel, f0[None], OF_TEXT)
        if sharpness is not None:
            mel = postfilter.sharpen(mel, f0[None], sharpness, unvoiced=True)
        mel = mel[0]
        return Acoustics(mel if swell is None else mel + _LOUDER * swell, f0)


def _evened(shape: Tensor, voiced: Tensor) -> Tensor:
    """A melody [B, T] near its means over the `voiced` [B, T] ones of `_EVEN` frames."""
    weight = voiced.to(shape.dtype)
    sums = postfilter.smooth(torch.stack([shape * weight, weight], 1), _EVEN)
    return torch.lerp(sums[:, 0] / sums[:, 1].clamp(min=1 / _EVEN), shape, _GUESSED)


def _swell(emphasis: Tensor, durations: Tensor, frames: int) -> Tensor:
    """Emphasis of phones [P] as a curve over frames [T] that comes and goes within 0.1 s."""
    steps = torch.repeat_interleave(emphasis, durations)
    steps = F.pad(steps, (0, frames - len(steps)))[None]
    return postfilter.smooth(steps[None], 11)[0, 0]
