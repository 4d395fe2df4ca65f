"""Readback: results from an MLflow store, as `tsbench.tracking` sent them: `result.json` and `model/` of a run.

Tags and parameters are not read, for they are cut and may have been edited; the result file is all there is to know.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tsbench.address import shown
from tsbench.errors import TsbenchError, UsageError
from tsbench.receiver import Receiver
from tsbench.record import read_record
from tsbench.store import Result
from tsbench.tracking import ENVIRONMENT

ENDED = ("FINISHED", "KILLED", "FAILED")
PAGE = 200  # runs asked for at once
PARTS = ("model/model.json", "model/weights.pt")


class Unreadable(UsageError):
    """What a run holds is no result, not whole, or cannot be fetched."""


def take_runs(uri: str, into: Receiver) -> None:
    """Take in every result of a store, the latest first; its model is fetched only if it is wanted.

    Runs of others, parents of ours and runs that did not end are passed over; damaged ones are told to `into.left`.

    Raises:
        TsbenchError: the store cannot be used.
    """
    client = _client(uri)
    with _reachable(uri):
        ours = _paged(partial(client.search_experiments, max_results=PAGE, filter_string="name LIKE 'tsbench/%'"))
        experiments = [found.experiment_id for found in ours]  # one a family
        search = partial(client.search_runs, experiments, max_results=PAGE, order_by=["attributes.end_time DESC"])
        found = [run.info.run_id for run in (_paged(search) if experiments else ()) if _is_result(run)]
    for run_id in tqdm(found, unit="run", desc="reading", leave=False, disable=None):
        with tempfile.TemporaryDirectory(prefix="tsbench-import-") as folder:
            try:
                result = _fetch_result(client, uri, run_id, Path(folder))
                into.take_run(result, partial(_fetch_model, client, uri, run_id, Path(folder)))
            except Unreadable as error:
                with _reachable(uri):
                    client.get_run(run_id)  # if this fails, it is the store and not the run
                into.left.append(str(error))


def _is_result(run: Any) -> bool:
    return run.info.status in ENDED and "tsbench.key" in run.data.tags


def _paged(search: Callable[..., Any]) -> Iterator[Any]:
    """All that a search finds, which gives a page at a time."""
    token = None
    while True:
        page = search(page_token=token)
        yield from page
        if not (token := page.token):
            return


@contextlib.contextmanager
def fetched_run(uri: str, run_id: str) -> Iterator[Path]:
    """A folder with `result.json` and `model/` of one run, gone when the block ends.

    Raises:
        UsageError: there is no such run, or it has no result.
        TsbenchError: the store cannot be used.
    """
    client = _client(uri)
    with tempfile.TemporaryDirectory(prefix="tsbench-run-") as folder:
        _fetch_result(client, uri, run_id, Path(folder))
        _fetch_model(client, uri, run_id, Path(folder))
        yield Path(folder)


def _client(uri: str) -> Any:
    path = Path(uri.removeprefix("sqlite:///"))
    if uri.startswith("sqlite:///") and not path.is_file():  # MLflow would make one
        raise UsageError(f"{path} is not there, so there is no MLflow store")
    wanted = {**ENVIRONMENT, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    os.environ.update({k: v for k, v in wanted.items() if k not in os.environ})
    from mlflow import MlflowClient

    with _reachable(uri):
        return MlflowClient(uri)


def _fetch_result(client: Any, uri: str, run_id: str, folder: Path) -> Result:
    """Download the result of a run."""
    with _reachable(uri, run_id):
        if "result.json" not in {item.path for item in client.list_artifacts(run_id)}:
            raise Unreadable(f"run {run_id} of MLflow at {shown(uri)} has no result.json; name the run of one cell")
        path = Path(client.download_artifacts(run_id, "result.json", str(folder)))
    try:
        return read_record(path.read_bytes(), f"run {run_id}: result.json")
    except TsbenchError as error:
        raise Unreadable(str(error)) from None


def _fetch_model(client: Any, uri: str, run_id: str, folder: Path, there: Path | None = None) -> list[Path]:
    """Download the files of a run's model that the folder `there` lacks; none if the run has no model."""
    found = []
    with _reachable(uri, run_id):
        for item in client.list_artifacts(run_id, "model"):
            if item.path not in PARTS or (there and (there / Path(item.path).name).exists()):
                continue
            (folder / "model").mkdir(exist_ok=True)
            path = Path(client.download_artifacts(run_id, item.path, str(folder / "model")))
            if item.file_size not in (None, size := path.stat().st_size):
                raise Unreadable(f"run {run_id}: {item.path} has {size} bytes, not {item.file_size}; try again")
            found.append(path)
    return sorted(found)


@contextlib.contextmanager
def _reachable(uri: str, run_id: str = "") -> Iterator[None]:
    """Whatever a store or the network raises becomes one error, of the run if one is named."""
    try:
        yield
    except TsbenchError:
        raise
    except Exception as error:
        told = shown(str(error).splitlines()[0])[:300] if str(error) else type(error).__name__
        where = f"MLflow at {shown(uri)}"
        raise (Unreadable(f"{where}: run {run_id}: {told}") if run_id else TsbenchError(f"{where}: {told}")) from error
