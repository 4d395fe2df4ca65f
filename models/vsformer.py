"""VSFormer: tokens are shapes that recur within a class, and values of intervals, weighed by what they say of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import torch
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from torch import Tensor, nn

from tsbench.data import Batch, Samples
from tsbench.errors import unknown
from tsbench.explanation import Attended, Explanation, received, recorded
from tsbench.inputs import Series
from tsbench.model import NeuralModel, Run
from tsbench.parts.encoder import Encoder, encoder_parts
from tsbench.position import Positions
from tsbench.series.large import LARGE
from tsbench.series.samples import SeriesSamples
from tsbench.series.tokens import ShapeTokens, TokenConfig, Tokens, ValueTokens
from tsbench.tasks.classification import Classification

BRANCHES: dict[str, dict[str, type[ShapeTokens | ValueTokens]]] = {
    "both": {"shape": ShapeTokens, "value": ValueTokens},
    "shape": {"shape": ShapeTokens},
    "value": {"value": ValueTokens},
}


@dataclass(frozen=True)
class VSFormerConfig(TokenConfig):
    """Settings of VSFormer; docs/vsformer.md says what each rests on."""

    positions: str = "none"
    layers: int = 1
    width: int = 16
    heads: int = 2
    feed_forward: int = 64
    optimizer: str = "radam"
    lr: float = 3e-3
    batch_size: int = 16
    drop_last: bool = False
    epochs: int = 40
    patience: int = 0
    branches: str = "both"  # or shape, or value
    prior_in_encoding: bool = True  # a token is told its prior
    prior_in_attention: bool = True  # attention to a token is multiplied by its prior

    def __post_init__(self) -> None:
        """Refuse an unknown branch."""
        super().__post_init__()
        if self.branches not in BRANCHES:
            raise unknown("value of branches", self.branches, BRANCHES)


class Branch(nn.Module):
    """Tokens, told where they are and what they are worth (TSI), through an encoder that heeds their worth (PESA)."""

    def __init__(self, tokens: ShapeTokens | ValueTokens, config: VSFormerConfig, channels: int) -> None:
        super().__init__()
        self.tokens, self.config, self.channels = tokens, config, channels
        self.encoding = nn.Linear(3 + config.prior_in_encoding, config.width)
        self.encoder = Encoder(config)

    def forward(self, x: Tensor, steps: Tensor) -> tuple[Tensor, Tokens]:
        """States `(batch, token, width)`, 0 where a token is not real, and the tokens.

        Args:
            x: `(batch, time, channel)`.
            steps: `(batch,)`: true lengths.
        """
        tokens = self.tokens(x, steps)
        shape, whole = tokens.first.shape, steps[:, None].clamp(min=1)
        known = [tokens.first / whole, tokens.end / whole, (tokens.channel / max(1, self.channels - 1)).expand(shape)]
        if self.config.prior_in_encoding:
            known.append(tokens.prior.expand(shape))
        embedded = tokens.values + self.encoding(torch.stack(known, -1))
        # Where no token is real, all are seen: a softmax over nothing would be NaN. Their states are dropped below.
        seen = tokens.real | ~tokens.real.any(1, keepdim=True)
        positions = Positions.along(embedded, seen)
        if self.config.prior_in_attention:
            positions = replace(positions, weight=tokens.prior[None])
        states = self.encoder(embedded, positions)
        return states * tokens.real[..., None], tokens


class VSFormer(NeuralModel):
    """A reconstruction of VSFormer, whose code and tables are not public.

    Logits = W [states of shape tokens; states of value tokens] + b.
    """

    Config = VSFormerConfig
    tasks = (Classification,)
    branches: Any  # a ModuleDict of Branch
    source = "after Xi et al., VSFormer, arXiv 2412.16515 (2024): reconstructed from abstract and summaries"
    recipes = LARGE
    tiny = {"epochs": 2, "tokens": 40}
    search_space = {
        **NeuralModel.search_space,
        "lr": FloatDistribution(1e-4, 1e-2, log=True),
        "dropout": FloatDistribution(0.0, 0.5),
        "width": CategoricalDistribution((8, 16, 32, 64)),
        "motifs": IntDistribution(1, 5),
        "across": CategoricalDistribution((True, False)),
    }

    def __init__(self, task: Classification, config: VSFormerConfig) -> None:
        super().__init__(task, config)
        assert isinstance(task.inputs, Series)
        channels = task.inputs.channels
        self.branches = nn.ModuleDict(
            {name: Branch(kind(task, config), config, channels) for name, kind in BRANCHES[config.branches].items()}
        )
        count = sum(branch.tokens.count for branch in self.branches.values())
        self.head = nn.Linear(count * config.width, task.classes)

    @classmethod
    def parts(cls, config: VSFormerConfig) -> tuple[type, ...]:
        """The position encoding."""
        return encoder_parts(config)

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Find motifs, bins and priors in `train` alone, then train."""
        self.to(run.device)
        begun = time.process_time()
        whole = train.to(run.device).batch(torch.arange(len(train), device=run.device))
        cases = SeriesSamples(whole.inputs, whole.target, None if whole.valid is None else whole.valid.sum(1))
        for branch in self.branches.values():
            branch.tokens.find(cases, run.seed)
        before = run.measured.get("motif_seconds", 0.0)  # of the first fit, where this is the second
        run.measured["motif_seconds"] = before + time.process_time() - begun
        super().fit(train, validation, run)

    def forward(self, batch: Batch) -> Tensor:
        """Logits `(batch, classes)`."""
        states = torch.cat([branch(batch.inputs, batch.steps)[0].flatten(1) for branch in self.branches.values()], 1)
        logits: Tensor = self.head(states)
        return logits

    @torch.no_grad()
    def explain(self, batch: Batch) -> Explanation:
        """The motifs, and the tokens that were read most in either branch."""
        self.eval()
        labels = self.task.labels or tuple(map(str, range(self.task.classes)))
        attended: list[list[Attended]] = [[] for _ in range(len(batch))]
        for name, branch in self.branches.items():
            with recorded(branch.encoder) as weights:
                _, tokens = branch(batch.inputs, batch.steps)
            read, words = received(weights, tokens.real), branch.tokens.words(labels)
            for case, token in tokens.real.nonzero().tolist():
                span = int(tokens.first[case, token]), int(tokens.end[case, token])
                text, channel = words[token]
                attended[case].append(Attended(name, text, *span, channel, float(read[case, token])))
        found = self.branches["shape"].tokens.origins() if "shape" in self.branches else []
        return Explanation(found, [sorted(tokens, key=lambda token: -token.attention) for tokens in attended])
