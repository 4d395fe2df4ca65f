"""Leakage: what a split has in common with another, by exact copies of inputs and by groups."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

from tsbench.data import Splits


@runtime_checkable
class Comparable(Protocol):
    """Samples that can be compared; `groups`, if they have it: name (guide, family) -> group of each, "" for none."""

    target: Any

    def __len__(self) -> int: ...

    def keys(self) -> Sequence[Hashable]:
        """The inputs of each sample: equal for exact copies, and for these only."""


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
        copies: those of them whose inputs, all of a sample, occur in `source` exactly.
        distinct: different ones among the copies.
        same_label: copies whose label occurs there with these inputs; the others contradict it.
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


def leakage(splits: Splits) -> list[Overlap]:
    """Train and validation against test, and train against validation; empty for samples that cannot be compared.

    Splits that are the same samples, as where TEST serves as validation, are not compared.
    """
    pairs = (("train", "test"), ("validation", "test"), ("train", "validation"))
    found = []
    for source, split in pairs:
        old, new = getattr(splits, source), getattr(splits, split)
        if old is not new and isinstance(old, Comparable) and isinstance(new, Comparable):
            found.append(_overlap(source, old, split, new))
    return found


def with_leakage(splits: Splits) -> Splits:
    """The same splits, saying what they have in common: in `shared`, and for test in `notes`."""
    found = leakage(splits)
    words = "; ".join(overlap.words for overlap in found if overlap.split == "test" and overlap.words)
    shared = splits.shared | {(overlap.source, overlap.split) for overlap in found if overlap.copies}
    return replace(splits, shared=shared, notes=(*splits.notes, *([words] if words else [])))


def _overlap(source: str, old: Comparable, split: str, new: Comparable) -> Overlap:
    new_keys = new.keys()
    wanted = set(new_keys)
    seen: dict[Hashable, set[bytes]] = {}
    for i, key in enumerate(old.keys()):
        if key in wanted:  # labels, which may be whole maps, are looked at for these only
            seen.setdefault(key, set()).add(_label(old, i))
    copies = [i for i, key in enumerate(new_keys) if key in seen]
    old_groups, groups = (getattr(samples, "groups", {}) for samples in (old, new))
    return Overlap(
        source,
        split,
        samples=len(new),
        copies=len(copies),
        distinct=len(seen),
        same_label=sum(_label(new, i) in seen[new_keys[i]] for i in copies),
        groups={name: _shared(set(old_groups[name]), group) for name, group in groups.items() if name in old_groups},
    )


def _label(samples: Comparable, i: int) -> bytes:
    return bytes(samples.target[i].cpu().numpy().tobytes())


def _shared(old: set[str], new: Sequence[str]) -> Shared:
    groups = set(new) - {""}  # of no group, as where nothing is searched for
    shared = groups & old
    return Shared(sum(name in shared for name in new), len(shared), len(groups))
