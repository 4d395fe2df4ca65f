"""From cases as they were read to splits: resamples, missing values, scaling, what is held out, fitted again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from tsbench.data import Refit, Splits
from tsbench.inputs import Series
from tsbench.leakage import with_leakage
from tsbench.series.samples import SeriesSamples
from tsbench.splitting import stratified
from tsbench.tasks.classification import Classification

PROTOCOLS = {
    "validation": (
        "a stratified fifth of TRAIN chooses the epoch, then the model is fitted again to all of TRAIN; "
        "where a class has fewer than 5 cases nothing is chosen and the last epoch counts; TEST is read once"
    ),
    "test-selected": "TEST chooses the epoch, as much published code does: only to compare with papers that did so",
}
SCALINGS = ("channel", "case", "none")
HELD_OUT = 0.2
LEAST_CASES = 5  # of the smallest class, for validation to choose anything


def classification_splits(
    train: SeriesSamples,
    test: SeriesSamples,
    labels: tuple[str, ...],
    protocol: str,
    scaling: str = "channel",
    notes: tuple[str, ...] = (),
) -> Splits:
    """Split as `PROTOCOLS` says; whatever is fitted is fitted to the part that the model is fitted to.

    Args:
        train: all of TRAIN, unscaled, NaN where a value is missing.
        test: all of TEST.
        labels: names of the classes.
        protocol: one of `PROTOCOLS`.
        scaling: by each channel's mean and standard deviation over the fitting part, by each case's own, or none.
        notes: see `Splits`.
    """
    longest, channels = max(train.values.shape[1], test.values.shape[1]), train.values.shape[2]
    task = Classification(Series(longest, channels), len(labels), labels)
    missing = sum(int((part.values.isnan() & part.valid[..., None]).sum()) for part in (train, test))
    if missing:
        notes = (*notes, f"{missing:,} missing values, interpolated within their case and channel")
        train, test = filled(train), filled(test)
    if protocol == "test-selected":
        fitted, scored = scaled(scaling, train, test)
        warning = "test-selected: TEST chose the epoch, so scores are too good; comparable only with such papers"
        shared = frozenset({("validation", "test")})
        return with_leakage(Splits(task, fitted, scored, scored, notes=(*notes, warning), shared=shared))
    kept, held_out = stratified(train.target, HELD_OUT, train.keys())
    if not len(held_out):
        held_out = kept
        notes = (*notes, "no class has two different training cases, so validation is the training part")
    part, validation, unseen = scaled(scaling, train.select(kept), train.select(held_out), test)
    selects = int(train.target.bincount(minlength=len(labels)).min()) >= LEAST_CASES
    if not selects:
        notes = (*notes, f"a class has under {LEAST_CASES} training cases: no epoch is chosen, the last one counts")
    refit = Refit(*scaled(scaling, train, test))
    return with_leakage(Splits(task, part, validation, unseen, notes=notes, refit=refit, selects=selects))


def resampled(
    train: SeriesSamples, test: SeriesSamples, labels: tuple[str, ...], seed: int
) -> tuple[SeriesSamples, SeriesSamples]:
    """Both parts dealt anew from their pool, class counts kept; the same cases as aeon's and tsml-eval's resamples.

    Args:
        train: as read, as wide as `test`.
        test: as read.
        labels: names of the classes; cases are dealt class by class in the order of their names in lower case.
        seed: of numpy's legacy generator, which these resamples are defined by.
    """
    generator = np.random.RandomState(seed)
    pool = _pooled(train, test)
    new: tuple[list[Tensor], list[Tensor]] = ([], [])
    for c in sorted(range(len(labels)), key=lambda c: labels[c].lower()):
        members = torch.nonzero(pool.target == c).flatten().numpy()
        generator.shuffle(members)
        for part, chosen in zip(new, np.split(members, [int((train.target == c).sum())]), strict=True):
            part.append(torch.from_numpy(chosen))
    return pool.select(torch.cat(new[0])), pool.select(torch.cat(new[1]))


def _pooled(train: SeriesSamples, test: SeriesSamples) -> SeriesSamples:
    lengths = None if train.lengths is None else torch.cat([train.steps, test.steps])
    return SeriesSamples(torch.cat([train.values, test.values]), torch.cat([train.target, test.target]), lengths)


def filled(samples: SeriesSamples) -> SeriesSamples:
    """Missing values interpolated within case and channel, ends repeated; a channel without a value stays NaN."""
    values = samples.values.transpose(1, 2).clone()  # (case, channel, time)
    time = values.shape[-1]
    known = ~values.isnan() & samples.valid[:, None]
    place = torch.arange(time).expand_as(values)
    before = torch.where(known, place, -1).cummax(-1).values
    after = torch.where(known, place, time).flip(-1).cummin(-1).values.flip(-1)
    before, after = torch.where(before < 0, after, before), torch.where(after >= time, before, after)
    inside = before.clamp(0, time - 1), after.clamp(0, time - 1)
    left, right = (values.gather(-1, index) for index in inside)
    share = (place - before) / (after - before).clamp(min=1)
    values = torch.where(known, values, left + (right - left) * share)
    return replace(samples, values=values.transpose(1, 2).contiguous())


def scaled(scaling: str, fitting: SeriesSamples, *others: SeriesSamples) -> tuple[SeriesSamples, ...]:
    """All parts scaled by the fitting part (`channel`), or each case by itself; then 0 for what is not known."""
    if scaling == "none":
        return tuple(_without_gaps(part, part.values) for part in (fitting, *others))
    if scaling == "case":
        return tuple(_without_gaps(part, _standard(part.values, *_moments(part, (1,)))) for part in (fitting, *others))
    mean, deviation = _moments(fitting, (0, 1))
    return tuple(_without_gaps(part, _standard(part.values, mean, deviation)) for part in (fitting, *others))


def _moments(samples: SeriesSamples, over: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Mean and population standard deviation of what is known, in float64; the mean of nothing is NaN."""
    known = samples.valid[..., None] & ~samples.values.isnan()
    values = torch.where(known, samples.values.double(), 0.0)
    count = known.sum(over, keepdim=True)
    mean = values.sum(over, keepdim=True) / count
    spread = torch.where(known, values - mean, 0.0).square().sum(over, keepdim=True) / count.clamp(min=1)
    return mean, spread.sqrt()


def _standard(values: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Constant channels, whose deviation is rounding, are only centred."""
    flat = deviation <= 1e-6 * mean.abs()
    return (values.double() - mean) / torch.where(flat, 1.0, deviation)


def _without_gaps(samples: SeriesSamples, values: Tensor) -> SeriesSamples:
    known = samples.valid[..., None] & ~values.isnan()
    return replace(samples, values=torch.where(known, values, 0.0).float())
