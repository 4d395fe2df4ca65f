"""The scanpath task: scores counted by hand, whatever the batches, and records that make the same task."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.test_gaze_floors import everything, samples, shelf, trial
from tests.test_walk import Chain
from tsbench.data import Batch
from tsbench.evaluate import score
from tsbench.gaze.metrics import CONVENTIONS, Conventions
from tsbench.gaze.samples import END, ScanpathSamples
from tsbench.gaze.scores import Walked, WalkMeter, centre_bias
from tsbench.gaze.walk import NEVER
from tsbench.inputs import Objects
from tsbench.model import Run
from tsbench.registry import find_datasets, find_model, task_from_record
from tsbench.settings import NoSettings
from tsbench.tasks.scanpath import Scanpath
from tsbench.tasks.task import Scores

#: Objects of a row of four and of a row of two, 100 px apart; the last one is searched for.
HUMAN = ([0, 1, 3], [1, 2, 1, 3, 3], [0, 1], [1, 0])
DRAWN = (([0, 1, 3], [3]), ([1, 3, 3], [1, 2, 1, 3, 3]), ([1], [1]), ([1, 0], [0, 1]))
GREEDY = ([0, 1, 3], [3], [0, 1], [1])


def trials(searching: bool = True) -> ScanpathSamples:
    """Two subjects on both displays; each fixation at the centre of its object."""
    made = []
    for i, path in enumerate(HUMAN):
        one = trial(i // 2, list(path), (3, 1)[i // 2] if searching else None, f"s{i % 2}")
        made.append(replace(one, points=torch.tensor([[100.0 * o + 50, 50] for o in path]).numpy()))
    return samples([shelf(1, 4, "four"), shelf(1, 2, "two")], made)


def tokens(*paths: list[int]) -> Tensor:
    """Paths over objects, `(path, 6)` tokens, END, then -1."""
    rows = [[o + 1 for o in path] + [END] for path in paths]
    return torch.tensor([row + [-1] * (6 - len(row)) for row in rows])


def answers(batch: Batch) -> Walked:
    """The paths above and some logits, those of padding NEVER."""
    logits = torch.randn(*batch.target.shape, batch.inputs.shape[1], generator=torch.Generator().manual_seed(6))
    logits = logits.masked_fill(~batch.real[:, None], NEVER)
    return Walked(logits, tokens(*GREEDY)[:, None], torch.stack([tokens(*pair) for pair in DRAWN]))


def part(whole: Walked, rows: Tensor, batch: Batch) -> Walked:
    """The same answers for some of the trials, cut as their batch is."""
    logits = whole.logits[rows, : batch.target.shape[1], : batch.inputs.shape[1]]
    return Walked(logits, whole.greedy[rows], whole.drawn[rows])


def meter_of(
    displays: tuple[str, ...] = (), subjects: tuple[str, ...] = (), how: Conventions = CONVENTIONS
) -> WalkMeter:
    """Of displays and subjects of these names, if any."""
    return WalkMeter(displays, subjects, how, 0.25)


def scored(of: ScanpathSamples, *parts: list[int], how: Conventions = CONVENTIONS) -> Scores:
    """Scores of all trials, taken in these parts."""
    whole, meter = answers(everything(of)), meter_of(("four", "two"), ("s0", "s1"), how)
    for rows in map(torch.tensor, parts):
        batch = of.batch(rows)
        meter.update(part(whole, rows, batch), batch)
    return meter.scores()


def bias_of(batch: Batch) -> Tensor:
    """A Gaussian a quarter of the display wide."""
    assert batch.places is not None
    there = batch.real.clone()
    there[:, END] = False
    return centre_bias(batch.places, batch.more["unit"], batch.more["size"], there, 0.25)


@pytest.fixture(scope="module")
def scores() -> Scores:
    """Of all trials at once."""
    return scored(trials(), [0, 1, 2, 3])


def test_likelihood_is_of_all_fixations_and_of_end() -> None:
    """16 of them in four paths, each counting the same; the loss is the same number."""
    batch, total, count = everything(trials()), 0.0, 0
    logits = answers(batch).logits
    for row, path in zip(logits.tolist(), HUMAN, strict=True):
        for step, token in enumerate([*(o + 1 for o in path), END]):
            total += math.log(sum(math.exp(x) for x in row[step])) - row[step][token]
            count += 1
    meter = meter_of()
    meter.update(logits, batch)  # as where an epoch is chosen
    found = meter.scores().values
    assert count == 16
    assert set(found) == {"nll", "gain"}
    assert found["nll"] == pytest.approx(total / count)
    task = Scanpath(Objects(5, 2), 5)
    assert float(task.loss(logits, batch)) == pytest.approx(total / count, abs=1e-6)


def test_gain_is_over_a_gaussian_around_the_centre(scores: Scores) -> None:
    """A quarter of the width wide; of objects only, whatever the model thinks of END."""
    batch, bits = everything(trials()), []
    for i, (row, path) in enumerate(zip(answers(batch).logits.tolist(), HUMAN, strict=True)):
        count = (4, 2)[i // 2]
        bias = [math.exp(-0.5 * (((o + 0.5) / count - 0.5) / 0.25) ** 2) for o in range(count)]
        for step, o in enumerate(path):
            p = [math.exp(x) for x in row[step][1 : 1 + count]]
            bits.append(math.log2(p[o] / sum(p)) - math.log2(bias[o] / sum(bias)))
    assert len(bits) == 12
    assert scores.values["gain"] == pytest.approx(sum(bits) / 12)
    meter, logits = meter_of(), bias_of(batch)[:, None].expand(-1, 6, -1).clone()
    logits[..., END] = torch.arange(6.0)
    meter.update(logits.clamp(min=NEVER), batch)
    assert meter.scores().values["gain"] == pytest.approx(0, abs=1e-6)


def test_paths_are_compared_as_counted_by_hand(scores: Scores) -> None:
    """The mean over a trial's paths first, then over trials."""
    found = scores.values
    assert found["ss"] == pytest.approx(((1 + 1 / 3) / 2 + (3 / 5 + 1) / 2 + 1 / 2 + (1 + 1 / 2) / 2) / 4)
    assert found["sed"] == pytest.approx((1 + 1 + 1 + 1) / 4)
    assert found["sed_share"] == pytest.approx(((0 + 2 / 3) / 2 + (2 / 5 + 0) / 2 + 1 / 2 + (0 + 1) / 2) / 4)
    assert found["greedy_ss"] == pytest.approx((1 + 1 / 5 + 1 + 1 / 2) / 4)
    assert found["greedy_sed"] == pytest.approx((0 + 4 + 0 + 1) / 4)
    # from the centre: 150 px of 450 and of 150; of 250 and of 450; 50 of 50, twice; one path misses, one makes 150
    assert found["ratio"] == pytest.approx(((1 / 3 + 1) / 2 + (3 / 5 + 1 / 3) / 2 + 1 + 1 / 3) / 4)
    assert found["human_ratio"] == pytest.approx((1 / 3 + 1 / 3 + 1 / 3) / 3)


