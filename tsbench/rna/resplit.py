"""Splits of sequences made anew, so that they share no group or no copy."""

from __future__ import annotations

import torch

from tsbench.errors import UsageError
from tsbench.rna.sequences import Ragged, Sequences
from tsbench.splitting import SHARES

Parts = list[Sequences]  # train, validation, test


def by_group(parts: Parts, name: str) -> tuple[Parts, str]:
    """All samples split anew so that no group is in two parts: 70, 10 and 20 % of them as nearly as groups allow.

    Groups are dealt out, the largest first, each to the part that lacks most samples. Order within a part is kept.

    Returns:
        The parts, and what became of the groups in words.

    Raises:
        UsageError: there are fewer groups than parts.
    """
    pool = _joined(parts)
    members: dict[str, list[int]] = {}
    for i, group in enumerate(pool.groups[name]):
        members.setdefault(group, []).append(i)
    if len(members) < len(parts):
        raise UsageError(f"a split by {name} needs {len(parts)} of them at least; these data have {len(members)}")
    lacks = [share * len(pool) for share in SHARES]
    dealt: list[list[list[int]]] = [[] for _ in parts]
    order = sorted(members, key=lambda group: (-len(members[group]), group))
    for left, group in zip(range(len(order), 0, -1), order, strict=True):
        empty = [i for i, part in enumerate(dealt) if not part]
        choice = max(empty if left <= len(empty) else range(len(parts)), key=lambda i: lacks[i])
        lacks[choice] -= len(members[group])
        dealt[choice].append(members[group])
    rows = [sorted(i for group in part for i in group) for part in dealt]
    told = [f"{len(part)} ({len(r):,} rows)" for part, r in zip(dealt, rows, strict=True)]
    words = f"split by {name}, of which train has {told[0]}, validation {told[1]}, test {told[2]}"
    return [pool.select(torch.tensor(r)) for r in rows], words


def without_copies(parts: Parts) -> tuple[Parts, str]:
    """Train without sequences that occur in validation or test, validation without those of test; test stays whole.

    Returns:
        The parts, and how many samples went in words.

    Raises:
        UsageError: nothing is left of a part.
    """
    all_keys = [part.keys() for part in parts]
    chosen = []
    for split, own in enumerate(all_keys):
        later = {key for other in all_keys[split + 1 :] for key in other}
        chosen.append([i for i, key in enumerate(own) if key not in later])
    gone = [len(own) - len(rows) for own, rows in zip(all_keys, chosen, strict=True)]
    if not all(chosen):
        raise UsageError("without copies, nothing is left of train or validation")
    words = f"{gone[0]:,} train and {gone[1]:,} validation rows left out, as their sequences occur in a later split"
    return [part.select(torch.tensor(rows)) for part, rows in zip(parts, chosen, strict=True)], words


def _joined(parts: Parts) -> Sequences:
    """The samples of all parts, in order; labels are one a sample."""

    def together(pieces: list[Ragged]) -> Ragged:
        ends = torch.cat([piece.lengths for piece in pieces]).cumsum(0)
        return Ragged(torch.cat([piece.values for piece in pieces]), ends)

    return Sequences(
        tuple(together([part.codes[i] for part in parts]) for i in range(len(parts[0].codes))),
        torch.cat([part.target for part in parts if isinstance(part.target, torch.Tensor)]),
        groups={name: [group for part in parts for group in part.groups[name]] for name in parts[0].groups},
    )
