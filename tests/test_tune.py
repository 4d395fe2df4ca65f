"""Studies, on real Optuna stores: resumable, shared, blind to test, and sound after a kill."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import optuna
import pytest

from tests.conftest import Command, command_line
from tsbench.data import Samples
from tsbench.store import Store, read_json

TUNE = ("tune", "--dataset", "sktime/airline/12", "--model", "dlinear:epochs=15", "--seeds", "2")


def study(folder: Path) -> optuna.Study:
    storage = f"sqlite:///{folder / 'results' / 'optuna.db'}"
    (name,) = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=name, storage=storage)


@pytest.mark.slow
def test_a_study_is_resumed_shared_and_ends_in_seeded_runs(tsbench: Command, tmp_path: Path) -> None:
    first = tsbench(*TUNE, "--trials", "4")
    assert first.returncode == 0, first.stderr
    assert "over 2 seeds" in first.stdout
    second = tsbench(*TUNE, "--trials", "8", "--jobs", "2")
    assert second.returncode == 0, second.stderr
    assert "4 of 8 trials done" in second.stdout
    trials = study(tmp_path).get_trials()
    assert len([t for t in trials if t.state.name in ("COMPLETE", "PRUNED")]) == 8
    record = read_json(next((tmp_path / "results" / "studies").glob("*.json")))
    assert record["trials"] == 8
    assert record["best_value"] == study(tmp_path).best_value
    for result in Store(tmp_path / "results").results():
        assert ("test" in result.get("scores", {})) == (result["cell"]["study"] is None)


class Poisoned:
    """Test samples that must never be touched."""

    def __getattr__(self, name: str) -> Any:
        raise AssertionError("the test set was touched")


def test_trials_cannot_see_the_test_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from tsbench import run, tune

    load = run.load_splits.__wrapped__
    poison: Samples = Poisoned()
    monkeypatch.setattr(run, "load_splits", lambda *a: replace(load(*a), test=poison))
    args = argparse.Namespace(
        dataset="sktime/airline/12", model="dlinear:epochs=3", trials=3, cpu_minutes=None, seeds="1", storage=None,
        study=None, set=[], protocol=None, jobs=1, threads=1, device="cpu", data=tmp_path,
        results=tmp_path / "results", tracking="none",
    )  # fmt: skip
    tune.work(args)
    trials = study(tmp_path).get_trials()
    assert len(trials) == 3
    assert {t.state.name for t in trials} <= {"COMPLETE", "PRUNED"}
    assert not list(Store(tmp_path / "results").failures())


def test_trials_that_fail_use_up_the_budget(tsbench: Command, tmp_path: Path) -> None:
    run = tsbench(
        "tune",
        "--dataset",
        "sktime/airline/12",
        "--model",
        "sklearn_regressor:estimator=sklearn.linear_model.Rigde",
        "--trials",
        "2",
    )
    assert run.returncode == 2
    assert "no trial completed" in run.stderr
    assert run.stdout.count("FAILED: estimator=") == 2


@pytest.mark.slow
def test_a_killed_trial_is_failed_and_tried_again(tsbench: Command, tmp_path: Path) -> None:
    long = (*TUNE[:4], "dlinear:epochs=200,patience=0", "--trials", "2", "--seeds", "1")
    process = subprocess.Popen(
        command_line(*long, "--tracking", "none"), cwd=tmp_path, stdout=subprocess.DEVNULL, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(tmp_path.glob("results/locks/trial-*")) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    (lost,) = study(tmp_path).get_trials()
    assert lost.state.name == "RUNNING", "the trial should outlast the second given to it"
    again = tsbench(*long)
    assert again.returncode == 0, again.stderr
    trials = study(tmp_path).get_trials()
    assert trials[0].state.name == "FAIL"
    assert trials[0].params == trials[1].params, "the lost trial's settings are tried first"
    assert len([t for t in trials if t.state.name in ("COMPLETE", "PRUNED")]) == 2


def test_another_search_under_the_same_name_is_refused(tsbench: Command) -> None:
    assert tsbench(*TUNE, "--trials", "1", "--study", "mine").returncode == 0
    other = tsbench("tune", "--dataset", "sktime/uschange/4", "--model", "linear", "--trials", "1", "--study", "mine")
    assert other.returncode == 2
    assert "choose another --study name" in other.stderr


@pytest.mark.slow
def test_workers_that_propose_the_same_settings_share_the_result(tsbench: Command, tmp_path: Path) -> None:
    """The bridge's search space has two settings: with six trials and two workers they must meet."""
    run = tsbench(
        "tune", "--dataset", "sktime/uschange/4", "--model", "sktime_forecaster", "--trials", "6", "--jobs", "2"
    )
    assert run.returncode == 0, run.stderr + run.stdout
    assert [t.state.name for t in study(tmp_path).get_trials()] == ["COMPLETE"] * 6
