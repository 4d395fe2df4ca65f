"""A recorded cell, run again from its record: equal, or what differs."""

from __future__ import annotations

import copy
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.test_transfer import airline, tree
from tsbench import reproduce
from tsbench.cell import Cell, identity, key_of
from tsbench.cli import main
from tsbench.differences import differences, weights_differences
from tsbench.environment import command_line
from tsbench.errors import Pruned, TsbenchError, UsageError
from tsbench.record import find_record
from tsbench.reproduce import compare_before, run_again
from tsbench.run import Options, run_cell
from tsbench.store import Result, Store, write_json

HERE = Options(Path().resolve(), suite="quick")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A results folder with a cell of two seeds, a failure and a pruned trial."""
    store = Store(tmp_path_factory.mktemp("made") / "results")

    def prune(epoch: int, curve: dict[str, float]) -> None:
        if epoch == 2:
            raise Pruned("worse than others")

    cell, failing = airline("dlinear", epochs=3), airline("nlinear", lr=1e30, epochs=1)
    trial = replace(cell, study="s", test=False)
    for todo, options in (
        (cell, HERE),
        (replace(cell, seed=7), HERE),
        (failing, HERE),
        (trial, replace(HERE, report=prune)),
    ):
        run_cell(todo, key_of(identity(todo, Path())), store, options)
    assert sorted(r["status"] for r in (*store.results(), *store.failures())) == [
        "failed", "finished", "finished", "pruned",
    ]  # fmt: skip
    return store


def found(store: Store, status: str, seed: int = 2021) -> Result:
    (result,) = (r for r in (*store.results(), *store.failures()) if (r["status"], r["cell"]["seed"]) == (status, seed))
    return result


def again(store: Store, key: str, *more: str) -> int:
    """The command, in this process."""
    return main(["reproduce", key, "--results", str(store.root), "--tracking", "none", *more])


def rewritten(store: Store, folder: Path, **changed: Any) -> tuple[Store, str]:
    """A results folder with the finished cell, its record changed."""
    result = copy.deepcopy(found(store, "finished")) | changed
    other = Store(folder)
    write_json(other.path("cells", f"{result['key']}.json"), result)
    return other, result["key"]


@pytest.mark.slow
def test_a_finished_cell_is_equal_and_what_was_recorded_is_left_alone(
    made: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tree(made.root)
    assert again(made, found(made, "finished")["key"][:12]) == 0
    told = capsys.readouterr().out
    assert "equal to the last bit: 2 scores of validation, 2 scores of test" in told
    assert "3 epochs, weights" in told
    assert told.count(" same") == 5, "code, data, settings, versions, hardware"
    assert tree(made.root) == before


@pytest.mark.slow
def test_a_failure_and_a_pruned_trial_end_as_they_did(made: Store, tmp_path: Path) -> None:
    for status in ("failed", "pruned"):
        old = found(made, status)
        new = run_again(Cell(**old["cell"]), old["key"], Store(tmp_path / status), HERE, old)
        assert (new["status"], differences(old, new)) == (status, [])
    assert len(new["curves"]) == 2, "pruned after as many epochs"


def die(*arguments: Any) -> None:
    os._exit(3)


@pytest.mark.slow
def test_a_cell_that_kills_its_process_does_so_again(
    made: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reproduce, "_run", die)
    old = found(made, "failed") | {"reason": "its worker process died 2 times (signal SIGSEGV)"}
    cell = Cell(**old["cell"])
    assert differences(old, run_again(cell, old["key"], Store(tmp_path), HERE, old)) == []
    finished = found(made, "finished")
    (told,) = differences(finished, run_again(cell, old["key"], Store(tmp_path), HERE, finished))
    assert told == "outcome: finished → failed: its worker process died (exit code 3)"


def test_a_score_that_differs_is_set_against_the_spread_of_seeds(made: Store) -> None:
    old, other = found(made, "finished"), found(made, "finished", 7)
    low, high = sorted(r["scores"]["test"]["mse"] for r in (old, other))
    for value, place in (((low + high) / 2, "within"), (high + 1, "outside")):
        new = copy.deepcopy(old)
        new["scores"]["test"]["mse"] = value
        (told,) = differences(old, new, [other])
        assert f"difference {value - old['scores']['test']['mse']:+.2g}" in told
        assert f"{place} the spread of 2 recorded seeds ({low:.6g} to {high:.6g})" in told


def test_the_last_bit_counts_and_times_do_not(made: Store) -> None:
    old = found(made, "finished")
    new = copy.deepcopy(old) | {"seconds": {}, "peak_memory_mb": 1.0, "finished": "2030", "environment": {}}
    assert differences(old, new) == []
    unit = new["units"]["test"]["mse"]
    unit[0] = float(torch.nextafter(torch.tensor(unit[0], dtype=torch.float64), torch.tensor(9.0, dtype=torch.float64)))
    (told,) = differences(old, new)
    assert told.startswith(f"test mse, units: 1 of {len(unit)} values differ, by at most ")
    new = copy.deepcopy(old)
    new["curves"][1]["train_loss"] += 1
    new["parameters"] += 1
    curves, parameters = differences(old, new)
    assert curves.startswith("curves: from epoch 2 on (train_loss ")
    assert parameters.startswith("parameters: 600 → 601")


def test_weights_are_compared_bit_by_bit(made: Store, tmp_path: Path) -> None:
    folder = made.path("artifacts", found(made, "finished")["key"])
    weights = torch.load(folder / "weights.pt", weights_only=True)
    assert weights_differences(folder, folder) == []
    name = next(iter(weights))
    weights[name].flatten()[0] += 0.5
    torch.save(weights, tmp_path / "weights.pt")
    (told,) = weights_differences(folder, tmp_path)
    assert told == f"weights {name}: 1 of {weights[name].numel()} values differ, by at most 0.5"
    torch.save({"x": weights[name]}, tmp_path / "weights.pt")
    assert "other names" in weights_differences(folder, tmp_path)[0]
    (tmp_path / "weights.pt").write_bytes(b"cut")
    assert "safely" in weights_differences(folder, tmp_path)[0]


def test_estimators_of_other_libraries_have_equal_bytes() -> None:
    """skops names parts by their addresses in memory."""
    from sklearn.linear_model import Ridge

    from tsbench.models.sklearn_regressor import pack, unpack

    x, y = torch.arange(12.0).reshape(6, 2).numpy(), torch.arange(6.0).numpy()
    first, kept, second = pack(Ridge().fit(x, y)), [object() for _ in range(1000)], pack(Ridge().fit(x, y))
    assert torch.equal(first["skops"], second["skops"])
    assert len(kept) == 1000
    assert not torch.equal(first["skops"], pack(Ridge(alpha=2.0).fit(x, y))["skops"])
    restored = unpack(first, "Ridge", ("sklearn",)).predict(x)
    assert restored.tolist() == Ridge().fit(x, y).predict(x).tolist()


def test_differences_are_told_before_anything_runs(
    made: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = found(made, "finished")
    assert again(made, old["key"], "--dry-run") == 0
    capsys.readouterr()
    revision = "0123456789012345678901234567890123456789"
    environment = old["environment"] | {"git": revision, "torch": "1.0.0", "processor": "Z80", "numba": None}
    settings = {k: v for k, v in old["cell"]["settings"].items() if k != "clip"}
    store, key = rewritten(
        made, tmp_path, code="0" * 16, environment=environment, threads=4,
        cell=old["cell"] | {"settings": settings}, data=old["data"] | {"digest": "d"},
    )  # fmt: skip
    assert again(store, key, "--dry-run") == 1
    told = capsys.readouterr().out
    assert f"fingerprint {'0' * 16} → {old['code']}" in told
    assert f"git checkout {revision}.)" in told
    assert f"torch 1.0.0 → {torch.__version__}" in told
    assert "processor Z80 → " in told
    assert "threads 4 → " not in told, "it would run with the recorded number"
    assert "clip is new" in told
    assert "digest of all files d → " in told
    assert again(store, key, "--dry-run", "--threads", "2") == 1
    assert "threads 4 → 2" in capsys.readouterr().out


def test_training_by_several_processes_is_named(
    made: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store, key = rewritten(made, tmp_path, measured={"processes": 2})
    assert again(store, key, "--dry-run") == 1
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "hardware" in line)
    assert "processes that trained it 2 → 1" in line


def test_uncommitted_changes_of_then_are_said(made: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environment = found(made, "finished")["environment"] | {"git": "abc+changes"}
    store, key = rewritten(made, tmp_path, environment=environment, code="0" * 16)
    assert again(store, key, "--dry-run") == 1
    assert "git checkout abc; files differed from it then" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"dataset": "sktime/airlin/12"}, "Did you mean 'sktime/airline/12'"),
        ({"dataset": "ltsf/traffic/96"}, "is not there"),
        ({"protocol": "old"}, "unknown protocol"),
        ({"model": "dlinaer"}, "Did you mean 'dlinear'"),
        ({"settings": {"speed": 3}}, "dlinear has no setting speed any more"),
    ],
)
def test_what_cannot_be_rebuilt_says_why_and_where_it_was(
    changed: dict[str, Any], said: str, made: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = found(made, "finished")
    environment = old["environment"] | {"git": "abc"}
    store, key = rewritten(made, tmp_path, cell=old["cell"] | changed, environment=environment)
    assert again(store, key, "--data", str(tmp_path)) == 2
    told = capsys.readouterr().err
    assert told.startswith("tsbench: cannot be rebuilt: ")
    assert said in told
    assert "git checkout abc" in told


def test_a_device_that_is_not_here_cannot_be_had(
    made: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is such a device")
    store, key = rewritten(made, tmp_path, device="cuda")
    assert again(store, key, "--dry-run") == 2
    assert "--device cpu" in capsys.readouterr().err
    assert again(store, key, "--dry-run", "--device", "cpu") == 1
    assert "device cuda → cpu" in capsys.readouterr().out


def test_a_file_of_ones_own_is_told_by_name_and_found_where_it_is_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "none")
    rows = [f"2024-{1 + i // 28:02d}-{1 + i % 28:02d},{i % 7}" for i in range(300)]
    path = tmp_path / "mine.csv"
    path.write_text("date,x\n" + "\n".join(rows))
    results = Store(tmp_path / "results")
    spec = f"{path}:horizon=4,look_back=14"
    assert main(["run", "--dataset", spec, "--model", "repeat", "--no-report", "--results", str(results.root)]) == 0
    (old,) = results.results()
    assert list(old["data"]["files"]) == [str(path)]
    assert again(results, old["key"], "--dry-run") == 0
    path.rename(tmp_path / "moved.csv")
    capsys.readouterr()
    assert again(results, old["key"], "--dry-run") == 2
    assert "mine.csv is not there" in capsys.readouterr().err
    moved = f"{tmp_path / 'moved.csv'}:horizon=4,look_back=14"
    _, unlike = compare_before(old, replace(Cell(**old["cell"]), dataset=moved), HERE)
    assert unlike["data"] == []
    path.write_text("date,x\n" + "\n".join([*rows, "2024-12-31,5"]))
    assert again(results, old["key"], "--dry-run") == 1
    assert f"{path} sha256 " in capsys.readouterr().out


def test_records_are_found_by_key_its_start_and_file(made: Store) -> None:
    old = found(made, "finished")
    path = made.path("cells", f"{old['key']}.json")
    for name in (old["key"], old["key"][:10], str(path)):
        with find_record(name, made, None) as record:
            assert record.result == old
            assert [other["cell"]["seed"] for other in record.others] == [7]
            assert record.weights == made.path("artifacts", old["key"])
    with find_record(found(made, "failed")["key"], made, None) as record:
        assert (record.result["status"], record.weights) == ("failed", None)
    with find_record(str(path), Store("elsewhere"), None) as record:
        assert (record.weights, record.others) == (made.path("artifacts", old["key"]), ())
    for name, said in (("", "begins 3 keys"), ("f" * 33, "holds no result"), ("../x", "holds no result")):
        with pytest.raises(UsageError, match=said), find_record(name, made, None):
            pass


def test_a_damaged_record_is_said_to_be_one(made: Store, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    for text, said in (("{", "not a result"), ("{}", "not a result"), (json.dumps({"format": 3}), "Update tsbench")):
        path.write_text(text)
        with pytest.raises(TsbenchError, match=said), find_record(str(path), made, None):
            pass


def test_passwords_in_addresses_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["tsbench", "tune", "--storage", "postgresql://me:se@cret@host/optuna"])
    assert command_line() == "tsbench tune --storage 'postgresql://me:***@host/optuna'"
