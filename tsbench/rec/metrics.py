"""Metrics of a ranking of the whole catalogue, as expected values where scores are equal.

Equal scores leave the order open; sorting would let the sort, or worse the items' numbers, decide. A target with
`ahead` better items and `tied` items of its own score, itself among them, has each of the ranks ahead + 1 ... ahead +
tied with the same probability, so all metrics follow from counting. They are exact, and do not depend on item numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

CUTOFFS = (5, 10, 20, 50)
UNLISTED = -1e30  # score of an item that is in no list: finite, below all others, and never recommended


@dataclass(frozen=True)
class Places:
    """Where targets stand among all candidates, `(batch, target)` each.

    Attributes:
        ahead: candidates with a higher score, int64.
        tied: candidates with the same score, the target among them, int64; 1 where there is no place.
        peers: targets among those tied, int64; 1 where there is no place.
        listed: False if the target is UNLISTED, no candidate, or beyond a user's last one.
        targets: `(batch,)` int64: how many each user has, those without a place included.
    """

    ahead: Tensor
    tied: Tensor
    peers: Tensor
    listed: Tensor
    targets: Tensor

    @property
    def best(self) -> Places:
        """As if all targets came first among those tied."""
        return Places(self.ahead, self.peers, self.peers, self.listed, self.targets)

    @property
    def worst(self) -> Places:
        """As if all targets came last among those tied."""
        return Places(self.ahead + self.tied - self.peers, self.peers, self.peers, self.listed, self.targets)


def candidates(scores: Tensor, barred: Tensor | None) -> Tensor:
    """Scores `(batch, item)`, those of `barred` items UNLISTED."""
    return scores if barred is None else scores.masked_fill(barred, UNLISTED)


def places(scores: Tensor, targets: Tensor) -> Places:
    """Count for each target who is ahead of it and who is level.

    Args:
        scores: of candidates, `(batch, item)`; UNLISTED for the others.
        targets: `(batch, target)` int64, different ones, -1 beyond a user's last one.
    """
    own = scores.gather(1, targets.clamp(min=0))
    listed = (targets >= 0) & (own > UNLISTED)
    ahead, tied = torch.zeros_like(targets), torch.ones_like(targets)
    for column in range(targets.shape[1]):  # not at once: (batch, target, item) may be large, and most rows are short
        rows = listed[:, column].nonzero()[:, 0]
        among = scores if len(rows) == len(scores) else scores[rows]
        mine = own[rows, column, None]
        ahead[rows, column] = torch.count_nonzero(among > mine, 1)
        tied[rows, column] = torch.count_nonzero(among == mine, 1)
    level = own.where(listed, torch.inf).sort(1).values  # equal scores stand together
    first, after = (torch.searchsorted(level, own.contiguous(), right=right) for right in (False, True))
    return Places(ahead, tied, (after - first).where(listed, 1), listed, (targets >= 0).sum(1))


def hits(found: Places, k: int) -> Tensor:
    """Probability that each target is among the first `k`, `(batch, target)` float64."""
    return ((k - found.ahead).clamp(min=0).minimum(found.tied) / found.tied.double()).where(found.listed, 0.0)


def recall(found: Places, k: int) -> Tensor:
    """Share of a user's targets among the first `k`, `(batch,)`."""
    return hits(found, k).sum(1) / found.targets.clamp(min=1)


def ndcg(found: Places, k: int) -> Tensor:
    """Gain 1 / log2(1 + rank) of targets among the first `k`, over that of the best list, `(batch,)`."""
    ranks = torch.arange(1, k + 1, dtype=torch.float64, device=found.ahead.device)
    total = torch.cat([ranks.new_zeros(1), (1 / torch.log2(1 + ranks)).cumsum(0)])  # of all ranks up to 0, 1, ... k
    first, last = found.ahead.clamp(max=k), (found.ahead + found.tied).clamp(max=k)
    gain = ((total[last] - total[first]) / found.tied).where(found.listed, 0.0)
    return gain.sum(1) / total[found.targets.clamp(1, k)]


def mrr(found: Places, cutoffs: Sequence[int]) -> Tensor:
    """1 / rank of a user's first target, 0 if it is not among the first k, `(batch, cutoff)`.

    The first is in the best tied group. With q targets among its m places, the first of them is at place j with
    probability C(m - j, q - 1) / C(m, q), here by the ratio of each j to the one before.
    """
    far = torch.iinfo(found.ahead.dtype).max
    lead, column = found.ahead.where(found.listed, far).min(1, keepdim=True)
    m, q = found.tied.gather(1, column), found.peers.gather(1, column)
    j = torch.arange(1, max(cutoffs) + 1, device=m.device)
    ratio = (m - q - j + 1).clamp(min=0) / (m - j).clamp(min=1).double()  # (batch, place)
    p = (q / m.double()) * torch.cat([torch.ones_like(ratio[:, :1]), ratio[:, :-1]], 1).cumprod(1)
    ahead = lead.where(found.listed.any(1, keepdim=True), max(cutoffs))
    rank = ahead + j
    return torch.stack([(p / rank).where(rank <= k, 0.0).sum(1) for k in cutoffs], 1)


def measures(found: Places) -> dict[str, Tensor]:
    """Recall, NDCG and MRR at CUTOFFS, and recall and NDCG at 10 in the worst and best order of ties, `(batch,)`."""
    values: dict[str, Tensor] = {}
    for k, reciprocal in zip(CUTOFFS, mrr(found, CUTOFFS).unbind(1), strict=True):
        values |= {f"recall_{k}": recall(found, k), f"ndcg_{k}": ndcg(found, k), f"mrr_{k}": reciprocal}
    for bound, order in (("low", found.worst), ("high", found.best)):
        values |= {f"recall_10_{bound}": recall(order, 10), f"ndcg_10_{bound}": ndcg(order, 10)}
    return values


def top(scores: Tensor, size: int) -> Tensor:
    """The `size` best candidates, best first, `(batch, size)` int64; -1 where there are no more.

    Of equal scores the lowest item comes first.
    """
    listed = min(size, scores.shape[1])
    best, items = scores.topk(min(size + 1, scores.shape[1]))
    torn = (best[:, listed - 1] == best[:, -1]).nonzero()[:, 0]  # there `topk` may take any of equal items
    items = items[:, :listed]
    items[torn] = _lowest(scores[torn], best[torn, -1:], listed)
    items = items.sort(1).values
    ordered = scores.gather(1, items).sort(dim=1, descending=True, stable=True)
    found = items.gather(1, ordered.indices).masked_fill(ordered.values <= UNLISTED, -1)
    return F.pad(found, (0, size - listed), value=-1)


def _lowest(scores: Tensor, least: Tensor, size: int) -> Tensor:
    """Items above `least`, and the lowest items of that score, `(batch, size)`."""
    chosen, level = scores > least, scores == least
    room = size - torch.count_nonzero(chosen, 1)[:, None]
    chosen |= level & (level.cumsum(1, dtype=torch.int32) <= room)
    return chosen.nonzero()[:, 1].unflatten(0, (-1, size))
