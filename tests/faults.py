"""Faults, done to real processes: each leaves a ledger of what was finished, lost and done twice.

`test_faults.py` does the short ones once, `benchmarks/faults.py` all many times.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import requests

from tests.conftest import SHARED, Running
from tests.test_download import Server
from tsbench.plan import Suite, make_plan
from tsbench.store import Store
from tsbench.tracking import create_database

MODELS = ("dlinear:epochs=60,patience=0", "nlinear:epochs=60,patience=0")
SEEDS = (2021, 2022, 2023, 2024, 2025)
RUN = ("run", "--dataset", "sktime/airline/12", "--seeds", len(SEEDS), "--no-report")
TEN = (*RUN, *(word for model in MODELS for word in ("--model", model)))
FIVE = (*RUN, "--model", MODELS[0])
TUNE = ("tune", *RUN[1:3], "--model", "dlinear:epochs=15", "--trials", "6", "--seeds", "1")
ENDED = re.compile(r"^\[ *\d+/\d+\] (.+? seed \d+)  (?!.*by another runner)(?!FAILED)", re.MULTILINE)


class Impossible(Exception):
    """A fault that cannot be made on this machine, and why."""


class Ledger:
    """What became of the cells in one results folder, through faults."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, Store(folder / "results")
        self.seen: dict[str, str] = {}  # when each finished cell was finished
        self.lost = self.again = 0
        self.codes: list[int] = []
        self.told = ""

    def look(self) -> int:
        """How many cells are finished now; one that was, and is not or is anew, was lost or done again."""
        now = {r["key"]: r["finished"] for r in self.store.results()}
        self.lost += len(self.seen.keys() - now.keys())
        self.again += sum(now[key] != when for key, when in self.seen.items() if key in now)
        self.seen = now
        return len(now)

    def until(self, cells: int, *running: Running) -> None:
        """Wait for that many finished cells, or for the commands' end."""
        while self.look() < cells and any(command.alive() for command in running):
            time.sleep(0.01)

    def end(self, running: Running) -> None:
        """Wait for a command's end and write down what it said."""
        done = running.end()
        self.codes.append(done.returncode)
        self.told += done.stdout + done.stderr
        self.look()

    @property
    def twice(self) -> int:
        """Cells that ran to their end more than once, by the store or by what commands said."""
        return max(self.again, sum(times - 1 for times in Counter(ENDED.findall(self.told)).values()))

    def database(self) -> Path:
        """An empty MLflow store in the results folder; making its tables takes seconds, so they are made once."""
        self.store.root.mkdir()
        return Path(shutil.copy(empty_database(), self.store.root / "mlflow.db"))

    def sent(self, uri: str) -> None:
        """Compare with MLflow, where every finished cell must have one run, which ended."""
        from mlflow import MlflowClient

        client = MlflowClient(uri)
        found = client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1000)
        runs = [run for run in found if run.data.tags.get("tsbench.name") in self.seen]
        times = Counter(run.data.tags["tsbench.name"] for run in runs if run.info.status == "FINISHED")
        self.lost += len(self.seen.keys() - times.keys())
        self.again += len(runs) - len(times)

    def trials(self, wanted: int) -> int:
        """Count the trials that ended, by Optuna, in place of cells; returns how many must have."""
        import optuna

        storage = f"sqlite:///{self.store.root / 'optuna.db'}"
        (name,) = optuna.get_all_study_names(storage)
        trials = optuna.load_study(study_name=name, storage=storage).trials
        self.seen = {str(trial.number): "" for trial in trials if trial.state.name in ("COMPLETE", "PRUNED")}
        return wanted

    def holder(self, key: str) -> int | None:
        """The process that is at a cell."""
        path = self.store.path("locks", f"{key}.lock")
        inode = path.stat().st_ino if path.exists() else -1
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if "FLOCK" in words and words[5 + (words[1] == "->")].endswith(f":{inode}"):
                return int(words[4 + (words[1] == "->")])
        return None


@dataclass(frozen=True)
class Fault:
    """A fault and what must come of it.

    Attributes:
        do: makes it in an empty folder; how many things must be finished in the end.
        codes: the exit codes of the commands, in order.
        reason: what they must have said.
    """

    do: Callable[[Ledger, random.Random], int]
    codes: tuple[int, ...]
    reason: str = ""


def runner_killed(ledger: Ledger, luck: random.Random) -> int:
    """SIGKILL the command three times, at any moment."""
    for _ in range(3):
        running = Running(ledger.folder, *TEN)
        ledger.until(ledger.look() + 1, running)
        time.sleep(luck.uniform(0, 0.3))
        running.kill()
        ledger.end(running)
    ledger.end(Running(ledger.folder, *TEN))
    return 10


