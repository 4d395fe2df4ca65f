"""Paths that models make: well formed, as probable as the model says, and the same whatever is left out on the way."""

from __future__ import annotations

from collections import Counter
from typing import cast

import pytest
import torch
from torch import Tensor

from tests.test_gaze_floors import everything, samples, shelf, trial
from tsbench.data import Batch
from tsbench.gaze.samples import BEGIN, END
from tsbench.gaze.walk import NEVER, ScanpathModel, luck, walked


class Chain:
    """A model, as far as paths go: what follows depends on the row, the last token and how many were made before."""

    def __init__(self, logits: Tensor, own: Tensor | None = None) -> None:
        self.logits = logits if logits.ndim == 3 else logits.expand(12, -1, -1)  # (step, token, token)
        self.own, self.kept = own, 0  # (row, token); times that rows were left out

    def walk(self, batch: Batch, copies: int) -> _Links:
        """Rows under way."""
        return _Links(self, torch.arange(len(batch) * copies))


class _Links:
    def __init__(self, chain: Chain, rows: Tensor) -> None:
        self.chain, self.rows, self.made = chain, rows, 0

    def next(self, last: Tensor) -> Tensor:
        """As told."""
        self.made += 1
        logits = self.chain.logits[self.made - 1, last]
        return logits.clone() if self.chain.own is None else logits + self.chain.own[self.rows]

    def keep(self, rows: Tensor) -> None:
        """Counted."""
        self.chain.kept += 1
        self.rows = self.rows[rows]


def paths_of(
    model: Chain, batch: Batch, copies: int = 1, seed: int | None = None, steps: int = 12
) -> tuple[Tensor, list[list[int]]]:
    """Paths as they come, and as lists of objects' tokens."""
    paths = walked(cast(ScanpathModel, model), batch, copies, steps, seed)
    assert paths.dtype == torch.int64
    assert paths.shape[:2] == (len(batch), copies)
    return paths, [[t for t in row if t > END] for row in paths.flatten(0, 1).tolist()]


def displays(*counts: int) -> Batch:
    """One trial on a shelf of each count."""
    boards = [shelf(1, count, str(i)) for i, count in enumerate(counts)]
    return everything(samples(boards, [trial(i, [0], 0) for i in range(len(counts))]))


@pytest.mark.parametrize("seed", [None, 3])
def test_paths_are_well_formed(seed: int | None) -> None:
    """Objects that are there, at least one and at most `steps`, then one END, then nothing."""
    logits = torch.randn(12, 8, 8, generator=torch.Generator().manual_seed(1))
    logits[..., END] += 1
    logits[..., 6:] += 3  # padding of the smaller displays
    batch = displays(7, 3, 5)
    paths, _ = paths_of(Chain(logits), batch, 40, seed, steps=6)
    assert paths.shape[2] <= 7
    ends = paths == END
    assert (ends.sum(-1) == 1).all()
    where = ends.int().argmax(-1)
    assert where.min() >= 1
    after = torch.arange(paths.shape[2]) > where[..., None]
    assert torch.equal(paths == -1, after)
    assert (paths < batch.real.sum(1)[:, None, None]).all()


@pytest.mark.parametrize("seed", [None, 3])
def test_end_is_never_first_even_if_nothing_else_is_likely(seed: int | None) -> None:
    logits = torch.full((4, 4), NEVER)
    logits[:, END] = 0
    paths, _ = paths_of(Chain(logits), displays(3, 2), 50, seed)
    assert paths.shape[2] == 2
    assert (paths[..., 0] > END).all()
    assert (paths[1, :, 0] < 3).all()  # its third object is padding
    assert (paths[..., 1] == END).all()


def test_paths_that_do_not_end_are_ended() -> None:
    paths, _ = paths_of(Chain(torch.tensor([[-5.0, 1, 0], [-5, 0, 1], [-5, 1, 0]])), displays(2), 2, steps=5)
    assert paths.tolist() == [[[1, 2, 1, 2, 1, END]] * 2]


def test_greedy_is_the_most_probable_and_what_was_seen_leads_on() -> None:
    """1 from the start, 3 after 1, 2 after 3, then END."""
    likely = torch.zeros(4, 4)
    for last, following in ((BEGIN, 1), (1, 3), (3, 2), (2, END)):
        likely[last, following] = 0.1
    assert paths_of(Chain(likely), displays(3))[0].tolist() == [[[1, 3, 2, END]]]


