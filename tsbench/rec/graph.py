"""Vectors of users and items from the graph of who took what: GraphSAGE over training interactions, learned by BPR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.optim import make_optimizer
from tsbench.parts.dropout import dropout


@dataclass(frozen=True)
class GraphConfig:
    """How the vectors are learned; MMGRec's values.

    Attributes:
        inner, width: of the first layer and of the vectors.
        epochs, batch_size, lr, weight_decay: of training by Adam; a batch is so many pairs.
        negatives: items drawn for each pair, anew in each epoch.
    """

    inner: int = 128
    width: int = 64
    epochs: int = 60
    batch_size: int = 3000
    lr: float = 1e-3
    weight_decay: float = 1e-6
    negatives: int = 5


class Graph:
    """Users and items as nodes, users first, an edge where one took the other; no edge counts twice."""

    def __init__(self, user: Tensor, item: Tensor, users: int, items: int) -> None:
        nodes = users + items
        pairs = torch.unique(user * items + item)  # ascending
        edges = torch.stack([pairs // items, users + pairs % items])
        self.users, self.items, self.pairs = users, items, edges - torch.tensor([[0], [users]], device=user.device)
        node, self.neighbours = torch.cat([edges, edges.flip(0)], 1)[
            :, torch.cat([edges[0], edges[1]]).argsort(stable=True)
        ]
        self.degree = torch.bincount(node, minlength=nodes)
        self.starts = self.degree.cumsum(0) - self.degree

    def mean(self, x: Tensor) -> Tensor:
        """Mean over the neighbours of each node, `(node, width)`; 0 where there is none."""
        found: Tensor = _Mean.apply(x, self.neighbours, self.starts, self.degree.clamp(min=1).to(x.dtype)[:, None])
        return found


class _Mean(torch.autograd.Function):
    """D^-1 A x. A is symmetric, so the gradient is A D^-1 g, again a sum over neighbours."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, neighbours: Tensor, starts: Tensor, degree: Tensor) -> Tensor:
        ctx.save_for_backward(neighbours, starts, degree)
        return F.embedding_bag(neighbours, x, starts, mode="sum") / degree

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        neighbours, starts, degree = ctx.saved_tensors
        return F.embedding_bag(neighbours, gradients[0] / degree, starts, mode="sum"), None, None, None


class GraphEncoder(nn.Module):
    """Two layers of GraphSAGE with the mean (Hamilton et al. 2017): W x + W' mean of the neighbours' x.

    Items enter as their modalities, side by side, through one linear map without bias; without modalities, and for
    users, as free vectors.
    """

    def __init__(self, users: int, items: int, known: int, config: GraphConfig) -> None:
        super().__init__()
        self.users = nn.Parameter(nn.init.xavier_uniform_(torch.empty(users, config.inner)))
        free = nn.Parameter(nn.init.xavier_uniform_(torch.empty(items, config.inner)))
        self.items: Any = None if known else free
        self.known = nn.Linear(known, config.inner, bias=False) if known else None
        widths = ((config.inner, config.inner), (config.inner, config.width))
        self.own = nn.ModuleList(nn.Linear(*pair) for pair in widths)
        self.neighbours = nn.ModuleList(nn.Linear(*pair, bias=False) for pair in widths)

    def forward(self, graph: Graph, features: Tensor | None) -> tuple[Tensor, Tensor]:
        """Vectors of users and of items, `(user or item, width)`; `features` `(item, known)`."""
        x = torch.cat([self.users, self.items if self.known is None else self.known(features)])
        for own, neighbours, share in zip(self.own, self.neighbours, (0.5, 0.2), strict=True):
            # (node, width): the map comes first where it narrows, so that the sparse product is of the narrower side
            x = own(x) + graph.mean(neighbours(x))
            x = dropout(F.leaky_relu(x), share, self.training)
        users, items = x.split([graph.users, graph.items])
        return users, items


def learn_vectors(graph: Graph, features: Tensor | None, config: GraphConfig) -> tuple[Tensor, Tensor]:
    """Vectors of users and items by which users prefer what they took: Bayesian personalised ranking (Rendle 2009).

    All randomness comes from torch's global generator.
    """
    known = 0 if features is None else features.shape[1]
    device = graph.pairs.device
    encoder = GraphEncoder(graph.users, graph.items, known, config).to(device)
    optimizer = make_optimizer("adam", encoder.parameters(), config.lr, config.weight_decay)
    user, item = graph.pairs
    for _ in range(config.epochs):
        negatives = torch.randint(graph.items, (len(user), config.negatives)).to(device)
        for batch in torch.randperm(len(user)).to(device).split(config.batch_size):
            people, things = encoder(graph, features)
            own = F.embedding(user[batch], people)[:, None]  # (batch, 1, width); faster backward than indexing
            took, not_taken = F.embedding(item[batch], things)[:, None], F.embedding(negatives[batch], things)
            better = (own * took).sum(-1) - (own * not_taken).sum(-1)
            F.softplus(-better).mean().backward()
            optimizer.step()
    encoder.eval()
    with torch.no_grad():
        people, things = encoder(graph, features)
    return people, things


def standardised(modalities: Mapping[str, Tensor]) -> Tensor | None:
    """All modalities side by side, `(item, width)`, each with mean 0 and mean squared length 1; None if there are none.

    Items, not interactions, are counted: what is known of an item is known before anybody takes it. Rows of zeros, of
    which nothing is known, are not counted, and stay zero.
    """
    if not modalities:
        return None
    parts = []
    for x in modalities.values():
        known = x.any(1, keepdim=True)
        count = known.sum().clamp(min=1)
        x = (x - x.sum(0) / count) * known
        parts.append(x / (x.square().sum() / count).sqrt().clamp(min=1e-12))
    return torch.cat(parts, 1)