def worker_killed(ledger: Ledger, luck: random.Random) -> int:
    """SIGKILL one of two workers."""
    cells = keys(MODELS)
    running = Running(ledger.folder, *TEN, "--jobs", 2)
    ledger.until(luck.randint(1, 5), running)
    while not (busy := [pid for key in cells if (pid := ledger.holder(key))]):
        assert running.alive()
    os.kill(luck.choice(busy), signal.SIGKILL)
    ledger.end(running)
    return 10


def memory_eaten(ledger: Ledger, luck: random.Random) -> int:
    """SIGKILL whoever is at a certain cell, as the system does when memory runs out."""
    eater = "dlinear:epochs=1000000,patience=0"
    models = (word for model in (eater, *MODELS) for word in ("--model", model))
    command = (*RUN[:3], *models, "--seeds", 1, "--no-report", "--jobs", 2)
    victims = keys([eater], SEEDS[:1])
    running = Running(ledger.folder, *command)
    while running.alive():
        for pid in filter(None, map(ledger.holder, victims)):
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.2)
        time.sleep(0.05)
    ledger.end(running)
    return 2


def memory_refused(ledger: Ledger, luck: random.Random) -> int:
    """A model larger than the memory that the command may take."""
    large = "patch_transformer:width=160000,heads=1,layers=1,epochs=1"
    running = Running(ledger.folder, *RUN[:3], "--seeds", 1, "--no-report", "--model", large, "--model", MODELS[0])
    resource.prlimit(running.pid, resource.RLIMIT_AS, (60 << 30, 60 << 30))
    ledger.end(running)
    return 1


def two_runners(ledger: Ledger, luck: random.Random) -> int:
    """The same command twice at once."""
    first = Running(ledger.folder, *TEN)
    time.sleep(luck.uniform(0, 0.3))
    second = Running(ledger.folder, *TEN)
    ledger.until(10, first, second)
    ledger.end(first)
    ledger.end(second)
    return 10


def cell_locked(ledger: Ledger, luck: random.Random) -> int:
    """Another process holds a cell, and dies."""
    key = luck.choice(keys(MODELS))
    path = ledger.store.lock(key).lock_file
    hold = "import fcntl, sys, time; fcntl.flock(f := open(sys.argv[1], 'w'), 2); print(flush=True); time.sleep(999)"
    with at_work([sys.executable, "-c", hold, path]) as holder:
        running = Running(ledger.folder, *TEN)
        ledger.until(9, running)
        time.sleep(0.3)
        assert ledger.look() == 9, "the tenth is held"
        assert running.alive(), "and waited for"
        holder.kill()
        ledger.end(running)
    return 10


def loss_not_finite(ledger: Ledger, luck: random.Random) -> int:
    """A rate at which the loss is no number, among others at which it is."""
    ledger.end(Running(ledger.folder, *TEN[:5], "--model", "dlinear:lr=1e30", "--model", MODELS[0], "--no-report"))
    return 5


def disk_full(ledger: Ledger, luck: random.Random) -> int:
    """A disk for half of the results; then there is room."""
    with disk(ledger.store.root, 4096 + luck.randint(80, 160)) as grow:
        ledger.end(Running(ledger.folder, *TEN))
        assert 0 < len(ledger.seen) < 10, "it was full in the middle"
        assert [r for r in ledger.store.failures() if "the disk is full; make room" in r["reason"]]
        grow()
        ledger.end(Running(ledger.folder, *TEN))
    return 10


def database_locked(ledger: Ledger, luck: random.Random) -> int:
    """Another process holds the MLflow database for as long as the training takes; then the rest is sent."""
    database = ledger.database()
    hold = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE')"
    with at_work([sys.executable, "-c", f"{hold}; print(flush=True); time.sleep(999)", str(database)]):
        ledger.end(Running(ledger.folder, *FIVE, MLFLOW_TRACKING_URI=""))
    ledger.end(Running(ledger.folder, "sync", MLFLOW_TRACKING_URI=""))
    ledger.sent(f"sqlite:///{database}")
    return 5


