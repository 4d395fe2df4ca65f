"""MLflow, the real one: what a run holds, what happens when the store is down, slow or interrupted."""

from __future__ import annotations

import math
import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import Command, command_line, commands_in
from tsbench import mlflow_runs, tracking
from tsbench.artifacts import load_model
from tsbench.errors import TsbenchError
from tsbench.registry import find_datasets
from tsbench.store import Store, read_json, write_json
from tsbench.tracking import Follower, Tracker, create_database, sync, unsent

pytestmark = pytest.mark.slow
RUN = ("run", "--dataset", "sktime/airline/12", "--no-report")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLflow store, made once: creating its tables takes seconds."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    create_database(path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Path:
    """A results folder with two finished cells and a failed one."""
    folder = tmp_path_factory.mktemp("made")
    commands_in(folder)(*RUN, "--model", "dlinear", "--model", "repeat", "--model", "nlinear:lr=1e30")
    shutil.copy(empty_database, folder / "results" / "mlflow.db")
    return folder / "results"


@pytest.fixture
def results(made: Path, tmp_path: Path) -> Store:
    """A copy of these results, not sent anywhere yet."""
    return Store(shutil.copytree(made, tmp_path / "results"))


def uri(store: Store) -> str:
    return f"sqlite:///{store.root / 'mlflow.db'}"


