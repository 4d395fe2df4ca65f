"""RNA LSTM: a bidirectional LSTM, the third of BEACON's from-scratch rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tsbench.rna.model import NucleotideConfig, NucleotideModel


@dataclass(frozen=True)
class RnaLstmConfig(NucleotideConfig):
    """Settings of the LSTM; `width` is shared by both directions."""

    layers: int = 2


class RnaLstm(NucleotideModel):
    """Layers of two LSTMs, one from each end. BEACON's row has no code in its repository; our reconstruction."""

    Config = RnaLstmConfig
    source = "after the LSTM row of Ren et al. (BEACON), NeurIPS 2024; our reconstruction"

    def build_body(self) -> nn.Module:
        """The layers."""
        return Bidirectional(self.config)


class Bidirectional(nn.Module):
    """Each layer reads its input forwards and, each sequence turned within its own length, backwards."""

    def __init__(self, config: RnaLstmConfig) -> None:
        super().__init__()
        half = config.width // 2
        self.forwards, self.backwards = (
            nn.ModuleList(nn.LSTM(config.width, half, batch_first=True) for _ in range(config.layers)) for _ in range(2)
        )
        self.join = nn.ModuleList(nn.Linear(2 * half, config.width) for _ in range(config.layers))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """`(batch, token, width)` to the same."""
        place = torch.arange(x.shape[1], device=x.device)
        # Padding stays at the end, where neither direction has yet seen it when it reads what is real.
        turned = torch.where(valid, valid.sum(1, keepdim=True) - 1 - place, place).unsqueeze(-1)
        for forwards, backwards, join in zip(self.forwards, self.backwards, self.join, strict=True):
            ahead, _ = forwards(x)
            index = turned.expand_as(x)
            back, _ = backwards(x.gather(1, index))
            back = back.gather(1, turned.expand_as(back))
            x = self.dropout(join(torch.cat([ahead, back], -1)))
        return x