def server_killed(ledger: Ledger, luck: random.Random) -> int:
    """SIGKILL the MLflow server while results are sent to it; started again, it is sent the rest."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = f"sqlite:///{ledger.database()}"
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--port", str(port)]
    command += ["--workers", "1", "--artifacts-destination", str(ledger.folder / "artifacts")]
    address = f"http://127.0.0.1:{port}"
    with served(command, address) as server:
        running = Running(ledger.folder, *FIVE, MLFLOW_TRACKING_URI=address)
        ledger.until(luck.randint(1, 4), running)
        time.sleep(luck.uniform(0, 2))
        os.killpg(server.pid, signal.SIGKILL)
        ledger.end(running)
    with served(command, address):
        ledger.end(Running(ledger.folder, "sync", MLFLOW_TRACKING_URI=address))
    ledger.sent(store)
    return 5


def tuner_killed(ledger: Ledger, luck: random.Random) -> int:
    """SIGKILL a study; the same command goes on with it."""
    running = Running(ledger.folder, *TUNE)
    ledger.until(luck.randint(1, 4), running)
    running.kill()
    ledger.end(running)
    ledger.end(Running(ledger.folder, *TUNE))
    return ledger.trials(6)


def two_tuners(ledger: Ledger, luck: random.Random) -> int:
    """The same study twice at once."""
    first = Running(ledger.folder, *TUNE)
    time.sleep(luck.uniform(0, 0.5))
    second = Running(ledger.folder, *TUNE)
    ledger.end(first)
    ledger.end(second)
    return ledger.trials(6)


def download_cut(ledger: Ledger, luck: random.Random) -> int:
    """The server breaks off a file again and again, until a second command finds it well."""
    file = "ltsf/national_illness.csv"
    if not (SHARED / file).is_file():
        raise Impossible(f"no real data: {SHARED} has no {file}")
    server = Server()
    server.content, server.breaks = (SHARED / file).read_bytes(), 99
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fetch = ("data", "fetch", "ltsf/ili", "--mirror", f"http://127.0.0.1:{server.server_port}")
    ledger.end(Running(ledger.folder, *fetch))
    server.breaks = luck.randint(0, 2)
    ledger.lost = (ledger.folder / "data" / file).exists()  # half a file under the name of a whole one
    ledger.end(Running(ledger.folder, *fetch))
    server.shutdown()
    server.server_close()
    ledger.end(Running(ledger.folder, "data", "check", "ltsf/ili"))
    if (ledger.folder / "data" / file).read_bytes() == server.content:
        ledger.seen = {file: ""}
    return 1


def keys(models: tuple[str, ...] | list[str], seeds: tuple[int, ...] = SEEDS) -> list[str]:
    """The cells of a command."""
    return [*make_plan(Suite("", ("sktime/airline/12",), tuple(models)), seeds, {}, Path("data")).cells]


@contextmanager
def at_work(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A process that has said its first line."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextmanager
def served(command: list[str], address: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server that answers at `address`."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    environment |= {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, env=environment, start_new_session=True, stdout=quiet, stderr=quiet)
    try:
        while True:
            assert server.poll() is None, "the server ended"
            with contextlib.suppress(requests.RequestException):
                if requests.get(f"{address}/health", timeout=5).ok:
                    break
            time.sleep(0.3)
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@cache
def empty_database() -> Path:
    """An MLflow store without runs."""
    path = Path(tempfile.mkdtemp()) / "mlflow.db"
    atexit.register(shutil.rmtree, path.parent)
    create_database(path)
    return path


@contextmanager
def disk(folder: Path, kilobytes: int) -> Iterator[Callable[[], object]]:
    """A disk of its own at `folder`, and what makes it larger."""
    folder.mkdir()
    made = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tsbench-test", str(folder)]
    if not shutil.which("mount") or subprocess.run(made, capture_output=True).returncode:
        raise Impossible("no disk can be mounted here (it takes root)")
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=64m", str(folder)], check=True)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


FAULTS = {
    "the runner is killed": Fault(runner_killed, (-9, -9, -9, 0)),
    "a worker is killed": Fault(worker_killed, (0,)),
    "memory runs out (killed)": Fault(memory_eaten, (1,), "its worker process died 2 times .killed.*memory ran out"),
    "memory runs out (refused)": Fault(memory_refused, (1,), "FAILED: memory ran out; use a smaller batch_size"),
    "two runners at once": Fault(two_runners, (0, 0)),
    "another process holds a cell": Fault(cell_locked, (0,)),
    "the loss is no number": Fault(loss_not_finite, (1,), "FAILED: .*try a lower lr"),
    "the MLflow server is killed": Fault(server_killed, (0, 0), "tsbench sync"),
    "the MLflow database is locked": Fault(database_locked, (0, 0), "tsbench sync"),
    "the tuner is killed": Fault(tuner_killed, (-9, 0)),
    "two tuners at once": Fault(two_tuners, (0, 0)),
    "a download breaks off": Fault(download_cut, (1, 0, 0), "Run the command again to continue"),
    "the disk is full": Fault(disk_full, (1, 0), "FAILED: the disk is full; make room"),
}
