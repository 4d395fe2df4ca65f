"""Numbers and orders that tell nothing: by hashes of names, so the same on every machine, whatever a file's order."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tsbench.rec.interactions import Interactions

SEED = 0


def luck(names: Sequence[str]) -> np.ndarray:
    """`(name,)` uint64: the first 8 bytes of the SHA-256 of seed and name."""
    digests = b"".join(hashlib.sha256(f"{SEED} {name}".encode()).digest()[:8] for name in names)
    return np.frombuffer(digests, "<u8").astype(np.uint64)


def chance(log: Interactions) -> np.ndarray:
    """`(interaction,)` uint64: a hash of the names of user and item, and of the time."""
    user, item = luck(log.users)[log.user], luck(log.catalogue.names)[log.item]
    time = np.zeros(len(log)) if log.time is None else log.time + 0.0  # -0.0 is 0.0
    return _mixed(_mixed(_mixed(user) + item) + time.view(np.uint64))


def _mixed(x: np.ndarray) -> np.ndarray:
    """Every bit depends on all 64 (the last steps of splitmix64; Steele, Lea and Flood, OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.ndarray = x ^ (x >> np.uint64(31))
    return mixed


def numbered(log: Interactions, whole: bool) -> Interactions:
    """Items and users numbered by luck: in files, who was met first often has the lowest number.

    Users without interactions get no number, and such items only if the catalogue is to stay `whole`.
    """
    catalogue = log.catalogue
    users, people = _numbers(log.users, log.user, False)
    items, things = _numbers(catalogue.names, log.item, whole)
    catalogue = replace(
        catalogue,
        names=tuple(catalogue.names[i] for i in items),
        titles=tuple(catalogue.titles[i] for i in items) if catalogue.titles else (),
        features={name: x[items] for name, x in catalogue.features.items()},
        codes={name: x[items] for name, x in catalogue.codes.items()},
    )
    names = tuple(log.users[i] for i in users)
    return replace(log, user=people[log.user], item=things[log.item], users=names, catalogue=catalogue)


def _numbers(names: Sequence[str], used: np.ndarray, whole: bool) -> tuple[np.ndarray, np.ndarray]:
    """Old number of each new one, and new number of each old one."""
    old = np.argsort(luck(names), kind="stable")
    if not whole:
        old = old[np.bincount(used, minlength=len(names))[old] > 0]
    new = np.zeros(len(names), np.int64)
    new[old] = np.arange(len(old))
    return old, new
