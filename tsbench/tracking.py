"""Show results in MLflow. A separate process sends what the results folder holds; training never waits for it.

The result files are the truth. What a store missed because it was down, slow or interrupted is sent by the next
run or by `tsbench sync`. Training code never imports this module.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tsbench.errors import TsbenchError, UsageError
from tsbench.registry import task_from_record, task_kinds
from tsbench.store import Result, Store, read_json, write_json

#: Set before mlflow is imported: no usage reports, and a store that is down is given up on in seconds.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}
POLL_SECONDS = 1.0
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
        command = [sys.executable, "-m", "tsbench.tracking", str(store.root), uri]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**ENVIRONMENT, **os.environ},
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
            return f"MLflow at {self.uri} is slow; what it misses is sent by `tsbench sync`"
        thread.join(5)
        return said[-1] if said else f"MLflow at {self.uri} could not be used; try `tsbench sync`"


def sync(store: Store, uri: str, report: Any = lambda sent: None) -> int:
    """Send every result that the store at `uri` does not have yet; returns how many.

    Raises:
        TsbenchError: the store cannot be used; nothing is lost.
    """
    problems: list[str] = []
    sent = 0
    with store.lock("tracking"):
        if not any(unsent(store, uri)) and not _unsent_studies(store, uri):
            return 0
        try:
            tracker = Tracker(store, uri)
        except Exception as error:  # whatever a store or network can raise: the results stay where they are
            raise TsbenchError(f"MLflow at {uri}: {_first_line(error)}") from error
        jobs = [partial(tracker.send, name, result) for name, result in unsent(store, uri)]
        jobs += [partial(tracker.send_study, path) for path in _unsent_studies(store, uri)]
        for job in jobs:  # one that cannot be sent does not keep back the others
            try:
                job()
                sent += job.func == tracker.send
                report(sent)
            except Exception as error:
                problems.append(_first_line(error))
                if len(problems) >= MOST_PROBLEMS and not sent:
                    break
    if problems:
        raise TsbenchError(f"MLflow at {uri}: {sent} sent, {len(problems)} not: {problems[0]}")
    return sent


def unsent(store: Store, uri: str) -> Iterator[tuple[str, Result]]:
    """Results the store at `uri` was not sent: finished cells by key, failures by key and invocation."""
    sent = _marks(store, uri)
    for kind in ("cells", "failures"):
        for path in sorted(store.path(kind, "").glob("*.json")):
            if kind == "cells" and (sent / path.stem).exists():
                continue
            try:
                result = read_json(path)
            except (FileNotFoundError, TsbenchError):
                continue  # a failure that was just made good, or a damaged file, which `report` names
            name = path.stem if kind == "cells" else f"{path.stem}-{result['invocation']}"
            if not (sent / name).exists():
                yield name, result


def _marks(store: Store, uri: str) -> Path:
    """The folder with one file for each thing that was sent to `uri`, holding its run id."""
    return store.path("tracking", hashlib.sha256(uri.encode()).hexdigest()[:12])


def _results_id(store: Store) -> str:
    """A name of this results folder that no other has, so that a shared server tells whose a run is."""
    path = store.path("tracking", "id")
    if not path.exists():
        write_json(path, uuid.uuid4().hex)
    return str(read_json(path))


def _unsent_studies(store: Store, uri: str) -> list[Path]:
    marks = _marks(store, uri)
    return [p for p in store.path("studies", "").glob("*.json") if not (marks / _study_mark(p)).exists()]


def _study_mark(path: Path) -> str:
    return f"study-{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:12]}"


class Tracker:
    """Writes results to one MLflow store."""

    def __init__(self, store: Store, uri: str) -> None:
        os.environ.update({k: v for k, v in ENVIRONMENT.items() if k not in os.environ})
        self.store, self.uri = store, uri
        self.marks = _marks(store, uri)
        (self.marks / "begun").mkdir(parents=True, exist_ok=True)
        if uri.startswith("sqlite:///"):
            create_database(Path(uri.removeprefix("sqlite:///")))
        from mlflow import MlflowClient

        self.client = MlflowClient(uri)
        self.results = _results_id(store)
        self.experiments: dict[str, str] = {}

    def send(self, name: str, result: Result) -> None:
        """Create, fill and end the run of one result; a half-sent one from an interrupted sync is replaced."""
        experiment = self._experiment_of(result)
        begun = self.marks / "begun" / name
        if begun.exists():
            mine = f"tags.`tsbench.name` = '{name}' and tags.`tsbench.results` = '{self.results}'"
            for run in self.client.search_runs([experiment], f"{mine} and attributes.status = 'RUNNING'"):
                self.client.delete_run(run.info.run_id)
        begun.touch()
        run_id = self.client.create_run(
            experiment, start_time=_milliseconds(result["started"]), tags=self._tags(name, result)
        ).info.run_id
        self._fill(run_id, result)
        ended = {"finished": "FINISHED", "pruned": "KILLED", "failed": "FAILED"}[result["status"]]
        self.client.set_terminated(run_id, ended, _milliseconds(result["finished"]))
        (self.marks / name).write_text(run_id)
        begun.unlink()

    def _experiment(self, family: str) -> str:
        name = f"tsbench/{family}"
        if name not in self.experiments:
            found = self.client.get_experiment_by_name(name)
            if found:
                self.experiments[name] = found.experiment_id
            else:
                folder = self.store.path("mlflow-artifacts", family)
                location = folder.as_uri() if self.uri.startswith("sqlite") else None
                self.experiments[name] = self.client.create_experiment(name, artifact_location=location)
        return self.experiments[name]

    def _tags(self, name: str, result: Result) -> dict[str, str]:
        cell, made, data = result["cell"], result["environment"], result.get("data", {})
        tags = {
            "mlflow.runName": f"{cell['dataset']} {result['variant']} seed {cell['seed']}",
            "mlflow.source.name": "tsbench",
            "mlflow.source.git.commit": (made.get("git") or "").removesuffix("+changes"),
            "tsbench.name": name,
            "tsbench.results": self.results,
            "tsbench.key": result["key"],
            "tsbench.suite": result["suite"] or "",
            "tsbench.status": result["status"],
            "tsbench.generated_data": str(data.get("generated", "")),
            "tsbench.selected_on_test": str(data.get("selected_on_test", "")),
            "tsbench.code": result.get("code", ""),
            "tsbench.device": result["device"],
            **{f"environment.{key}": str(value) for key, value in made.items()},
        }
        if "reason" in result:
            tags["mlflow.note.content"] = f"{result['status']}: {result['reason']}"
        if cell["study"]:
            tags["mlflow.parentRunId"] = self._study_run(cell["study"], self._experiment_of(result))
        return {key: value[:5000] for key, value in tags.items() if value}

    def _experiment_of(self, result: Result) -> str:
        family = result["data"]["family"] if "data" in result else result["cell"]["dataset"].split("/")[0]
        return self._experiment(family or "files")

    def _fill(self, run_id: str, result: Result) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param

        cell = result["cell"]
        named = {k: cell[k] for k in ("dataset", "protocol", "model", "seed")}
        values = {
            **named,
            "variant": result["variant"],
            **{f"set.{k}": v for k, v in cell["settings"].items()},
        }
        params = [Param(key, str(value)[:6000]) for key, value in values.items()]
        when = _milliseconds(result["finished"])
        metrics = [Metric(_name(k), float(v), when, 0) for k, v in _final(result).items()]
        for epoch, curve in enumerate(result.get("curves", []), 1):
            metrics += [Metric(_name(f"epoch/{k}"), float(v), when, epoch) for k, v in curve.items()]
        for at in range(0, max(len(metrics), 1), 900):  # the store's limit is 1,000 values a call
            self.client.log_batch(run_id, metrics[at : at + 900], params[:90] if at == 0 else [])
        if "data" in result:
            data = result["data"]
            source = json.dumps(data["sources"] or {"generated" if data["generated"] else "carried by a package": True})
            profile = json.dumps(
                {"samples": data["samples"], "protocol": cell["protocol"], "generated": data["generated"]}
            )
            about = Dataset(data["name"], data["digest"][:36], "tsbench", source, profile=profile)
            tags = [InputTag("mlflow.data.context", f"protocol {cell['protocol']}")]
            self.client.log_inputs(run_id, [DatasetInput(about, tags)])
        self._attach(run_id, result)

    def _attach(self, run_id: str, result: Result) -> None:
        """Result file, model and plots."""
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            (folder / "result.json").write_text(json.dumps(result, indent=1))
            if "examples" in result:
                figure = task_kinds()[result["task"]["kind"]].figure(result["examples"])
                (folder / "examples.svg").write_text(figure)
            for split, tables in result.get("tables", {}).items():
                for name, chart in task_from_record(result["task"]).charts(tables).items():
                    (folder / f"{split}_{name}.svg").write_text(chart)
            self.client.log_artifacts(run_id, str(folder))
        model = self.store.path("artifacts", result["key"])
        if model.is_dir():
            self.client.log_artifacts(run_id, str(model), "model")

    def _study_run(self, study: str, experiment: str) -> str:
        """The parent run of a study, made once."""
        mark = self.marks / f"study-{study}"
        if not mark.exists():
            found = self.client.search_runs([experiment], f"tags.`tsbench.study` = '{study}'")
            tags = {"mlflow.runName": f"study {study}", "tsbench.study": study}
            run_id = found[0].info.run_id if found else self.client.create_run(experiment, tags=tags).info.run_id
            mark.write_text(run_id)
        return mark.read_text()

    def send_study(self, path: Path) -> None:
        """Bring the parent run of a study up to date; tags, unlike parameters, may change as it goes on."""
        from mlflow.entities import Metric, RunTag

        study = read_json(path)
        run_id = self._study_run(path.stem, self._experiment(study["family"]))
        now = int(time.time() * 1000)
        values = {k: study[k] for k in ("trials", "pruned", "best_value")}
        tags = {f"best.{k}": str(v) for k, v in study["best"].items()}
        tags |= {k: str(study[k]) for k in ("dataset", "model", "protocol")}
        metrics = [Metric(_name(k), float(v), now, 0) for k, v in values.items()]
        self.client.log_batch(run_id, metrics, tags=[RunTag(k, v) for k, v in tags.items()])
        self.client.log_dict(run_id, study, "study.json")
        if study["finished"]:
            self.client.set_terminated(run_id)
        (self.marks / _study_mark(path)).touch()


def _final(result: Result) -> dict[str, float]:
    """The numbers of a result that are no curves."""
    values = {f"{split}/{m}": v for split, scores in result.get("scores", {}).items() for m, v in scores.items()}
    values |= {f"seconds/{part}": v for part, v in result["seconds"].items()}
    values |= {f"cpu_seconds/{part}": v for part, v in result["cpu_seconds"].items()}
    values |= {f"measured/{name}": v for name, v in result.get("measured", {}).items()}
    extra = {k: result.get(k) for k in ("parameters", "peak_memory_mb", "gpu_memory_mb")}
    return values | {k: v for k, v in extra.items() if v is not None}


def _name(metric: str) -> str:
    """A name that MLflow takes: `recall@10` becomes `recall_at_10`."""
    return re.sub(r"[^\w\-. :/]", "_", metric.replace("@", "_at_"))


def _milliseconds(when: str) -> int:
    from datetime import datetime

    return int(datetime.fromisoformat(when).timestamp() * 1000)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0][:300] if str(error) else type(error).__name__


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
    follow(Store(sys.argv[1]), sys.argv[2])
