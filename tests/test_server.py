"""A tracking server on a real PostgreSQL, killed in the middle; and the MLproject, run by MLflow itself."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.conftest import ROOT
from tests.test_tracking import free_port
from tsbench import mlflow_runs
from tsbench.errors import TsbenchError
from tsbench.plan import Suite, make_plan
from tsbench.run import Options, run_cell
from tsbench.store import Store
from tsbench.tracking import sync

pytestmark = pytest.mark.slow


class Served:
    """`python mlflow/serve.py` in a folder that the user who runs PostgreSQL can reach."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        command = [sys.executable, str(ROOT / "mlflow" / "serve.py"), "--own-postgres", str(self.folder)]
        command += ["--artifacts", str(self.folder / "artifacts"), "--port", str(self.port), "--workers", "1"]
        with (self.folder / "serve.log").open("a") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        ready = any("tracking server ready" in line for line in self.process.stdout)  # MLflow says things before
        assert ready, (self.folder / "serve.log").read_text()

    def processes(self) -> list[psutil.Process]:
        if self.process is None or not psutil.pid_exists(self.process.pid):
            return []
        whole = psutil.Process(self.process.pid)
        return [whole, *whole.children(recursive=True)]

    def kill(self) -> None:
        """Everything at once: server, workers and database."""
        for process in self.processes():
            process.kill()
        assert self.process is not None
        self.process.wait(30)

    def stop(self) -> list[psutil.Process]:
        """Ctrl-C; returns what is left alive."""
        all_of_it = self.processes()
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(150)  # what serve.py gives server and database
        return psutil.wait_procs(all_of_it, timeout=10)[1]


@pytest.fixture
def served() -> Iterator[Served]:
    pytest.importorskip("psycopg", reason="no PostgreSQL driver; pip install 'tsbench[server]'")
    if not (shutil.which("initdb") or list(Path("/usr/lib/postgresql").glob("*/bin/initdb"))):
        pytest.skip("no PostgreSQL: no program initdb")
    folder = Path(tempfile.mkdtemp(prefix="tsb-"))  # not below pytest's folder, which only we may enter
    server = Served(folder)
    try:
        yield server
    finally:
        if server.process and server.process.poll() is None:
            server.kill()
        shutil.rmtree(folder, ignore_errors=True)


def runs(address: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(address)
    return list(client.search_runs([e.experiment_id for e in client.search_experiments()], max_results=1000))


def run_seeds(store: Store, seeds: list[int]) -> None:
    """Run what is missing, in this process: the commands have tests of their own."""
    plan = make_plan(Suite("", ("sktime/airline/12",), ("dlinear:epochs=2", "repeat")), seeds, {}, Path())
    for key, cell in plan.open_cells(store).items():
        assert run_cell(cell, key, store, Options(Path())) == "finished"


def test_a_server_killed_in_the_middle_gets_the_rest_once(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "results")
    run_seeds(store, [1, 2])
    served.start()
    attach, calls = mlflow_runs.attach, Counter[str]()

    def kill_at_second(*arguments: Any) -> None:
        calls["attach"] += 1
        if calls["attach"] == 2:
            served.kill()
        attach(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(mlflow_runs, "attach", kill_at_second)
        with pytest.raises(TsbenchError, match="1 sent"):
            sync(store, served.address)
    served.start()
    assert sync(store, served.address) == 2
    run_seeds(store, [1, 2, 3])
    assert sync(store, served.address) == 1

    found = runs(served.address)
    names = Counter(r.data.tags["tsbench.name"] for r in found if r.data.tags["level"] == "seed")
    assert len(names) == 4
    assert set(names.values()) == {1}
    assert {r.info.status for r in found} == {"FINISHED"}
    seeds = {r.data.tags["variant"]: r.data.metrics["seeds"] for r in found if r.data.tags["level"] == "model"}
    assert seeds == {"dlinear:epochs=2": 3, "repeat": 1}
    kept = [path for path in (served.folder / "artifacts").rglob("result.json") if path.stat().st_size]
    assert len(kept) >= 4
    assert (os.stat(served.folder / "data").st_mode & 0o077) == 0
    assert served.stop() == []


def test_mlflow_runs_the_project(tmp_path: Path) -> None:
    suite = tmp_path / "tiny.toml"
    suite.write_text('title = "Tiny"\ndatasets = ["sktime/airline/12"]\nmodels = ["repeat"]\n')
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "TSBENCH_"))}
    environment |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
    command = [sys.executable, "-m", "mlflow", "run", str(ROOT / "mlflow"), "--env-manager", "local", "-e", "suite"]
    command += ["-P", f"suite={suite}", "-P", f"results={tmp_path / 'results'}", "-P", f"data={tmp_path}"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    (result,) = Store(tmp_path / "results").results()
    assert result["suite"] == "tiny"
    levels = Counter(r.data.tags.get("level", "project") for r in runs(environment["MLFLOW_TRACKING_URI"]))
    assert levels == {"seed": 1, "model": 1, "dataset": 1, "project": 1}


def test_a_password_need_not_be_an_argument(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "mlflow" / "serve.py"), "--artifacts", str(tmp_path)]
    environment = {k: v for k, v in os.environ.items() if k != "TSBENCH_POSTGRES"}
    none = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert none.returncode == 2
    assert "TSBENCH_POSTGRES" in none.stderr
    environment["TSBENCH_POSTGRES"] = f"postgresql://me:secret@127.0.0.1:{free_port()}/mlflow"
    named = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert named.returncode == 2
    assert "serve: --postgres: " in named.stderr, "it tried to connect"
    assert "secret" not in named.stderr + named.stdout
