"""Plans, keys and the run command, in real processes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from tests.conftest import Command
from tsbench.cell import Cell, code_digest, identity, key_of, make_cell
from tsbench.errors import UsageError
from tsbench.plan import Suite, make_plan, parse_seeds
from tsbench.registry import find_datasets
from tsbench.store import Store

QUICK = ("--dataset", "sktime/airline/12", "--no-report")


def key(cell: Cell) -> str:
    return key_of(identity(cell, Path()))


def airline(model: str = "dlinear", seed: int = 1, **settings: object) -> Cell:
    (dataset,) = find_datasets("sktime/airline/12")
    return make_cell(dataset, dataset.name, None, model, dict(settings), seed)


def test_key_depends_on_what_changes_results_and_on_nothing_else() -> None:
    base = airline()
    assert key(base) == key(airline()) == key(dataclasses.replace(base, changed={"x": 1}))
    others = [airline(seed=2), airline(lr=0.5), airline("nlinear"), dataclasses.replace(base, study="s")]
    assert len({key(base), *map(key, others)}) == 5


def test_a_setting_equal_to_the_recipe_is_no_new_variant() -> None:
    assert key(airline(lr="0.01")) == key(airline())
    assert airline(lr="0.01").variant == "dlinear"
    assert airline(lr="0.02").variant == "dlinear:lr=0.02"


def test_code_digest_sees_code_but_not_comments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    digests = []
    for i, body in enumerate(["x = 1", "x = 1  # why", '"""Doc."""\n    x = 1', "x = 2"]):
        (tmp_path / f"plug{i}.py").write_text(f"class Plug:\n    {body}\n")
        code_digest.cache_clear()
        digests.append(code_digest(__import__(f"plug{i}").Plug))
    assert digests[0] == digests[1] == digests[2] != digests[3]


def test_models_without_randomness_run_once() -> None:
    plan = make_plan(Suite("", ("sktime/*",), ("repeat", "dlinear")), parse_seeds("3"), {}, Path())
    counts = [cell.model for cell in plan.cells.values()]
    assert (counts.count("repeat"), counts.count("dlinear")) == (2, 6)


@pytest.mark.parametrize(
    ("datasets", "model", "settings", "said"),
    [
        ("sktime/airlin/12", "repeat", {}, "Did you mean 'sktime/airline/12'"),
        ("sktime/airline/12", "dlinaer", {}, "Did you mean 'dlinear'"),
        ("sktime/airline/12", "dlinear", {"lrr": "1"}, "Did you mean 'lr'"),
        ("sktime/airline/12:look_bck=3", "dlinear", {}, "Did you mean 'look_back'"),
        ("ltsf/traffic/96", "repeat", {"lr": "1"}, "unknown setting of repeat 'lr'"),
    ],
)
def test_unknown_names_fail_with_the_nearest(datasets: str, model: str, settings: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError) as error:
        make_plan(Suite("", (datasets,), (model,)), [1], settings, Path())
    assert said in str(error.value)


def test_absent_data_are_a_reason_in_the_plan_not_an_exception(tmp_path: Path) -> None:
    plan = make_plan(Suite("", ("ltsf/traffic/96", "sktime/airline/12"), ("repeat",)), [1], {}, tmp_path)
    assert len(plan.cells) == 1
    assert "tsbench data fetch" in plan.skipped[0].reason


def test_run_skips_what_is_finished_and_dry_run_changes_nothing(tsbench: Command, tmp_path: Path) -> None:
    dry = tsbench("run", *QUICK, "--model", "dlinear", "--seeds", "2", "--dry-run")
    assert dry.returncode == 0
    assert dry.stdout.count("to run   ") == 2
    assert not (tmp_path / "results").exists()
    first = tsbench("run", *QUICK, "--model", "dlinear", "--seeds", "2")
    assert "2 finished" in first.stdout, first.stderr
    second = tsbench("run", *QUICK, "--model", "dlinear", "--seeds", "3")
    assert "3 cells, 2 finished, 1 to run" in second.stdout


def test_a_failed_cell_is_recorded_and_the_rest_goes_on(tsbench: Command, tmp_path: Path) -> None:
    run = tsbench("run", *QUICK, "--model", "dlinear:lr=1e30", "--model", "repeat", "--jobs", "2")
    assert run.returncode == 1
    assert "FAILED: predictions" in run.stdout
    store = Store(tmp_path / "results")
    (failure,) = store.failures()
    assert "try a lower lr" in failure["reason"]
    assert [r["cell"]["model"] for r in store.results()] == ["repeat"]
    again = tsbench("run", *QUICK, "--model", "dlinear:lr=1e30")
    assert "1 to run" in again.stdout, "a failure is no result: it is tried again"


def test_same_key_same_bits_whatever_the_jobs(tsbench: Command, tmp_path: Path) -> None:
    models = [part for name in ("dlinear", "nlinear", "sklearn_regressor", "ols") for part in ("--model", name)]
    scores = []
    for jobs in (1, 2):
        run = tsbench("run", *QUICK, *models, "--seeds", "2", "--jobs", jobs, "--results", f"r{jobs}")
        assert run.returncode == 0, run.stderr
        results = Store(tmp_path / f"r{jobs}").results()
        scores.append({r["key"]: (r["scores"], r["curves"], r["units"]) for r in results})
    assert len(scores[0]) == 7
    assert scores[0] == scores[1]


def test_result_says_what_it_was_made_of(tsbench: Command, tmp_path: Path) -> None:
    tsbench("run", *QUICK, "--model", "dlinear")
    (result,) = Store(tmp_path / "results").results()
    assert result["data"]["digest"]
    assert result["environment"]["torch"]
    assert result["cell"]["settings"]["lr"] == 0.01
    assert set(result["scores"]) == {"validation", "test"}
    assert result["peak_memory_mb"] > 50
    assert result["parameters"] == 2 * (24 * 12 + 12)
    assert len(result["curves"]) <= 100
    assert "test" not in json.dumps(result["curves"]), "no test number in the epoch log"


def test_users_csv_from_the_command_line(tsbench: Command, tmp_path: Path) -> None:
    rows = "\n".join(f"2024-01-{1 + i // 24:02d} {i % 24:02d}:00:00,{i % 24}" for i in range(480))
    (tmp_path / "mine.csv").write_text(f"date,load\n{rows}\n")
    run = tsbench("run", "--dataset", "mine.csv:horizon=12,look_back=48", "--model", "seasonal_naive", "--model", "ols")
    assert run.returncode == 0, run.stderr
    assert "csv/mine/12" in run.stdout
    assert "0.0000" in run.stdout, "a series that repeats daily is forecast exactly"


def test_wrong_commands_exit_with_two_and_say_why(tsbench: Command) -> None:
    for arguments, said in (
        (("run",), "name what to run"),
        (("run", *QUICK, "--model", "repeat", "--device", "cuda"), "finds no such device"),
        (("run", "--suite", "quik"), "Did you mean 'quick'"),
        (("report",), "run something first"),
        (("run", "--dataset", "ltsf/traffic/96", "--model", "repeat"), "nothing to run"),
    ):
        run = tsbench(*arguments)
        assert run.returncode == 2, run.stdout
        assert said in run.stderr
        assert "Traceback" not in run.stderr


def test_help_is_instant_because_it_imports_nothing_heavy(tsbench: Command) -> None:
    import subprocess
    import sys

    code = (
        "import sys; from tsbench.cli import build_parser; build_parser(); print({'torch', 'pandas'} & {*sys.modules})"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
    for command in ("run", "tune", "report", "list", "data", "check", "sync", "ui"):
        assert "examples:" in tsbench(command, "--help").stdout


def test_a_score_that_is_no_number_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tsbench.models.repeat import Repeat
    from tsbench.run import Options, run_cell

    monkeypatch.setattr(Repeat, "predict", lambda self, batch: batch.target * float("nan"))
    store = Store(tmp_path)
    assert run_cell(airline("repeat"), key(airline("repeat")), store, Options(tmp_path)) == "failed"
    (failure,) = store.failures()
    assert "not finite" in failure["reason"]
    assert failure["data"]["digest"], "what was known before the failure is kept"


def test_files_and_options_of_a_users_csv_stay_apart(tsbench: Command, tmp_path: Path) -> None:
    for folder, start in (("a", 0), ("b", 5)):
        (tmp_path / folder).mkdir()
        rows = "\n".join(f"2024-{1 + i // 28:02d}-{1 + i % 28:02d},{start + i % 7}" for i in range(300))
        (tmp_path / folder / "sales.csv").write_text(f"date,x\n{rows}\n")
    run = ("run", "--model", "repeat", "--no-report")
    for spec in (
        "a/sales.csv:horizon=4,look_back=16",
        "a/sales.csv:horizon=4,look_back=32",
        "b/sales.csv:horizon=4,look_back=16",
    ):
        assert tsbench(*run, "--dataset", spec).returncode == 0
    told = tsbench("report").stdout
    assert told.count("csv/sales/4:look_back=16") == 2
    assert told.count("csv/sales/4:look_back=32") == 1
    assert told.count("other data; these have digest") == 2


def test_a_batch_larger_than_a_split_counts_it_whole(real_data: Path, tsbench: Command) -> None:
    """ILI-60 has 38 validation windows; 64 is a batch size of the search space."""
    run = tsbench("run", "--dataset", "ltsf/ili/60", "--model", "linear:batch_size=64,epochs=1", "--data", real_data)
    assert run.returncode == 0, run.stdout


def test_the_paper_protocol_says_how_many_windows_it_scored(real_data: Path, tsbench: Command) -> None:
    run = tsbench("run", "--dataset", "ltsf/ili/60", "--model", "repeat", "--protocol", "paper", "--data", real_data)
    assert "128 test samples" in run.stdout, "134 windows, batch 32"


def test_published_rate_of_individual_maps() -> None:
    """The authors' script for individual layers uses 0.005 on Weather, and 1e-4 for the shared one."""
    (weather,) = find_datasets("ltsf/weather/96")
    rates = [
        make_cell(weather, weather.name, None, "dlinear", settings, 1).settings["lr"]
        for settings in ({}, {"individual": "true"}, {"individual": "true", "lr": "0.1"})
    ]
    assert rates == [1e-4, 0.005, 0.1]


def test_a_bad_file_of_ones_own_stops_the_plan(tsbench: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("date,a\n2020-01-01,\n")
    run = tsbench("run", "--dataset", "bad.csv", "--model", "repeat", "--model", "ols")
    assert run.returncode == 2
    assert "bad.csv:2: column `a`: empty or NaN" in run.stderr
    assert not (tmp_path / "results").exists()


def test_a_gap_in_the_dates_is_said_in_the_table(tsbench: Command, tmp_path: Path) -> None:
    import pandas as pd

    dates = [d for d in pd.date_range("2022-01-01", periods=400) if not "2022-03-01" < str(d) < "2022-03-12"]
    rows = "\n".join(f"{d:%Y-%m-%d},{i % 7}" for i, d in enumerate(dates))
    (tmp_path / "gap.csv").write_text(f"date,a\n{rows}\n")
    run = tsbench("run", "--dataset", "gap.csv:horizon=4,look_back=14", "--model", "repeat")
    assert "! 1 irregular steps in the dates, first between 2022-0" in run.stdout, run.stdout + run.stderr
