"""Splits of interactions: who is trained on what, and what is asked of whom."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch

from tsbench.data import Splits
from tsbench.errors import UsageError, unknown
from tsbench.inputs import Histories
from tsbench.rec.interactions import Interactions
from tsbench.rec.luck import chance, numbered
from tsbench.rec.samples import HistorySamples
from tsbench.tasks.next_item import NextItem

PROTOCOLS: Mapping[str, str] = {
    "leave-one-out": "each user's last item is the test, the one before it validation, all others train",
    "temporal": "one cut for all: the first 80 % of the time-ordered interactions train, 10 % validation, 10 % test",
    "given": "the split that the source gives",
}
WORDS = {"ties": ("hash", "file"), "mask": ("seen", "none"), "order": ("kept", "shuffled")}
TRAIN, VALIDATION, TEST = range(3)


@dataclass(frozen=True)
class Rules:
    """What is done to interactions before and while they are split.

    Attributes:
        ties: order of a user's interactions of equal time: by "hash" of user, item and time, or as in the "file".
        mask: "seen" takes the items of the history out of the ranking and of the targets, "none" does not.
        order: "kept", or "shuffled" for histories in a random order: a control that shows whether order matters.
        rating: least rating that is kept; 0 for all.
        core: users and items with fewer interactions are left out until there are none; 0 for all.
        warm: users with fewer training interactions are not asked about.
    """

    ties: str = "hash"
    mask: str = "seen"
    order: str = "kept"
    rating: float = 0.0
    core: int = 0
    warm: int = 1

    def __post_init__(self) -> None:
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise unknown(f"value of {name}", getattr(self, name), words)
        for name in ("rating", "core", "warm"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name}={getattr(self, name):g} is no number from 0 on; 0 keeps all")


def history_splits(found: Interactions, protocol: str, rules: Rules) -> Splits:
    """Train, validation and test, with notes that say what was done and what to beware of.

    A history is all that a user took before the part that is asked about: in test that is training and validation.

    Raises:
        UsageError: the data do not allow the protocol or a rule, or nothing is left of them.
    """
    if protocol not in PROTOCOLS:
        raise unknown("protocol of recommendation", protocol, PROTOCOLS)
    log, filters = _filtered(found, rules)
    log = numbered(log, whole=not rules.core)
    log = log.select(_order(log, rules.ties))
    part = _parts(log, protocol)
    train, validation, test = (_samples(log, part, which, rules) for which in (TRAIN, VALIDATION, TEST))
    for name, made in (("training", train), ("validation", validation), ("test", test)):
        if not len(made):
            raise UsageError(f"{protocol}: no {name} user is left; lower warm, rating or core, or change the protocol")
    longest = max(1, *(int(made.length.max()) for made in (train, validation, test)))
    widths = {name: x.shape[1] for name, x in train.features.items()}
    inputs = Histories(longest, len(log.catalogue), len(log.users), widths, log.ordered)
    notes = (
        _split_note(log, protocol, part, validation, test),
        _order_note(log, protocol, part, test, rules),
        *_target_notes(log, protocol, part, test, rules),
        *filters,
        *log.notes,
    )
    titles = log.catalogue.titles or log.catalogue.names
    most = max(made.targets.shape[1] for made in (train, validation, test))
    return Splits(NextItem(inputs, rules.mask == "seen", most), train, validation, test, notes=notes, titles=titles)


# ---------------------------------------------------------------- what is kept, and in which order


def _filtered(found: Interactions, rules: Rules) -> tuple[Interactions, list[str]]:
    """Without low ratings and what is outside the core, and notes that say so."""
    log, notes, total = found, [], len(found)
    if rules.rating:
        if log.rating is None:
            raise UsageError(f"rating={rules.rating:g}: the files have no ratings; leave it out")
        log = log.select(log.rating >= rules.rating)
        notes.append(f"ratings below {rules.rating:g} left out: {_share(total - len(log), total, 'interaction')}")
    if rules.core:
        before = len(log)
        log = log.select(in_core(log.user, log.item, rules.core))
        gone = _share(before - len(log), before, "interaction")
        notes.append(f"users and items with fewer than {rules.core} interactions left out, test included: {gone}")
    if not len(log):
        raise UsageError("no interaction is left; lower rating or core")
    return log, notes


def in_core(user: np.ndarray, item: np.ndarray, least: int) -> np.ndarray:
    """`(interaction,)` bool: those left once nobody, and nothing, has fewer than `least` of them."""
    kept = np.ones(len(user), bool)
    while True:
        few = np.zeros_like(kept)
        for number in (user, item):
            few |= np.bincount(number[kept], minlength=number.max(initial=0) + 1)[number] < least
        if not (kept & few).any():
            return kept
        kept &= ~few


def _order(log: Interactions, ties: str) -> np.ndarray:
    """Rows by user, then by time, then as the files have them if that tells the time, or if ties are to be so."""
    keys = [log.user] if log.time is None else [log.time, log.user]
    filed = ties == "file" or (log.ordered and log.time is None)
    return np.lexsort(keys if filed else [chance(log), *keys])


# ---------------------------------------------------------------- parts and samples


def _parts(log: Interactions, protocol: str) -> np.ndarray:
    """`(interaction,)`: TRAIN, VALIDATION or TEST; rows are in order."""
    if protocol == "given":
        if log.split is None:
            raise UsageError(f"given: the files give no split; use {_usable(log)}")
        return log.split
    if protocol == "temporal":
        if log.time is None:
            raise UsageError(f"temporal: the files give no times; use {_usable(log)}")
        cuts = np.sort(log.time)[[len(log) * 8 // 10, len(log) * 9 // 10]]
        return np.searchsorted(cuts, log.time, side="right")  # equal times fall on one side
    size = np.bincount(log.user)
    if size.max() < 3:
        raise UsageError("leave-one-out: no user has 3 interactions; choose another protocol, or lower rating")
    later = size.cumsum()[log.user] - 1 - np.arange(len(log))  # interactions of the user after this one
    return np.where(size[log.user] >= 3, np.maximum(TEST - later, TRAIN), TRAIN)


def _usable(log: Interactions) -> str:
    given = ["given"] if log.split is not None else []
    return " or ".join(["leave-one-out", *(["temporal"] if log.time is not None else []), *given])


def _samples(log: Interactions, part: np.ndarray, which: int, rules: Rules) -> HistorySamples:
    """One sample a user: what they took before the part, and in it; for training its last item, and those before it."""
    users, items = len(log.users), len(log.catalogue)
    held = part >= max(which, VALIDATION)
    order = np.lexsort([*([chance(log)] if rules.order == "shuffled" else []), held, log.user])
    events, first = log.item[order], np.searchsorted(log.user, np.arange(users))
    length = np.bincount(log.user[~held], minlength=users)
    if which == TRAIN:
        user = np.flatnonzero(length)
        length -= 1
        targets = events[(first + length)[user], None]
    else:
        user, targets = _targets(log, part, which, rules)
    counts = np.bincount(log.item[part == TRAIN], minlength=items)
    return HistorySamples(
        torch.from_numpy(user),
        torch.from_numpy(events),
        torch.from_numpy(first[user]),
        torch.from_numpy(length[user]),
        torch.from_numpy(targets),
        torch.from_numpy(counts),
        {name: torch.from_numpy(x).float() for name, x in log.catalogue.features.items()},
        {name: torch.from_numpy(x).long() for name, x in log.catalogue.codes.items()},
        log.ordered,
    )


def _asked(log: Interactions, part: np.ndarray, which: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What a part asks about: user and item, each pair once, whether the history has it, and the user's training."""
    items = len(log.catalogue)
    pair = log.user * items + log.item
    asked = np.unique(pair[part == which])
    user = asked // items
    trained = np.bincount(log.user[part == TRAIN], minlength=len(log.users))[user]
    return user, asked % items, np.isin(asked, pair[part < which]), trained


