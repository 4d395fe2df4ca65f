"""Studies of a suite: equal budgets, resumed after a kill, told from their files alone, default beside tuned."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from tests.conftest import Command, Running, commands_in
from tsbench import tune
from tsbench.address import shown
from tsbench.search import Search
from tsbench.store import Store, read_json
from tsbench.studies import Study, gains, studies, table
from tsbench.study_charts import Axis
from tsbench.summary import boards
from tsbench.tracking import results_id
from tsbench.tune import Outcome, ask, attempt, tell

SUITE = """
title = "two sets, two models that can be tuned and one that cannot"
datasets = ["generated/seasonal/12", "sktime/airline/12"]
models = ["ols", "repeat", "nlinear:epochs=4"]
seeds = 2
"""
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which a suite was tuned."""
    folder = tmp_path_factory.mktemp("tuned")
    (folder / "suite.toml").write_text(SUITE)
    done = commands_in(folder)("tune", "--suite", "suite.toml", "--trials", "8")
    assert done.returncode == 0, done.stderr + done.stdout
    (folder / "said").write_text(done.stdout)
    (folder / "results" / "optuna.db").rename(folder / "optuna.db")  # what follows needs the files alone
    return folder


@pytest.fixture(scope="module")
def found(tuned: Path) -> list[Study]:
    return studies(Store(tuned / "results"))


def test_a_suite_is_tuned_pair_by_pair_with_equal_budgets(tuned: Path, found: list[Study]) -> None:
    said = (tuned / "said").read_text()
    assert "left out: generated/seasonal/12 x repeat and 1 more: it has no settings left to search" in said
    assert [(s.dataset, s.model) for s in found] == [
        (dataset, model) for dataset in ("generated/seasonal/12", "sktime/airline/12") for model in ("nlinear", "ols")
    ]
    for study in found:
        assert study.finished
        assert len(study.trials) == study.budget["trials"] == 8
        assert study.seeds == ([2021, 2022] if study.model == "nlinear" else [2021])
        assert study.trial_seed == 2021
        assert study.cpu_seconds > 0
    assert [re.findall(r"study \d of \d", line) for line in said.splitlines() if line.startswith("study ")] == [
        [f"study {n} of 4"] for n in (1, 2, 3, 4)
    ]


def test_the_files_say_what_the_storage_says(tuned: Path, found: list[Study]) -> None:
    states = {"COMPLETE": "completed", "PRUNED": "pruned"}
    for study in found:
        there = optuna.load_study(study_name=study.name, storage=f"sqlite:///{tuned / 'optuna.db'}")
        assert [(t.number, t.state) for t in study.trials] == [(t.number, states[t.state.name]) for t in there.trials]
        assert study.best_value == there.best_value
        assert study.importance == pytest.approx(optuna.importance.get_param_importances(there), abs=1e-4)
        for trial in study.trials:
            assert Store(tuned / "results").finished(trial.key), "pruned trials are kept too"
    assert any(study.count("pruned") for study in found)


def test_the_first_trial_is_the_default(tuned: Path, found: list[Study]) -> None:
    """As far as the space holds it, so that a study knows what it has to beat."""
    for gain in gains(found, boards(Store(tuned / "results").results())):
        default = gain.default.results[0]["cell"]["settings"]
        first = gain.study.trials[0].params
        axes = gain.study.space.items()
        held = [k for k, a in axes if (default[k] in a.choices if a.choices else a.low <= default[k] <= a.high)]
        assert len(held) == (2 if gain.study.model == "nlinear" else 0), "ols adds no ridge; the space has none of 0"
        assert {name: first[name] for name in held} == {name: default[name] for name in held}


