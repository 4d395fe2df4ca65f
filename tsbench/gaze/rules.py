"""Rules: from fixations as they were recorded to paths over objects; each says what it did.

They apply in this order: initial fixation, off the display, which object, cut at the target, length.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from tsbench.errors import DataError, UsageError, unknown
from tsbench.gaze.scene import Display, Scenes, Trial

NOTHING = -1  # the object of a fixation on none
MANY = 0.1  # share of fixations on no object from which on a rule that gives them one is named

WORDS = {
    "initial": ("keep", "central", "drop"),
    "outside": ("drop", "clamp"),
    "on": ("boxes", "recorded"),
    "nowhere": ("drop", "nearest"),
    "cut": ("never", "target"),
}


@dataclass(frozen=True)
class Rules:
    """What becomes of fixations and trials.

    Attributes:
        initial: the first fixation: keep it, drop it, or drop it if it is `central`.
        central: px from the display's centre within which a first fixation is taken for the initial one.
        outside: fixations off the display: drop, or clamp to its edge.
        on: the object of a fixation: the smallest of the boxes that hold it, or as recorded.
        near: px; a fixation in no box counts for the box with the nearest edge, if that is no farther.
        nowhere: fixations still on no object: drop them from the path, or take the box with the nearest centre.
        cut: end a path never, or at its first fixation of a target.
        deviations: leave out trials whose length is this many standard deviations from the mean; 0 keeps all.
    """

    initial: str = "keep"
    central: int = 100
    outside: str = "drop"
    on: str = "boxes"
    near: int = 0
    nowhere: str = "drop"
    cut: str = "never"
    deviations: int = 0

    def __post_init__(self) -> None:
        for name, words in WORDS.items():
            if getattr(self, name) not in words:
                raise unknown(f"value of {name}", getattr(self, name), words)
        if self.on == "recorded" and (self.near or self.nowhere == "nearest"):
            raise UsageError("on=recorded takes no box: leave out near and nowhere=nearest, or set on=boxes")


@dataclass(frozen=True)
class _Fixations:
    """Those of all trials in one row: the trial of each, `(fixation,)`, and what a trial holds of it."""

    trial: np.ndarray
    points: np.ndarray
    durations: np.ndarray
    objects: np.ndarray

    @classmethod
    def of(cls, trials: tuple[Trial, ...]) -> _Fixations:
        return cls(
            np.repeat(np.arange(len(trials)), [len(t.points) for t in trials]),
            np.concatenate([np.reshape(t.points, (-1, 2)) for t in trials]).astype(np.float64),
            np.concatenate([t.durations for t in trials]),
            np.concatenate([t.objects for t in trials]).astype(np.int64),
        )

    def where(self, mask: np.ndarray) -> _Fixations:
        return _Fixations(self.trial[mask], self.points[mask], self.durations[mask], self.objects[mask])

    def first(self) -> np.ndarray:
        """True for the first fixation of a trial."""
        return np.diff(self.trial, prepend=-1) > 0


def apply(scenes: Scenes, rules: Rules) -> Scenes:
    """The same recording under `rules`; its notes go on with what they did, and a hint if they leave much out.

    Raises:
        DataError: no trial is left.
    """
    displays, trials = scenes.displays, scenes.trials
    fixations = _Fixations.of(trials)
    display = np.array([t.display for t in trials], np.int64)
    size = np.array([d.size for d in displays])
    notes = [f"{_count(len(trials), 'trial')}, {_count(len(fixations.trial), 'fixation')} as recorded"]

    fixations, found = _initial(fixations, rules, size[display[fixations.trial]])
    notes += found
    fixations, found = _outside(fixations, rules, size[display[fixations.trial]])
    notes += found
    fixations, found = _on_objects(fixations, rules, displays, display[fixations.trial])
    notes += found
    hint = _hint(fixations, rules)
    fixations, found = _cut(fixations, rules, trials)
    notes += found
    kept, found = _lengths(fixations, rules, len(trials))
    notes += found

    bounds = np.searchsorted(fixations.trial, np.arange(len(trials) + 1))
    left = []
    for i in np.flatnonzero(kept):
        own = slice(bounds[i], bounds[i + 1])
        points, durations, objects = fixations.points[own], fixations.durations[own], fixations.objects[own]
        left.append(replace(trials[i], points=points, durations=durations, objects=objects))
    if not left:
        raise DataError("scanpaths", "no trial is left of " + "; ".join(notes), "Check the boxes, or relax the rules.")
    return Scenes(displays, tuple(left), (*scenes.notes, f"- {'; '.join(notes)}", *hint))


def _initial(fixations: _Fixations, rules: Rules, size: np.ndarray) -> tuple[_Fixations, list[str]]:
    if rules.initial == "keep":
        return fixations, []
    gone, where = fixations.first(), ""
    if rules.initial == "central":
        away = fixations.points - size / 2
        gone &= np.hypot(away[:, 0], away[:, 1]) <= rules.central
        where = f" if within {rules.central} px of the centre"
    return fixations.where(~gone), [f"first fixation left out{where}: {gone.sum():,}"] if gone.any() else []


def _outside(fixations: _Fixations, rules: Rules, size: np.ndarray) -> tuple[_Fixations, list[str]]:
    inside = np.all((fixations.points >= 0) & (fixations.points <= size), axis=1)
    if inside.all():
        return fixations, []
    many = f"off the display: {_count((~inside).sum(), 'fixation')}"
    if rules.outside == "drop":
        return fixations.where(inside), [f"{many}, left out"]
    return replace(fixations, points=fixations.points.clip(0, size)), [f"{many}, moved to its edge"]


def _on_objects(
    fixations: _Fixations, rules: Rules, displays: tuple[Display, ...], display: np.ndarray
) -> tuple[_Fixations, list[str]]:
    objects, notes = fixations.objects, ["objects fixated as recorded"]
    if rules.on == "boxes":
        objects, held, overlaps = np.full(len(display), NOTHING), 0, 0
        order = np.argsort(display, kind="stable")
        for own in np.split(order, np.flatnonzero(np.diff(display[order])) + 1):
            if len(own):
                objects[own], holding = objects_at(fixations.points[own], displays[display[own[0]]].boxes, rules)
                held, overlaps = held + (holding > 0).sum(), overlaps + (holding > 1).sum()
        notes = [f"in a box: {_share(held, len(display))} of fixations"]
        if overlaps:
            notes.append(f"in more than one, the smallest counts: {overlaps:,}")
        if rules.near:
            notes.append(f"in no box, but within {rules.near} px of one, the nearest counts")
        if rules.nowhere == "nearest":
            notes.append("what is in no box counts for the nearest centre")
    if none := (objects == NOTHING).sum():
        of = f"{none:,} of {_count(len(display), 'fixation')} ({_share(none, len(display))})"
        notes.append(f"{of} {'is' if none == 1 else 'are'} on no object and left out")
    return replace(fixations, objects=objects), notes


def _hint(fixations: _Fixations, rules: Rules) -> list[str]:
    """Which rules would use fixations that are on no object, if these are many."""
    none = fixations.objects == NOTHING
    if rules.on != "boxes" or none.sum() <= MANY * len(none):
        return []
    share = _share(none.sum(), len(none))
    return [f"{share} of fixations are on no object and left out; near=PX or nowhere=nearest counts them for a box"]


def objects_at(points: np.ndarray, boxes: np.ndarray, rules: Rules) -> tuple[np.ndarray, np.ndarray]:
    """The object at each of some points of a display, NOTHING for none, and how many boxes hold the point.

    Args:
        points: `(point, 2)` px.
        boxes: `(object, 4)` px.
        rules: of which `near` and `nowhere` count.
    """
    if not len(boxes):
        return np.full(len(points), NOTHING), np.zeros(len(points), np.int64)
    low, high = boxes[:, :2].astype(np.float64), boxes[:, 2:].astype(np.float64)
    gaps = np.maximum(0, np.maximum(low - points[:, None], points[:, None] - high))  # (point, object, 2)
    distance = np.hypot(gaps[..., 0], gaps[..., 1])  # 0 inside
    holding = distance == 0
    area = (high - low).prod(1)
    smallest = np.where(holding, area, np.inf).argmin(1)
    closest = distance.argmin(1)
    found = np.where(holding.any(1), smallest, np.where(distance.min(1) <= rules.near, closest, NOTHING))
    if rules.nowhere == "nearest":
        centre = ((points[:, None] - (low + high) / 2) ** 2).sum(-1).argmin(1)
        found = np.where(found == NOTHING, centre, found)
    return found, holding.sum(1)


def _cut(fixations: _Fixations, rules: Rules, trials: tuple[Trial, ...]) -> tuple[_Fixations, list[str]]:
    if rules.cut == "never":
        return fixations, []
    pairs = {(i, o) for i, t in enumerate(trials) for o in t.targets}
    hit = np.array([p in pairs for p in zip(fixations.trial.tolist(), fixations.objects.tolist(), strict=True)], bool)
    hits = np.cumsum(hit) - hit  # targets fixated before, in all trials
    starts = np.maximum.accumulate(np.where(fixations.first(), hits, 0))
    later = hits > starts
    note = f"paths end at the first fixation of a target: {_count(later.sum(), 'fixation')} left out"
    return fixations.where(~later), [note]


def _lengths(fixations: _Fixations, rules: Rules, trials: int) -> tuple[np.ndarray, list[str]]:
    """Which trials stay."""
    length = np.bincount(fixations.trial[fixations.objects != NOTHING], minlength=trials)
    kept = length > 0
    notes = [f"{_count((~kept).sum(), 'trial')} without a fixation on an object left out"] if not kept.all() else []
    if rules.deviations:
        mean, limit = length[kept].mean(), rules.deviations * length[kept].std()
        odd = kept & (abs(length - mean) > limit)
        kept &= ~odd
        notes.append(
            f"{_count(odd.sum(), 'trial')} left out whose length is over {rules.deviations} SD from the mean, "
            f"{kept.sum():,} stay"
        )
    return kept, notes


def _share(part: int, of: int) -> str:
    return f"{100 * part / max(1, of):.1f} %"


def _count(many: int, what: str) -> str:
    return f"{many:,} {what}{'' if many == 1 else 's'}"
