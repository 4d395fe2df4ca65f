"""SASRec: self-attention over a history predicts the next item at every step, by cross-entropy over the catalogue."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.model import NeuralModel
from tsbench.parts.encoder import Encoder, EncoderConfig, encoder_parts
from tsbench.position import Positions, encoding_kind
from tsbench.positions.learned import LearnedConfig
from tsbench.rec.model import Recommender
from tsbench.rec.samples import sequences
from tsbench.tasks.next_item import NextItem

PART = 2**19  # logits that exist at once: few enough to stay in cache, whatever the catalogue


@dataclass(frozen=True)
class SasrecConfig(EncoderConfig):
    """Settings of SASRec."""

    longest: int = 50  # tokens that it reads: the last items of a history
    positions: str = "learned(length=50)"  # a row for each of `longest`, at least
    layers: int = 2
    width: int = 64
    heads: int = 2
    feed_forward: int = 64
    dropout: float = 0.2
    lr: float = 1e-3
    batch_size: int = 128
    epochs: int = 200
    patience: int = 10
    drop_last: bool = False

    def __post_init__(self) -> None:
        """Refuse a model that reads nothing, and positions that it cannot give."""
        super().__post_init__()
        if self.longest < 1:
            raise UsageError(f"longest={self.longest} must be at least 1")
        kind, settings = encoding_kind(self.positions)
        if kind.contextual:
            raise UsageError(f"sasrec: positions={self.positions} needs to know the user, of whom SASRec reads nothing")
        if isinstance(settings, LearnedConfig) and settings.beyond == "error" and settings.length < self.longest:
            raise UsageError(
                f"sasrec: positions={self.positions} has {settings.length} places, and longest={self.longest} tokens "
                f"are read; write positions=learned(length={self.longest})"
            )


class Sasrec(NeuralModel, Recommender):
    """score(item) = state · embedding of the item; a state has seen the items up to its own.

    A history begins with a token of its own, from which the first item is predicted and, where there is no history, any
    item; a long history has lost it. Of sets it reads the arbitrary order that they come in.
    """

    Config = SasrecConfig
    tasks = (NextItem,)
    tiny: ClassVar[Mapping[str, Any]] = {"epochs": 2, "layers": 1, "width": 32}
    search_space: ClassVar[Mapping[str, BaseDistribution]] = {
        "lr": FloatDistribution(3e-4, 3e-3, log=True),
        "dropout": FloatDistribution(0.1, 0.6),
        "positions": CategoricalDistribution(("none", "sinusoidal", "learned(length=50)", "t5", "alibi", "rope")),
    }
    source = "Kang & McAuley 2018; cross-entropy over all items: Klenitskiy & Vasilev 2023, Petrov & Macdonald 2023"
    block_values = 2**19  # a score is one value of these, and states are as many again

    def __init__(self, task: NextItem, config: SasrecConfig) -> None:
        super().__init__(task, config)
        self.start = task.inputs.items  # its row follows those of the items
        self.embedding = nn.Embedding(task.inputs.items + 1, config.width)
        nn.init.xavier_normal_(self.embedding.weight)
        self.encoder = Encoder(config)

    @classmethod
    def parts(cls, config: SasrecConfig) -> tuple[type, ...]:
        """The position encoding."""
        return encoder_parts(config)

    def forward(self, batch: Batch) -> Tensor:
        """Scores of all items after each history, `(batch, item)`."""
        tokens, real = self.ends(batch.inputs, batch.real, self.config.longest)
        states = self.states(tokens, real)
        last = states[torch.arange(len(states), device=states.device), real.sum(1) - 1]
        return last @ self.items.T

    def training_loss(self, batch: Batch) -> Tensor:
        """-log p of each item given those before it, averaged over all steps of all sequences."""
        tokens, real = self.ends(*sequences(batch), self.config.longest + 1)
        states = self.states(tokens[:, :-1], real[:, 1:])
        steps = _places(real[:, 1:])
        taken = states.flatten(0, 1).index_select(0, steps)
        loss: Tensor = _CrossEntropy.apply(taken, self.items, tokens[:, 1:].flatten()[steps])
        return loss

    @property
    def items(self) -> Tensor:
        """Embeddings of the items, `(item, width)`: those that are read are those that are predicted."""
        return self.embedding.weight[: self.start]

    def ends(self, items: Tensor, real: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """The last `size` of a start token and the items, `(batch, time)`, and which are real; padding comes last."""
        items, real = F.pad(items, (1, 0), value=self.start), F.pad(real, (1, 0), value=True)
        length = real.sum(1, keepdim=True)
        steps = torch.arange(min(size, items.shape[1]), device=items.device)
        return items.gather(1, (length - size).clamp(min=0) + steps), steps < length

    def states(self, tokens: Tensor, real: Tensor) -> Tensor:
        """What is known after each token, `(batch, time, width)`."""
        x = self.embedding(tokens) * math.sqrt(self.config.width)  # small as weights of the output, of size 1 as tokens
        states: Tensor = self.encoder(x, Positions.along(x, real, causal=True))
        return states


def _places(real: Tensor) -> Tensor:
    """Flat indices of real tokens; meta tensors, which hold no values, count as all real."""
    flat = real.flatten()
    return torch.arange(len(flat), device=flat.device) if flat.is_meta else flat.nonzero()[:, 0]


class _CrossEntropy(torch.autograd.Function):
    """Mean of -log softmax(states · items)[target], with its gradient, from a part of the logits at a time.

    The gradient of logits is softmax less one-hot, so both products of it are had while they are in cache, and memory
    does not grow with steps times items.
    """

    @staticmethod
    def forward(ctx: Any, states: Tensor, items: Tensor, target: Tensor) -> Tensor:
        """Of states `(step, width)`, items `(item, width)` and target `(step,)`."""
        loss = states.new_zeros(())
        by_state, by_item = torch.empty_like(states), torch.zeros_like(items)
        size = max(1, PART // len(items))
        for x, wanted, out in zip(states.split(size), target[:, None].split(size), by_state.split(size), strict=True):
            logits = x @ items.T
            log_p = logits.log_softmax(1, dtype=torch.promote_types(logits.dtype, torch.float32))
            loss -= log_p.gather(1, wanted).sum()
            change = log_p.exp_().scatter_add_(1, wanted, torch.full_like(wanted, -1, dtype=log_p.dtype))
            out.copy_(change @ items)
            by_item.addmm_(change.T, x)
        ctx.save_for_backward(by_state, by_item)
        ctx.steps = len(target)
        return loss / len(target)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Scaled by the gradient of the loss."""
        by_state, by_item = ctx.saved_tensors
        share = gradients[0] / ctx.steps
        return by_state * share, by_item * share, None
