"""RNA: nucleotides as tokens; a label of the sequence, of each nucleotide or of each pair by RNA models' heads."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from tsbench.data import Batch
from tsbench.frame import Body, Frame, FrameConfig
from tsbench.inputs import Codes
from tsbench.parts.cutting import mean
from tsbench.position import Positions
from tsbench.rna.heads import HeadConfig, NucleotideHead, make_head
from tsbench.rna.tokenizer import Tokens
from tsbench.rna.tokenizers.single import Single
from tsbench.settings import NoSettings
from tsbench.tasks.classification import Classification
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.nucleotide import MaskedNucleotides, NucleotideClassification, NucleotideRegression
from tsbench.tasks.pairs import PairMap
from tsbench.tasks.regression import Regression


class NucleotideFrame(Frame):
    """Both sequences of a pair go through the same body; heads are those of tsbench.rna.heads.

    Where the model is linear, the head of a sequence has no tanh, and a pair is scored by a bilinear form instead of
    convolutions.
    """

    tasks = (
        Classification,
        Regression,
        MultiLabel,
        NucleotideRegression,
        NucleotideClassification,
        MaskedNucleotides,
        PairMap,
    )
    inputs = (Codes,)
    block_values = 2**14
    train_values = 2**18

    def __init__(self, task: Any, config: FrameConfig, linear: bool) -> None:
        super().__init__(task, config, linear)
        self.tokenizer = Single(NoSettings())
        self.embedding = nn.Embedding(self.tokenizer.vocabulary, config.width)
        self.head = make_head(
            task, HeadConfig(width=config.width, pair_blocks=2, pair_dropout=0.0), self.tokenizer.longest
        )
        if linear and isinstance(task, PairMap):
            self.head = BilinearHead(config.width)
        elif linear and not isinstance(self.head, NucleotideHead):
            self.head = MeanHead(config.width, task)

    def forward(self, batch: Batch, body: Body) -> Tensor:
        """The prediction, in the task's shape."""
        tokens = self.tokenizer(batch.inputs.flatten(0, 1), batch.real.flatten(0, 1))
        x = self.embedding(tokens.ids)
        prediction: Tensor = self.head(body(x, Positions.along(x, tokens.valid)), tokens, batch)
        return prediction


class MeanHead(nn.Module):
    """A linear layer on the mean state of each sequence."""

    def __init__(self, width: int, task: Any) -> None:
        super().__init__()
        self.out = nn.Linear(task.inputs.sequences * width, task.shape(task.random_batch(1))[-1])

    def forward(self, states: Tensor, tokens: Tokens, batch: Batch) -> Tensor:
        """`(batch * sequence, token, width)` to `(batch, outputs)`."""
        out: Tensor = self.out(mean(states, tokens.valid).view(len(batch), -1))
        return out


class BilinearHead(nn.Module):
    """A pair's value = left(state of the one) · right(state of the other) / √width + a constant."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(width, width), nn.Linear(width, width)
        self.constant = nn.Parameter(torch.zeros(()))

    def forward(self, states: Tensor, tokens: Tokens, batch: Batch) -> Tensor:
        """`(batch, token, width)` to `(batch, time, time)`."""
        x = states[:, 1 : batch.inputs.shape[-1] + 1]  # without <cls>
        return self.left(x) @ self.right(x).mT / math.sqrt(x.shape[-1]) + self.constant