def test_how_many_pairs_are_long_enough_is_told(scores: Scores) -> None:
    """Pairs of lengths 3 3, 3 1, 5 3, 5 5, 2 1, 2 1, 2 2, 2 2."""
    assert scores.values["tde_2_known"] == pytest.approx(5 / 8)
    assert scores.values["tde_3_known"] == scores.values["multimatch_known"] == pytest.approx(3 / 8)
    filled = scored(trials(), [0, 1, 2, 3], how=Conventions(pad_short=True)).values
    assert filled["multimatch_known"] == 1


def test_conventions_are_those_of_the_task() -> None:
    """Without the first fixation the paths differ more."""
    cut = scored(trials(), [0, 1, 2, 3], how=Conventions(first=False)).values
    assert cut["ss"] == pytest.approx(((1 + 0) / 2 + (1 / 2 + 1) / 2 + (0 + 0) / 2 + (1 + 0) / 2) / 4)


def test_behaviour_and_delta(scores: Scores) -> None:
    """Of means over trials; people are right in three of four, 3 long, .9 first visits, .05 repeats, .05 returns."""
    human = {"correct": 3 / 4, "length": 3, "search": 0.9, "refix": 0.05, "revisit": 0.05}
    model = {
        "correct": (1 + 1 + 1 + 1 / 2) / 4,
        "length": (2 + 4 + 1 + 2) / 4,
        "search": (1 + (2 / 3 + 3 / 5) / 2 + 1 + 1) / 4,
        "refix": (1 / 3 + 1 / 5) / 2 / 4,
        "revisit": 1 / 5 / 2 / 4,
    }
    assert {name: scores.values[name] for name in model} == pytest.approx(model)
    assert {name: scores.values[f"human_{name}"] for name in human} == pytest.approx(human)
    delta = sum(abs(model[name] - human[name]) / human[name] for name in human) / 5
    assert scores.values["delta"] == pytest.approx(delta)
    greedy = {"correct": 1, "length": 7 / 4, "search": 1, "refix": 0, "revisit": 0}
    delta = sum(abs(greedy[name] - human[name]) / human[name] for name in human) / 5
    assert scores.values["greedy_delta"] == pytest.approx(delta)


