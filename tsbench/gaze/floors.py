"""Floors: simple models of scanpaths, which any other must beat. A subclass says what is next, this file the rest.

All learn from training paths when paths end, and how often people look where the model does not expect it. Paths that a
floor makes are purely its own, as long as one of the training paths, drawn for each; likelihoods are those of a mixture
of the model with a uniform choice, so that one surprise does not make them infinite.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import ClassVar

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch, Samples, like_size
from tsbench.gaze.samples import BEGIN, END
from tsbench.gaze.walk import NEVER, ScanpathModel, Walk, luck
from tsbench.model import Run, State
from tsbench.tasks.scanpath import Scanpath

FLOOR_SEED = 11  # of the lengths of paths: all floors make paths of the same lengths
TIE_SEED = 12
LEAST = 1e-4  # share of the uniform choice, and of the other
TIE = 1e-4  # by which one of several best logits, taken by chance, is raised above the others


class Floor(ScanpathModel):
    """A model whose `choice` of the next object depends on the display, the last object and those seen before.

    Attributes:
        stops: paths also end when the target, or every one of several, or every object was fixated; the model is told
            the targets, so its stopping is an oracle's.
        limited: paths are no longer than the length drawn for them.
    """

    tasks = (Scanpath,)
    stochastic = False
    stops: ClassVar[bool] = False
    limited: ClassVar[bool] = True

    def __init__(self, task: Scanpath, config: object) -> None:
        super().__init__(task, config)
        self.lengths = torch.zeros(task.steps + 1)  # training paths of each length
        self.ends = torch.zeros(2, task.steps + 1)  # P(END) after so many fixations, targets not all seen, and seen
        self.share = torch.ones(())  # of the uniform choice
        self.learned = torch.ones(())  # what a subclass learns

    @abstractmethod
    def choice(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """Log-probabilities of the next object `(batch, step, token)`, -inf for END and padding.

        Args:
            batch: displays and what is searched for; its paths must not be read.
            last: token before each step, BEGIN before the first, `(batch, step)`.
            seen: tokens fixated before each step, `(batch, step, token)`.
        """

    def learn(self, batches: Sequence[Batch]) -> None:
        """Learn what `choice` needs, from training paths."""

    def pick(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """What paths are drawn from: as `choice`."""
        return self.choice(batch, last, seen)

    def ending(self, batch: Batch, last: Tensor, seen: Tensor) -> Tensor:
        """Probability that a path ends before each step, `(batch, step)`."""
        made = torch.arange(last.shape[1], device=last.device).clamp(max=self.ends.shape[1] - 1)
        return self.ends.to(last.device)[self._found(batch, seen).long(), made]

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Count where training paths end, learn, and weigh the choice against a uniform one."""
        batches = [train.batch(indices) for indices in like_size(train.sizes.cpu(), self.block_values)]
        ended, reached = torch.zeros(2, *self.ends.shape)
        for batch in batches:
            _, seen = history(batch)
            found, made = self._found(batch, seen).long(), torch.arange(batch.target.shape[1])
            for counts, mask in ((ended, batch.target == END), (reached, batch.target >= 0)):
                counts.index_put_((found, made.expand_as(found)), mask.float(), accumulate=True)
        self.lengths = ended.sum(0)
        rate = ended.sum(1, keepdim=True) / reached.sum(1, keepdim=True).clamp(min=1)
        self.ends = ((ended + rate) / (reached + 1)).clamp(LEAST, 1 - LEAST)
        self.learn(batches)
        self.share = self._uniform_share(batches)

    def _uniform_share(self, batches: Sequence[Batch]) -> Tensor:
        """The share under which training fixations are most likely."""
        own, chance = (torch.cat(p) for p in zip(*(self._fixated(batch) for batch in batches), strict=True))

        def cost(share: float) -> float:
            return -float((share * chance + (1 - share) * own).log().sum())

        return torch.tensor(least(cost, LEAST, 1 - LEAST))

    def _fixated(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Probability of each object fixated, under `choice` and under a uniform one, `(fixation,)` float64."""
        real = batch.target > END
        log_p = self.choice(batch, *history(batch)).gather(2, batch.target.clamp(min=0)[..., None])[..., 0]
        uniform = 1 / present(batch).sum(1, keepdim=True)
        return log_p[real].double().exp(), uniform.expand_as(real)[real].double()

    def surprise(self, batches: Sequence[Batch]) -> float:
        """Mean negative log probability of the objects fixated, under `choice` alone."""
        own = torch.cat([self._fixated(batch)[0] for batch in batches])
        return float(-own.clamp(min=1e-30).log().mean())

    def predict(self, batch: Batch) -> Tensor:
        """Log-probabilities of each fixation and END given those before, `(batch, step, token)`."""
        last, seen = history(batch)
        there = present(batch)
        share = self.share.to(last.device)
        uniform = uniformly(there[:, None])
        log_p = torch.logaddexp((1 - share).log() + self.choice(batch, last, seen), share.log() + uniform)
        end = self.ending(batch, last, seen)
        log_p = log_p + (-end).log1p()[..., None]
        log_p[..., END] = end.log()
        return log_p.clamp(min=NEVER)

    def walk(self, batch: Batch, copies: int) -> Walk:
        """Paths that follow `pick`; greedy ones take the likeliest token, and of several one by chance."""
        return _FloorWalk(self, batch, copies)

    def drawn_lengths(self, batch: Batch, copies: int) -> Tensor:
        """Lengths of training paths, one drawn for each path, `(batch * copies,)`."""
        sums = self.lengths.to(batch.inputs.device).double().cumsum(0)
        return torch.searchsorted(sums, luck(batch, copies, FLOOR_SEED) * sums[-1], right=True)

    def over(self, batch: Batch, seen: Tensor, made: int, lengths: Tensor) -> Tensor:
        """Which paths end now, `(row,)`."""
        ends = made >= lengths if self.limited else torch.zeros_like(lengths, dtype=torch.bool)
        if self.stops:
            ends = ends | self._found(batch, seen)[:, 0] | ~(present(batch) & ~seen[:, 0]).any(1)
        return ends

    def _found(self, batch: Batch, seen: Tensor) -> Tensor:
        """Whether all targets were fixated before each step, `(batch, step)`; False where that does not matter."""
        targets = batch.more["targets"][:, None]
        found = targets.any(-1) & ~(targets & ~seen).any(-1)
        return found if self.stops else torch.zeros_like(found)

    def state(self) -> State:
        """What was learned, and the lengths of training paths."""
        return {name: getattr(self, name) for name in ("lengths", "ends", "share", "learned")}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        for name, value in state.items():
            setattr(self, name, value)


class _FloorWalk:
    """Paths of a floor under way: what each has seen, and how long it is to be."""

    def __init__(self, model: Floor, batch: Batch, copies: int) -> None:
        self.model, self.begun, self.copies = model, batch, copies
        self.batch, self.lengths, self.made = repeated(batch, copies), model.drawn_lengths(batch, copies), 0
        self.rows = torch.arange(len(self.lengths), device=self.lengths.device)
        self.seen = torch.zeros_like(self.batch.real)

    def next(self, last: Tensor) -> Tensor:
        """Log-probabilities `(row, token)`; END is certain or impossible."""
        self.seen = self.seen.scatter(1, last[:, None], True)
        seen = self.seen[:, None]
        log_p = self.model.pick(self.batch, last[:, None], seen)[:, 0].clamp(min=NEVER)
        best = log_p == log_p.amax(1, keepdim=True)
        which = (luck(self.begun, self.copies, TIE_SEED, self.made)[self.rows] * best.sum(1)).long()
        log_p = log_p + TIE * (best & (best.cumsum(1) - 1 == which[:, None]))
        over = self.model.over(self.batch, seen, self.made, self.lengths)
        self.made += 1
        log_p = log_p.masked_fill(over[:, None], NEVER)
        log_p[:, END] = torch.where(over, 0.0, NEVER)
        return log_p

    def keep(self, rows: Tensor) -> None:
        """Go on with the rows at these indices only."""
        self.batch = self.batch.map(lambda t: t[rows])
        self.seen, self.lengths, self.rows = self.seen[rows], self.lengths[rows], self.rows[rows]


class GivenWalk:
    """Paths that are known beforehand, `(row, step)` tokens, then END or -1."""

    def __init__(self, paths: Tensor, tokens: int) -> None:
        self.paths, self.tokens, self.made = F.pad(paths, (0, 1), value=END).clamp(min=END), tokens, 0

    def next(self, last: Tensor) -> Tensor:
        """0 for the token that follows, NEVER for all others, `(row, token)`."""
        follows = self.paths[:, min(self.made, self.paths.shape[1] - 1)]
        self.made += 1
        return torch.full((len(follows), self.tokens), NEVER, device=follows.device).scatter(1, follows[:, None], 0.0)

    def keep(self, rows: Tensor) -> None:
        """Go on with the rows at these indices only."""
        self.paths = self.paths[rows]


def repeated(batch: Batch, copies: int) -> Batch:
    """Each sample `copies` times, without what a walk has no use for: the fixations of people."""
    more = {name: t for name, t in batch.more.items() if name not in ("points", "durations", "peers")}
    return replace(batch, more=more).map(lambda t: t.repeat_interleave(copies, 0))


def history(batch: Batch) -> tuple[Tensor, Tensor]:
    """Of each step of the true paths, the token before it `(batch, step)` and all before it `(batch, step, token)`."""
    last = F.pad(batch.target[:, :-1], (1, 0), value=BEGIN).clamp(min=END)
    return last, F.one_hot(last, batch.inputs.shape[1]).cumsum(1) > 0


def present(batch: Batch) -> Tensor:
    """Tokens that are objects: neither padding nor what is searched for, `(batch, token)`."""
    there = batch.real.clone()
    there[:, END] = False
    return there


def among(scores: Tensor, allowed: Tensor) -> Tensor:
    """Log-probabilities by softmax over the tokens allowed, -inf for others."""
    return scores.masked_fill(~allowed, -math.inf).log_softmax(-1).masked_fill(~allowed, -math.inf)


def uniformly(allowed: Tensor) -> Tensor:
    """Log-probabilities of a uniform choice among the tokens allowed, -inf for others."""
    return among(torch.zeros(allowed.shape, device=allowed.device), allowed)


def unseen(batch: Batch, seen: Tensor) -> Tensor:
    """Objects not yet fixated, `(batch, step, token)`; all objects again once none is left."""
    there = present(batch)[:, None]
    left = there & ~seen
    return torch.where(left.any(-1, keepdim=True), left, there)


def centre(batch: Batch) -> Tensor:
    """The middle of each display, `(batch, 1, 2)` units."""
    return (batch.more["size"] / batch.more["unit"] / 2)[:, None]


def offsets(batch: Batch, last: Tensor) -> Tensor:
    """From the last object, or from the display's centre at first, to each token, `(batch, step, token, 2)` units."""
    places = batch.places[..., :2]  # type: ignore[index]  # (batch, token, 2)
    at = places.gather(1, last[..., None].expand(-1, -1, 2))  # (batch, step, 2)
    at = torch.where((last == BEGIN)[..., None], centre(batch), at)
    return places[:, None] - at[:, :, None]


def least(cost: Callable[[float], float], low: float, high: float) -> float:
    """Where between `low` and `high` (both over 0) a cost with one valley is least, to a thousandth of it."""
    ends = (math.log(low), math.log(high))
    found = minimize_scalar(lambda x: cost(math.exp(x)), bounds=ends, method="bounded", options={"xatol": 1e-3})
    return math.exp(found.x)
