"""How like human paths the paths of a model are: all measures of two paths, and what paths do by themselves.

Of the library only: `pairs`, `found_curve` (runs keep counts, see `drawing.tallies`), `fixation_map` and `nss`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tsbench.gaze.alignment import steps
from tsbench.gaze.delays import stde, tde
from tsbench.gaze.multimatch import PARTS, multimatch
from tsbench.gaze.strings import cells, edit_distance, scanmatch, sequence_score, share

BEHAVIOUR = ("correct", "length", "search", "refix", "revisit")


@dataclass(frozen=True)
class Conventions:
    """What changes the numbers; print it beside every score.

    Attributes:
        first: the first fixation, often at the centre where a cross was, counts.
        longest: fixations of a path that count; 0 for all.
        grid: columns and rows of the cells that are compared as strings.
        bins: columns and rows of ScanMatch.
        threshold: of ScanMatch, bins.
        gap: of ScanMatch.
        temporal_bin: of ScanMatch, ms; 0 leaves durations out.
        pad_short: MultiMatch fills paths of fewer than three fixations, as OAT does; else it is undefined for them.
    """

    first: bool = True
    longest: int = 0
    grid: tuple[int, int] = (5, 5)
    bins: tuple[int, int] = (16, 12)
    threshold: float = 3.5
    gap: float = 0.0
    temporal_bin: float = 0.0
    pad_short: bool = False

    def __post_init__(self) -> None:
        """A record gives pairs as lists."""
        for name in ("grid", "bins"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def __str__(self) -> str:
        """One line."""
        return "; ".join(
            [
                "first fixation " + ("in" if self.first else "out"),
                f"at most {self.longest} fixations" if self.longest else "all fixations",
                "SS and SED over objects, also as a share of the longer path",
                "grid SED {}x{}".format(*self.grid),
                "ScanMatch {}x{} bins".format(*self.bins) + f", threshold {self.threshold:g}, gap {self.gap:g}, "
                + (f"durations in bins of {self.temporal_bin:g} ms" if self.temporal_bin else "no durations"),
                "MultiMatch not simplified, paths of under 3 fixations "
                + ("filled with (1, 1)" if self.pad_short else "undefined"),
            ]
        )  # fmt: skip


CONVENTIONS = Conventions()


@dataclass(frozen=True)
class Paths:
    """Paths, one a row.

    Attributes:
        objects: `(path, step)` int64, then -1.
        points: `(path, step, 2)` px, then NaN.
        durations: `(path, step)` ms, NaN where unknown.
    """

    objects: Tensor
    points: Tensor
    durations: Tensor

    def __getitem__(self, index: Tensor) -> Paths:
        """Those at an index, such as one side of `pairs`."""
        return Paths(self.objects[index], self.points[index], self.durations[index])

    def cut(self, how: Conventions) -> Paths:
        """The fixations that count."""
        kept = slice(0 if how.first else 1, (how.longest or self.objects.shape[1]) + (0 if how.first else 1))
        return Paths(self.objects[:, kept], self.points[:, kept], self.durations[:, kept])


def compare(human: Paths, model: Paths, size: Tensor, how: Conventions) -> dict[str, Tensor]:
    """Every measure of two paths, `(pair,)` float64 each, NaN where it is undefined.

    Args:
        human: one path a pair.
        model: the same; TDE and STDE say how far these are from human ones, the rest are symmetric.
        size: `(pair, 2)` px: width and height of each display.
        how: conventions.
    """
    a, b = human.cut(how), model.cut(how)
    grids = cells(a.points, size, how.grid), cells(b.points, size, how.grid)
    sed, grid_sed = edit_distance(a.objects, b.objects), edit_distance(*grids)
    durations = (a.durations, b.durations)
    five = multimatch(a.points, b.points, size, *durations, pad_short=how.pad_short)
    return {
        "ss": sequence_score(a.objects, b.objects),
        "sed": sed,
        "sed_share": share(sed, a.objects, b.objects),
        "grid_sed": grid_sed,
        "grid_sed_share": share(grid_sed, *grids),
        "scanmatch": scanmatch(
            a.points, b.points, size, *durations, how.bins, how.threshold, how.gap, how.temporal_bin
        ),
        **{f"multimatch_{part}": five[:, i] for i, part in enumerate(PARTS)},
        **{f"tde_{k}": tde(a.points, b.points, k) for k in (1, 2, 3)},
        "stde": stde(a.points, b.points, size),
    }  # fmt: skip


def pairs(display: Tensor, subject: Tensor, most: int = 0, seed: int = 0, self_pairs: bool = False) -> Tensor:
    """Ordered pairs of paths on the same display by different subjects, `(2, pair)` int64.

    Args:
        display: `(path,)`: one number for each display, or for each display and what is searched for on it.
        subject: `(path,)`.
        most: pairs that are drawn if there are more; 0 for all.
        seed: of the draw.
        self_pairs: all pairs on a display, those of one subject and each path with itself too.
    """
    groups = [torch.nonzero(display == one)[:, 0] for one in display.unique()]
    found = torch.cat([torch.cartesian_prod(g, g).T for g in groups] or [display.new_zeros(2, 0)], 1)
    if not self_pairs:
        found = found[:, subject[found[0]] != subject[found[1]]]
    if most and most < found.shape[1]:
        drawn = torch.randperm(found.shape[1], generator=torch.Generator().manual_seed(seed))[:most]
        found = found[:, drawn.sort().values.to(found.device)]
    return found


def behaviour(objects: Tensor, targets: Tensor) -> Tensor:
    """The five parts of `BEHAVIOUR`, `(path, 5)` float64 (OAT, Fang et al. 2024).

    Whether the last object is a target (NaN where there is none), fixations, and the shares of them that are first
    visits, immediate repeats, and returns to an object left before. NaN for an empty path.

    Args:
        objects: `(path, step)` int64, then -1.
        targets: `(path, object)` bool.
    """
    n, real = steps(objects), objects >= 0
    last = objects.gather(1, (n - 1).clamp(min=0)[:, None])[:, 0]
    correct = targets.gather(1, last.clamp(min=0)[:, None])[:, 0].double()
    ordered, order = objects.sort(stable=True, dim=1)  # of equal objects, all but the first are seen again
    again = torch.zeros_like(real).scatter(1, order[:, 1:], ordered.diff(dim=1) == 0) & real
    repeat = torch.zeros_like(real)
    repeat[:, 1:] = (objects.diff(dim=1) == 0) & real[:, 1:]
    counts = torch.stack([(real & ~again).sum(1), repeat.sum(1), (again & ~repeat).sum(1)], 1)
    correct = correct.masked_fill(~targets.any(1) | (n == 0), torch.nan)
    return torch.cat([correct[:, None], n[:, None], counts.double() / n[:, None]], 1)


def delta(model: Tensor, human: Tensor) -> Tensor:
    """Mean over the parts of behaviour of |model - human| / human, 0-d; lower is better (OAT, Fang et al. 2024).

    A part whose human value is 0, or undefined on either side, is left out; NaN if all are.

    Args:
        model: `(path, 5)` of `behaviour`; average over the paths drawn for one trial first if they differ in number.
        human: `(trial, 5)`.
    """
    ours, theirs = model.nanmean(0), human.nanmean(0)
    return ((ours - theirs).abs() / theirs).masked_fill(theirs == 0, torch.nan).nanmean()


def found_curve(objects: Tensor, targets: Tensor, most: int) -> Tensor:
    """Share of paths that have fixated a target within k fixations, k = 0, ..., `most`, `(most + 1,)` float64.

    Every fixation given counts: leave out the first where it is at the centre by design, see `Paths.cut`.

    Args:
        objects: `(path, step)` int64, then -1.
        targets: `(path, object)` bool.
        most: fixations.
    """
    hit = (targets.gather(1, objects.clamp(min=0)) & (objects >= 0))[:, :most]
    at_first = (hit.cumsum(1) > 0).double().mean(0)
    rest = most - hit.shape[1]
    last = at_first[-1:] if hit.shape[1] else at_first.new_zeros(1)
    return torch.cat([at_first.new_zeros(1), at_first, last.expand(rest)])


def scanpath_ratio(points: Tensor, target: Tensor) -> Tensor:
    """Straight way from the first fixation to the target, over the length of the path, `(path,)`, at most 1.

    The way ends at the centre of the target's box (as in HAT, Yang et al. 2024). It is a measure of paths that found
    the target: leave others out. A path of no length has 1; NaN for an empty one.

    Args:
        points: `(path, step, 2)` px, then NaN.
        target: `(path, 2)` px: centre of the target.
    """
    length = points.double().diff(dim=1).norm(dim=-1).nansum(1)
    straight = (points[:, 0].double() - target).norm(dim=-1)
    return (straight / length).clamp(max=1).masked_fill((straight == 0) & (length == 0), 1)


def fixation_map(points: Tensor, width: int, height: int) -> Tensor:
    """1 at pixels that are fixated, else 0, `(path, height, width)` float64; points off the map are left out.

    Args:
        points: `(path, step, 2)` px, then NaN.
        width: px.
        height: px.
    """
    path, x, y = _pixels(points, width, height)
    found = points.new_zeros(len(points), height, width, dtype=torch.float64)
    found[path, y, x] = 1
    return found


def nss(salience: Tensor, points: Tensor) -> Tensor:
    """Normalised scanpath saliency, `(path,)`: the z-score of a map at human fixations (Peters et al. 2005).

    Deviations are those of the whole map (ddof 0); points off the map are left out. NaN for a constant map and where no
    point is on the map. OAT gives it the `fixation_map` of its own paths.

    Args:
        salience: `(path, height, width)`.
        points: `(path, step, 2)` px of the map, then NaN.
    """
    mean, deviation = salience.double().mean((1, 2)), salience.double().std((1, 2), correction=0)
    path, x, y = _pixels(points, salience.shape[2], salience.shape[1])
    z = (salience[path, y, x] - mean[path]) / deviation[path]
    total, count = (mean.new_zeros(len(points)).index_add(0, path, v) for v in (z, torch.ones_like(z)))
    return total / count


def _pixels(points: Tensor, width: int, height: int) -> tuple[Tensor, Tensor, Tensor]:
    """Path, column and row of each fixation on a map."""
    extent = torch.tensor([width, height], device=points.device)
    path, step = ((points >= 0) & (points < extent)).all(-1).nonzero(as_tuple=True)
    x, y = points[path, step].long().unbind(1)
    return path, x, y
