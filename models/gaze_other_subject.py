"""Another subject: the path of someone else on the same display. A ceiling, not a model: it reads test answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch, Samples
from tsbench.errors import UsageError
from tsbench.gaze.floors import FLOOR_SEED, Floor, GivenWalk, present, repeated
from tsbench.gaze.samples import BEGIN, END
from tsbench.gaze.walk import Walk, luck
from tsbench.model import Run

if TYPE_CHECKING:
    from tsbench.dataset import Dataset


class GazeOtherSubject(Floor):
    """What people who look at the same display for the same thing share: the human ceiling, without self-pairs.

    The paths of copies 0, 1, ... are those of other subjects in turn. As a distribution: how often other subjects went
    from the last object to each, with one visit added in proportion to all their visits. Where nobody else searched
    the same, paths and probabilities are those of a uniform choice; `measured["without_peer"]` is the share of such
    training trials. Mean behaviour, and so delta, is that of people by construction, and is not shown.
    """

    told = "test answers"
    meaningless = ("delta", "greedy_delta")  # the others of all people on a display are the same people
    block_values = 2**18  # each trial has a table of moves, and the paths of all others
    source = "another subject's path; it reads answers of the test set, so it is the human ceiling and no model"

    @classmethod
    def refuses(cls, dataset: Dataset) -> str | None:
        """Also data in which no two people searched the same."""
        alone = "no two people searched one display" if getattr(dataset, "alone", False) else None
        return super().refuses(dataset) or alone

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Lengths, and how often others do what one subject did."""
        super().fit(train, validation, run)
        run.measured["without_peer"] = 1 - float(self.learned)

    def learn(self, batches: Sequence[Batch]) -> None:
        """The share of trials that have a peer; nothing else is learned.

        Raises:
            UsageError: none has.
        """
        self.learned = torch.cat([(b.more["peers"] >= 0).flatten(1).any(1) for b in batches]).float().mean()
        if not self.learned:
            raise UsageError("nobody else searched the same on any display, so the data have no human ceiling")

    def choice(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """From the last object to each, over objects, `(batch, step, token)`."""
        moves, visits = _moves(batch, last)
        moves[..., END] = 0
        there = present(batch)
        # one visit more: of all that others looked at, or of any object where there are no others
        prior = torch.where(visits.sum(1, keepdim=True) > 0, visits, there.to(visits))
        weight = moves + (prior / prior.sum(1, keepdim=True))[:, None]
        return (weight / weight.sum(-1, keepdim=True)).log()

    def ending(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """How often others ended after the last object, with one case added of how often any path does, by length."""
        moves, _ = _moves(batch, last)
        return (moves[..., END] + super().ending(batch, last, seen)) / (moves.sum(-1) + 1)

    def walk(self, batch: Batch, copies: int) -> Walk:
        """Paths of other subjects in turn, or random ones where there is nobody."""
        rows, peers = repeated(batch, copies), batch.more["peers"]  # (batch, peer, step)
        owner = torch.arange(len(batch), device=peers.device).repeat_interleave(copies)
        count = (peers >= 0).any(2).sum(1)[owner]
        turn = torch.arange(len(owner), device=peers.device) % copies + rows.more["subject"]  # or all follow the first
        found = peers[owner, turn % count.clamp(min=1)]
        paths = torch.where((count > 0)[:, None], found, self._random(batch, copies, peers.shape[2]))
        return GivenWalk(paths, rows.inputs.shape[1])

    def _random(self, batch: Batch, copies: int, steps: int) -> Tensor:
        """Paths of objects at random, `(row, step)` tokens, then END."""
        draw = torch.stack([luck(batch, copies, FLOOR_SEED, 1 + step) for step in range(steps)], 1)
        tokens = (draw * present(batch).sum(1).repeat_interleave(copies)[:, None]).long() + 1
        over = torch.arange(steps, device=draw.device) >= self.drawn_lengths(batch, copies)[:, None]
        return tokens.masked_fill(over, END)


def _moves(batch: Batch, last: Tensor) -> tuple[Tensor, Tensor]:
    """Moves of others from `last` to each token, `(batch, step, token)`, and visits to each object."""
    to, tokens = batch.more["peers"], batch.inputs.shape[1]  # (batch, peer, step)
    start = F.pad(to[..., :-1], (1, 0), value=BEGIN)
    pair = (start.clamp(min=0) * tokens + to.clamp(min=0)).flatten(1)
    table = batch.inputs.new_zeros(len(to), tokens**2).scatter_add(1, pair, (to >= 0).flatten(1).to(batch.inputs))
    table = table.unflatten(1, (tokens, tokens))  # from, to
    visits = table.sum(1)
    visits[:, END] = 0
    return table.gather(1, last[..., None].expand(-1, -1, tokens)), visits
