"""Scores of scanpaths: how likely human fixations are under a model, and how like human paths its own are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.gaze.drawing import tallies
from tsbench.gaze.metrics import BEHAVIOUR, Conventions, Paths, behaviour, compare, delta, scanpath_ratio
from tsbench.gaze.samples import END
from tsbench.gaze.strings import edit_distance, sequence_score
from tsbench.tasks.task import Counts, Scores

PARTIAL = {"multimatch_shape": "multimatch", "tde_2": "tde_2", "tde_3": "tde_3"}  # not every pair has these


@dataclass(frozen=True)
class Walked:
    """What a model says of some trials.

    Attributes:
        logits: `(batch, step, token)` of human fixations, given those before.
        greedy: `(batch, 1, step)` tokens of its most probable path, END included, then -1.
        drawn: `(batch, copy, step)`: paths drawn from it.
    """

    logits: Tensor
    greedy: Tensor
    drawn: Tensor


class WalkMeter:
    """Scores of each trial; displays are the units.

    Attributes:
        displays, subjects: their names.
        how: conventions of comparing paths.
        centre: deviation of the centre bias, as a share of the display's width and height.
        trials: name -> `(trial,)`; those of `likelihood` are sums over fixations, the others means over paths.
        behaviours: of human, drawn and greedy paths, `(trial, 5)` each.
        tallies: counts of human paths and of drawn ones, see `tsbench.gaze.drawing`.
    """

    def __init__(self, displays: Sequence[str], subjects: Sequence[str], how: Conventions, centre: float) -> None:
        self.displays, self.subjects, self.how, self.centre = displays, subjects, how, centre
        self.display: list[Tensor] = []
        self.subject: list[Tensor] = []
        self.trials: dict[str, list[Tensor]] = {}
        self.behaviours: dict[str, list[Tensor]] = {"human": [], "drawn": [], "greedy": []}
        self.human_ratio: list[Tensor] = []
        self.tallies: dict[str, Counts] = {}

    def update(self, answer: Tensor | Walked, batch: Batch) -> None:
        """Add trials: their likelihood alone where an epoch is chosen, else paths too."""
        found = likelihood(answer.logits if isinstance(answer, Walked) else answer, batch, self.centre)
        if isinstance(answer, Walked):
            found |= self._likeness(answer, batch)
        self.display.append(batch.more["display"].cpu())
        self.subject.append(batch.more["subject"].cpu())
        for name, values in found.items():
            self.trials.setdefault(name, []).append(values.double().cpu())

    def _likeness(self, answer: Walked, batch: Batch) -> dict[str, Tensor]:
        human, targets = human_paths(batch), batch.more["targets"]
        self.behaviours["human"].append(behaviour(human.objects, targets).cpu())
        self.human_ratio.append(ratio(human, batch).cpu())
        rows, drawn = made_paths(answer.drawn, batch)
        copies = answer.drawn.shape[1]
        each = compare(human[rows], drawn, batch.more["size"][rows], self.how)
        five = behaviour(drawn.objects, targets[rows])
        each |= {name: five[:, i] for i, name in enumerate(BEHAVIOUR)}
        each |= {f"{name}_known": each[metric].isfinite().double() for metric, name in PARTIAL.items()}
        each["ratio"] = ratio(drawn, batch)
        found = {name: values.unflatten(0, (-1, copies)).nanmean(1) for name, values in each.items()}
        self.behaviours["drawn"].append(five.unflatten(0, (-1, copies)).nanmean(1).cpu())
        everyone = [batch.target, *answer.drawn.unbind(1)]
        self._count([tallies(batch, paths) for paths in everyone])
        _, greedy = made_paths(answer.greedy, batch)
        self.behaviours["greedy"].append(behaviour(greedy.objects, targets).cpu())
        found["greedy_ss"] = sequence_score(human.objects, greedy.objects)
        found["greedy_sed"] = edit_distance(human.objects, greedy.objects)
        return found

    def _count(self, found: Sequence[Mapping[str, list[int]]]) -> None:
        """Add tallies: those of people come first, and are one row; those of all copies another."""
        for name in found[0]:
            rows = [found[0][name], [sum(counts) for counts in zip(*(f[name] for f in found[1:]), strict=True)]]
            before = self.tallies.get(name, [[0] * len(row) for row in rows])
            self.tallies[name] = [
                [a + b for a, b in zip(*both, strict=True)] for both in zip(before, rows, strict=True)
            ]

    def scores(self) -> Scores:
        """Means over fixations (likelihood) and over trials (paths); what is undefined everywhere is left out."""
        trials = {name: torch.cat(parts) for name, parts in self.trials.items()}
        fixations, moves = trials.pop("fixations"), trials.pop("moves")
        counts = {name: each.isfinite() for name, each in trials.items()} | {"nll": fixations, "gain": moves}
        known = {name: (each.nan_to_num(), counts[name]) for name, each in trials.items() if counts[name].any()}
        values = {name: float(total.sum() / count.sum()) for name, (total, count) in known.items()}
        units = {name: list(_by(torch.cat(self.display), *each).values()) for name, each in known.items()}
        for name, prefix in (("drawn", ""), ("greedy", "greedy_")):
            if self.behaviours[name]:
                made, human = (torch.cat(self.behaviours[n]) for n in (name, "human"))
                values[f"{prefix}delta"] = float(delta(made, human))
        if self.behaviours["human"]:
            mean = torch.cat(self.behaviours["human"]).nanmean(0).tolist()
            people = dict(zip(BEHAVIOUR, mean, strict=True)) | {"ratio": float(torch.cat(self.human_ratio).nanmean())}
            values |= {f"human_{name}": value for name, value in people.items() if not math.isnan(value)}
        groups = {
            "subject": _named(self.subjects, torch.cat(self.subject), known),
            "display": _named(self.displays, torch.cat(self.display), known),
        }
        return Scores(values, units, self.tallies, {name: group for name, group in groups.items() if group})


def _by(group: Tensor, total: Tensor, count: Tensor) -> dict[int, float]:
    """Mean of each group that has any, in their order."""
    size = int(group.max()) + 1
    sums, counts = (torch.zeros(size, dtype=torch.float64).index_add_(0, group, x.double()) for x in (total, count))
    return {i: float(sums[i] / counts[i]) for i in counts.nonzero()[:, 0].tolist()}


def _named(
    names: Sequence[str], group: Tensor, known: Mapping[str, tuple[Tensor, Tensor]]
) -> dict[str, dict[str, float]]:
    """Scores of each group by its name; nothing where groups have no names."""
    found: dict[str, dict[str, float]] = {}
    for metric, each in known.items() if names else ():
        for i, value in _by(group, *each).items():
            found.setdefault(names[i], {})[metric] = value
    return found


def likelihood(logits: Tensor, batch: Batch, deviation: float) -> dict[str, Tensor]:
    """Of each trial `(batch,)`, summed over its fixations: END counts for `nll` only.

    `gain`, bits over the centre bias, compares probabilities among objects: a Gaussian around the display's centre says
    nothing of when a path ends (information gain: Kümmerer, Wallis and Bethge 2015).
    """
    real, move = batch.target >= 0, batch.target > END
    token = batch.target.clamp(min=0)[..., None]
    log_p = logits.double().log_softmax(-1).gather(-1, token)[..., 0]
    among = logits.double()[..., END + 1 :].log_softmax(-1).gather(-1, (token - 1).clamp(min=0))[..., 0]
    assert batch.places is not None
    there = batch.real & (torch.arange(logits.shape[-1], device=logits.device) > END)
    bias = centre_bias(batch.places, batch.more["unit"], batch.more["size"], there, deviation)
    centre = bias[:, None].expand(*token.shape[:2], -1).gather(-1, token)[..., 0]
    gain = ((among - centre) / math.log(2)).where(move, 0.0).sum(1)
    return {"nll": -(log_p * real).sum(1), "fixations": real.sum(1), "gain": gain, "moves": move.sum(1)}


def centre_bias(places: Tensor, unit: Tensor, size: Tensor, there: Tensor, deviation: float) -> Tensor:
    """Log probability of each object by its distance from the display's centre, `(display, token)`; -inf if not there.

    Args:
        places: `(display, token, 4)` units.
        unit, size: `(display, 2)` px.
        there: tokens that are objects, `(display, token)`.
        deviation: of the Gaussian, as a share of width and height.
    """
    away = places[..., :2] * (unit / size)[:, None] - 0.5
    return (-0.5 * (away.double() / deviation).square().sum(-1)).masked_fill(~there, -math.inf).log_softmax(-1)


def ratio(paths: Paths, batch: Batch) -> Tensor:
    """Straight way from the display's centre to the target over the way made, `(path,)`; NaN if it ends elsewhere.

    The eye is taken to be at the centre before the first fixation, so that a path of one fixation has a way too. Of
    several targets, it is the one at which the path ends.

    Args:
        paths: some for each sample of the batch, `(batch * copy)`.
        batch: the trials.
    """
    assert batch.places is not None
    rows = torch.arange(len(batch), device=paths.objects.device).repeat_interleave(len(paths.objects) // len(batch))
    unit, size = batch.more["unit"][rows], batch.more["size"][rows]
    last = paths.objects.gather(1, ((paths.objects >= 0).sum(1, keepdim=True) - 1).clamp(min=0)).clamp(min=END)
    goal = batch.places[rows, last[:, 0], :2] * unit
    found = scanpath_ratio(torch.cat([size[:, None] / 2, paths.points], 1), goal)
    return found.where(batch.more["targets"][rows, last[:, 0]], torch.nan)


def human_paths(batch: Batch) -> Paths:
    """The true paths; the points are where the eye was, not the centres of objects."""
    return Paths(batch.target.masked_fill(batch.target <= END, -1), batch.more["points"], batch.more["durations"])


def made_paths(paths: Tensor, batch: Batch) -> tuple[Tensor, Paths]:
    """Paths `(batch, copy, step)` in one row each, through the centres of objects, and the sample of each row."""
    assert batch.places is not None
    rows = torch.arange(len(paths), device=paths.device).repeat_interleave(paths.shape[1])
    objects = paths.flatten(0, 1)
    objects = objects.masked_fill(objects <= END, -1)
    centres = (batch.places[..., :2] * batch.more["unit"][:, None])[rows]
    points = centres.gather(1, objects.clamp(min=0)[..., None].expand(-1, -1, 2))
    points = points.masked_fill((objects < 0)[..., None], torch.nan)
    return rows, Paths(objects, points, torch.full_like(points[..., 0], torch.nan))
