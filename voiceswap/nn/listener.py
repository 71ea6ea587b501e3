"""Listener: who is heard through a Converter's bottleneck, so that it can learn not to let that pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Listener(nn.Module):
    """A code [B, T, C] and the speaker vectors [B, S] of what it was made from → logits [B, B] of who is who.

    Telling the rows of a batch apart, by vectors and not by names, makes speakers of all perturbations: what
    it finds is what a bottleneck lets through of tract and room (domain-adversarial: Ganin et al., 2016).
    """

    def __init__(self, code: int, speaker: int, channels: int = 128) -> None:
        super().__init__()
        self.enter = nn.Conv1d(code, channels, 5, padding=2)
        self.hidden = nn.Conv1d(channels, channels, 5, padding=2)
        self.leave = nn.Linear(2 * channels, speaker)

    def forward(self, code: Tensor, speaker: Tensor) -> Tensor:
        """Row: whose code; column: whose vector."""
        x = F.silu(self.hidden(F.silu(self.enter(code.transpose(1, 2)))))
        guess = F.normalize(self.leave(torch.cat([x.mean(2), x.std(2)], -1)).float(), dim=-1)
        return 12 * guess @ F.normalize(speaker - speaker.mean(0), dim=-1).T


def overhear(logits: Tensor) -> Tensor:
    """The listener's loss: cross-entropy of every code with its own vector."""
    return F.cross_entropy(logits, torch.arange(len(logits), device=logits.device))


def hide(logits: Tensor) -> Tensor:
    """The model's loss: how far the listener is from not knowing (0: every speaker is as likely)."""
    return (-logits.log_softmax(-1).mean(-1) - float(torch.tensor(len(logits)).log())).mean()
