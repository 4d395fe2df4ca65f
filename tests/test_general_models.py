"""General models: one file runs on every kind of data, keeps the contract there, and learns what can be learned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from tsbench.cell import _imported, make_cell, recipe
from tsbench.cli import main
from tsbench.contract import model_checks
from tsbench.errors import UsageError
from tsbench.evaluate import score
from tsbench.frame import FrameConfig
from tsbench.general import FRAMES, part_for
from tsbench.inputs import Histories, Nucleotides, Objects, Series
from tsbench.model import Model, NeuralModel, Run
from tsbench.models.nearest import Nearest
from tsbench.models.transformer import TransformerConfig
from tsbench.neighbour import NeighbourConfig, averages
from tsbench.plan import Suite, make_plan, read_suite
from tsbench.position import Positions
from tsbench.registry import all_datasets, find_datasets, find_model, model_names
from tsbench.run import fit
from tsbench.tasks.classification import Classification
from tsbench.tasks.forecasting import Forecasting
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.next_item import NextItem
from tsbench.tasks.nucleotide import Imputation, MaskedNucleotides, NucleotideClassification, NucleotideRegression
from tsbench.tasks.pairs import Contacts, Distances, Structure
from tsbench.tasks.regression import RankRegression, Regression
from tsbench.tasks.scanpath import Scanpath

BODIES = ["transformer", "convolution", "linear_layer"]
GENERAL = [*BODIES, "nearest"]
# One set of each kind that needs no file; forecasting is the contract's own choice (tests/test_contract.py).
HOMES = ["generated/shapes", "generated/motif", "generated/guides", "generated/search", "generated/shop"]

RNA = Nucleotides(12)
TASKS: list[Any] = [
    Forecasting(24, 6, 3),
    Classification(Series(30, 2), 3),
    Regression(Series(30, 2), 2),
    MultiLabel(Series(30, 2), 4),
    Classification(RNA, 3),
    Regression(RNA),
    RankRegression(RNA),
    MultiLabel(RNA, 4),
    NucleotideRegression(Nucleotides(12, features=2), 3),
    Imputation(Nucleotides(12, features=2)),
    NucleotideClassification(RNA, 3),
    MaskedNucleotides(RNA),
    Structure(RNA),
    Contacts(RNA),
    Distances(RNA),
    Scanpath(Objects(6, 5), 4),
    NextItem(Histories(8, 20, 10, {})),
]


@pytest.mark.parametrize("home", HOMES)
@pytest.mark.parametrize("name", GENERAL)
def test_the_contract_holds_in_every_family(name: str, home: str) -> None:
    for _, check in model_checks(name, {}, all_datasets()[home]):
        check()


@pytest.mark.parametrize("name", GENERAL)
def test_the_contract_holds_for_pairs(name: str) -> None:
    checks = dict(model_checks(name, {"width": 8} if name in BODIES else {}, all_datasets()["generated/hairpins"]))
    for clause in ("output shape and type", "a sample's prediction does not depend on its batch"):
        checks[clause]()


@pytest.mark.parametrize(
    "task", TASKS, ids=lambda task: f"{type(task).__name__}-{type(getattr(task, 'inputs', None)).__name__}"
)
@pytest.mark.parametrize("name", BODIES)
def test_every_task_has_a_finite_prediction_and_gradients(name: str, task: Any) -> None:
    torch.manual_seed(0)
    kind = find_model(name)
    model: Any = kind(task, replace(kind.Config(), width=8, tokens=8))
    batch = task.random_batch(5)
    prediction = model(batch)
    assert tuple(prediction.shape) == task.shape(batch)
    assert prediction.isfinite().all()
    model.training_loss(batch).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def changed_at(x: Tensor, place: int) -> Tensor:
    other = x.clone()
    other[:, place, 0] += 3  # not of all channels alike, which LayerNorm takes away
    return other


@pytest.mark.parametrize("name", BODIES)
def test_bodies_see_no_padding_and_where_causal_nothing_later(name: str) -> None:
    torch.manual_seed(0)
    kind = find_model(name)
    body = kind(Forecasting(24, 6, 1), replace(kind.Config(), width=8)).eval().states  # type: ignore[attr-defined]
    x = torch.randn(2, 9, 8)
    valid = torch.arange(9).expand(2, 9) < torch.tensor([[9], [6]])
    states = body(x, Positions.along(x, valid))
    assert torch.allclose(states[1, :6], body(x[1:, :6], Positions.along(x[1:, :6]))[0], atol=1e-5)
    causal, later = (body(given, Positions.along(x, causal=True)) for given in (x, changed_at(x, 5)))
    assert torch.allclose(causal[:, :5], later[:, :5], atol=1e-6)
    assert not torch.allclose(causal[:, 5:], later[:, 5:], atol=1e-3)
    assert not torch.allclose(body(x, Positions.along(x))[:, :5], body(changed_at(x, 5), Positions.along(x))[:, :5])


def test_a_linear_layer_is_linear() -> None:
    torch.manual_seed(0)
    kind: Any = find_model("linear_layer")
    for task in (Forecasting(24, 6, 3), Classification(Series(30, 2), 3)):
        model = kind(task, kind.Config())
        a, b = task.random_batch(4), task.random_batch(4)
        zero, both = replace(a, inputs=0 * a.inputs), replace(a, inputs=a.inputs + 2 * b.inputs)
        with torch.no_grad():
            p, q, none, sum_of = (model(batch) for batch in (a, b, zero, both))
        assert torch.allclose(sum_of - none, (p - none) + 2 * (q - none), atol=1e-4)


@pytest.mark.parametrize("positions", ["none", "learned", "alibi", "t5", "shaw", "sinusoidal"])
def test_a_transformer_takes_any_position_encoding(positions: str) -> None:
    kind: Any = find_model("transformer")
    for task in (TASKS[0], TASKS[1], TASKS[4], TASKS[-2], TASKS[-1]):
        model = kind(task, replace(kind.Config(), width=8, positions=positions))
        assert model(task.random_batch(3)).isfinite().all()


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(UsageError, match="needs to know the user"):
        TransformerConfig(positions="relation")
    for name, settings in (
        ("convolution", {"kernel": 4}),
        ("linear_layer", {"reach": -1}),
        ("nearest", {"entries": 0}),
    ):
        with pytest.raises(UsageError, match=next(iter(settings))):
            find_model(name).Config(**settings)
    with pytest.raises(UsageError, match="tokens=0"):
        FrameConfig(tokens=0)
    model: Any = find_model("convolution")(TASKS[0], find_model("convolution").Config())
    with pytest.raises(UsageError, match="no paths"):
        model.walk(TASKS[0].random_batch(1), 1)


@dataclass(frozen=True)
class Sorting(Classification):
    """A task kind of another package, on inputs that no frame knows."""


def test_a_kind_without_a_frame_is_refused_with_its_reason() -> None:
    class Strange:
        kind, inputs = Sorting, Objects

    assert part_for(FRAMES, Sorting, Objects) is None
    for name in GENERAL:
        assert "sorting" in str(find_model(name).refuses(Strange))  # type: ignore[arg-type]


def test_recipes_name_kinds_and_the_special_wins() -> None:
    class Own(Model):
        recipes = {
            "series": {"a": 1, "b": 1},
            "forecasting": {"b": 2},
            "ltsf/etth1/96@*": {"c": 3},
            "histories": {"a": 9},
        }

    own, sets = cast(type[Model], Own), all_datasets()  # it is never made
    assert recipe(own, sets["ltsf/etth1/96"], "full", {}) == {"a": 1, "b": 2, "c": 3}
    assert recipe(own, sets["uea/BasicMotions"], "full", {}) == {"a": 1, "b": 1}
    assert recipe(own, sets["generated/shop"], "full", {}) == {"a": 9}


# What a floor scores on these sets; and what can beat it. A linear map finds no motif wherever it lies, and
# learns what people take less quickly than it can be tested.
BEATEN = [
    ("sktime/airline/12", "repeat", GENERAL, {"epochs": 20}),
    ("generated/motif", "constant", ["convolution", "nearest"], {"epochs": 8, "width": 32}),
    ("generated/search", "gaze_random", GENERAL, {"epochs": 5, "width": 32, "lr": 0.005}),
    (
        "generated/shop",
        "popularity",
        ["transformer", "convolution", "nearest"],
        {"epochs": 6, "width": 32, "lr": 0.005},
    ),
]


@pytest.mark.parametrize(
    ("dataset", "floor", "models", "settings"), BEATEN, ids=lambda x: x if isinstance(x, str) else ""
)
def test_they_are_better_than_the_floor(dataset: str, floor: str, models: list[str], settings: dict[str, Any]) -> None:
    found = all_datasets()[dataset]
    splits = found.load(Path(), next(iter(found.protocols)))

    def scored(name: str, **changed: Any) -> float:
        torch.manual_seed(1)
        cell = make_cell(found, dataset, None, name, changed, 1)
        return score(fit(cell, splits, Run(seed=1)), splits.test).values[splits.task.primary]

    least = scored(floor)
    for name in models:
        got = scored(name, **(settings if issubclass(find_model(name), NeuralModel) else {}))
        assert splits.task.better(got, least), f"{name} {got:.3f}, {floor} {least:.3f}"


def test_averages_are_those_of_a_loop_and_ties_count_alike() -> None:
    torch.manual_seed(0)
    entries = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [9.0, 9.0]])
    values = torch.tensor([[1.0], [2.0], [4.0], [6.0], [100.0]])
    assert averages(torch.zeros(1, 2), entries, values, 1).tolist() == [[1.0]]
    assert averages(torch.zeros(1, 2), entries, values, 2).tolist() == [[13 / 4]]  # three are as near as the second
    queries, many, had = torch.randn(7, 3), torch.randn(50, 3), torch.randn(50, 2)
    by_hand = torch.stack([had[(many - q).norm(dim=1).argsort()[:5]].mean(0) for q in queries])
    assert torch.allclose(averages(queries, many, had, 5), by_hand, atol=1e-5)
    assert torch.allclose(averages(queries, many, had, 99), had.mean(0).expand(7, 2), atol=1e-5)


def test_nearest_series_are_compared_at_the_same_share_of_their_length() -> None:
    task = Classification(Series(40, 1), 2)
    model = Nearest(task, NeighbourConfig(neighbours=1)).model
    batch = task.random_batch(2)
    ramp = torch.arange(40.0) / 39
    batch.inputs = torch.stack([ramp, torch.where(torch.arange(40) < 20, torch.arange(40) / 19, 0.0)])[..., None]
    batch.valid = torch.arange(40).expand(2, 40) < torch.tensor([[40], [20]])
    long, short = model.describe(batch)  # type: ignore[attr-defined]
    assert torch.allclose(long, short, atol=1e-6)


def test_nearest_pairs_know_what_pairs_with_equal_neighbours_had() -> None:
    found = all_datasets()["generated/hairpins"]
    splits = found.load(Path(), next(iter(found.protocols)))
    model = fit(make_cell(found, found.name, None, "nearest", {}, 1), splits, Run())
    batch = splits.test.batch(torch.arange(8))
    p = model.predict(batch).sigmoid()
    assert torch.equal(p, p.mT)
    known = ~batch.target.isnan()
    assert p[known & (batch.target > 0.5)].mean() > 10 * p[known & (batch.target < 0.5)].mean()


def test_nobody_is_their_own_neighbour() -> None:
    found = all_datasets()["generated/shop"]
    splits = found.load(Path(), next(iter(found.protocols)))
    model = fit(make_cell(found, found.name, None, "nearest", {"neighbours": 1}, 1), splits, Run())
    batch = splits.train.batch(torch.arange(20))
    alone = replace(batch, more={**batch.more, "user": batch.more["user"] + 10**6})
    target = batch.target[:, :1]
    assert model.predict(alone).gather(1, target).mean() > 2 * model.predict(batch).gather(1, target).mean()


def test_globs_of_models() -> None:
    suite = Suite("", ("generated/shop",), ("*_transformer:width=16", "sasrec", "sas*"))
    assert suite.models[-1] == "sasrec"
    assert suite.models.count("sasrec") == 1
    assert "patch_transformer:width=16" in suite.models
    with pytest.raises(UsageError, match=r"no model matches 'transforms\*'"):
        Suite("", (), ("transforms*",))
    everything = read_suite("full")
    assert set(everything.models) == set(model_names())
    plan = make_plan(Suite("", ("generated/shop",), everything.models), [1], {}, Path())
    run, left = ({cell.model for cell in plan.cells.values()}, {skipped.model for skipped in plan.skipped})
    assert set(GENERAL) < run
    assert run | left == set(everything.models)
    assert all(skipped.reason for skipped in plan.skipped)


def test_a_copied_suite_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my.toml").write_text(
        'title = "mine"\ndatasets = ["sktime/airline/12"]\nmodels = ["near*", "repeat"]\nseeds = 2\n'
    )
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--suite", "my.toml", "--tracking", "none", "--no-report"]) == 0
    assert len(list((tmp_path / "results" / "cells").glob("*.json"))) == 2
    (tmp_path / "my.toml").write_text('datasets = ["sktime/airline/12"]\nmodels = ["nearby*"]\n')
    assert main(["run", "--suite", "my.toml", "--tracking", "none"]) == 2


def test_every_suite_of_a_family_has_the_general_models() -> None:
    for name in ("quick", "ltsf", "uea", "rna", "gaze", "rec"):
        assert set(GENERAL) <= {model.partition(":")[0] for model in read_suite(name).models}
        assert all(find_datasets(pattern) for pattern in read_suite(name).datasets)


def test_the_key_knows_the_tokenizer() -> None:
    assert "tsbench.rna.tokenizers.single" in _imported("tsbench.frames.nucleotides")
