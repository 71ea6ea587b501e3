"""Discriminators: judges that a model learns to please, used in training only."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voiceswap.acoustics import stft

Judged = tuple[list[Tensor], list[Tensor]]
"""Logits of each sub-discriminator, and all their inner activations."""


class _Patches(nn.Module):
    """2-D convolutions over a [B, 1, T, F] picture, halving F each time: one logit a patch."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        sizes = [1] + [channels] * layers
        self.layers = nn.ModuleList(
            nn.Conv2d(a, b, (3, 5), stride=(1, 2), padding=(1, 2)) for a, b in pairwise(sizes)
        )
        self.leave = nn.Conv2d(channels, 1, 3, padding=1)

    def forward(self, picture: Tensor) -> tuple[Tensor, list[Tensor]]:
        x, inner = picture.contiguous(memory_format=torch.channels_last), []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.1)
            inner.append(x)
        return self.leave(x).float(), inner


class WaveDiscriminator(nn.Module):
    """Multi-resolution spectrogram discriminator of waveforms [B, N] (UnivNet: Jang et al., 2021)."""

    RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.parts = nn.ModuleList(_Patches(channels, 5) for _ in self.RESOLUTIONS)

    def forward(self, wave: Tensor, only: int | None = None) -> Judged:
        """Logits and activations of every resolution, or of the one numbered `only`."""
        logits, inner = [], []
        for number, (n_fft, hop) in enumerate(self.RESOLUTIONS):
            if only is not None and number != only:
                continue
            part = self.parts[number]
            picture = stft(wave, n_fft, hop).abs().clamp(min=1e-5).pow(0.3).transpose(1, 2)[:, None]
            logit, layers = part(picture)
            logits.append(logit)
            inner += layers
        return logits, inner


class MelDiscriminator(nn.Module):
    """Patch discriminator of log-mels [B, M, T]; projects the speaker [B, S] (Miyato & Koyama, 2018)."""

    def __init__(self, speaker: int, channels: int = 32) -> None:
        super().__init__()
        self.patches = _Patches(channels, 4)
        self.project = nn.Linear(speaker, channels)

    def forward(self, mel: Tensor, speaker: Tensor) -> Judged:
        """Logits of naturalness and of the speaker's match, and activations."""
        logit, inner = self.patches((mel.transpose(1, 2)[:, None] + 5) / 3)
        return [logit, self.match(inner[-1], speaker)], inner

    def match(self, activations: Tensor, speaker: Tensor) -> Tensor:
        """Logits of the last activations being this speaker's."""
        return (activations.float() * self.project(speaker)[:, :, None, None]).mean(1, keepdim=True)


def real_or_fake(real: Judged, fake: Judged) -> Tensor:
    """The discriminator's least-squares loss (Mao et al., 2017)."""
    return torch.stack(
        [((1 - r) ** 2).mean() + (f**2).mean() for r, f in zip(real[0], fake[0], strict=True)]
    ).mean()


def judge_mels(
    critic: nn.Module, real: Tensor, speaker: Tensor, fake: Tensor, wanted: Tensor
) -> dict[str, Tensor]:
    """The mel discriminator's loss: recordings of speakers, fakes of those wanted, recordings of others.

    Without the last, nothing teaches it what the vector has to do with the sound (Reed et al., 2016).
    """
    bare: Any = getattr(critic, "module", critic)
    genuine = critic(real, speaker)
    stranger = bare.match(genuine[1][-1], speaker.roll(1, 0))
    return {"critic": real_or_fake(genuine, critic(fake, wanted)) + 0.5 * stranger.square().mean()}


def please(fake: Judged) -> Tensor:
    """The model's least-squares loss."""
    return torch.stack([((1 - f) ** 2).mean() for f in fake[0]]).mean()


def match_features(real: Judged, fake: Judged) -> Tensor:
    """Relative L1 between inner activations (MelGAN: Kumar et al., 2019)."""
    pairs = zip(real[1], fake[1], strict=True)
    return torch.stack(
        [
            (r.detach() - f).abs().mean(dtype=torch.float32)
            / (r.detach().abs().mean(dtype=torch.float32) + 1e-3)
            for r, f in pairs
        ]
    ).mean()