def all_runs(address: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(address)
    found = client.search_experiments()
    return list(client.search_runs([e.experiment_id for e in found], max_results=1000))


def runs(address: str, level: str = "seed") -> list[Any]:
    """The runs of one level of the tree."""
    return [run for run in all_runs(address) if run.data.tags["level"] == level]


def test_a_run_holds_everything(results: Store, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    assert sync(results, uri(results)) == 3
    by_model = {r.data.params["model"]: r for r in runs(uri(results))}
    run = by_model["dlinear"]
    (result,) = (r for r in results.results() if r["cell"]["model"] == "dlinear")
    assert run.info.status == "FINISHED"
    assert by_model["nlinear"].info.status == "FAILED"
    assert "lower lr" in by_model["nlinear"].data.tags["mlflow.note.content"]
    assert run.data.params["seed"] == "2021"
    assert run.data.params["protocol"] == "full"
    assert run.data.params["set.lr"] == "0.01"
    assert run.data.metrics["test/mse"] == pytest.approx(result["scores"]["test"]["mse"])
    assert run.data.metrics["parameters"] == result["parameters"]
    assert run.data.metrics["peak_memory_mb"] == result["peak_memory_mb"]
    assert run.data.metrics["seconds/fit"] == result["seconds"]["fit"]
    assert run.data.tags["environment.torch"] == torch.__version__
    assert run.data.tags["tsbench.selected_on_test"] == "False"
    assert run.data.tags["environment.processor"]
    (data,) = run.inputs.dataset_inputs
    assert data.dataset.digest == result["data"]["digest"][:36]
    assert "protocol full" in str(data.tags)
    client = MlflowClient(uri(results))
    history = client.get_metric_history(run.info.run_id, "epoch/validation_mse")
    assert [m.value for m in sorted(history, key=lambda m: m.step)] == [c["validation_mse"] for c in result["curves"]]

    (tmp_path / "down").mkdir()
    artifacts = Path(client.download_artifacts(run.info.run_id, "", str(tmp_path / "down")))
    assert "<polyline" in (artifacts / "examples.svg").read_text()
    model = load_model(artifacts / "model")
    splits = find_datasets("sktime/airline/12")[0].load(tmp_path, "full")
    batch = splits.test.batch(torch.tensor([0]))
    kept = torch.tensor(result["examples"]["prediction"][0])
    torch.testing.assert_close(model.predict(batch)[0], kept, rtol=1e-4, atol=1e-4)


def test_counts_are_drawn_and_selection_on_test_is_told(tsbench: Command, tmp_path: Path, empty_database: Path) -> None:
    from mlflow import MlflowClient

    selected = ("--dataset", "generated/shapes", "--protocol", "test-selected")
    assert tsbench("run", *selected, "--model", "constant", "--no-report").returncode == 0
    store = Store(tmp_path / "results")
    shutil.copy(empty_database, store.root / "mlflow.db")
    assert sync(store, uri(store)) == 1
    (run,) = runs(uri(store))
    assert run.data.tags["tsbench.selected_on_test"] == "True"
    (tmp_path / "down").mkdir()
    drawing = MlflowClient(uri(store)).download_artifacts(run.info.run_id, "test_confusion.svg", str(tmp_path / "down"))
    assert ">bump<" in Path(drawing).read_text()


def test_weights_cannot_execute_code(results: Store, tmp_path: Path) -> None:
    import pickle

    folder = next(p for p in results.path("artifacts", "").iterdir() if p.is_dir())
    torch.save({"x": Boom(str(tmp_path / "executed"))}, folder / "weights.pt")
    with pytest.raises(pickle.UnpicklingError):
        load_model(folder)
    assert not (tmp_path / "executed").exists()


class Boom:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (Path(self.path),)


def test_nothing_is_sent_twice_and_an_interrupted_run_is_replaced(
    results: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(mlflow_runs, "attach", lambda *a: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(TsbenchError, match="disk full"):
            sync(results, uri(results))
    assert {r.info.status for r in runs(uri(results))} == {"RUNNING"}
    assert sync(results, uri(results)) == 3
    assert sync(results, uri(results)) == 0
    assert sorted(r.info.status for r in runs(uri(results))) == ["FAILED", "FINISHED", "FINISHED"]


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def test_a_store_that_is_down_loses_and_delays_nothing(tsbench: Command, tmp_path: Path) -> None:
    nowhere = f"http://127.0.0.1:{free_port()}"
    run = tsbench(*RUN, "--model", "dlinear", "--tracking", nowhere)
    assert run.returncode == 0, run.stderr
    assert "1 finished" in run.stdout
    assert "tsbench sync" in run.stdout
    assert len(list(unsent(Store(tmp_path / "results"), nowhere))) == 1
    late = tsbench("sync", "--tracking", nowhere)
    assert late.returncode == 2
    assert nowhere in late.stderr


@pytest.fixture
def server(tmp_path: Path, empty_database: Path) -> Iterator[str]:
    """A real MLflow server on loopback, started by `tsbench ui`."""
    port = free_port()
    folder = tmp_path / "served"
    folder.mkdir()
    shutil.copy(empty_database, folder / "mlflow.db")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")}
    process = subprocess.Popen(
        command_line("ui", "--results", folder, "--port", port),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        import requests

        for _ in range(180):
            assert process.poll() is None, "the server ended"
            try:
                if requests.get(f"{address}/health", timeout=2).ok:
                    break
            except requests.RequestException:
                time.sleep(0.5)
        else:
            pytest.fail("the server did not start")
        yield address
    finally:
        process.terminate()  # not killed, or what it started would go on
        process.wait(timeout=60)


def test_what_was_missed_is_sent_to_a_server_later(results: Store, tsbench: Command, server: str) -> None:
    sent = tsbench("sync", "--tracking", server)
    assert "3 runs sent" in sent.stdout, sent.stderr
    assert sorted(r.info.status for r in runs(server)) == ["FAILED", "FINISHED", "FINISHED"]


def test_a_database_made_by_two_at_once_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    code = f"from pathlib import Path; from tsbench.tracking import create_database as c; c(Path({str(path)!r}))"
    makers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(2)]
    assert [maker.wait(timeout=300) for maker in makers] == [0, 0]
    assert all_runs(f"sqlite:///{path}") == []


def test_training_code_never_imports_mlflow() -> None:
    code = (
        "import sys; from pathlib import Path; from tsbench.run import *; from tsbench.plan import *\n"
        "plan = make_plan(Suite('', ('sktime/airline/12',), ('dlinear',)), [1], {}, Path())\n"
        "((key, cell),) = plan.cells.items()\n"
        "import tempfile; store = Store(tempfile.mkdtemp())\n"
        "assert run_cell(cell, key, store, Options(Path())) == 'finished'\n"
        "print('mlflow' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"


def test_one_result_that_cannot_be_sent_does_not_keep_back_the_others(
    results: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill = mlflow_runs.fill

    def refuse_one(client: Any, run_id: str, result: Any, parent: Any) -> None:
        if result["cell"]["model"] == "repeat":
            raise ValueError("this one is odd")
        fill(client, run_id, result, parent)

    with monkeypatch.context() as patched:
        patched.setattr(mlflow_runs, "fill", refuse_one)
        with pytest.raises(TsbenchError, match="2 sent, 1 not: this one is odd"):
            sync(results, uri(results))
    assert sync(results, uri(results)) == 1


def test_the_record_of_a_dead_worker_can_be_sent(results: Store) -> None:
    from tsbench.cell import Cell
    from tsbench.run import Options, new_result

    cell = Cell("sktime/airline/12", "full", "repeat", {}, 1)
    record = new_result(cell, "k", Options(Path(), invocation="i")) | {"status": "failed", "reason": "killed"}
    results.write_failure("k", record)
    assert sync(results, uri(results)) == 4


def with_seed(store: Store, model: str, seed: int, mse: float, **changes: Any) -> None:
    """Add a result like that of `model`, of another seed and score, to a results folder."""
    (like,) = (r for r in store.results() if r["cell"]["model"] == model and r["cell"]["seed"] == 2021)
    key = f"{like['key'][:24]}{seed:08}{changes.get('code', '')[:2]}"
    scores = {"test": like["scores"]["test"] | {"mse": mse}}
    write_json(
        store.path("cells", f"{key}.json"),
        {**like, "key": key, "cell": {**like["cell"], "seed": seed}, "scores": scores, **changes},
    )


def only(address: str, level: str, variant: str = "") -> Any:
    """The one run of a level (and variant)."""
    (run,) = (r for r in runs(address, level) if not variant or r.data.tags["variant"] == variant)
    return run


def test_parents_hold_means_over_seeds_and_the_best_model(results: Store) -> None:
    with_seed(results, "dlinear", 7, 0.5)
    sync(results, uri(results))
    values = [r["scores"]["test"]["mse"] for r in results.results() if r["cell"]["model"] == "dlinear"]
    model, dataset = only(uri(results), "model", "dlinear"), only(uri(results), "dataset")
    assert model.data.metrics["seeds"] == 2
    assert model.data.metrics["test/mse"] == pytest.approx(statistics.fmean(values))
    assert model.data.metrics["std/test/mse"] == pytest.approx(statistics.stdev(values))
    (failed,) = (r for r in runs(uri(results), "model") if r.data.tags["model"] == "nlinear")
    assert failed.data.metrics["failed"] == 1
    assert dataset.data.tags["best"] == "dlinear"
    assert dataset.data.metrics["models"] == 2
    assert dataset.data.metrics["test/mse"] == model.data.metrics["test/mse"]
    assert "| 2 | repeat |" in dataset.data.tags["mlflow.note.content"]
    assert model.data.tags["mlflow.parentRunId"] == dataset.info.run_id
    below = [r for r in runs(uri(results)) if r.data.tags["variant"] == "dlinear"]
    assert {r.data.tags["mlflow.parentRunId"] for r in below} == {model.info.run_id}
    assert {r.info.status for r in [model, dataset]} == {"FINISHED"}


def test_parents_follow_results_that_come_later_and_newer_code(results: Store) -> None:
    sync(results, uri(results))
    with_seed(results, "dlinear", 7, 0.5)
    with_seed(results, "repeat", 8, 1e-6)
    assert sync(results, uri(results)) == 2
    assert only(uri(results), "model", "dlinear").data.metrics["seeds"] == 2
    assert only(uri(results), "dataset").data.tags["best"] == "dlinear"
    with_seed(results, "dlinear", 9, 3.0, code="newer", finished="2100-01-01T00:00:00.000+00:00")
    assert sync(results, uri(results)) == 1
    newer = only(uri(results), "model", "dlinear").data
    assert newer.metrics["seeds"] == 1
    assert newer.metrics["test/mse"] == 3.0
    assert math.isnan(newer.metrics["std/test/mse"]), "that of older code must not stay"
    assert only(uri(results), "dataset").data.tags["best"] == "repeat"


def test_two_results_folders_share_the_parents_of_one_store(results: Store, tmp_path: Path) -> None:
    other = Store(shutil.copytree(results.root, tmp_path / "other"))
    with_seed(other, "dlinear", 7, 0.5)
    sync(results, uri(results))
    sync(other, uri(results))
    assert len([r for r in runs(uri(results)) if r.data.tags["variant"] == "dlinear"]) == 3
    model = only(uri(results), "model", "dlinear")
    assert model.data.metrics["seeds"] == 2, "the seed that both have counts once"
    assert len(runs(uri(results), "dataset")) == 1


def test_parents_are_made_right_after_an_interruption_and_when_two_made_them(
    results: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    with monkeypatch.context() as patched:
        patched.setattr(Tracker, "update_parents", lambda self: (_ for _ in ()).throw(OSError("killed")))
        with pytest.raises(TsbenchError, match="killed"):
            sync(results, uri(results))
    model = only(uri(results), "model", "dlinear")
    assert "seeds" not in model.data.metrics
    client = MlflowClient(uri(results))
    client.create_run(model.info.experiment_id, model.info.start_time + 1, model.data.tags)
    assert sync(results, uri(results)) == 0
    assert only(uri(results), "model", "dlinear").data.metrics["seeds"] == 1
    assert only(uri(results), "dataset").data.tags["best"] == "dlinear"


def test_a_run_that_ended_but_was_not_marked_is_not_sent_again(results: Store) -> None:
    sync(results, uri(results))
    (mark,) = results.path("tracking", "").glob("*/begun")
    for sent in mark.parent.iterdir():  # as if killed between the last call and its mark
        if sent.is_file():
            sent.rename(mark / sent.name)
    sync(results, uri(results))
    assert len(runs(uri(results))) == 3


def test_results_are_read_when_they_are_sent_and_failures_again_only_if_they_changed(
    results: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def counted(path: Path) -> Any:
        read.append(path.parent.name)
        return read_json(path)

    monkeypatch.setattr(tracking, "read_json", counted)
    for _ in range(3):
        assert len(list(unsent(results, uri(results)))) == 3
    assert read == ["failures"]
    sync(results, uri(results))
    assert read.count("cells") == 2
    before = read.count("failures")
    assert list(unsent(results, uri(results))) == []
    assert read.count("failures") == before
    (path,) = results.path("failures", "").glob("*.json")
    write_json(path, read_json(path) | {"invocation": "another"})
    assert list(unsent(results, uri(results))) == [path]
    assert sync(results, uri(results)) == 1


def test_a_file_that_is_damaged_or_gone_does_not_keep_back_the_others(results: Store) -> None:
    (results.path("cells", "") / f"{'0' * 32}.json").write_text("{")
    (results.path("failures", "") / f"{'1' * 32}.json").write_text("{")
    assert sync(results, uri(results)) == 3
    tracker = Tracker(results, uri(results))
    assert not tracker.send(results.path("failures", f"{'2' * 32}.json"))


def test_other_users_cannot_read_where_results_are_sent(results: Store) -> None:
    """Arguments of a process are open to all."""
    follower = Follower(results, "http://me:secret@127.0.0.1:9")
    try:
        arguments = Path(f"/proc/{follower.process.pid}/cmdline")
        if not arguments.exists():
            pytest.skip("no /proc here")
        end = time.monotonic() + 30
        while b"tsbench.tracking" not in (seen := arguments.read_bytes()) and time.monotonic() < end:
            time.sleep(0.05)  # it has no arguments of its own until it has begun
        assert b"tsbench.tracking" in seen
        assert b"secret" not in seen
    finally:
        follower.process.kill()
        follower.process.wait()
