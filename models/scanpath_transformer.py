"""Plain Transformer over a scanpath: the shared encoder reads what was fixated and points at what is next."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor, nn

from tsbench.data import Batch
from tsbench.gaze.pointing import ReadingWalk, described, ending, fixated, point
from tsbench.gaze.walk import ScanpathModel, Walk
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
        tokens = described(batch)
        return point(self.states(fixated(tokens, batch)), self.keys(tokens), batch.real)

    def keys(self, tokens: Tensor) -> Tensor:
        """What states are compared with, `(batch, token, width)`."""
        return ending(self.objects(tokens), self.end)

    def states(self, path: Tensor) -> Tensor:
        """States of the fixated tokens `(batch, step, feature)`, the first being what is searched for."""
        x = self.embedding(path)
        states: Tensor = self.encoder(x, Positions.along(x, causal=True))
        return states

    def walk(self, batch: Batch, copies: int) -> Walk:
        """Paths; each step reads the whole path again."""
        self.eval()
        return ReadingWalk(self.states, self.keys(described(batch)), batch, copies)
