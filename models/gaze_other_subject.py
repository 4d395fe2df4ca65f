"""Another subject: the path of someone else on the same display. A ceiling, not a model: it reads test answers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch, Samples
from tsbench.gaze.floors import SEED, Floor, GivenWalk, present
from tsbench.gaze.samples import BEGIN, END
from tsbench.gaze.walk import Walk
from tsbench.model import Run


class GazeOtherSubject(Floor):
    """What people who look at the same display for the same thing share: the human ceiling, without self-pairs.

    The paths of copies 0, 1, ... are those of other subjects in turn. As a distribution: how often other subjects went
    from the last object to each, with one visit added in proportion to all their visits. Where nobody else searched
    the same, paths and probabilities are those of a uniform choice; `measured["without_peer"]` is the share of such
    training trials.
    """

    block_values = 2**18  # each step is compared with all steps of all others
    source = "another subject's path; it reads answers of the test set, so it is the human ceiling and no model"

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Lengths, and how often others do what one subject did."""
        super().fit(train, validation, run)
        run.measured["without_peer"] = 1 - float(self.learned)

    def learn(self, batches: Sequence[Batch]) -> None:
        """The share of trials that have a peer; nothing else is learned."""
        self.learned = torch.cat([(b.more["peers"] >= 0).flatten(1).any(1) for b in batches]).float().mean()

    def choice(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """From the last object to each, over objects, `(batch, step, token)`."""
        moves, visits = self._moves(batch, last)
        moves[..., END] = 0
        there = present(batch)
        # one visit more: of all that others looked at, or of any object where there are no others
        prior = torch.where(visits.sum(1, keepdim=True) > 0, visits, there.to(visits))
        weight = moves + (prior / prior.sum(1, keepdim=True))[:, None]
        return (weight / weight.sum(-1, keepdim=True)).log()

    def ending(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """How often others ended after the last object, with one case added of how often any path does, by length."""
        moves, _ = self._moves(batch, last)
        return (moves[..., END] + super().ending(batch, last, seen)) / (moves.sum(-1) + 1)

    def _moves(self, batch: Batch, last: Tensor) -> tuple[Tensor, Tensor]:
        """Moves of others from `last` to each token, `(batch, step, token)`, and visits to each object."""
        to = batch.more["peers"]  # (batch, peer, step)
        start = F.pad(to[..., :-1], (1, 0), value=BEGIN).flatten(1)
        to = to.flatten(1)
        arrive = F.one_hot(to.clamp(min=0), batch.inputs.shape[1]) * (to >= 0)[..., None]  # (batch, move, token)
        arrive = arrive.to(batch.inputs)
        moves = (last[..., None] == start[:, None]).to(arrive) @ arrive
        visits = arrive.sum(1)
        visits[:, END] = 0
        return moves, visits

    def walk(self, batch: Batch, copies: int) -> Walk:
        """Paths of other subjects in turn, or random ones where there is nobody."""
        rows = batch.map(lambda t: t.repeat_interleave(copies, 0))
        peers, device = rows.more["peers"], rows.inputs.device
        count = (peers >= 0).any(2).sum(1)
        turn = torch.arange(len(rows), device=device) % copies + rows.more["subject"]  # or all would follow the first
        found = peers.gather(1, (turn % count.clamp(min=1))[:, None, None].expand(-1, -1, peers.shape[2]))[:, 0]
        paths = torch.where((count > 0)[:, None], found, self._random(rows, peers.shape[2]))
        return GivenWalk(paths, rows.inputs.shape[1])

    def _random(self, rows: Batch, steps: int) -> Tensor:
        """Paths of objects at random, `(row, step)` tokens, then END."""
        device = rows.inputs.device
        draw = torch.rand(len(rows), steps, generator=torch.Generator(device).manual_seed(SEED), device=device)
        tokens = (draw * present(rows).sum(1, keepdim=True)).long() + 1
        over = torch.arange(steps, device=device) >= self.drawn_lengths(len(rows), device)[:, None]
        return tokens.masked_fill(over, END)
