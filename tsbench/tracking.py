"""Show results in MLflow. A separate process sends what the results folder holds; training never waits for it.

The result files are the truth. What a store missed because it was down, slow or interrupted is sent by the next
run or by `tsbench sync`. Training code never imports this module.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from tsbench.address import shown
from tsbench.errors import TsbenchError, UsageError
from tsbench.store import Result, Store, read_json, write_json

if TYPE_CHECKING:
    from tsbench.mlflow_parents import Parent

#: Set before mlflow is imported: no usage reports; a store that is down is given up on in seconds; and no call is sent
#: twice, which could make two runs of one result. What fails is sent again by us, who look for it first.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
POLL_SECONDS = 1.0
FOLLOWED = "TSBENCH_FOLLOWED"  # environment variable: where the follower sends results
MOST_PROBLEMS = 3  # in a row from the start: then the store is down


def tracking_uri(store: Store, wanted: str) -> str:
    """The URI to use: the one wanted, or SQLite in the results folder.

    Raises:
        UsageError: none is wanted.
    """
    if wanted == "none":
        raise UsageError("--tracking none (or MLFLOW_TRACKING_URI=none) names no MLflow store")
    return wanted or f"sqlite:///{store.root / 'mlflow.db'}"


class Follower:
    """A background process that sends results while they are made."""

    def __init__(self, store: Store, uri: str) -> None:
        self.store, self.uri = store, uri
        command = [sys.executable, "-m", "tsbench.tracking", str(store.root)]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**ENVIRONMENT, **os.environ, FOLLOWED: uri},  # arguments may be seen by other users
            start_new_session=True,
        )

    def finish(self, patience: float = 60.0) -> str:
        """Let it send the rest; give up if it says nothing for `patience` seconds. Returns a sentence for the user."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        said: list[str] = []
        heard = [time.monotonic()]

        def listen() -> None:
            for line in self.process.stdout or ():
                said.append(line.strip())
                heard[0] = time.monotonic()

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        while self.process.poll() is None and time.monotonic() - heard[0] < patience:
            thread.join(0.1)
        if self.process.poll() is None:
            self.process.kill()
            return f"MLflow at {shown(self.uri)} is slow; what it misses is sent by `tsbench sync`"
        thread.join(5)
        return said[-1] if said else f"MLflow at {shown(self.uri)} could not be used; try `tsbench sync`"


def sync(store: Store, uri: str, report: Any = lambda sent: None) -> int:
    """Send every result that the store at `uri` does not have yet; returns how many.

    Raises:
        TsbenchError: the store cannot be used; nothing is lost.
    """
    problems: list[str] = []
    sent = 0
    with store.lock("tracking"):
        if not any(unsent(store, uri)) and not _unsent_studies(store, uri) and not _stale(_marks(store, uri)):
            return 0
        try:
            tracker = Tracker(store, uri)
        except Exception as error:  # whatever a store or network can raise: the results stay where they are
            raise TsbenchError(f"MLflow at {shown(uri)}: {_first_line(error)}") from error
        jobs: list[partial[Any]] = [partial(tracker.send, path) for path in unsent(store, uri)]
        jobs += [partial(tracker.send_study, path) for path in _unsent_studies(store, uri)]
        for job in [*jobs, partial(tracker.update_parents)]:  # one that fails does not keep back the others
            try:
                sent += job() is True  # a result; studies and parents do not count
                report(sent)
            except Exception as error:
                problems.append(_first_line(error))
                if len(problems) >= MOST_PROBLEMS and not sent:
                    break
    if problems:
        raise TsbenchError(f"MLflow at {shown(uri)}: {sent} sent, {len(problems)} not: {problems[0]}")
    return sent


def unsent(store: Store, uri: str) -> Iterator[Path]:
    """Files of results that the store at `uri` was not sent."""
    sent = _marks(store, uri)
    for path in sorted(store.path("cells", "").glob("*.json")):
        if not (sent / path.stem).exists():
            yield path
    for path in sorted(store.path("failures", "").glob("*.json")):
        with contextlib.suppress(FileNotFoundError):  # just made good
            name = _failure_name(path, path.stat().st_mtime_ns)
            if name and not (sent / name).exists():
                yield path