def test_default_and_tuned_stand_side_by_side(tuned: Path, found: list[Study]) -> None:
    shown = gains(found, boards(Store(tuned / "results").results()))
    assert len(shown) == len(found)
    raw = []
    for gain in shown:
        assert gain.default.seeds == gain.tuned.seeds == gain.study.seeds
        assert gain.tuned.variant == gain.study.tuned
        if gain.comparison.p is not None:
            raw.append(float(wilcoxon(gain.tuned.units, gain.default.units).pvalue))
    assert raw, "the generated series has blocks enough for a test"
    tested = [gain for gain in shown if gain.comparison.p is not None]
    assert min(g.comparison.p or 0 for g in tested) == pytest.approx(min(1.0, min(raw) * len(raw)))
    text = table(shown)
    assert text in (tuned / "said").read_text()
    assert all(f"{gain.tuned.scores['mse'].mean:.4f}" in text for gain in shown)


def test_charts_show_every_trial(found: list[Study]) -> None:
    for study in found:
        charts = {name: ElementTree.fromstring(chart) for name, chart in study.charts().items()}
        assert charts.keys() == {"history", "importance", "parallel"}
        words = "".join(charts["importance"].itertext())
        assert "rough, for it takes 50" in words, "eight trials are few, and the chart says so"
        lines = charts["parallel"].findall(f".//{SVG}polyline")
        assert len(lines) == study.count("completed")
        assert all(len((line.get("points") or "").split()) == len(study.space) + 1 for line in lines)
        history = charts["history"]
        legend = ("pruned" in "".join(history.itertext())) + 1  # one mark of each kind is in the legend
        crosses = [p for p in history.findall(f".//{SVG}path") if "l6 6m0 -6l-6 6" in (p.get("d") or "")]
        assert len(crosses) == study.count("pruned") + legend - 1


@given(low=st.floats(1e-6, 1.0), factor=st.floats(1.001, 1e6), share=st.floats(0, 1), log=st.booleans())
def test_a_value_within_an_axis_is_drawn_within_it(low: float, factor: float, share: float, log: bool) -> None:
    axis = Axis(low, low * factor, log)
    value = min(low + share * (axis.high - low), axis.high)
    assert -1e-9 <= axis.place(value) <= 1 + 1e-9
    assert axis.place(axis.low) <= axis.place(value) + 1e-9


@pytest.mark.slow
def test_a_killed_suite_goes_on_where_it_was(tsbench: Command, tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(SUITE.replace("epochs=4", "epochs=30,patience=0"))
    command = ("tune", "--suite", "suite.toml", "--trials", "3")
    process = Running(tmp_path, *command)
    second = tmp_path / "results" / "studies" / "generated-seasonal-12-nlinear-epochs-30-patience-0-full.json"
    deadline = time.monotonic() + 120
    while not second.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.process.join()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("results/cells/*.json")}
    assert 0 < read_json(second)["trials"] < 3, "it should die within its second study"
    again = tsbench(*command)
    assert again.returncode == 0, again.stderr + again.stdout
    assert "study 1 of 4, generated-seasonal-12-ols-full: 3 of 3 trials done" in again.stdout
    assert re.search(r"study 2 of 4, \S+: [12] of 3 trials done", again.stdout)
    assert all(path.stat().st_mtime_ns == when for path, when in before.items()), "nothing finished runs again"
    assert [len(study.trials) for study in studies(Store(tmp_path / "results"))] == [3, 3, 3, 3]


def test_a_study_ends_when_its_time_is_spent(tsbench: Command, tmp_path: Path) -> None:
    command = ("tune", "--dataset", "sktime/airline/12", "--model", "nlinear:epochs=1,individual=false")
    done = tsbench(*command, "--cpu-minutes", "1e-9", "--seeds", "1")
    assert done.returncode == 0, done.stderr
    (study,) = studies(Store(tmp_path / "results"))
    assert len(study.trials) == 1, "what has begun is finished; nothing begins after it"
    assert "the default is the best found" in done.stdout


