"""Trials that go to nodes: what the driver keeps, tells and gives up. Nodes are this process here; studies are real."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from tsbench import cluster_trials
from tsbench.cluster import Answer
from tsbench.cluster_trials import tune_on
from tsbench.errors import TsbenchError
from tsbench.search import Search
from tsbench.store import Store
from tsbench.study_file import ended

Task = Callable[..., Answer]


class Here:
    """Nodes with room for so many trials, each of which runs when it is sent; a lost one never answers but in text."""

    def __init__(self, room: int, lost: str = "") -> None:
        self.room, self.lost, self.hosts = room, lost, {"here"}
        self.done: list[tuple[Any, Answer | str]] = []
        self.sent = 0

    @property
    def full(self) -> bool:
        return len(self.done) >= self.room

    def send(self, what: Any, task: Task, *arguments: Any) -> None:
        self.sent += 1
        self.done.append((what, self.lost or task(Path.cwd(), *arguments)))

    def answers(self) -> Iterator[tuple[Any, Answer | str]]:
        while self.done:
            yield self.done.pop(0)


@pytest.fixture
def args(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Namespace:
    """A search among two settings."""
    monkeypatch.setattr(cluster_trials, "node_name", lambda: "here")
    return Namespace(
        dataset="sktime/uschange/4", model="sktime_forecaster", trials=6, cpu_minutes=None, seeds="1", set=[],
        protocol=None, storage=None, study=None, jobs=1, threads=1, device="cpu", data=tmp_path,
        results=tmp_path / "results", tracking="none", cell_cpus=1.0, cell_gpus=0.0, cell_memory=0,
    )  # fmt: skip


def trials(args: Namespace) -> list[optuna.trial.FrozenTrial]:
    return Search(args).open_study().get_trials()


def test_settings_that_have_a_result_are_not_tried_again(args: Namespace) -> None:
    nodes = Here(room=1)
    tune_on(nodes, args)  # type: ignore[arg-type]
    assert [t.state.name for t in trials(args)] == ["COMPLETE"] * 6
    assert nodes.sent == len({str(t.params) for t in trials(args)}) == len(list(Store(args.results).results())) <= 2


def test_of_equal_trials_at_once_the_first_to_end_stays(args: Namespace) -> None:
    nodes = Here(room=6)
    tune_on(nodes, args)  # type: ignore[arg-type]
    assert nodes.sent > 2
    assert len(list(Store(args.results).results())) <= 2
    values = {(str(t.params), t.value) for t in trials(args)}
    assert len(values) <= 2, "equal settings, equal values"


def test_machines_that_fail_use_up_no_budget_and_end_the_command(args: Namespace) -> None:
    with pytest.raises(TsbenchError, match="3 trials in a row were lost: the database is away"):
        tune_on(Here(1, lost="the database is away"), args)  # type: ignore[arg-type]
    assert not ended(trials(args))
    tune_on(Here(1), args)  # type: ignore[arg-type]
    assert len(ended(trials(args))) == 6


def test_a_result_that_cannot_be_kept_is_a_lost_trial(args: Namespace) -> None:
    Path(args.results).mkdir()
    Path(args.results, "cells").touch()  # no folder can be made of it
    with pytest.raises(TsbenchError, match="could not be kept"):
        tune_on(Here(1), args)  # type: ignore[arg-type]
    assert not ended(trials(args))


def test_data_that_vanish_are_a_lost_trial(args: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> None:
        raise FileNotFoundError("uschange is gone")

    monkeypatch.setattr(cluster_trials, "cell_of", gone)
    with pytest.raises(TsbenchError, match="uschange is gone"):
        tune_on(Here(1), args)  # type: ignore[arg-type]
    assert not ended(trials(args))