@cache
def _failure_name(path: Path, changed: int) -> str | None:
    """What a failure is sent as, read again only if its file `changed`; None of a file that cannot be read."""
    try:
        return _name(path, read_json(path))
    except TsbenchError:
        return None


def _name(path: Path, result: Result) -> str:
    """What a result is sent as: a cell is finished once, and may fail in every invocation."""
    return f"{path.stem}-{result['invocation']}" if result["status"] == "failed" else path.stem


def _marks(store: Store, uri: str) -> Path:
    """The folder with one file for each thing that was sent to `uri`, holding its run id."""
    return store.path("tracking", hashlib.sha256(uri.encode()).hexdigest()[:12])


def results_id(store: Store) -> str:
    """A name of this results folder that no other has, so that a shared server tells whose a run is."""
    path = store.path("tracking", "id")
    with store.lock("id"):
        if not path.exists():
            write_json(path, uuid.uuid4().hex)
    return str(read_json(path))


def _unsent_studies(store: Store, uri: str) -> list[Path]:
    marks = _marks(store, uri)
    return [p for p in store.path("studies", "").glob("*.json") if not (marks / _study_mark(p)).exists()]


def _stale(marks: Path) -> list[Path]:
    """Parents that may not agree yet with the runs that were sent below them."""
    return sorted((marks / "stale").glob("*"))


def _study_mark(path: Path) -> str:
    return f"study-{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


class Tracker:
    """Writes results to one MLflow store: runs of results below those of models, data sets and studies."""

    def __init__(self, store: Store, uri: str) -> None:
        os.environ.update({k: v for k, v in ENVIRONMENT.items() if k not in os.environ})
        self.store, self.uri = store, uri
        self.marks = _marks(store, uri)
        for folder in ("begun", "stale"):
            (self.marks / folder).mkdir(parents=True, exist_ok=True)
        if uri.startswith("sqlite:///"):
            create_database(Path(uri.removeprefix("sqlite:///")))
        from mlflow import MlflowClient

        from tsbench.mlflow_parents import Parents

        self.client = MlflowClient(uri)
        self.results = results_id(store)
        self.experiments: dict[str, str] = {}
        self.parents = Parents(self.client, self._experiment)

    def send(self, path: Path) -> bool:
        """Create, fill and end the run of one result; a half-sent one from an interrupted sync is replaced.

        False if there is none to send: a failure was just made good, or a file is damaged, which `report` names.
        """
        from tsbench import mlflow_runs

        try:
            result = read_json(path)
        except (FileNotFoundError, TsbenchError):
            return False
        name = _name(path, result)
        parent, above = mlflow_runs.parents_of(result, self.results)
        experiment = self._experiment(parent.family)
        begun = self.marks / "begun" / name
        if begun.exists() and (run_id := self._sent_before(experiment, name)):
            self._sent(name, run_id)
            return True
        begun.touch()
        started = mlflow_runs.milliseconds(result["started"])
        for stale in (parent, above):  # marked before anything is sent, so that no interruption leaves them wrong
            self._mark_stale(stale, started)
        tags = mlflow_runs.tags(name, result, self.results, parent)
        tags["mlflow.parentRunId"] = self.parents.run_of(parent, started)
        run_id = self.client.create_run(experiment, start_time=started, tags=tags).info.run_id
        mlflow_runs.fill(self.client, run_id, result, parent)
        mlflow_runs.attach(self.client, run_id, result, self.store)
        ended = mlflow_runs.milliseconds(result["finished"])
        self.client.set_terminated(run_id, mlflow_runs.ENDS[result["status"]], ended)
        self._sent(name, run_id)
        return True

    def _sent(self, name: str, run_id: str) -> None:
        (self.marks / name).write_text(run_id)
        (self.marks / "begun" / name).unlink()

    def _sent_before(self, experiment: str, name: str) -> str | None:
        """The run of a result that was sent to its end, whose mark an interruption prevented; deletes unended ones."""
        mine = f"tags.`tsbench.name` = '{name}' and tags.`tsbench.results` = '{self.results}'"
        ended = None
        for run in self.client.search_runs([experiment], mine):
            if run.info.status == "RUNNING":
                self.client.delete_run(run.info.run_id)
            else:
                ended = run.info.run_id
        return ended

    def _experiment(self, family: str) -> str:
        from mlflow import MlflowException

        name = f"tsbench/{family}"
        if name not in self.experiments:
            found = self.client.get_experiment_by_name(name)
            if not found:
                folder = self.store.path("mlflow-artifacts", family)
                location = folder.as_uri() if self.uri.startswith("sqlite") else None
                with contextlib.suppress(MlflowException):  # another sender may have made it just now
                    self.client.create_experiment(name, artifact_location=location)
                found = self.client.get_experiment_by_name(name)
                assert found, f"no experiment {name}, and none can be made"
            self.experiments[name] = found.experiment_id
        return self.experiments[name]

    def _mark_stale(self, parent: Parent, started: int) -> None:
        path = self.marks / "stale" / parent.id
        if not path.exists():
            write_json(path, {"parent": asdict(parent), "started": started})

    def update_parents(self) -> None:
        """Make the runs above those that were sent agree with them: models first, as data sets rest on them."""
        from tsbench.mlflow_parents import Parent

        marked = [(path, read_json(path)) for path in _stale(self.marks)]
        parents = [(Parent(**about["parent"]), about["started"], path) for path, about in marked]
        for parent, started, path in sorted(parents, key=lambda item: item[0].level == "dataset"):
            self.parents.update(parent, started)
            path.unlink()

    def send_study(self, path: Path) -> None:
        """Bring the run of a study up to date; tags, unlike parameters, may change as it goes on."""
        from mlflow.entities import Metric, RunTag

        from tsbench.mlflow_parents import Parent
        from tsbench.mlflow_runs import metric_name
        from tsbench.studies import read_study

        study = read_json(path)
        mark = _study_mark(path)
        parent = Parent(
            study["family"],
            study.get("label", study["dataset"]),
            study["protocol"],
            study=path.stem,
            results=self.results,
        )
        now = int(time.time() * 1000)
        run_id = self.parents.run_of(parent, now)
        values = {k: study[k] for k in ("trials", "pruned", "best_value")}
        tags = {f"best.{k}": str(v) for k, v in study["best"].items()} | {"model": study["model"]}
        metrics = [Metric(metric_name(k), float(v), now, 0) for k, v in values.items()]
        self.client.log_batch(run_id, metrics, tags=[RunTag(k, v) for k, v in tags.items()])
        self.client.log_dict(run_id, study, "study.json")
        if drawn := read_study(path):
            for name, chart in drawn.charts().items():
                self.client.log_text(run_id, chart, f"charts/{name}.svg")
        if study["finished"]:
            self.client.set_terminated(run_id)
        (self.marks / mark).touch()