def test_what_cannot_be_tuned_is_said(tsbench: Command) -> None:
    none = tsbench("tune", "--dataset", "sktime/airline/12", "--model", "repeat")
    assert none.returncode == 2
    assert "repeat: it has no settings left to search" in none.stdout
    assert "nothing to tune, for the reasons above" in none.stderr
    two = tsbench("tune", "--dataset", "sktime/*/*", "--model", "ols", "--study", "mine")
    assert two.returncode == 2
    assert "--study mine names one study" in two.stderr
    chosen = tsbench("tune", "--dataset", "uea/BasicMotions", "--model", "dtw_d", "--protocol", "test-selected")
    assert chosen.returncode == 2
    assert "validation is TEST, and a study would choose settings by it" in chosen.stderr


def arguments(folder: Path, results: Path) -> argparse.Namespace:
    return argparse.Namespace(
        dataset="sktime/airline/12", model="ols", trials=2, cpu_minutes=None, seeds="1", set=[], protocol=None,
        storage=f"sqlite:///{folder / 'study.db'}", study=None, jobs=1, threads=1, device="cpu", data=folder,
        results=results, tracking="none",
    )  # fmt: skip


@pytest.mark.parametrize("dataset", ["generated/shop", "generated/search", "generated/hairpins"])
def test_the_first_trial_holds_the_batch_size_of_a_recipe(dataset: str, tmp_path: Path) -> None:
    """Which general choices need not have among them."""
    args = arguments(tmp_path, tmp_path)
    args.dataset, args.model = dataset, "transformer"
    search = Search(args)
    assert search.default["batch_size"] == search.cell({}, 1).settings["batch_size"]


def _elsewhere(args: argparse.Namespace, number: int, outcome: Path) -> None:
    outcome.write_text(repr(attempt(args, number)))


def test_a_trial_may_run_in_a_process_and_folder_of_its_own(tmp_path: Path) -> None:
    """As it does on another machine: only the study's storage is shared."""
    search = Search(arguments(tmp_path, tmp_path / "asking"))
    study = search.open_study()
    asked = ask(search, study)
    assert not isinstance(asked, str)
    there = arguments(tmp_path, tmp_path / "there")
    process = get_context("spawn").Process(target=_elsewhere, args=(there, asked.number, tmp_path / "outcome"))
    process.start()
    process.join(120)
    outcome: Outcome = eval((tmp_path / "outcome").read_text())
    tell(search, study, asked, outcome)
    assert [t.state.name for t in study.trials] == ["COMPLETE"]
    assert Store(tmp_path / "there").finished(outcome.key)
    assert not Store(tmp_path / "asking").finished(outcome.key)
    (seen,) = studies(Store(tmp_path / "asking"))
    assert seen.trials[0].value == outcome.value == study.best_value


