"""What holds for every model of scanpaths, and what the hidden target hides from those that learn."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.test_gaze_floors import everything, samples, shelf, trial
from tsbench.data import Batch, Splits
from tsbench.datasets.generated_search import Search
from tsbench.gaze.floors import Floor, history
from tsbench.gaze.samples import BEGIN, END
from tsbench.gaze.walk import NEVER, ScanpathModel, walked
from tsbench.model import NeuralModel, Run
from tsbench.optim import make_optimizer
from tsbench.registry import find_model, model_names
from tsbench.settings import configure

ALL = [name for name in model_names() if issubclass(find_model(name), ScanpathModel)]
SMALL = {"width": 64, "dropout": 0.0}
LEARNERS = [name for name in ALL if issubclass(find_model(name), NeuralModel)]


@cache
def search(given: str = "true") -> Splits:
    """Generated searches."""
    return Search(given=given).load(Path(), "by-image")


def some(given: str = "true", count: int = 8) -> Batch:
    """Trials of as many displays, each of a subject of its own as long as there are any."""
    return search(given).train.batch(6 * torch.arange(count))


@cache
@torch.enable_grad()
def made(name: str) -> ScanpathModel:
    """A floor fitted to 200 searches, or a learner that was shown `some` until it knew them by heart."""
    torch.manual_seed(0)
    kind = find_model(name)
    model = kind(search().task, configure(kind.Config, SMALL if name in LEARNERS else {}, name))
    if isinstance(model, NeuralModel):
        optimizer, batch = make_optimizer("adam", model.parameters(), 4e-3, 0.0), some()
        for _ in range(200):
            model.loss_and_gradient(batch)
            optimizer.step()
    else:
        model.fit(search().train, search().validation, Run())
    assert isinstance(model, ScanpathModel)
    return model


def without_leaving_out(model: ScanpathModel, batch: Batch, copies: int, steps: int) -> Tensor:
    """Greedy paths `(row, step)` as `walked` makes them, but every row is led on to the last step."""
    walk, last, paths = model.walk(batch, copies), torch.full((len(batch) * copies,), BEGIN), []
    absent = ~batch.real.repeat_interleave(copies, 0)
    for step in range(steps):
        logits = walk.next(last).masked_fill(absent, -torch.inf)
        if step == 0:
            logits[:, END] = -torch.inf
        last = logits.argmax(1)
        paths.append(last)
    found = torch.stack([*paths, torch.full_like(last, END)], 1)
    return found.masked_fill(((found == END).cumsum(1) - (found == END).int()) > 0, -1)


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_leaving_out_what_has_ended_changes_no_path(name: str) -> None:
    """Three copies each; paths end at unlike steps, so that rows are left out on the way."""
    model, batch = made(name), some()
    whole = without_leaving_out(model, batch, 3, 12)
    paths = walked(model, batch, 3, 12, None).flatten(0, 1)
    assert torch.equal(paths, whole[:, : paths.shape[1]])
    assert (whole[:, paths.shape[1] :] == -1).all()
    lengths = (paths > END).sum(1).sort().values
    assert lengths[len(lengths) // 2] < lengths[-1]  # more than half end before the last


@pytest.mark.parametrize("name", sorted(set(ALL) - set(LEARNERS) - {"gaze_other_subject", "gaze_other_display"}))
def test_floors_walk_as_they_choose(name: str) -> None:
    """Led along human paths, until the lengths drawn end them; ties are taken by chance, hence the tolerance.

    The floors left out follow the paths of others.
    """
    model, batch = made(name), some(count=30)
    assert isinstance(model, Floor)
    wanted = model.pick(batch, *history(batch)).softmax(-1)
    walk, last, compared = model.walk(batch, 1), torch.full((30,), BEGIN), 0
    for step in range(batch.target.shape[1]):
        logits = walk.next(last)
        going = (batch.target[:, step] >= 0) & (logits[:, END] == NEVER)
        torch.testing.assert_close(logits.softmax(-1)[going], wanted[going, step], atol=1e-4, rtol=1e-4)
        compared += int(going.sum())
        last = batch.target[:, step].clamp(min=END)
    assert compared > 60


@pytest.mark.parametrize("name", ALL)
@torch.no_grad()
def test_the_future_changes_nothing(name: str) -> None:
    """Nor does a path that is cut: whatever comes after a step, its logits are the same."""
    model, batch = made(name), some()
    logits = model.predict(batch)
    assert logits.isfinite().all()
    for step in (0, 1, 3):
        other = batch.target.clone()
        other[:, step:] = 1 + torch.arange(other.shape[1] - step) % 7
        torch.testing.assert_close(model.predict(replace(batch, target=other))[:, : step + 1], logits[:, : step + 1])
        cut = replace(batch, target=batch.target[:, : step + 1])
        torch.testing.assert_close(model.predict(cut), logits[:, : step + 1])


@pytest.mark.parametrize("name", LEARNERS)
@torch.no_grad()
def test_learners_know_no_more_than_they_are_told(name: str) -> None:
    """Neither the targets, nor where eyes were, nor paths of others: all that is beside tokens and places."""
    model, batch = made(name), some("false")
    told = replace(batch, more={"trial": batch.more["trial"]})  # a number for the draw
    assert torch.equal(model.predict(batch), model.predict(told))
    assert torch.equal(walked(model, batch, 2, 9, 4), walked(model, told, 2, 9, 4))


def test_a_hidden_target_is_hidden() -> None:
    """Which of two objects that look alike is the target changes nothing that a model sees, unless it is told."""
    boards = [shelf(2, 3)]
    for given in (True, False):
        here, there = (
            everything(replace(samples(boards, [trial(0, [0, 1], target)]), given=given)) for target in (1, 4)
        )
        assert here.places is not None
        assert there.places is not None
        same = torch.equal(here.inputs, there.inputs), torch.equal(here.places, there.places)
        assert same == (not given, not given)
        assert not torch.equal(here.more["targets"], there.more["targets"])
        assert here.inputs[0, :, -1].tolist() == ([1, 0, 1, 0, 0, 0, 0] if given else [0] * 7)
        place = here.places[0, END].tolist()
        assert place == pytest.approx([1.5, 0.5, 0.8, 0.8] if given else [1.5, 1, 0, 0])


def test_hidden_searches_show_what_is_searched_for_and_no_more() -> None:
    """The same displays, cues and paths; only flags, and the place of token 0, which is the centre for all."""
    told, hidden = some("true"), some("false")
    assert torch.equal(told.inputs[..., :-1], hidden.inputs[..., :-1])
    assert torch.equal(told.target, hidden.target)
    assert told.places is not None
    assert hidden.places is not None
    assert torch.equal(told.places[:, 1:], hidden.places[:, 1:])
    assert not hidden.inputs[..., -1].any()
    assert hidden.places[:, END].tolist() == [[2.5, 2, 0, 0]] * 8
    marked = told.inputs[..., -1] == 1
    assert marked[:, END].all()
    assert torch.equal(marked[:, 1:], told.more["targets"][:, 1:])


@pytest.mark.parametrize("given", ["true", "false"])
@pytest.mark.parametrize("name", LEARNERS)
@torch.no_grad()
def test_end_is_not_the_target(name: str, given: str) -> None:
    """As models are made, of default size: after a few steps of training, the two have scores of their own."""
    kind, batch = find_model(name), some(given)
    torch.manual_seed(0)
    model = kind(search(given).task, kind.Config())
    assert isinstance(model, NeuralModel)
    optimizer = make_optimizer("adam", model.parameters(), 1e-3, 0.0)
    with torch.enable_grad():
        for _ in range(3):
            model.loss_and_gradient(batch)
            optimizer.step()
    logits = model.predict(batch)
    target = logits.gather(2, batch.more["targets"].int().argmax(1)[:, None, None].expand(-1, logits.shape[1], 1))
    assert (logits[..., END] - target[..., 0]).abs().mean() > 0.01


@pytest.mark.parametrize("name", LEARNERS)
def test_eight_searches_are_learned_by_heart(name: str) -> None:
    """Of eight displays, in 200 steps, END included; most greedy paths are the human ones."""
    model, batch = made(name), some()
    assert model.task.loss(model.predict(batch), batch) < 0.3
    paths = walked(model, batch, 1, 20, None)[:, 0]
    human = batch.target[:, : paths.shape[1]]
    assert (paths[:, : human.shape[1]] == human).all(1).sum() >= 6


def test_no_other_model_takes_scanpaths() -> None:
    """But for those that run in every family."""
    taking = {name for name in model_names() if find_model(name).refuses(Search()) is None} - {
        "convolution",
        "linear_layer",
        "nearest",
        "transformer",
    }
    assert taking == set(ALL)
