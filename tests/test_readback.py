"""Results read back from a real MLflow store: all that was sent, and nothing else."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.test_reproduce import again, found, made
from tests.test_transfer import tree
from tsbench import readback
from tsbench.cli import main
from tsbench.store import Store, write_json
from tsbench.tracking import create_database, sync

__all__ = ["made"]  # a fixture of this module too
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def sent(made: Store) -> str:
    """The address of an MLflow store that these results were sent to."""
    database = made.root.parent / "mlflow.db"
    create_database(database)
    assert sync(made, f"sqlite:///{database}") == 4
    return f"sqlite:///{database}"


def results(folder: Path) -> dict[str, bytes]:
    return {
        name: part for name, part in tree(folder).items() if name.split("/")[0] in ("cells", "failures", "artifacts")
    }


def test_all_that_was_sent_comes_back_and_only_once(
    made: Store, sent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["import", "--tracking", sent, "--results", str(tmp_path / "r")]) == 0
    assert "3 cells, 1 failure" in capsys.readouterr().out
    assert results(tmp_path / "r") == results(made.root)
    assert main(["import", "--tracking", sent, "--results", str(tmp_path / "r")]) == 0
    assert "nothing new" in capsys.readouterr().out
    result = found(made, "finished")
    path = tmp_path / "r" / "cells" / f"{result['key']}.json"
    result["scores"]["test"]["mse"] += 1
    write_json(path, result)
    shutil.rmtree(tmp_path / "r" / "artifacts")
    assert main(["import", "--tracking", sent, "--results", str(tmp_path / "r")]) == 1
    assert f"left out: cells/{result['key']}.json, as ours differs" in capsys.readouterr().out
    kept = {name for name in results(tmp_path / "r") if name.startswith("artifacts")}
    assert len(kept) == 2, "the model of the other cell comes, that of this one does not"


def test_filters_choose_runs(sent: str, tmp_path: Path) -> None:
    for words in (["--dataset", "ltsf/*"], ["--suite", "other"]):
        assert main(["import", "--tracking", sent, "--results", str(tmp_path / "r"), *words]) == 0
        assert results(tmp_path / "r") == {}


def test_a_run_of_mlflow_can_be_reproduced(
    made: Store, sent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(sent)
    places = [found.experiment_id for found in client.search_experiments()]
    ids = [run.info.run_id for run in client.search_runs(places)]
    cells = [run for run in ids if "result.json" in {item.path for item in client.list_artifacts(run)}]
    assert len(cells) == 4
    for run in cells:
        assert again(Store(tmp_path / "none"), run, "--tracking", sent, "--dry-run") == 0
    parent = next(run for run in ids if run not in cells)
    assert again(Store(tmp_path / "none"), parent, "--tracking", sent, "--dry-run") == 2
    assert "has no result.json" in capsys.readouterr().err
    assert again(Store(tmp_path / "none"), "f" * 32, "--tracking", sent) == 2
    assert "tsbench: MLflow at sqlite" in capsys.readouterr().err


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"sqlite:///{tmp_path / 'no.db'}"
    assert main(["import", "--tracking", address, "--results", str(tmp_path / "r")]) == 2
    assert "no MLflow store" in capsys.readouterr().err
    assert not (tmp_path / "no.db").exists()


def test_runs_of_others_and_damaged_ones_keep_nothing_back(
    made: Store, sent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    database = tmp_path / "copy.db"
    with sqlite3.connect(sent.removeprefix("sqlite:///")) as source, sqlite3.connect(database) as copy:
        source.backup(copy)
    client = MlflowClient(f"sqlite:///{database}")
    family = client.get_experiment_by_name("tsbench/sktime")
    assert family is not None
    damaged = client.create_run(family.experiment_id)
    other = client.create_run(client.create_experiment("theirs", (tmp_path / "theirs").as_uri()))
    client.set_tag(damaged.info.run_id, "tsbench.key", "x")
    for run in (damaged, other):
        client.log_text(run.info.run_id, '{"format": 1}', "result.json")
        client.set_terminated(run.info.run_id)
    assert main(["import", "--tracking", f"sqlite:///{database}", "--results", str(tmp_path / "r")]) == 1
    told = capsys.readouterr().out
    assert f"left out: run {damaged.info.run_id}: result.json" in told
    assert other.info.run_id not in told
    assert results(tmp_path / "r") == results(made.root)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all files that are fetched from now on."""
    from mlflow import MlflowClient

    fetched: list[str] = []
    fetch = MlflowClient.download_artifacts

    def count(client: MlflowClient, run: str, path: str, *more: str) -> str:
        fetched.append(path)
        return fetch(client, run, path, *more)

    monkeypatch.setattr(MlflowClient, "download_artifacts", count)
    return fetched


def test_models_are_fetched_only_if_they_are_wanted(
    sent: str, made: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = counted(monkeypatch)
    words = ["import", "--tracking", sent, "--results", str(tmp_path / "r")]
    assert main([*words, "--dataset", "ltsf/*"]) == 0
    assert set(fetched) == {"result.json"}
    assert main(words) == 0
    assert "model/weights.pt" in fetched
    fetched.clear()
    assert main(words) == 0
    assert set(fetched) == {"result.json"}, "all models are there"
    weights = next((tmp_path / "r" / "artifacts").glob("*/weights.pt"))
    weights.unlink()
    fetched.clear()
    assert main(words) == 0
    assert [name for name in fetched if name != "result.json"] == ["model/weights.pt"]
    assert results(tmp_path / "r") == results(made.root)


def test_one_run_whose_files_cannot_be_fetched_keeps_nothing_back(
    sent: str, made: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(sent)
    family = client.get_experiment_by_name("tsbench/sktime")
    assert family is not None
    key = found(made, "finished")["key"]
    (bad,) = client.search_runs([family.experiment_id], f"tags.`tsbench.key` = '{key}'")
    fetch = MlflowClient.download_artifacts

    def refuse(client: MlflowClient, run: str, path: str, *more: str) -> str:
        if run == bad.info.run_id:
            raise OSError("the bucket is gone")
        return fetch(client, run, path, *more)

    monkeypatch.setattr(MlflowClient, "download_artifacts", refuse)
    words = ["import", "--tracking", sent, "--results", str(tmp_path / "r")]
    assert main(words) == 1
    assert f"run {bad.info.run_id}: the bucket is gone" in capsys.readouterr().out
    assert len(list((tmp_path / "r" / "cells").iterdir())) == 2
    monkeypatch.setattr(MlflowClient, "get_run", lambda *arguments: refuse(client, bad.info.run_id, ""))
    assert main(words) == 2, "the store is down"
    assert "the bucket is gone" in capsys.readouterr().err


def test_more_runs_and_experiments_than_a_page_are_read(
    sent: str, made: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readback, "PAGE", 1)
    assert main(["import", "--tracking", sent, "--results", str(tmp_path / "r")]) == 0
    assert results(tmp_path / "r") == results(made.root)
