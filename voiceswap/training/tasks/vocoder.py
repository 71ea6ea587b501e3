"""Training the Vocoder: spectral losses first, then adversarial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from voiceswap.acoustics import ACOUSTICS, mel_of_magnitude, stft
from voiceswap.data.batches import BAND_HZ, Pool, Utterance, load_utterances, weighs
from voiceswap.data.features import FeatureStore, Item
from voiceswap.models.vocoder import Vocoder, bridge
from voiceswap.nn.discriminators import WaveDiscriminator, match_features, please, real_or_fake
from voiceswap.training.imitation import Imitation
from voiceswap.training.loop import Batch, Report, Task
from voiceswap.training.stream import Stream

_RESOLUTIONS = ((512, 128), (1024, 256), (2048, 512))
_FLOOR = 1e-3


@dataclass(frozen=True)
class VocoderTraining:
    """What a batch is, and when the discriminators come in."""

    batch_size: int = 12
    frames: int = 72
    adversarial_from: int | None = None
    """The step from which discriminators judge; None for spectral losses alone."""
    adversarial: float = 1.0
    """Weight of pleasing the discriminator, once it is on."""
    features: float = 2.0
    """Weight of the distance to recordings in the discriminator's activations."""
    weights: tuple[tuple[str, float], ...] = ()
    """(source, share) pairs; by length if empty."""
    imitated: float = 0.0
    """Share of the batch whose mels are those that Synthesizer and Converter make of the recordings."""


class VocoderTask(Task):
    """Waveforms and their own acoustics; only `full` recordings teach what lies above their band."""

    def __init__(
        self,
        model: Vocoder,
        folders: Sequence[Path | FeatureStore],
        config: VocoderTraining,
        imitate: Callable[[Sequence[Utterance]], Imitation] | None = None,
        stream: Stream | None = None,
    ) -> None:
        self.model = model
        self.most = model.config.corrections
        self.config = config
        self.critic = WaveDiscriminator() if config.adversarial_from is not None else None
        found = load_utterances(folders, self._fits)
        self.imitation: Imitation | None = None
        self.stream = stream
        if stream is None:
            self.feed(found, lambda utterances: Pool(utterances, dict(config.weights) or None))
        if imitate and config.imitated:
            self.imitation = imitate(self.pool.utterances if stream is None else found)
        held = Pool([u for u in found if u.held_out] or found, dict(config.weights) or None)
        self.held = held.draw(np.random.default_rng(0), 12)

    def _fits(self, item: Item) -> bool:
        return item.samples > self.config.frames * ACOUSTICS.hop and weighs(item, self.config.weights)

    def feed(self, utterances: Sequence[Utterance], pool: Callable[[Sequence[Utterance]], Pool]) -> None:
        """Those with audio, long enough for a crop."""
        self.pool = pool([u for u in utterances if not u.held_out and self._fits(u.item)])
        if self.imitation is not None:
            self.imitation.meet(self.pool.utterances)

    def rows(self, rng: np.random.Generator) -> list[tuple[Utterance, np.random.Generator]]:
        """Utterances of a batch, with the chances of each."""
        return self.pool.rows(rng, self.config.batch_size)

    def batch(self, rng: np.random.Generator) -> Batch:
        """mel [B, M, T], f0 [B, T], wave [B, (T - 1) * hop], cutoff [B] in Hz."""
        frames, hop = self.config.frames, ACOUSTICS.hop
        mels, pitches, waves, cutoffs = [], [], [], []
        for utterance, chance in self.rows(rng):
            start = int(chance.integers(0, max(1, utterance.item.frames - frames)))
            item, store = utterance.item, utterance.store
            if self.imitation is not None and chance.random() < self.config.imitated:
                mels.append(self.imitation.mel(utterance, start, frames, chance).T)
            else:
                mels.append(store.mel(item)[start : start + frames].astype(np.float32).T)
            bridged = bridge(torch.from_numpy(utterance.f0())[None])[0]  # whole: a crop may begin unvoiced
            pitches.append(bridged[start : start + frames])
            waves.append(
                store.audio(item)[start * hop : (start + frames - 1) * hop].astype(np.float32) / 32768
            )
            cutoffs.append(BAND_HZ[item.band])
        return {
            "mel": torch.from_numpy(np.stack(mels)),
            "f0": torch.stack(pitches),
            "wave": torch.from_numpy(np.stack(waves)),
            "cutoff": torch.tensor(cutoffs),
        }

    def losses(self, model: nn.Module, batch: Batch, step: int) -> tuple[dict[str, Tensor], Any]:
        """Mel L1, log-magnitude L1 and spectral convergence at three resolutions; then the critic's terms."""
        # In turn one correction to all of them: mels that were predicted get fewer than copies.
        corrections = step % self.most + 1 if self.most else 0
        made = model(batch["mel"], batch["f0"], corrections=corrections).float()
        losses = spectral_losses(made, batch["wave"], batch["cutoff"])
        start = self.config.adversarial_from
        if self.critic is None or start is None or step < start:
            return losses, None
        # One resolution a step, in turn: all of them would cost three times the step and teach little more.
        only = step % len(WaveDiscriminator.RESOLUTIONS)
        self.critic.requires_grad_(False)
        fake = self.critic(made, only)
        with torch.no_grad():
            real = self.critic(batch["wave"], only)
        self.critic.requires_grad_(True)
        losses |= {
            "adversarial": self.config.adversarial * please(fake),
            "features": self.config.features * match_features(real, fake),
        }
        return losses, (batch["wave"], made.detach(), only)

    def critic_losses(self, critic: nn.Module, seen: Any) -> dict[str, Tensor]:
        """Least-squares real-or-fake."""
        real, fake, only = seen
        return {"critic": real_or_fake(critic(real, only), critic(fake, only))}

    @torch.inference_mode()
    def validate(self, model: nn.Module) -> Report:
        """Spectral losses on held-out utterances, whole, and one of them as picture and sound."""
        totals: dict[str, list[float]] = {}
        device = next(model.parameters()).device
        shown: tuple[np.ndarray, Utterance] | None = None
        for utterance in self.held:
            mel = torch.from_numpy(utterance.mel()[:500]).T[None].to(device)
            f0 = torch.from_numpy(utterance.f0()[:500])[None].to(device)
            made = model(mel, f0)
            wave = torch.from_numpy(utterance.audio())[None, : made.shape[1]].to(device)
            cutoff = torch.tensor([BAND_HZ[utterance.item.band]], device=device)
            for name, value in spectral_losses(made[:, : wave.shape[1]], wave, cutoff).items():
                totals.setdefault(name, []).append(float(value))
            shown = (made[0].cpu().numpy(), utterance)
        metrics = {name: float(np.mean(values)) for name, values in totals.items()}
        assert shown is not None  # Pool refuses to be empty
        return Report(metrics, judged=metrics["mel"], audio={"copy-synthesis": shown[0]})


