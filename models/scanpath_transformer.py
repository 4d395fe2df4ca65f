"""Plain Transformer over a scanpath: the shared encoder reads what was fixated and points at what is next."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.data import Batch
from tsbench.gaze.samples import BEGIN, END
from tsbench.gaze.walk import NEVER, ScanpathModel, Walk
from tsbench.model import NeuralModel
from tsbench.parts.encoder import Encoder, EncoderConfig, encoder_parts
from tsbench.position import Positions
from tsbench.tasks.scanpath import Scanpath


@dataclass(frozen=True)
class ScanpathTransformerConfig(EncoderConfig):
    """Settings of the plain Transformer; `positions` are those of the steps."""

    layers: int = 2
    heads: int = 4
    lr: float = 5e-4
    batch_size: int = 20
    epochs: int = 60
    patience: int = 10
    clip: float = 1.0
    drop_last: bool = False
    buckets: bool = False  # batches of paths of one length would teach when to end, batch by batch


class ScanpathTransformer(NeuralModel, ScanpathModel):
    """P(next) = softmax(state · object / √width); a state has seen what is searched for and the path so far.

    Objects do not see each other: this is what a decoder alone can do.
    """

    Config = ScanpathTransformerConfig
    tasks = (Scanpath,)
    tiny = {"epochs": 2, "layers": 1, "width": 32}
    search_space = {**NeuralModel.search_space, "lr": FloatDistribution(1e-4, 3e-3, log=True)}
    source = "the harness's plain Transformer"
    block_values = 2**16  # states are many times as many

    def __init__(self, task: Scanpath, config: ScanpathTransformerConfig) -> None:
        super().__init__(task, config)
        self.embedding = nn.Linear(task.inputs.features + 4, config.width)
        self.encoder = Encoder(config)
        self.objects = nn.Linear(task.inputs.features + 4, config.width)
        self.end = nn.Parameter(torch.zeros(config.width))  # what is searched for is else a second copy of the target

    @classmethod
    def parts(cls, config: ScanpathTransformerConfig) -> tuple[type, ...]:
        """The position encoding."""
        return encoder_parts(config)

    def forward(self, batch: Batch) -> Tensor:
        """Logits `(batch, step, token)`."""
        assert batch.places is not None
        tokens = torch.cat([batch.inputs, batch.places], -1)
        before = F.pad(batch.target[:, :-1], (1, 0), value=BEGIN).clamp(min=END)
        states = self.states(tokens.gather(1, before[..., None].expand(-1, -1, tokens.shape[2])))
        return self.point(states, self.keys(tokens), batch.real)

    def keys(self, tokens: Tensor) -> Tensor:
        """What states are compared with, `(batch, token, width)`."""
        keys = self.objects(tokens)
        return torch.cat([keys[:, : END + 1] + self.end, keys[:, END + 1 :]], 1)

    def states(self, path: Tensor) -> Tensor:
        """States of the fixated tokens `(batch, step, feature)`, the first being what is searched for."""
        x = self.embedding(path)
        states: Tensor = self.encoder(x, Positions.along(x, causal=True))
        return states

    def point(self, states: Tensor, objects: Tensor, real: Tensor) -> Tensor:
        """Logits `(batch, step, token)`."""
        scores = states @ objects.transpose(1, 2) / math.sqrt(self.config.width)
        return scores.masked_fill(~real[:, None], NEVER)

    def walk(self, batch: Batch, copies: int) -> Walk:
        """Paths; each step reads the whole path again."""
        self.eval()
        return _PathWalk(self, batch, copies)


class _PathWalk:
    """Paths of the plain Transformer under way."""

    def __init__(self, model: ScanpathTransformer, batch: Batch, copies: int) -> None:
        assert batch.places is not None
        self.model, self.real = model, batch.real
        self.tokens = torch.cat([batch.inputs, batch.places], -1)
        self.keys = model.keys(self.tokens)
        self.owner = torch.arange(len(batch), device=batch.inputs.device).repeat_interleave(copies)
        self.path = self.owner[:, None][:, :0]

    def next(self, last: Tensor) -> Tensor:
        """Logits `(row, token)` of what follows `last`."""
        self.path = torch.cat([self.path, last[:, None]], 1)
        state = self.model.states(self.tokens[self.owner[:, None], self.path])[:, -1:]
        return self.model.point(state, self.keys[self.owner], self.real[self.owner])[:, 0]

    def keep(self, rows: Tensor) -> None:
        """Go on with the rows at these indices only."""
        self.owner, self.path = self.owner[rows], self.path[rows]