def _targets(log: Interactions, part: np.ndarray, which: int, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
    """Users with targets, ascending, and their targets, `(user, target)`, -1 beyond the last."""
    user, item, seen, trained = _asked(log, part, which)
    kept = trained >= rules.warm
    if rules.mask == "seen":
        kept &= ~seen
    user, item = user[kept], item[kept]
    found, first, count = np.unique(user, return_index=True, return_counts=True)
    targets = np.full((len(found), count.max(initial=1)), -1)
    targets[np.arange(len(found)).repeat(count), np.arange(len(user)) - first.repeat(count)] = item
    return found, targets


# ---------------------------------------------------------------- what to say of it


def _some(count: int, what: str) -> str:
    """`1 user`, `1,234 users`."""
    return f"{count:,} {what if count == 1 else what + 's'}"


def _share(count: int, of: int, what: str) -> str:
    """`3 of 20 users (15.0 %)`."""
    return f"{count:,} of {_some(of, what)} ({100 * count / of:.1f} %)"


def _split_note(
    log: Interactions, protocol: str, part: np.ndarray, validation: HistorySamples, test: HistorySamples
) -> str:
    size = f"{_some(len(log.users), 'user')}, {_some(len(log.catalogue), 'item')}, {_some(len(log), 'interaction')}"
    train = _some(int((part == TRAIN).sum()), "training interaction")
    asked = (
        f"{_some(int((made.targets >= 0).sum()), name)} of {_some(len(made), 'user')}"
        for name, made in (("validation target", validation), ("test target", test))
    )
    return f"- {protocol}: {size}; {train}, {', '.join(asked)}"


def _order_note(log: Interactions, protocol: str, part: np.ndarray, test: HistorySamples, rules: Rules) -> str:
    filed, hashed = "as in the file", "by a hash (SHA-256 of names, splitmix64)"
    ties = filed if rules.ties == "file" else hashed
    if not log.ordered:
        note = f"- histories are sets, ordered {ties}"
    elif log.time is None:
        note = f"- histories are ordered {filed}, which gives no times"
    else:
        note = f"- histories are ordered by time, equal times {ties}"
    if protocol == "leave-one-out" and log.time is not None:
        last = np.flatnonzero((part == TEST) & np.isin(log.user, test.user))
        tied = int((log.time[last] == log.time[last - 1]).sum())
        if tied:
            note = f"{note[2:]}, which decides the target: {_share(tied, len(last), 'test user')}"
    if rules.order == "shuffled":
        note = f"{note.removeprefix('- ')}; then shuffled, targets kept, as a control"
    return f"{note}; items are numbered by SHA-256 of their names"


def _target_notes(
    log: Interactions, protocol: str, part: np.ndarray, test: HistorySamples, rules: Rules
) -> Iterator[str]:
    user, _, seen, trained = _asked(log, part, TEST)
    cold_user = trained < rules.warm
    if rules.mask == "seen":
        gone = int((seen & ~cold_user).sum())
        users = len(np.unique(user[~cold_user])) - len(test)
        left = f"; left out as such: {_some(gone, 'test target')}, and with them {_some(users, 'user')}" if gone else ""
        yield f"- items of the history, training and validation, are not ranked{left}"
    else:
        yield "items of the history, training and validation, are ranked as all others"
    if cold_user.any():
        unasked = _some(len(np.unique(user[cold_user])), "user")
        yield f"not tested, with fewer than {_some(rules.warm, 'training interaction')}: {unasked}"
    if protocol == "leave-one-out" and (few := int((np.bincount(log.user) < 3).sum())):
        yield f"trained on only, with fewer than 3 interactions: {_some(few, 'user')}"
    asked = test.targets[test.targets >= 0]
    if cold := int((test.counts[asked] == 0).sum()):
        yield f"cold, in no training interaction: {_share(cold, len(asked), 'test target')}"
    if protocol != "temporal" and log.time is not None:
        early = (part == TEST) & (log.time < log.time[part == TRAIN].max())
        if leaks := int(np.isin(test.user, log.user[early]).sum()):
            yield f"the future leaks, for training goes on after the target: {_share(leaks, len(test), 'test user')}"
