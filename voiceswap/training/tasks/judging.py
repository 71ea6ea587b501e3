"""What judges Synthesizer and Converter beside the recording: who is heard, what is understood, how real."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from voiceswap.models.phone_recognizer import PhoneRecognizer
from voiceswap.models.speaker_encoder import SpeakerEncoder
from voiceswap.nn.discriminators import match_features, please
from voiceswap.training.loop import Batch

_ALIKE = 0.9  # cosine to the wanted speaker that is enough; two recordings of one person reach 0.8
_LEFT = 3.0  # what is left of another speaker is small, and others hear it


def finish_losses(
    task: Any,
    judge: nn.Module | None,
    losses: dict[str, Tensor],
    mel: Tensor,
    batch: Batch,
    mask: Tensor,
    step: int,
    crossed: tuple[Tensor, Tensor] | None = None,
) -> tuple[dict[str, Tensor], Any]:
    """Add the terms that Synthesizer and Converter share: speaker consistency and `judge`, the discriminator.

    `crossed` are mels [b, M, T] without a recording of their own, and their speakers [b, S], for the
    discriminator to judge too.
    """
    weight = batch["bands"] * mask.transpose(1, 2)
    if task.config.consistency and step >= 0:
        missing = unlike(task.encoder.to(mel.device), mel, batch["speaker"], mask[:, ::2])
        losses["consistency"] = task.config.consistency * missing
    start = task.config.adversarial_from
    if judge is None or start is None or step < start:
        return losses, None
    half = (len(mel) + 1) // 2  # judging every row would double the time of a step
    real, fake, speaker = (x[:half] for x in (batch["mel"] * weight, mel * weight, batch["speaker"]))
    fakes, wanted = fake, speaker
    if crossed is not None:
        fakes, wanted = torch.cat([fake, crossed[0]]), torch.cat([speaker, crossed[1]])
    judge.requires_grad_(False)
    judged = judge(fakes, wanted)
    with torch.no_grad():
        truth = judge(real, speaker)
    judge.requires_grad_(True)
    losses["adversarial"] = task.config.adversarial * please(judged)
    own = judged[0], [inner[:half] for inner in judged[1]]
    losses["features"] = task.config.features * match_features(truth, own)
    return losses, (real, speaker, fakes.detach(), wanted)


def unlike(
    encoder: SpeakerEncoder,
    mel: Tensor,
    wanted: Tensor,
    mask: Tensor | None = None,
    unwanted: Tensor | None = None,
) -> Tensor:
    """Mean shortfall from `_ALIKE` of the cosine of who is heard in log-mels [B, M, T] to `wanted` [B, S].

    With `unwanted` [B, S] also `_LEFT` times the excess of the cosine to it over that of the wanted speaker.

    The encoder listens through noise and another tilt every time. Without them the decoder learns to please
    it by traces that nobody else hears: 0.94, while an independent encoder heard a third of the likeness.
    """
    rows, bands = mel.shape[:2]
    ramp = torch.linspace(-1, 1, bands, device=mel.device)
    tilt = 0.3 * torch.randn(rows, 1, device=mel.device) * ramp
    heard = encoder(mel + tilt.unsqueeze(-1) + 0.3 * torch.randn_like(mel), mask)
    missing = (_ALIKE - (heard * wanted).sum(-1)).clamp(min=0)
    if unwanted is not None:
        missing = missing + _LEFT * ((heard - wanted) * unwanted).sum(-1).clamp(min=0)
    return missing.mean()


def misunderstood(recognizer: PhoneRecognizer, made: Tensor, said: Tensor) -> Tensor:
    """Divergence, in nats a frame, of the phones heard in mels [B, M, T] from those heard in their sources.

    Of phones, which are nobody's: the recognizer's layers also hold who speaks, and would ask for the source.
    Noise over what was made keeps it from pleasing the recognizer by what no ear would hear.
    """
    with torch.no_grad():
        spoken = recognizer(said)[1].log_softmax(-1)
    floor = made.detach().mean((1, 2), keepdim=True) - 3 * torch.rand(len(made), 1, 1, device=made.device)
    noisy = torch.logaddexp(made, floor + 0.3 * torch.randn_like(made))
    heard = recognizer(noisy)[1].log_softmax(-1)
    return (spoken.exp() * (spoken - heard)).sum(-1).mean()
