"""Vocoder: log-mel and F0 to a waveform by filtering pulses and noise in the STFT domain.

The harmonic-plus-noise model (Stylianou, 2001) with neural filters: a pulse train that follows F0 and white
noise are transformed; a ConvNeXt stack (Siuzdak, "Vocos", 2023) predicts a magnitude and a phase for the
one and a magnitude for the other. Magnitudes start where the mel itself puts them (as FreeV's pseudo-inverse
does: Lv et al., 2024), so training only has to correct them. What comes out has not quite the mel that was
asked for: noise fluctuates by chance and neighbouring frames overlap. So its spectrum is scaled by what is
missing and transformed again, a few times: Griffin & Lim's iteration (1984) with a mel for a magnitude.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from voiceswap.acoustics import ACOUSTICS, inverse_stft, magnitude, mel_filters, mel_of_magnitude, stft
from voiceswap.nn.blocks import ConvNeXt

_PULSE_LEVEL = 0.02  # amplitude of one harmonic of the source
_NOISE_LEVEL = 0.1
_UNVOICED_HZ = 120.0  # of the source where nothing is voiced
_STEP = 1.3  # of what the mel lacks: neighbouring frames take some of each correction back
PREDICTED = 2
"""Of four corrections, those of mels that a model made, which sound worse with more."""
_MISSING = 3.0  # the most that a correction adds or takes, in log magnitude


@dataclass(frozen=True)
class VocoderConfig:
    """Sizes of the filter network."""

    channels: int = 256
    blocks: int = 6
    expansion: int = 3
    corrections: int = 4
    """How often the waveform is made anew so that its mel comes nearer to the one asked for."""


SIZES = {
    "tiny": VocoderConfig(channels=32, blocks=1),
    "base": VocoderConfig(),
    "large": VocoderConfig(channels=512, blocks=8),
}


def bridge(f0: Tensor) -> Tensor:
    """F0 [B, T] in Hz without gaps: from voiced to voiced frame straight on in ln F0, at the ends level.

    The source of harmonics never stops, because a voiced frame that was called unvoiced cannot be repaired
    without it, while the network sees in the mel where it has to be silent.
    """
    frames = f0.shape[1]
    place = torch.arange(frames, device=f0.device).expand_as(f0)
    before = torch.where(f0 > 0, place, -1).cummax(1).values
    after = torch.where(f0 > 0, place, frames).flip(1).cummin(1).values.flip(1)
    before, after = (
        torch.where(before < 0, after, before).clamp(max=frames - 1),
        torch.where(after == frames, before, after).clamp(min=0),
    )
    share = (place - before) / (after - before).clamp(min=1)
    first, last = torch.gather(f0, 1, before), torch.gather(f0, 1, after)
    bridged = first * (last / first.clamp(min=1e-3)) ** share
    return torch.where(first > 0, torch.where(f0 > 0, f0, bridged), torch.full_like(f0, _UNVOICED_HZ))


def pulses(f0: Tensor, turn: float = 0.0) -> Tensor:
    """Band-limited pulse train [B, (T - 1) * hop] of `bridge`'s F0 [B, T] in Hz: harmonics below 11 kHz.

    They are summed in closed form (Dirichlet's kernel), with continuous phase from `turn`, in turns, on.
    """
    samples = (f0.shape[1] - 1) * ACOUSTICS.hop
    hz = F.interpolate(f0[:, None], size=samples + 1, mode="linear", align_corners=True)[:, 0, :samples]
    turns = turn + torch.cumsum(hz.double() / ACOUSTICS.sample_rate, 1)
    theta = ((turns - turns.floor()) * (2 * torch.pi)).to(f0.dtype)
    harmonics = torch.floor(11000.0 / hz)
    half = torch.sin(theta / 2)
    train = torch.where(
        half.abs() < 1e-4, harmonics, torch.sin((harmonics + 0.5) * theta) / (2 * half + 1e-9) - 0.5
    )
    return train * _PULSE_LEVEL


def _bands_to_bins() -> Tensor:
    """Linear interpolation [bins, M] from mel-band centres to STFT bins, held constant beyond the ends."""
    bank = mel_filters()
    bins = bank.shape[1]
    centres = (bank * torch.arange(bins)).sum(1) / bank.sum(1)
    position = torch.arange(bins).float()
    upper = torch.searchsorted(centres, position).clamp(1, len(centres) - 1)
    low, high = centres[upper - 1], centres[upper]
    weight = ((position - low) / (high - low)).clamp(0, 1)
    matrix = torch.zeros(bins, len(centres))
    matrix[torch.arange(bins), upper - 1] = 1 - weight
    matrix[torch.arange(bins), upper] += weight
    return matrix


class Vocoder(nn.Module):
    """mel [B, M, T], f0 [B, T] → waveform [B, (T - 1) * hop]."""

    kind = "vocoder"
    bands_to_bins: Tensor
    noise_mel: Tensor

    def __init__(self, config: VocoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or VocoderConfig()
        self.bins = ACOUSTICS.n_fft // 2 + 1
        self.filter = ConvNeXt(
            2 * ACOUSTICS.n_mels + 1,
            3 * self.bins,
            channels=self.config.channels,
            blocks=self.config.blocks,
            expansion=self.config.expansion,
        )
        nn.init.normal_(self.filter.leave.weight, std=1e-3)
        nn.init.zeros_(self.filter.leave.bias)
        self.register_buffer("bands_to_bins", _bands_to_bins(), persistent=False)
        bank = mel_filters()
        # A flat noise spectrum's mel, so that the noise filter starts at the mel's own level.
        flat = torch.log(bank.sum(1) * (ACOUSTICS.n_fft * 3 / 8) ** 0.5 * _NOISE_LEVEL * 0.886)
        self.register_buffer("noise_mel", flat, persistent=False)

    def forward(
        self,
        mel: Tensor,
        f0: Tensor,
        noise: Tensor | None = None,
        pulse: Tensor | None = None,
        corrections: int | None = None,
    ) -> Tensor:
        """`noise` (standard normal) and `pulse` (of `pulses`) [B, (T - 1) * hop] may be given.

        Parts of a long utterance then go together without a seam. So may the number of `corrections`.
        """
        f0 = bridge(f0)
        pulse = pulses(f0) if pulse is None else pulse
        noise = torch.randn_like(pulse) if noise is None else noise
        wave = inverse_stft(self.spectrum(mel, f0, noise, pulse), pulse.shape[1])
        for _ in range(self.config.corrections if corrections is None else corrections):
            wave = self._corrected(wave, mel)
        return wave

    def spectrum(self, mel: Tensor, f0: Tensor, noise: Tensor, pulse: Tensor) -> Tensor:
        """Complex STFT [B, bins, T] before any correction; `f0` is `bridge`'s, the rest as in `forward`."""
        harmonic, white = stft(pulse), stft(noise * _NOISE_LEVEL)
        source = mel_of_magnitude(magnitude(harmonic))
        start_harmonic = (mel - source).clamp(-6, 12)
        ramp = torch.linspace(-3.0, 0.0, mel.shape[1], device=mel.device)[None, :, None]
        start_noise = mel - self.noise_mel[None, :, None] + ramp
        pitch = torch.log(f0.clamp(min=50.0) / 150.0)[:, None]
        features = torch.cat([(mel + 5) / 3, (source + 5) / 3, pitch], 1)
        gain, phase, breath = self.filter(features.transpose(1, 2)).transpose(1, 2).chunk(3, 1)
        gain = torch.exp((gain + self._in_bins(start_harmonic)).clamp(max=10.0))
        breath = torch.exp((breath + self._in_bins(start_noise)).clamp(max=10.0))
        # `torch.polar` takes five times as long.
        turned = torch.complex(gain * torch.cos(phase), gain * torch.sin(phase))
        return harmonic * turned + white * breath

    def _corrected(self, wave: Tensor, mel: Tensor) -> Tensor:
        spectrum = stft(wave)
        missing = (mel - mel_of_magnitude(magnitude(spectrum))).clamp(-_MISSING, _MISSING)
        # The frames at the ends look beyond them, where the mel may know of sound that is not here.
        reach = ACOUSTICS.n_fft // 2 // ACOUSTICS.hop
        missing[:, :, :reach] = missing[:, :, -reach:] = 0.0
        return inverse_stft(spectrum * torch.exp(self._in_bins(_STEP * missing)), wave.shape[1])

    def _in_bins(self, bands: Tensor) -> Tensor:
        """Mel bands [B, M, T] to bins [B, bins, T], frame after frame in memory as spectra are."""
        return (bands.transpose(1, 2) @ self.bands_to_bins.T).transpose(1, 2)