def _first_line(error: Exception) -> str:
    return shown(str(error).splitlines()[0])[:300] if str(error) else type(error).__name__


def create_database(path: Path) -> None:
    """Create an MLflow SQLite store if there is none: elsewhere first, then in one rename, so that processes that
    start together cannot meet it half made (which breaks it for good), with a write-ahead log."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            return
        temporary = path.with_suffix(f".{os.getpid()}.new")
        from mlflow import MlflowClient

        MlflowClient(f"sqlite:///{temporary}").search_experiments()
        with sqlite3.connect(temporary) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
        connection.close()
        os.replace(temporary, path)


def follow(store: Store, uri: str) -> None:
    """Send results as they come, until standard input closes; then the rest. Prints how it went."""
    over = threading.Event()

    def wait_for_end() -> None:
        sys.stdin.read()
        over.set()

    threading.Thread(target=wait_for_end, daemon=True).start()
    os.nice(10)  # training goes first
    total = 0
    while True:
        last = over.is_set()
        problem = ""
        try:
            total += sync(store, uri, lambda sent: _say(f"sending: {sent}"))
        except (TsbenchError, Timeout) as error:
            problem = str(error)
        if last:
            _say(f"{problem}; `tsbench sync` sends what it misses" if problem else f"{total} runs sent to MLflow")
            return
        over.wait(30 * POLL_SECONDS if problem else POLL_SECONDS)


def _say(line: str) -> None:
    """Tell the parent, if it is still there."""
    with contextlib.suppress(BrokenPipeError):
        print(line, flush=True)


if __name__ == "__main__":
    follow(Store(sys.argv[1]), os.environ[FOLLOWED])