def test_a_seed_is_a_draw() -> None:
    model, batch = Chain(torch.zeros(6, 6)), displays(5, 5)
    one, again, other = (paths_of(model, batch, 30, seed)[1] for seed in (1, 1, 2))
    assert one == again
    assert one != other
    state = torch.get_rng_state()
    paths_of(model, batch, 30, 1)
    assert torch.equal(state, torch.get_rng_state())  # nothing else is drawn


def test_paths_are_drawn_as_probable_as_they_are() -> None:
    """All paths of three objects and at most two fixations, 20,000 of them."""
    logits = torch.randn(2, 4, 4, generator=torch.Generator().manual_seed(2))
    model = Chain(logits)
    drawn = Counter(map(tuple, paths_of(model, displays(3), 20_000, 5, steps=2)[1]))
    first = logits[0, BEGIN, 1:].softmax(0)
    expected: dict[tuple[int, ...], float] = {}
    for a in (1, 2, 3):
        second = logits[1, a].softmax(0)
        expected |= {(a, b): 20_000 * float(first[a - 1] * second[b]) for b in (1, 2, 3)}
        expected[(a,)] = 20_000 * float(first[a - 1] * second[END])
    assert set(drawn) == set(expected)
    square = sum((drawn[path] - count) ** 2 / count for path, count in expected.items())
    assert square < 31.3  # 11 degrees of freedom, p = .001


def test_leaving_out_what_has_ended_changes_no_path() -> None:
    """Each path is what its row does alone, beside however many that ended before."""
    random = torch.Generator().manual_seed(4)
    logits, own = torch.randn(12, 13, 13, generator=random), torch.randn(40, 13, generator=random)
    logits[..., END] += 2
    batch = displays(*range(3, 13), *range(3, 13))
    model = Chain(logits, own)
    _, found = paths_of(model, batch, 2)
    assert model.kept >= 2
    for row, count in enumerate(batch.real.sum(1).repeat_interleave(2).tolist()):
        alone, last = [], BEGIN
        for step in range(12):
            likely = (logits[step, last] + own[row])[:count].tolist()
            last = max(range(0 if step else 1, count), key=likely.__getitem__)
            if last == END:
                break
            alone.append(last)
        assert found[row] == alone
    assert len({len(path) for path in found}) >= 4


def test_the_luck_of_a_trial_does_not_depend_on_the_others() -> None:
    """All trials at once, one by one, and in another order; and no two of them have the same luck."""
    made = samples([shelf(1, 9)], [trial(0, [0], 0)] * 20)
    model = Chain(torch.zeros(10, 10))
    whole = paths_of(model, everything(made), 3, 5)[1]
    for parts in ([[i] for i in range(20)], [[7, 3, 11], [i for i in range(19, -1, -1) if i not in (7, 3, 11)]]):
        for part in parts:
            found = paths_of(model, made.batch(torch.tensor(part)), 3, 5)[1]
            assert found == [whole[3 * i + copy] for i in part for copy in range(3)]
    assert whole[:3] == paths_of(model, everything(made.select(torch.tensor([0]))), 3, 5)[1]
    assert whole[:2] == paths_of(model, made.batch(torch.tensor([0])), 2, 5)[1]
    assert len({tuple(path) for path in whole if len(path) > 4}) == sum(len(path) > 4 for path in whole)


def test_luck_is_even_and_unrelated() -> None:
    """Over trials, copies and steps; the standard error of means is .001, of correlations .003."""
    made = everything(samples([shelf(1, 2)], [trial(0, [0], 0)] * 300))
    numbers = torch.stack([luck(made, 300, 7, step) for step in range(3)] + [luck(made, 300, 8)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    tenths = torch.stack([torch.histc(row, 10, 0, 1) for row in numbers]) / numbers.shape[1]
    assert (tenths - 0.1).abs().max() < 0.004
    table = numbers.unflatten(1, (300, 300))
    near = torch.stack([table[:, :-1, :-1], table[:, 1:, :-1], table[:, :-1, 1:]]).flatten(0, 1).flatten(1)
    assert (near.corrcoef() - torch.eye(12, dtype=torch.float64)).abs().max() < 0.015