def test_a_model_that_does_as_people_do_is_perfect() -> None:
    batch, meter = everything(trials()), meter_of()
    own = batch.target[:, None]
    certain = F.one_hot(batch.target.clamp(min=0), 5).float() * -2 * NEVER + NEVER
    meter.update(Walked(certain, own, own), batch)
    found = meter.scores().values
    assert found["nll"] == pytest.approx(0, abs=1e-6)
    for name in ("ss", "greedy_ss", "scanmatch", "stde"):
        assert found[name] == pytest.approx(1)
    for name in ("sed", "sed_share", "grid_sed", "tde_1", "delta", "greedy_sed", "greedy_delta"):
        assert found[name] == pytest.approx(0)


def test_groups_and_units_are_displays_and_subjects(scores: Scores) -> None:
    ss = torch.tensor([2 / 3, 4 / 5, 1 / 2, 3 / 4]).double()
    four, two = float(ss[:2].mean()), float(ss[2:].mean())
    assert scores.units["ss"] == pytest.approx([four, two])
    by = {kind: {name: each["ss"] for name, each in groups.items()} for kind, groups in scores.groups.items()}
    assert by["display"] == pytest.approx({"four": four, "two": two})
    assert by["subject"] == pytest.approx({"s0": float(ss[::2].mean()), "s1": float(ss[1::2].mean())})
    fixations = torch.tensor([10.0, 6.0]).double()  # of each display, END included
    whole = torch.tensor(scores.units["nll"]).double() @ fixations / 16
    assert scores.values["nll"] == pytest.approx(float(whole))
    unnamed = meter_of()
    unnamed.update(answers(everything(trials())), everything(trials()))
    assert unnamed.scores().groups == {}


@pytest.mark.parametrize("parts", [[[0], [1], [2], [3]], [[3, 1], [2, 0]], [[2, 3, 1], [0]]])
def test_scores_do_not_depend_on_batches(scores: Scores, parts: list[list[int]]) -> None:
    found = scored(trials(), *parts)
    assert found.values == pytest.approx(scores.values)
    assert found.tables == scores.tables
    assert {name: each for name, each in found.units.items()} == {
        name: pytest.approx(each) for name, each in scores.units.items()
    }
    for kind, groups in scores.groups.items():
        for name, each in groups.items():
            assert found.groups[kind][name] == pytest.approx(each)


def test_scores_do_not_depend_on_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Paths drawn are the same ones, whichever trials are beside them."""
    splits = find_datasets("generated/search")[0].load(Path(), "by-image")
    model = find_model("gaze_markov")(splits.task, NoSettings())
    model.fit(splits.train, splits.validation, Run())
    large = score(model, splits.test).values
    monkeypatch.setattr(type(model), "block_values", 1000)
    assert score(model, splits.test).values == pytest.approx(large)


def test_free_viewing_has_no_target_to_be_right_about(scores: Scores) -> None:
    found = scored(trials(searching=False), [0, 1, 2, 3]).values
    assert set(scores.values) - set(found) == {"correct", "ratio", "human_correct", "human_ratio"}
    assert all(map(math.isfinite, found.values()))
    assert {name: found[name] for name in ("ss", "sed", "length", "nll")} == pytest.approx(
        {name: scores.values[name] for name in ("ss", "sed", "length", "nll")}
    )


def test_all_scores_are_declared(scores: Scores) -> None:
    assert set(scores.values) <= set(Scanpath.metrics)
    assert set(Scanpath.metrics) - set(scores.values) == set()
    assert set(Scanpath.shown) <= set(Scanpath.metrics)


def test_a_record_makes_the_same_task() -> None:
    how = Conventions(first=False, grid=(3, 2))
    task = Scanpath(Objects(5, 3), 9, 4, ("four", "two"), ("s0", "s1"), how, 0.3)
    assert task_from_record(json.loads(json.dumps(task.record()))) == task


def test_answers_are_a_greedy_path_and_some_that_are_drawn() -> None:
    """As many as the task asks for, and the same each time."""
    task, batch = Scanpath(Objects(5, 2), 4, samples=3), everything(trials())
    model = Chain(torch.randn(4, 5, 5, generator=torch.Generator().manual_seed(8)))
    logits = answers(batch).logits
    one, again = (task.answer(model, logits, batch) for _ in range(2))
    assert one.logits is logits
    assert one.greedy.shape[:2] == (4, 1)
    assert torch.equal(one.greedy[0, 0], one.greedy[1, 0])
    assert one.drawn.shape[:2] == (4, 3)
    assert torch.equal(one.drawn, again.drawn)
    assert not torch.equal(one.drawn[:, 0], one.drawn[:, 1])
