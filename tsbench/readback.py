"""Readback: results from an MLflow store, as `tsbench.tracking` sent them: `result.json` and `model/` of a run.

Tags and parameters are not read, for they are cut and may have been edited; the result file is all there is to know.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from tsbench.address import shown
from tsbench.errors import TsbenchError, UsageError
from tsbench.record import read_record
from tsbench.store import Result
from tsbench.tracking import ENVIRONMENT

ENDED = ("FINISHED", "KILLED", "FAILED")
PAGE = 200  # runs asked for at once
PARTS = ("model/model.json", "model/weights.pt")


class Damaged(TsbenchError):
    """What a run holds is no result, or not whole."""


def runs(uri: str, left: list[str]) -> Iterator[tuple[Result, Path | None]]:
    """Every result of a store, the latest first, with the folder of its model while the caller looks at it.

    Runs of others, parents of ours and runs that did not end are passed over; damaged ones are told to `left`.

    Raises:
        TsbenchError: the store cannot be used.
    """
    client = _client(uri)
    with _reachable(uri):
        ours = client.search_experiments(max_results=1000, filter_string="name LIKE 'tsbench/%'")
        experiments = [found.experiment_id for found in ours]  # one a family
        found = list(_ended(client, experiments))
    for run in tqdm(found, unit="run", desc="reading", leave=False, disable=None):
        with tempfile.TemporaryDirectory(prefix="tsbench-import-") as folder:
            try:
                result = _fetch(client, uri, run.info.run_id, Path(folder))
            except Damaged as error:
                left.append(str(error))
                continue
            if result is not None:
                model = Path(folder) / "model"
                yield result, model if model.is_dir() else None


@contextlib.contextmanager
def fetched_run(uri: str, run_id: str) -> Iterator[Path]:
    """A folder with `result.json` and `model/` of one run, gone when the block ends.

    Raises:
        UsageError: there is no such run, or it has no result.
        TsbenchError: the store cannot be used.
    """
    client = _client(uri)
    with tempfile.TemporaryDirectory(prefix="tsbench-run-") as folder:
        if _fetch(client, uri, run_id, Path(folder)) is None:
            raise UsageError(f"run {run_id} of MLflow at {shown(uri)} has no result.json; name the run of one cell")
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


def _ended(client: Any, experiments: list[str]) -> Iterator[Any]:
    token = None
    while experiments:
        page = client.search_runs(
            experiments, max_results=PAGE, order_by=["attributes.end_time DESC"], page_token=token
        )
        yield from (run for run in page if run.info.status in ENDED and "tsbench.key" in run.data.tags)
        if not (token := page.token):
            return


def _fetch(client: Any, uri: str, run_id: str, folder: Path) -> Result | None:
    """Download the result and model of a run; None if it has no result."""
    with _reachable(uri):
        top = {item.path: item for item in client.list_artifacts(run_id)}
        if "result.json" not in top:
            return None
        path = Path(client.download_artifacts(run_id, "result.json", str(folder)))
        try:
            result = read_record(path.read_bytes(), f"run {run_id}: result.json")
        except TsbenchError as error:
            raise Damaged(str(error)) from None
        there = {item.path: item.file_size for item in client.list_artifacts(run_id, "model")} if "model" in top else {}
        for part in PARTS:
            if part in there:
                (folder / "model").mkdir(exist_ok=True)
                size = Path(client.download_artifacts(run_id, part, str(folder / "model"))).stat().st_size
                if there[part] not in (None, size):
                    raise Damaged(f"run {run_id}: {part} has {size} bytes, not {there[part]}; try again")
    return result


@contextlib.contextmanager
def _reachable(uri: str) -> Iterator[None]:
    """Whatever a store or the network raises becomes one error."""
    try:
        yield
    except TsbenchError:
        raise
    except Exception as error:
        told = str(error).splitlines()[0][:300] if str(error) else type(error).__name__
        raise TsbenchError(f"MLflow at {shown(uri)}: {told}") from error
