"""Splits of scanpaths: by image, target, subject, layout or trial, and what train and test then still share."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from tsbench.data import Splits
from tsbench.errors import DataError, UsageError, unknown
from tsbench.gaze.metrics import CONVENTIONS, Conventions
from tsbench.gaze.samples import END, ScanpathSamples
from tsbench.gaze.scene import Scenes
from tsbench.gaze.scores import centre_bias
from tsbench.inputs import Objects
from tsbench.leakage import with_leakage
from tsbench.tasks.scanpath import Scanpath

HELD_OUT = 0.1  # share of the groups in validation, and in test
LEAST = 3  # groups: one for each part
NARROWEST, WIDEST = 0.02, 5.0  # deviations of a centre bias, as shares of width and height

PROTOCOLS: Mapping[str, str] = {
    "by-image": "80/10/10 % of the images: no model has seen a test image",
    "by-target": "80/10/10 % of what is searched for: nobody searched for it in training",
    "by-subject": "80/10/10 % of the subjects: the images are known, the person is not",
    "by-layout": "80/10/10 % of the pairs of target and layout: what is searched, where, among what",
    "by-trial": "80/10/10 % of the trials, as OAT: images, targets and subjects are known",
}


def kinship(scenes: Scenes) -> dict[str, np.ndarray]:
    """What trials share: picture, target, subject, layout -> group of each trial, `(trial,)` text.

    Two trials have one layout if all that is known of their displays is equal (boxes, features), and so is the target.
    """
    seen = [hashlib.sha256(d.boxes.tobytes() + d.features.tobytes()).hexdigest() for d in scenes.displays]
    trials = scenes.trials
    return {
        "picture": np.array([scenes.displays[t.display].image for t in trials]),
        "target": np.array([t.searched for t in trials]),
        "subject": np.array([t.subject for t in trials]),
        "layout": np.array([f"{t.searched} {t.targets} {seen[t.display]}" for t in trials]),
    }


def parted(groups: Sequence[str] | np.ndarray, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices of train, validation and test, ascending; a group is in one of them, and each has one at least.

    Groups are put in the order of the SHA-256 of seed and name: as good as random, and the same everywhere.

    Raises:
        UsageError: there are fewer than three groups.
    """
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    if len(names) < LEAST:
        raise UsageError(f"a split needs at least {LEAST} groups, here is {len(names)}")
    order = np.argsort([hashlib.sha256(f"{seed} {name}".encode()).hexdigest() for name in names])
    held = max(1, round(HELD_OUT * len(names)))
    part = np.zeros(len(names), np.int64)
    part[order[:held]], part[order[held : 2 * held]] = 2, 1
    train, validation, test = (torch.from_numpy(np.flatnonzero(part[group] == i)) for i in range(3))
    return train, validation, test


def scanpath_splits(scenes: Scenes, protocol: str, seed: int, given: bool, how: Conventions = CONVENTIONS) -> Splits:
    """Train, validation and test, with notes that say what was done and what they share.

    Args:
        scenes: displays and trials, ruled.
        protocol: one of PROTOCOLS.
        seed: of the split.
        given: models are told where the target is.
        how: conventions of comparing paths.
    """
    if protocol not in PROTOCOLS:
        raise unknown("protocol of scanpaths", protocol, PROTOCOLS)
    groups = {**kinship(scenes), "trial": np.array([str(i) for i in range(len(scenes.trials))])}
    by = _grouped(protocol)
    if (there := len(set(groups[by]) - {""})) < LEAST:  # "" is where nothing is searched for
        others = [name for name in PROTOCOLS if len(set(groups[_grouped(name)]) - {""}) >= LEAST]
        remedy = f"protocols that work here: {', '.join(others)}" if others else "no other protocol works here either"
        raise UsageError(f"{protocol} needs at least {LEAST} different {by}s, not {there}; {remedy}")
    return _splits(scenes, parted(groups[by], seed), given, how, f"split by {by}, seed {seed}")


def _grouped(protocol: str) -> str:
    """What a protocol keeps together: picture, target, subject, layout or trial."""
    return protocol.removeprefix("by-").replace("image", "picture")


def as_told(scenes: Scenes, told: Sequence[str], given: bool) -> Splits:
    """The split that the recording's own files tell: train, validation or test for each trial."""
    parts = [torch.from_numpy(np.flatnonzero(np.array(told) == name)) for name in ("train", "validation", "test")]
    return _splits(scenes, parts, given, CONVENTIONS, "split as the recording says")


def centre_deviation(train: ScanpathSamples) -> float:
    """Deviation of the centre bias, as a share of width and height, under which the fixations are most likely."""
    there = torch.arange(train.places.shape[1]) < train.counts[:, None]
    there[:, END] = False
    fixated = train.paths > END
    at = train.display[:, None].expand_as(train.paths)[fixated], train.paths[fixated]
    counts = torch.zeros(there.shape, dtype=torch.float64)
    counts.index_put_(at, torch.ones(len(at[0]), dtype=torch.float64), accumulate=True)

    def cost(log: float) -> float:
        bias = centre_bias(train.places, train.unit, train.size, there, math.exp(log))
        return -float((bias.masked_fill(~there, 0) * counts).sum())

    return math.exp(minimize_scalar(cost, bounds=(math.log(NARROWEST), math.log(WIDEST)), method="bounded").x)


def _splits(scenes: Scenes, parts: Sequence[Tensor], given: bool, how: Conventions, split: str) -> Splits:
    related = kinship(scenes)
    samples = replace(ScanpathSamples.of(scenes, given), groups=related)
    train, validation, test = (samples.select(part) for part in parts)
    if not all(map(len, parts)):
        raise DataError("scanpaths", f"{split}: a part has no trial", "Every part needs one; check the split.")
    longest = int(train.steps.max()) - 1  # END is not counted
    tokens, features = samples.objects.shape[1:]
    counts = " + ".join(str(len(part)) for part in parts)
    searching = any(t.targets for t in scenes.trials)
    place = f"target's place {'given' if given else 'hidden'}" if searching else "nothing is searched for"
    split = f"{split}: {counts} trials of {len(scenes.displays)} displays; {place}"
    if alone := int((test.peers < 0).all(1).sum()):
        split += f"; in {alone} of {len(test)} test trials nobody else searched the same on that display"
    centre = centre_deviation(train)
    bias = f"gain is over a centre bias of deviation {centre:.3f} of width and height"
    if centre > 0.99 * WIDEST:
        bias = "no centre bias found in training fixations: gain is over a choice that is as good as even"
    notes = (*scenes.notes, *(f"- {note}" for note in (f"paths compared: {how}", bias, split)))
    displays = tuple(d.name for d in scenes.displays)
    subjects = tuple(sorted({t.subject for t in scenes.trials}))
    task = Scanpath(Objects(tokens, features), longest, displays=displays, subjects=subjects, how=how, centre=centre)
    return with_leakage(Splits(task, train, validation, test, notes=notes))
