"""Rec-IDs as a trie, and a beam search that follows it: batched over users and beams, deterministic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.errors import UsageError

NOTHING = float("-inf")


@dataclass(frozen=True)
class Trie:
    """All prefixes of Rec-IDs. A state of level l is one of l tokens; states are numbered in the order of their tokens.

    So the children of a state are neighbours, and two numbers tell where they are: 1.2 MB for Amazon Beauty's 12,101
    items and 4 levels of 256 codes, where a table of all states and tokens takes 33.

    Attributes:
        sizes: tokens of each level.
        items: `(item,)` int64: items in the order of their Rec-IDs; the states of the last level.
        paths: of each level from 1, `(item,)` int64: the state of each item, by its number.
        first: of each level but the last, `(state + 1,)` int64: the first child of each state, and the end.
        tokens: of each level from 1, `(state,)` int64: the last token of each state.
    """

    sizes: tuple[int, ...]
    items: Tensor
    paths: tuple[Tensor, ...]
    first: tuple[Tensor, ...]
    tokens: tuple[Tensor, ...]

    @classmethod
    def of(cls, ids: Tensor, sizes: Sequence[int]) -> Trie:
        """The trie of Rec-IDs `(item, level)`, tokens of level l in 0..sizes[l]-1.

        Raises:
            UsageError: a token is out of range, or two items have one Rec-ID.
        """
        count, levels = ids.shape
        if len(sizes) != levels or (ids < 0).any() or (ids >= ids.new_tensor(sizes)).any():
            raise UsageError(f"Rec-IDs of {levels} levels need tokens from 0 to below {list(sizes)}")
        order = torch.arange(count, device=ids.device)
        for level in reversed(range(levels)):
            order = order[ids[order, level].argsort(stable=True)]
        rows = ids[order]
        new = F.pad((rows.diff(dim=0) != 0).int().cummax(1).values, (0, 0, 1, 0), value=1)  # a prefix that starts here
        if not new[:, -1].all():
            same = int(new[:, -1].argmin())
            raise UsageError(f"items {order[same - 1]} and {order[same]} have one Rec-ID; `rec_ids` tells them apart")
        paths, first, tokens = [], [], []
        starts = order.new_tensor([0, count])  # of states, in `items`
        for level in range(levels):
            before, begun = starts, new[:, level].nonzero()[:, 0]
            starts = F.pad(begun, (0, 1), value=count)
            paths.append(torch.empty_like(order).scatter(0, order, new[:, level].cumsum(0) - 1))
            first.append(torch.searchsorted(starts, before))
            tokens.append(rows[begun, level])
        return cls(tuple(sizes), order, tuple(paths), tuple(first), tuple(tokens))

    def to(self, device: torch.device) -> Trie:
        """The same on a device."""
        if self.items.device == device:
            return self
        paths, first, tokens = (tuple(x.to(device) for x in each) for each in (self.paths, self.first, self.tokens))
        return Trie(self.sizes, self.items.to(device), paths, first, tokens)

    def children(self, level: int, state: Tensor) -> tuple[Tensor, Tensor]:
        """All children of states `(beam,)` of a level, one state after another; none of -1.

        Returns:
            Whose child each is, and its state, `(child,)` int64 each.
        """
        begin, end = self.first[level][state.clamp(min=0)], self.first[level][state + 1]
        count = (end - begin).where(state >= 0, 0)
        owner = torch.repeat_interleave(count)
        skipped = begin - count.cumsum(0) + count
        return owner, skipped.index_select(0, owner) + torch.arange(len(owner), device=state.device)

    def child(self, level: int, state: Tensor, token: Tensor) -> Tensor:
        """Where `token` leads from each state; -1, as from -1, where there is no such Rec-ID."""
        owner, children = self.children(level, torch.arange(len(self.first[level]) - 1, device=state.device))
        keys = owner * self.sizes[level] + self.tokens[level][children]  # ascending
        key = state * self.sizes[level] + token
        found = torch.searchsorted(keys, key).clamp(max=len(keys) - 1)
        return found.masked_fill(keys[found] != key, -1)

    def table(self, level: int) -> Tensor:
        """Where each token leads from each state of a level, `(state, token)`; -1 where no Rec-ID goes on so."""
        states = torch.arange(len(self.first[level]) - 1, device=self.items.device)
        owner, children = self.children(level, states)
        table = torch.full((len(states), self.sizes[level]), -1, device=states.device)
        table[owner, self.tokens[level][children]] = children
        return table

    def closed(self, barred: Tensor) -> list[Tensor | None]:
        """Of each level from 1, `(batch, state)` bool: all items below are `barred`, `(batch, item)` bool."""
        user, item = barred.nonzero().T
        found: list[Tensor | None] = []
        for path, tokens in zip(self.paths, self.tokens, strict=True):
            states, below = len(tokens), torch.bincount(path, minlength=len(tokens))
            keys, count = (user * states + path[item]).unique(return_counts=True)
            shut = torch.zeros(len(barred) * states, dtype=torch.bool, device=barred.device)
            shut[keys[count == below[keys % states]]] = True
            found.append(shut.view(len(barred), states))
        return found


class Steps(Protocol):
    """A model that writes Rec-IDs, level by level, for a batch of users."""

    def first(self) -> Tensor:
        """Log-probabilities of the tokens of level 0, `(batch, token)`."""

    def next(self, parents: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities of the tokens of the next level, `(batch, beam, token)`.

        Args:
            parents: `(batch, beam)` int64: the beam of the step before that each beam goes on from.
            tokens: `(batch, beam)` int64: the token that each has just chosen.
        """