def test_only_the_folder_that_asked_judges_a_lost_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two containers may have the same host name and the same path."""
    search = Search(arguments(tmp_path, tmp_path / "asking"))
    study = search.open_study()
    lost = ask(search, study)
    assert not isinstance(lost, str)
    lost.lock.release()  # as if its process had been killed
    mine = results_id(search.store)
    monkeypatch.setattr(tune, "results_id", lambda store: "another")
    tune._revive(search, study)
    assert study.trials[0].state.name == "RUNNING"
    monkeypatch.setattr(tune, "results_id", lambda store: mine)
    tune._revive(search, study)
    assert study.trials[0].state.name == "FAIL"


def test_a_trial_that_nobody_named_fails_after_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(arguments(tmp_path, tmp_path / "asking"))
    study = search.open_study()
    study.ask(search.space)
    tune._revive(search, study)
    tune._revive(search, study)
    assert study.trials[0].state.name == "RUNNING"
    later = time.time() + tune.NAMED + 1
    monkeypatch.setattr(time, "time", lambda: later)
    tune._revive(search, study)
    assert study.trials[0].state.name == "FAIL"


def test_budgets_hold_where_locks_do_not_reach(tmp_path: Path) -> None:
    """Two machines with a storage in common and no disk: who asks for one too many gives it back."""
    here, there = (Search(arguments(tmp_path, tmp_path / name)) for name in ("here", "there"))
    studied = here.open_study(), there.open_study()
    first, second = ask(here, studied[0]), ask(there, studied[1])
    assert ask(here, studied[0]) == ask(there, studied[1]) == "wait"
    assert not isinstance(first, str)
    assert not isinstance(second, str)
    assert [first.number, second.number] == [0, 1]


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("postgresql://me:secret@host:5432/optuna", "postgresql://me:***@host:5432/optuna"),
        ("postgresql://me:se/cr@et@host/optuna", "postgresql://me:***@host/optuna"),
        ("postgresql://host/optuna?user=me&password=secret", "postgresql://host/optuna?user=me&password=***"),
        ("--tracking=http://me:secret@host:5000", "--tracking=http://me:***@host:5000"),
        ("postgresql://me:se cr@et@host/optuna", "postgresql://me:***@host/optuna"),
        (
            "postgresql://host:5432/optuna?password=se@cret&user=me",
            "postgresql://host:5432/optuna?password=***&user=me",
        ),
        ("postgresql://me:password=secret@host/optuna", "postgresql://me:***@host/optuna"),
        ("cannot reach 'postgresql://me:secret@host/optuna' now", "cannot reach 'postgresql://me:***@host/optuna' now"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("postgresql://me@host/optuna", "postgresql://me@host/optuna"),
        ("sqlite:////tmp/a.db", "sqlite:////tmp/a.db"),
    ],
)
def test_passwords_are_not_shown(url: str, seen: str) -> None:
    assert shown(url) == seen


def test_a_storage_that_is_none_is_refused(tsbench: Command) -> None:
    command = ("tune", "--dataset", "sktime/airline/12", "--model", "ols", "--trials", "1", "--storage")
    done = tsbench(*command, "nowhere")
    assert done.returncode == 2
    assert "--storage nowhere" in done.stderr
    assert "Write sqlite:///FILE or postgresql://USER@HOST/NAME" in done.stderr


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """URL of an empty database of a PostgreSQL of the test's own, which will not run as root."""
    if not all(map(shutil.which, ("initdb", "pg_ctl"))):
        pytest.skip("no PostgreSQL here: initdb and pg_ctl are not on the path")
    folder = Path(tempfile.mkdtemp(dir="/tmp"))  # pytest's own folders are closed to other users
    user: dict[str, str] = {}
    if os.getuid() == 0:
        user = {"user": "nobody"}
        shutil.chown(folder, "nobody")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data, options = str(folder / "data"), f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -c fsync=off"
    quiet: Any = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder, **user}
    try:
        subprocess.run(["initdb", "-D", data, "-U", "optuna", "-A", "trust"], **quiet)
        subprocess.run(["pg_ctl", "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start"], **quiet)
        yield f"postgresql://optuna@127.0.0.1:{port}/postgres"
        subprocess.run(["pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)
    finally:
        shutil.rmtree(folder)


@pytest.mark.slow
def test_two_machines_share_a_study_in_postgresql(postgresql: str, tmp_path: Path) -> None:
    """Neither locks nor results are shared; both begin on an empty database, whose tables one of them makes first."""
    command = ("tune", "--dataset", "sktime/airline/12", "--model", "ols", "--trials", "6", "--storage", postgresql)
    folders = [tmp_path / "here", tmp_path / "there"]
    for folder in folders:
        folder.mkdir()
    ended = [running.end() for running in [Running(folder, *command) for folder in folders]]
    assert [done.returncode for done in ended] == [0, 0], ended
    stores = [Store(folder / "results") for folder in folders]
    (here,), (there,) = map(studies, stores)
    assert len(here.trials) == len(there.trials) == 6
    assert here.trials == there.trials
    assert all(any(store.finished(t.key) for store in stores) for t in here.trials)
