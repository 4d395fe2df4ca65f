"""Scores of recommendations: where the targets rank, and what is in the lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.rec.metrics import candidates, hits, measures, ndcg, places, top
from tsbench.rec.samples import barred
from tsbench.tasks.task import Counts, Scores

LIST = 10  # items of a list that is looked at
UNITS = ("ndcg_10", "recall_10", "ndcg_20", "recall_20")  # kept for each user
KINDS = (10, 20)  # cutoffs at which warm and cold targets are told apart
RANKS = (1, 5, 10, 20, 50, 100)  # last of each band of ranks; then come later ranks, and no rank at all
PARTS = 10  # of the catalogue, by popularity

#: Least of each band of history lengths and training counts; names sort as the bands do.
BANDS = (0, 1, 6, 11, 21, 51)
BAND_NAMES = ("00", "01-05", "06-10", "11-20", "21-50", "over 50")


@dataclass(frozen=True)
class Ranked:
    """What a model says of some users.

    Attributes:
        scores: `(batch, item)`; UNLISTED for items that it does not recommend at all.
        lists: `(batch, LIST)` int64: its best, before anything is barred; -1 is no item.
        shuffled: scores when it is shown histories in another order; None where they have none.
    """

    scores: Tensor
    lists: Tensor
    shuffled: Tensor | None


class RankMeter:
    """Scores of each user, in the order in which they are added.

    Attributes:
        items: size of the catalogue.
        mask: items of the history are no candidates.
        users: name -> `(user,)`: metrics, `steps` of the history.
        targets: name -> `(target,)` of all users: `hits_10`, `hits_20`, `counts` in training, `band` of RANKS.
        taken, wanted, listed: `(item,)`: how often each is in a history, a target, and among the first LIST that a user
            would see; the last is None where an epoch is chosen.
    """

    def __init__(self, items: int, mask: bool) -> None:
        self.items, self.mask = items, mask
        self.users: dict[str, list[Tensor]] = {}
        self.targets: dict[str, list[Tensor]] = {}
        self.taken, self.wanted = torch.zeros(2, items, dtype=torch.int64)
        self.listed: Tensor | None = None

    def update(self, answer: Tensor | Ranked, batch: Batch) -> None:
        """Add users: the ranks of their targets alone where an epoch is chosen, else lists too."""
        scores = answer.scores if isinstance(answer, Ranked) else answer
        seen = barred(batch, self.items) if self.mask or isinstance(answer, Ranked) else None
        among = candidates(scores, seen if self.mask else None)
        found, real = places(among, batch.target), batch.target >= 0
        users = measures(found) | {"steps": batch.steps}
        rank = found.ahead + (found.tied + 1) / 2
        band = torch.bucketize(rank, torch.tensor(RANKS, device=rank.device)).where(found.listed, len(RANKS) + 1)
        targets = {f"hits_{k}": hits(found, k) for k in KINDS} | {"counts": batch.more["counts"], "band": band}
        self.taken += self._tally(batch.inputs[batch.real])
        self.wanted += self._tally(batch.target[real])
        if isinstance(answer, Ranked):
            assert seen is not None
            users |= _looks(answer.lists, seen)
            if answer.shuffled is not None:
                other = candidates(answer.shuffled, seen if self.mask else None)
                users["shuffled_ndcg_10"] = ndcg(places(other, batch.target), 10)
            shown = top(among, LIST)
            self.listed = self._tally(shown[shown >= 0]) + (0 if self.listed is None else self.listed)
        for name, values in users.items():
            self.users.setdefault(name, []).append(values.cpu())
        for name, values in targets.items():
            self.targets.setdefault(name, []).append(values[real].cpu())

    def _tally(self, items: Tensor) -> Tensor:
        return torch.bincount(items, minlength=self.items).cpu()

    def scores(self) -> Scores:
        """Means over users; recall of warm and of cold targets over all such targets, left out where there are none."""
        users = {name: torch.cat(parts) for name, parts in self.users.items()}
        targets = {name: torch.cat(parts) for name, parts in self.targets.items()}
        steps, counts, band = users.pop("steps"), targets.pop("counts"), targets.pop("band")
        values = {name: float(each.mean()) for name, each in users.items()}
        for kind, which in (("warm", counts > 0), ("cold", counts == 0)):
            if which.any():
                values |= {f"recall_{k}_{kind}": float(targets[f"hits_{k}"][which].mean()) for k in KINDS}
        tables: dict[str, Counts] = {"ranks": [torch.bincount(band, minlength=len(RANKS) + 2).tolist()]}
        if self.listed is not None:
            values[f"coverage_{LIST}"] = float((self.listed > 0).double().mean())
            tables["popularity"] = [self._by_popularity(each) for each in (self.taken, self.wanted, self.listed)]
        units = {name: [round(value, 6) for value in users[name].tolist()] for name in UNITS}
        groups = {
            "history": _banded(steps, {name: users[name] for name in UNITS}, "users"),
            "target popularity": _banded(counts, {f"recall_{k}": targets[f"hits_{k}"] for k in KINDS}, "targets"),
        }
        return Scores(values, units, tables, groups)

    def _by_popularity(self, counts: Tensor) -> list[int]:
        """Sums over PARTS of the catalogue, from the items that most histories have to those that fewest have."""
        order = self.taken.argsort(descending=True, stable=True)
        return [int(part.sum()) for part in counts[order].tensor_split(PARTS)]


def _looks(lists: Tensor, seen: Tensor) -> dict[str, Tensor]:
    """Share of the LIST first that are items, that are different items, and that are in the history, `(user,)` each."""
    real = lists >= 0
    ordered = lists.sort(1).values
    new = torch.cat([ordered[:, :1] >= 0, ordered.diff(dim=1) > 0], 1)  # no item is -1, and stands first
    old = seen.gather(1, lists.clamp(min=0)) & real
    return {f"{name}_{LIST}": x.sum(1) / LIST for name, x in (("valid", real), ("unique", new), ("seen", old))}


def _banded(sizes: Tensor, scores: Mapping[str, Tensor], what: str) -> dict[str, dict[str, float]]:
    """Mean of each score over the members of each band that has any; its name says how many."""
    band = torch.bucketize(sizes, torch.tensor(BANDS), right=True) - 1
    found = {}
    for i, name in enumerate(BAND_NAMES):
        if (own := band == i).any():
            found[f"{name} ({int(own.sum())} {what})"] = {key: float(each[own].mean()) for key, each in scores.items()}
    return found
