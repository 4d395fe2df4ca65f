"""Beam search over the trie of Rec-IDs: against scoring every item, and against nested dictionaries in plain Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tsbench.errors import UsageError
from tsbench.rec.codes import rec_ids
from tsbench.rec.trie import NOTHING, Beams, Trie, beam_search, first_best

Nested = dict[int, Any]


class Table:
    """Log-probabilities `(user, prefix, token)` of each level, by the whole prefix; follows beams by their parents."""

    def __init__(self, sizes: list[int], users: int, seed: int = 0, grain: float = 2.0**-12) -> None:
        luck, prefixes = torch.Generator().manual_seed(seed), 1
        self.levels, self.sizes = [], sizes
        for size in sizes:
            drawn = torch.randn(users, prefixes, size, generator=luck).log_softmax(-1)
            self.levels.append((drawn / grain).round() * grain)  # sums are exact, and a coarse grain makes ties
            prefixes *= size

    def of(self, *users: int) -> Table:
        """The same of some users."""
        some = Table(self.sizes, 0)
        some.levels = [x[list(users)] for x in self.levels]
        return some

    def first(self) -> Tensor:
        self.level, self.prefix = 0, torch.zeros(len(self.levels[0]), 1, dtype=torch.int64)
        return self.levels[0][:, 0]

    def next(self, parents: Tensor, tokens: Tensor) -> Tensor:
        assert parents.shape == tokens.shape
        self.prefix = self.prefix.gather(1, parents) * self.sizes[self.level] + tokens
        self.level += 1
        size = self.sizes[self.level]
        return self.levels[self.level].gather(1, self.prefix[..., None].expand(-1, -1, size))

    def exact(self, ids: Tensor) -> Tensor:
        """Log-probability of each Rec-ID, `(user, item)`."""
        total, prefix = torch.zeros(len(self.levels[0]), len(ids)), torch.zeros(len(ids), dtype=torch.int64)
        for level, token in enumerate(ids.T):
            total += self.levels[level][:, prefix, token]
            prefix = prefix * self.sizes[level] + token
        return total


def catalogue(items: int, sizes: list[int], seed: int = 0) -> Tensor:
    """Different Rec-IDs, in no order."""
    luck = torch.Generator().manual_seed(seed)
    every = torch.cartesian_prod(*(torch.arange(size) for size in sizes)).view(-1, len(sizes))
    return every[torch.randperm(len(every), generator=luck)[:items]]


def nest(ids: Tensor) -> Nested:
    """Rec-IDs as dictionaries in dictionaries; the last token leads to the item."""
    root: Nested = {}
    for item, (*prefix, last) in enumerate(ids.tolist()):
        node = root
        for token in prefix:
            node = node.setdefault(token, {})
        node[last] = item
    return root


def below(node: Nested | int) -> set[int]:
    """All items under a node."""
    return {node} if isinstance(node, int) else {item for child in node.values() for item in below(child)}


def walk(ids: Tensor, table: Table, user: int, width: int, barred: set[int]) -> list[tuple[int, float]]:
    """Items and scores, best first; of equals, lower tokens first."""
    beams: list[tuple[float, tuple[int, ...], Any]] = [(0.0, (), nest(ids))]
    for level in range(ids.shape[1]):
        grown = []
        for score, prefix, node in beams:
            row = 0
            for size, token in zip(table.sizes, prefix, strict=False):
                row = row * size + token
            for token, child in node.items():
                if below(child) - barred:
                    grown.append((score + float(table.levels[level][user, row, token]), (*prefix, token), child))
        beams = sorted(grown, key=lambda beam: (-beam[0], beam[1]))[:width]
    return [(item, score) for score, _, item in beams]


def listed(beams: Beams, user: int) -> list[tuple[int, float]]:
    """What was found for a user."""
    pairs = zip(beams.items[user].tolist(), beams.scores[user].tolist(), strict=True)
    return [(item, score) for item, score in pairs if score > NOTHING]


CASES = [(30, [4, 3, 5]), (7, [4, 3, 5]), (60, [4, 3, 5]), (12, [40]), (40, [3, 3, 3, 3]), (1, [2, 2]), (9, [1, 1, 9])]


@pytest.mark.parametrize("grain", [2.0**-12, 0.5], ids=["untied", "tied"])
@pytest.mark.parametrize(("items", "sizes"), CASES)
def test_the_dictionaries_find_the_same(items: int, sizes: list[int], grain: float) -> None:
    ids, table = catalogue(items, sizes), Table(sizes, 6, seed=items, grain=grain)
    trie, luck = Trie.of(ids, sizes), torch.Generator().manual_seed(1)
    for share in (0.0, 0.3, 0.8, 1.0):
        barred = torch.rand(6, items, generator=luck) < share
        for width in (1, 2, 3, 5, 8, items, items + 4):
            beams = beam_search(table, trie, width, barred)
            assert beams.items.shape == beams.scores.shape == (6, width)
            assert torch.equal(beams.items < 0, beams.scores == NOTHING)
            for user in range(6):
                seen = set(barred[user].nonzero()[:, 0].tolist())
                assert listed(beams, user) == walk(ids, table, user, width, seen)
                assert len(listed(beams, user)) == min(width, items - len(seen))
                assert not {item for item, _ in listed(beams, user)} & seen


@pytest.mark.parametrize(("items", "sizes"), CASES)
def test_the_widest_beam_scores_every_item(items: int, sizes: list[int]) -> None:
    ids, table = catalogue(items, sizes, 3), Table(sizes, 4, seed=5)
    beams = beam_search(table, Trie.of(ids, sizes), items)
    assert torch.equal(beams.items.sort(dim=1).values, torch.arange(items).expand(4, -1))
    assert torch.equal(beams.scores, table.exact(ids).gather(1, beams.items))
    assert torch.equal(beams.scores, beams.scores.sort(dim=1, descending=True).values)


def test_a_narrow_beam_says_the_truth_of_what_it_found() -> None:
    ids, table = catalogue(60, [6, 5, 4], 2), Table([6, 5, 4], 20, seed=8)
    trie, exact = Trie.of(ids, [6, 5, 4]), table.exact(ids)
    for width in range(1, 61):
        beams = beam_search(table, trie, width)
        assert torch.equal(beams.scores, exact.gather(1, beams.items))
        assert all(len(set(row)) == width and min(row) >= 0 for row in beams.items.tolist())


def test_of_equals_the_lower_tokens_come_first() -> None:
    sizes, ids = [4, 4, 4], catalogue(40, [4, 4, 4])
    table = Table(sizes, 3, grain=100.0)  # all 0: everything ties
    by_tokens = sorted(range(40), key=lambda item: ids[item].tolist())
    for width in (1, 7, 39, 40):
        assert beam_search(table, Trie.of(ids, sizes), width).items.tolist() == [by_tokens[:width]] * 3


def test_first_best_takes_the_first_of_equals() -> None:
    luck = torch.Generator().manual_seed(0)
    for columns, values in ((200, 3), (5000, 40), (50, 1), (1, 1)):
        scores = torch.randint(values, (30, columns), generator=luck).float()
        scores[::3, columns // 2 :] = NOTHING
        for count in {1, columns // 7 + 1, columns}:
            order = [sorted(range(columns), key=lambda i: (-row[i], i))[:count] for row in scores.tolist()]
            got = first_best(scores, count)
            kept = scores.gather(1, got) > NOTHING  # which of those that are nothing does not matter
            for row, wanted in enumerate(order):
                live = [i for i in wanted if scores[row, i] > NOTHING]
                assert got[row][kept[row]].tolist() == sorted(live)


def test_a_user_gets_the_same_in_any_batch() -> None:
    sizes, ids = [5, 4, 6], catalogue(70, [5, 4, 6])
    table, trie = Table(sizes, 9, seed=2), Trie.of(ids, sizes)
    barred = torch.rand(9, 70, generator=torch.Generator().manual_seed(4)) < torch.linspace(0, 1, 9)[:, None]
    together = beam_search(table, trie, 10, barred)
    for users in ([3], [8], [8, 0], [7, 2, 5]):
        apart = beam_search(table.of(*users), trie, 10, barred[users])
        assert torch.equal(apart.items, together.items[users])
        assert torch.equal(apart.scores, together.scores[users])


def test_what_is_impossible_is_never_written() -> None:
    ids = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])
    table = Table([2, 2], 1)
    table.levels[0][0, 0, 1] = NOTHING
    beams = beam_search(table, Trie.of(ids, [2, 2]), 4)
    assert sorted(beams.items[0].tolist()) == [-1, -1, 0, 1]
    assert sorted(beam_search(table, Trie.of(ids, [2, 2]), 4, constrained=False).items[0].tolist()) == [-1, -1, 0, 1]


@pytest.mark.parametrize("grain", [2.0**-12, 0.5], ids=["untied", "tied"])
def test_an_unconstrained_beam_writes_anything(grain: float) -> None:
    sizes = [4, 3, 5]
    ids, every = catalogue(20, sizes), catalogue(60, sizes, seed=1)
    number = {tuple(row): item for item, row in enumerate(ids.tolist())}
    table, trie = Table(sizes, 5, grain=grain), Trie.of(ids, sizes)
    for width in (1, 4, 15, 60, 70):
        beams = beam_search(table, trie, width, constrained=False)
        for user in range(5):
            wanted = walk(every, table, user, width, set())  # as if everything was an item
            found = [(number.get(tuple(every[i].tolist()), -1), score) for i, score in wanted]
            assert listed(beams, user) == found
    whole = beam_search(table, trie, 60, constrained=False)
    assert ((whole.items < 0).sum(1) == 40).all()
    assert whole.scores.isfinite().all()


def test_an_unconstrained_beam_writes_nothing_that_is_barred() -> None:
    sizes, ids = [4, 3, 5], catalogue(20, [4, 3, 5])
    barred = torch.rand(5, 20, generator=torch.Generator().manual_seed(7)) < 0.5
    beams = beam_search(Table(sizes, 5), Trie.of(ids, sizes), 60, barred, constrained=False)
    for user in range(5):
        free = set((~barred[user]).nonzero()[:, 0].tolist())
        assert set(beams.items[user].tolist()) == free | {-1}
        assert len(listed(beams, user)) == 60 - int(barred[user].sum())


def test_half_precision_is_summed_in_single() -> None:
    sizes, ids = [4, 3, 5], catalogue(30, [4, 3, 5])
    table = Table(sizes, 3)
    table.levels = [x.bfloat16() for x in table.levels]
    beams = beam_search(table, Trie.of(ids, sizes), 30)
    assert beams.scores.dtype == torch.float32
    table.levels = [x.float() for x in table.levels]
    assert torch.equal(beams.scores, table.exact(ids).gather(1, beams.items))


def test_states_are_the_prefixes() -> None:
    ids = catalogue(50, [5, 4, 6], 1)
    trie = Trie.of(ids, [5, 4, 6])
    assert ids[trie.items].tolist() == sorted(ids.tolist())
    for level in range(3):
        prefixes = sorted({tuple(row[: level + 1]) for row in ids.tolist()})
        assert trie.tokens[level].tolist() == [prefix[-1] for prefix in prefixes]
        assert trie.paths[level].tolist() == [prefixes.index(tuple(row[: level + 1])) for row in ids.tolist()]
        parents = sorted({prefix[:-1] for prefix in prefixes})
        owner, child = trie.children(level, torch.arange(len(parents)))
        assert [(parents[o], c) for o, c in zip(owner.tolist(), child.tolist(), strict=True)] == [
            (prefix[:-1], state) for state, prefix in enumerate(prefixes)
        ]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([[0, 1], [2, 0]], "below"),
        ([[0, -1], [1, 0]], "below"),
        ([[0, 1, 0], [1, 1, 0]], "levels"),
        ([[1, 1], [0, 1], [1, 1]], "items 0 and 2"),
    ],
)
def test_rec_ids_that_make_no_trie(ids: list[list[int]], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Trie.of(torch.tensor(ids), [2, 2])


def test_the_trie_of_amazon_beauty(real_data: Path) -> None:
    """States as the reference note counts them: 197, 7,931, 11,696 and 12,088 prefixes."""
    path = real_data / "rec" / "AmazonBeauty" / "letter_codes.npy"
    if not path.is_file():
        pytest.skip(f"no {path}")
    codes = torch.from_numpy(np.load(path, allow_pickle=False)).long()
    ids = rec_ids(codes, torch.zeros(len(codes)))
    sizes = [256] * 4 + [int(ids[:, -1].max()) + 1]
    trie = Trie.of(ids, sizes)
    assert [len(x) for x in trie.tokens] == [197, 7931, 11696, 12088, 12101]
    parts = (trie.items, *trie.paths, *trie.first, *trie.tokens)
    assert sum(x.nbytes for x in parts) < 1.5e6

    class Fixed:
        """The same log-probabilities after all prefixes, multiples of 2^-16: sums are exact."""

        def __init__(self) -> None:
            luck = torch.Generator().manual_seed(0)
            drawn = (torch.randn(3, size, generator=luck).log_softmax(-1) for size in sizes)
            self.tables = [(x * 2**16).round() / 2**16 for x in drawn]

        def first(self) -> Tensor:
            self.level = 0
            return self.tables[0]

        def next(self, parents: Tensor, tokens: Tensor) -> Tensor:
            self.level += 1
            return self.tables[self.level][:, None].expand(-1, parents.shape[1], -1)

    steps = Fixed()
    exact = torch.stack([table[:, ids[:, level]] for level, table in enumerate(steps.tables)]).sum(0)
    order = torch.tensor(sorted(range(len(ids)), key=lambda item: ids[item].tolist()))
    best = order[exact[:, order].sort(dim=1, descending=True, stable=True).indices]
    assert torch.equal(beam_search(steps, trie, len(ids)).items, best)


def test_the_table_of_a_level_says_where_each_token_leads() -> None:
    ids = torch.tensor([[0, 2, 0], [0, 2, 1], [1, 0, 0], [2, 2, 0]])
    trie = Trie.of(ids, (3, 3, 2))
    for level, size in enumerate(trie.sizes):
        table = trie.table(level)
        for state in range(len(table)):
            tokens = torch.arange(size)
            assert torch.equal(table[state], trie.child(level, torch.full_like(tokens, state), tokens))
    assert trie.table(0).tolist() == [[0, 1, 2]]
    assert trie.table(1).tolist() == [[-1, -1, 0], [1, -1, -1], [-1, -1, 2]]