def spectral_losses(made: Tensor, wave: Tensor, cutoff: Tensor) -> dict[str, Tensor]:
    """Losses between waveforms [B, N] below each row's `cutoff` [B] in Hz."""
    log_term, linear_term, loudness_term, mel_term = [], [], [], wave.new_zeros(())
    for n_fft, hop in _RESOLUTIONS:
        fake, real = stft(made, n_fft, hop).abs(), stft(wave, n_fft, hop).abs()
        hertz = torch.arange(n_fft // 2 + 1, device=wave.device) * (ACOUSTICS.sample_rate / n_fft)
        weight = (hertz[None] < cutoff[:, None]).to(wave.dtype)[:, :, None]
        error = (torch.log(fake + _FLOOR) - torch.log(real + _FLOOR)).abs() * weight
        log_term.append(error.sum() / (weight.sum() * real.shape[2]))
        # Loudness grows with about this power (Zwicker); the logarithm cares as much for what nobody hears.
        error = ((fake + _FLOOR) ** 0.3 - (real + _FLOOR) ** 0.3).abs() * weight
        loudness_term.append(error.sum() / (weight.sum() * real.shape[2]))
        gap, size = ((fake - real) * weight).square().sum((1, 2)), (real * weight).square().sum((1, 2))
        linear_term.append((torch.sqrt(gap + 1e-9) / torch.sqrt(size + 1e-2)).mean())
        if n_fft == ACOUSTICS.n_fft:
            mel_term = (mel_of_magnitude(fake) - mel_of_magnitude(real)).abs().mean()
    return {
        "mel": mel_term,
        "log": 0.5 * torch.stack(log_term).mean(),
        "loudness": 3.0 * torch.stack(loudness_term).mean(),
        "linear": 0.5 * torch.stack(linear_term).mean(),
    }