class Beams(NamedTuple):
    """What a beam search found, best first.

    Attributes:
        items: `(batch, width)` int64; -1 where the Rec-ID is none, and beyond the last.
        scores: `(batch, width)` float32: log-probabilities; -inf beyond the last.
    """

    items: Tensor
    scores: Tensor


def beam_search(steps: Steps, trie: Trie, width: int, barred: Tensor | None = None, constrained: bool = True) -> Beams:
    """The Rec-IDs that a beam of `width` finds; of equals, the one with the lower tokens.

    A prefix whose items are all barred is not followed, so min(width, items that are not barred) items are found, all
    different. A beam as wide as the catalogue scores every item exactly.

    Args:
        steps: the model; a log-probability of -inf is never chosen.
        trie: of the Rec-IDs.
        width: most prefixes that are kept at a level.
        barred: `(batch, item)` bool: these items never come out.
        constrained: False: any tokens may follow each other; what is no Rec-ID comes out as -1, with its score.
    """
    written = steps.first()[:, None]  # (batch, beam, token); beams are in the order of their tokens
    trie = trie.to(written.device)
    closed = [None] * len(trie.sizes) if barred is None else trie.closed(barred)
    state = parent = token = torch.zeros(written.shape[:2], dtype=torch.int64, device=written.device)
    score = torch.zeros_like(state, dtype=torch.float32)
    grow = _along_trie if constrained else _anywhere
    for level in range(len(trie.sizes)):
        if level:
            written = steps.next(parent, token)
        state, score, parent, token = grow(trie, level, state, score, written, closed[level], width)
    score, best = score.sort(dim=1, descending=True, stable=True)
    state = state.gather(1, best)
    items = trie.items[state.clamp(min=0)].masked_fill((state < 0) | (score == NOTHING), -1)
    beyond = (0, width - items.shape[1])
    return Beams(F.pad(items, beyond, value=-1), F.pad(score, beyond, value=NOTHING))


#: States (-1: of no Rec-ID), scores, parents and tokens of beams, `(batch, beam)` each.
Grown = tuple[Tensor, Tensor, Tensor, Tensor]


def _along_trie(
    trie: Trie, level: int, state: Tensor, score: Tensor, written: Tensor, closed: Tensor | None, width: int
) -> Grown:
    """The best children of all states. Where there are fewer, beams die: their score is -inf from then on."""
    (batch, beams), vocabulary = state.shape, written.shape[2]
    owner, child = trie.children(level, state.flatten())  # (child,) of all users, one user after another
    token = trie.tokens[level].index_select(0, child)
    scores = written.flatten().index_select(0, owner * vocabulary + token).float()
    scores += score.flatten().index_select(0, owner)
    if closed is not None:
        scores.masked_fill_(closed[owner // beams, child], NOTHING)
    end = torch.searchsorted(owner, torch.arange(1, batch + 1, device=owner.device) * beams)
    count = end.diff(prepend=end.new_zeros(1))
    most = max(1, int(count.max()))
    real = torch.arange(most, device=end.device) < count[:, None]
    table = torch.full(real.shape, NOTHING, device=end.device).masked_scatter_(real, scores)  # (batch, child)
    best = first_best(table, min(width, most))
    score = table.gather(1, best)
    alive = score > NOTHING
    best = ((end - count)[:, None] + best).where(alive, 0)
    child, parent, token = (x.index_select(0, best.flatten()).view_as(best) for x in (child, owner, token))
    return child.where(alive, 0), score, (parent % beams).where(alive, 0), token.where(alive, 0)


def _anywhere(
    trie: Trie, level: int, state: Tensor, score: Tensor, written: Tensor, closed: Tensor | None, width: int
) -> Grown:
    """The best continuations by any token."""
    (batch, beams), vocabulary = state.shape, written.shape[2]
    scores = (score[..., None] + written.float()).view(batch, -1)  # (batch, beam * token)
    if closed is not None and level == len(trie.sizes) - 1:
        owner, child = trie.children(level, state.flatten())
        shut = closed[owner // beams, child]
        scores.view(-1)[(owner * vocabulary + trie.tokens[level][child])[shut]] = NOTHING
    best = first_best(scores, min(width, scores.shape[1]))
    parent, token = best // vocabulary, best % vocabulary
    return trie.child(level, state.gather(1, parent), token), scores.gather(1, best), parent, token


def first_best(scores: Tensor, count: int) -> Tensor:
    """Places of the `count` largest of each row, ascending, `(row, count)`; of equals, the first. `topk` takes any."""
    values, places = scores.topk(min(count + 1, scores.shape[1]))
    if count < scores.shape[1]:
        tied = (values[:, count - 1] == values[:, count]) & (values[:, count] > NOTHING)
        places = places[:, :count]
        places[tied] = scores[tied].sort(dim=1, descending=True, stable=True).indices[:, :count]
    return places.sort(dim=1).values
