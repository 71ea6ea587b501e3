"""Converter: what was said, how high and how loud, and another speaker, to a log-mel.

An autoencoder whose bottleneck is phonetic: the PhoneRecognizer's content passes a narrow layer without
knowledge of any speaker, and the decoder, of the Synthesizer's kind, puts the target speaker in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from voiceswap.acoustics import cosine_coefficients
from voiceswap.models import postfilter
from voiceswap.models.dynamics import loudness_of, noises_of, outline_of
from voiceswap.models.phone_recognizer import CLASSES
from voiceswap.models.timbre import OF_CONVERSIONS, Timbre
from voiceswap.nn.blocks import ConvNeXt
from voiceswap.nn.decoder import Decoder, SpeakerCondition

CONVERSION_QUALITY = 0.5
"""`recording_quality` asked of the decoder in conversions: a quiet room."""


@dataclass(frozen=True)
class ConverterConfig:
    """Sizes of the network; `bottleneck` is what the content may pass through, a frame pair."""

    content: int = 192
    bottleneck: int = 48
    channels: int = 256
    encoder_blocks: int = 2
    decoder_blocks: int = 6
    expansion: int = 3
    condition: int = 128
    speaker: int = 192
    outline: int = 8
    """Coefficients of the spectrum's outline that are told beside the content where nothing is voiced."""
    motion: int = 0
    """Coefficients whose moves are told where it is voiced."""


SIZES = {
    "tiny": ConverterConfig(
        content=16,
        bottleneck=8,
        channels=32,
        encoder_blocks=1,
        decoder_blocks=1,
        condition=16,
        outline=4,
        motion=3,
    ),
    "base": ConverterConfig(motion=6),
    "large": ConverterConfig(
        motion=6, bottleneck=64, channels=512, encoder_blocks=3, decoder_blocks=10, condition=256
    ),
}


class Converter(nn.Module):
    """content [B, ceil(T / 2), C], logits [B, ceil(T / 2), CLASSES], f0, loudness [B, T] → mel [B, M, T]."""

    kind = "converter"

    def __init__(self, config: ConverterConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or ConverterConfig()
        self.squeeze = nn.Linear(c.content, c.bottleneck)
        self.encoder = ConvNeXt(
            c.bottleneck + CLASSES,
            c.channels,
            channels=c.channels,
            blocks=c.encoder_blocks,
            expansion=c.expansion,
        )
        self.speaker = SpeakerCondition(c.speaker, c.condition)
        self.decoder = Decoder(
            c.channels + 1 + c.outline + c.motion,
            channels=c.channels,
            blocks=c.decoder_blocks,
            expansion=c.expansion,
            condition=c.condition,
        )

    def encode(self, content: Tensor, logits: Tensor, mask: Tensor | None = None) -> Tensor:
        """The bottleneck, widened again, at the rate of frames: [B, 2 * ceil(T / 2), channels]."""
        narrow = torch.tanh(self.squeeze(content))
        x = self.encoder(torch.cat([narrow, logits.softmax(-1)], -1), mask)
        return x.repeat_interleave(2, 1)

    def forward(
        self,
        content: Tensor,
        logits: Tensor,
        f0: Tensor,
        heard: Tensor,
        loudness: Tensor,
        speaker: Tensor,
        quality: Tensor,
        mask: Tensor | None = None,
        adapter: Tensor | None = None,
        moving: Tensor | None = None,
        outline: Tensor | None = None,
    ) -> Tensor:
        """`f0` in Hz of the wanted sound, `heard` the log-mel [B, M, T] of the source, `loudness` of it as
        `loudness_of` gives it.

        `adapter` [decoder blocks, 2 C] moves the decoder's gains and shifts towards one person. The moves are
        those of `heard`, or in training of `moving` [B, M, T], of another tract; the `outline` [B, T, K] is
        that of `heard` if it is not given.
        """
        frames = f0.shape[1]
        hidden = self.encode(content, logits)[:, :frames]
        # Hisses and bursts need the outline. Where it is voiced it says who speaks; its moves say what.
        voiced = (f0 > 0).unsqueeze(-1)
        outline = (outline_of(heard, self.config.outline) if outline is None else outline) * ~voiced
        moves = moves_of(heard if moving is None else moving, self.config.motion) * voiced
        hidden = torch.cat([hidden, loudness.unsqueeze(-1), outline, moves], -1)
        return self.decoder(hidden, f0, self.speaker(speaker, quality), mask, adapter)

    @torch.inference_mode()
    def convert(
        self,
        content: Tensor,
        logits: Tensor,
        f0: Tensor,
        heard: Tensor,
        loudness: Tensor,
        outline: Tensor,
        speaker: Tensor,
        quality: Tensor,
        adapter: Tensor | None = None,
        timbre: Timbre | None = None,
    ) -> Tensor:
        """The log-mel to be heard, as `forward`; with it the source's dynamics, and a natural contrast.

        `timbre` adds what is remembered of the speaker's reference.
        """
        given = content, logits, f0, heard, loudness, speaker, quality
        made = self(*given, adapter=adapter, outline=outline)
        made = postfilter.keep_energy(made, heard)
        if timbre is not None:
            made = timbre.add(made, f0, OF_CONVERSIONS)
        return postfilter.sharpen(made, f0, postfilter.OF_PEOPLE, unvoiced=False)

    @torch.inference_mode()
    def remember(
        self,
        pieces: Iterable[tuple[Tensor, Tensor, tuple[Tensor, Tensor]]],
        speaker: Tensor,
        adapter: Tensor | None = None,
    ) -> Timbre:
        """The timbre of `speaker` [1, S]: how their speech differs from what is made of it in their voice.

        Each piece is a log-mel [1, M, T], its F0 [1, T], and what the PhoneRecognizer says of it.
        """
        quality = torch.tensor([CONVERSION_QUALITY], device=speaker.device)
        made, heard, pitch = [], [], []
        for mel, f0, (content, logits) in pieces:
            again = self(content, logits, f0, mel, loudness_of(mel), speaker, quality, adapter=adapter)
            made.append(again[0])
            heard.append(mel[0])
            pitch.append(f0[0])
        whole, f0 = torch.cat(heard, 1), torch.cat(pitch)
        noises = noises_of(whole, f0, self.config.outline)
        return Timbre.learn(str(self.weights_hash), torch.cat(made, 1), whole, f0, noises)


def moves_of(mel: Tensor, count: int) -> Tensor:
    """How the outline of log-mels [B, M, T] moves: coefficients 1 to `count` less their mean of 160 ms."""
    return cosine_coefficients(mel - postfilter.smooth(mel, 15), count) / 4
