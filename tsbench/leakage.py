"""Leakage: what a split has in common with another, by exact copies of inputs and by groups; and splits without it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from tsbench.data import Splits
from tsbench.errors import MissingData, UsageError
from tsbench.sequences import Ragged, Sequences


class Shared(NamedTuple):
    """Samples of a split that share a group with another, and groups: shared ones, and all of the split."""

    samples: int
    groups: int
    of: int


@dataclass(frozen=True)
class Overlap:
    """What `split` has in common with `source`.

    Attributes:
        samples: those of `split`.
        copies: those of them whose sequences, all of a sample, occur in `source` exactly.
        distinct: different ones among the copies.
        same_label: copies whose label occurs there with these sequences; the others contradict it.
        groups: name (guide, family) -> what is shared of it.
    """

    source: str
    split: str
    samples: int
    copies: int
    distinct: int
    same_label: int
    groups: Mapping[str, Shared]

    @property
    def other_label(self) -> int:
        """Copies that have another label in `source`."""
        return self.copies - self.same_label

    @property
    def words(self) -> str:
        """One clause for each thing in common; empty if there is none."""
        parts = []
        if self.copies:
            labels = f"{self.same_label:,} with the same label" if self.same_label else "none with the same label"
            distinct = f"; {self.distinct:,} distinct" if self.distinct < self.copies else ""
            found = f"{self.copies:,} of {self.samples:,} {self.split} samples occur in {self.source}"
            parts.append(f"{found} ({labels}{distinct})")
        for name, shared in self.groups.items():
            if shared.samples:
                found = f"{shared.samples:,} of {self.samples:,} {self.split} samples share a {name} with {self.source}"
                parts.append(f"{found} ({shared.groups:,} of {shared.of:,})")
        return "; ".join(parts)


def command(args: argparse.Namespace) -> int:
    """Print what the splits of data sets have in common, under each protocol."""
    from tsbench.registry import find_datasets

    if not args.names:
        raise UsageError("name the data sets, for example: tsbench data leakage rna/cri-off 'rna-substitute/*'")
    for dataset in (found for name in args.names for found in find_datasets(name)):
        for protocol in dataset.protocols:
            try:
                overlaps = leakage(dataset.load(args.data, protocol))
            except MissingData as absent:
                print(f"{dataset.name}: left out: {absent}")
                break
            told = [overlap.words for overlap in overlaps if overlap.words]
            nothing = "nothing in common between splits" if overlaps else "not examined: its samples are no sequences"
            print(f"{dataset.name}, protocol {protocol}\n  " + "\n  ".join(told or [nothing]))
    return 0


def leakage(splits: Splits) -> list[Overlap]:
    """Train and validation against test, and train against validation; empty for samples that are no sequences."""
    pairs = (("train", "test"), ("validation", "test"), ("train", "validation"))
    found = []
    for source, split in pairs:
        old, new = getattr(splits, source), getattr(splits, split)
        if isinstance(old, Sequences) and isinstance(new, Sequences):
            found.append(_overlap(source, old, split, new))
    return found


def _overlap(source: str, old: Sequences, split: str, new: Sequences) -> Overlap:
    new_keys = _keys(new)
    wanted = set(new_keys)
    seen: dict[tuple[bytes, ...], set[bytes]] = {}
    for i, key in enumerate(_keys(old)):
        if key in wanted:  # labels, which may be whole maps, are looked at for these only
            seen.setdefault(key, set()).add(_label(old, i))
    copies = [i for i, key in enumerate(new_keys) if key in seen]
    return Overlap(
        source,
        split,
        samples=len(new),
        copies=len(copies),
        distinct=len(seen),
        same_label=sum(_label(new, i) in seen[new_keys[i]] for i in copies),
        groups={name: _shared(set(old.groups[name]), new.groups[name]) for name in new.groups if name in old.groups},
    )


def _keys(samples: Sequences) -> list[tuple[bytes, ...]]:
    """All sequences of each sample, as bytes."""
    return list(zip(*(_slices(part) for part in samples.codes), strict=True))


def _slices(part: Ragged) -> list[bytes]:
    content = part.values.cpu().numpy().tobytes()
    ends = part.ends.tolist()
    return [content[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def _label(samples: Sequences, i: int) -> bytes:
    return bytes(samples.target[i].cpu().numpy().tobytes())


def _shared(old: set[str], new: Sequence[str]) -> Shared:
    groups = set(new)
    return Shared(sum(name in old for name in new), len(groups & old), len(groups))


# ---------------------------------------------------------------- splits without it

Parts = list[Sequences]  # train, validation, test
SHARES = (0.7, 0.1, 0.2)


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
    keys = [_keys(part) for part in parts]
    chosen = []
    for split, own in enumerate(keys):
        later = {key for other in keys[split + 1 :] for key in other}
        chosen.append([i for i, key in enumerate(own) if key not in later])
    gone = [len(own) - len(rows) for own, rows in zip(keys, chosen, strict=True)]
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
