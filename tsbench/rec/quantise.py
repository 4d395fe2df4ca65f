"""Semantic codes of items from their vectors: residual k-means, MMGRec's RQ-VAE made to work, and random codes.

All take x `(item, width)` float32 and give codes `(item, level)` int64 in 0..codes-1; each level says what those before
it left over. All randomness comes from torch's global generator.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tsbench.optim import make_optimizer

_BLOCK = 2**24  # distances that are held at once


def random_codes(items: int, levels: int, codes: int) -> Tensor:
    """A control: codes that mean nothing."""
    return torch.randint(codes, (items, levels))


# ---------------------------------------------------------------- residual k-means


def residual_kmeans(x: Tensor, levels: int, codes: int, iterations: int = 15) -> Tensor:
    """At each level the nearest of `codes` centres; the next level gets what is left."""
    left, found = x - x.mean(0), []
    for _ in range(levels):
        centres = kmeans(left, codes, iterations)
        found.append(nearest(left, centres))
        left = left - centres[found[-1]]
    return torch.stack(found, 1)


def kmeans(x: Tensor, codes: int, iterations: int = 15) -> Tensor:
    """Centres `(code, width)`, at most `codes`: the points themselves where no more than those are different.

    Lloyd's algorithm from the start of k-means++; a centre without points moves to the point farthest from its own.
    """
    different = x.unique(dim=0)
    if len(different) <= codes:
        return different
    centres = spread(different, codes)
    before = None
    for _ in range(iterations):
        own = nearest(x, centres)
        if before is not None and torch.equal(own, before):
            break
        before, count = own, torch.bincount(own, minlength=codes)
        empty = (count == 0).nonzero()[:, 0]
        far = (x - centres[own]).square().sum(1).topk(len(empty)).indices
        centres = torch.zeros_like(centres).index_add(0, own, x) / count.clamp(min=1)[:, None]
        centres[empty] = x[far]
    return centres


def spread(x: Tensor, codes: int) -> Tensor:
    """Different points `(code, width)`, each drawn by its squared distance from those before (Arthur 2007)."""
    half = x.square().sum(1) / 2
    far, chosen = torch.ones_like(half), []
    for _ in range(codes):
        chosen.append(torch.multinomial(far, 1))
        point = x[chosen[-1][0]]
        away = half - x @ point + point.square().sum() / 2
        far = away if len(chosen) == 1 else torch.minimum(far, away)
        # Rounding must not hide a point, nor draw one again.
        far = far.clamp(min=1e-30).index_fill(0, torch.cat(chosen), 0)
    return x[torch.cat(chosen)]


def nearest(x: Tensor, centres: Tensor) -> Tensor:
    """The centre `(code, width)` nearest to each point, `(item,)` int64."""
    half = centres.square().sum(1) / 2
    blocks = x.split(max(1, _BLOCK // len(centres)))
    return torch.cat([(half - block @ centres.T).argmin(1) for block in blocks])


# ---------------------------------------------------------------- RQ-VAE


@dataclass(frozen=True)
class RqVaeConfig:
    """MMGRec's values, as released.

    Attributes:
        inner, latent: width of the hidden layer and of codes.
        epochs, batch_size, lr, weight_decay: of training by Adam.
        codebook, commitment: weights of the losses that pull codes to encodings, and encodings to codes.
        repaired: k-means makes the first codes, and in each later epoch codes that nobody has move to an item that is
            drawn. Without, as released, few codes are ever used: 2 of 128 on its own sample.
    """

    inner: int = 16
    latent: int = 4
    epochs: int = 60
    batch_size: int = 1024
    lr: float = 1e-3
    weight_decay: float = 1e-4
    codebook: float = 1.0
    commitment: float = 0.25
    repaired: bool = True


class RqVae(nn.Module):
    """Residual-quantised autoencoder (Lee et al. 2022; Liu et al. 2024, arXiv 2404.16555)."""

    def __init__(self, width: int, levels: int, codes: int, config: RqVaeConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = nn.Sequential(nn.Linear(width, config.inner), nn.ReLU(), nn.Linear(config.inner, config.latent))
        self.decoder = nn.Sequential(
            nn.Linear(config.latent, config.inner), nn.Sigmoid(), nn.Linear(config.inner, width)
        )
        self.codes = nn.Parameter(torch.empty(levels, codes, config.latent).uniform_(-1 / codes, 1 / codes))

    def loss(self, x: Tensor) -> Tensor:
        """Reconstruction by the straight-through estimator, and what ties codes and encodings together, all levels."""
        encoded = self.encoder(x)  # (item, latent)
        left, loss = encoded, x.new_zeros(())
        for codes in self.codes:
            code = F.embedding(nearest(left.detach(), codes.detach()), codes)
            loss = loss + self.config.codebook * F.mse_loss(code, left.detach())
            loss = loss + self.config.commitment * F.mse_loss(left, code.detach())
            left = left - code.detach()
        quantised = encoded - left.detach()  # the sum of the codes; its gradient is that of the encoding
        return loss + F.mse_loss(self.decoder(quantised), x)

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Codes from k-means of encodings, level by level."""
        left = self.encoder(x)
        for codes in self.codes:
            centres = kmeans(left, len(codes))
            codes[: len(centres)] = centres
            left = left - codes[nearest(left, codes)]

    @torch.no_grad()
    def revive(self, x: Tensor) -> None:
        """Move each code that no item has to what is left of an item, drawn."""
        left = self.encoder(x)
        for codes in self.codes:
            dead = (torch.bincount(nearest(left, codes), minlength=len(codes)) == 0).nonzero()[:, 0]
            codes[dead] = left[torch.randint(len(x), (len(dead),)).to(x.device)]
            left = left - codes[nearest(left, codes)]

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        """Codes `(item, level)`."""
        left, found = self.encoder(x), []
        for codes in self.codes:
            found.append(nearest(left, codes))
            left = left - codes[found[-1]]
        return torch.stack(found, 1)


def rq_vae(x: Tensor, levels: int, codes: int, config: RqVaeConfig | None = None) -> Tensor:
    """Codes by an RQ-VAE that is trained on all items."""
    config = config or RqVaeConfig()
    model = RqVae(x.shape[1], levels, codes, config).to(x.device)
    optimizer = make_optimizer("adam", model.parameters(), config.lr, config.weight_decay)
    for epoch in range(config.epochs):
        batches = x[torch.randperm(len(x)).to(x.device)].split(config.batch_size)
        if config.repaired:
            model.revive(x) if epoch else model.start(batches[0])
        for batch in batches:
            model.loss(batch).backward()
            optimizer.step()
    return model(x)
