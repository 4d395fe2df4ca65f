"""A real Ray cluster of two nodes on this machine, one of which is killed: every cell is finished, and written once."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.conftest import command_line
from tsbench import cluster as many
from tsbench.cell import identity, make_cell
from tsbench.cluster import Needs, needs_of
from tsbench.errors import TsbenchError, UsageError
from tsbench.registry import find_datasets
from tsbench.run import Options
from tsbench.store import Store

RAY = Path(sys.executable).with_name("ray")

#: A model of another package that says when it runs, takes its time, and ends as it is told to.
PROBE = '''
"""Probe: counts its fits."""
import os, time
from dataclasses import dataclass
from optuna.distributions import FloatDistribution
from tsbench.models.repeat import Repeat

@dataclass(frozen=True)
class ProbeConfig:
    """How it ends."""
    seconds: float = 0.0
    end: str = ""

class Probe(Repeat):
    """Repeat, slowly."""
    Config, stochastic = ProbeConfig, True
    search_space = {"seconds": FloatDistribution(0.0, 0.1)}
    def fit(self, train, validation, run):
        with open(os.environ["CALLS"], "a") as file:
            file.write(f"{self.config.end}{run.seed}\\n")
        time.sleep(self.config.seconds)
        if self.config.end == "raise":
            raise ValueError("told to raise")
        if self.config.end == "die":
            os._exit(3)
'''


class Cluster:
    """Nodes of one CPU each; their processes are ours to kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "token").write_text(secrets.token_hex(32))
        about = folder / "plug" / "probe-1.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Name: probe\nVersion: 1\n")
        (about / "entry_points.txt").write_text("[tsbench.models]\nprobe = probe\n")
        (folder / "plug" / "probe.py").write_text(PROBE)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("TSBENCH_", "MLFLOW_", "RAY_"))},
            **{"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")},
            **{"RAY_raylet_start_wait_time_s": "120", "PYTHONPATH": str(about.parent), "CALLS": str(folder / "calls")},
        }
        self.nodes: list[subprocess.Popen[bytes]] = []
        self.drivers: list[subprocess.Popen[str]] = []
        self.add("--head", "--port=0", f"--temp-dir={folder}/ray", "--include-dashboard=false")
        self.address = self.wait(0, r"--address='([\d.:]+)'")

    def add(self, *arguments: str) -> None:
        """Start a node, without waiting for it."""
        command = [str(RAY), "start", "--block", "--num-cpus=1", "--object-store-memory=80000000", *arguments]
        with open(self.folder / f"{len(self.nodes)}.log", "wb") as log:
            process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )
        self.nodes.append(process)

    def wait(self, node: int, said: str) -> str:
        """Wait until a node has said something; returns the group of the pattern."""
        log = self.folder / f"{node}.log"
        for _ in range(900):
            if found := re.search(said, log.read_text()):
                return found[1]
            if self.nodes[node].poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(log.read_text())

    def kill(self, node: int) -> None:
        """SIGKILL a node with all its processes, as a power cut."""
        root = psutil.Process(self.nodes[node].pid)
        for process in [root, *root.children(recursive=True)]:
            process.kill()
        self.nodes[node].wait()

    def calls(self) -> Counter[str]:
        """How often each fit began."""
        return Counter((self.folder / "calls").read_text().split())

    def tsbench(self, *arguments: object) -> subprocess.Popen[str]:
        """A command that uses the cluster."""
        command = command_line(*arguments, "--engine", "ray", "--address", self.address, "--tracking", "none")
        driver = subprocess.Popen(
            command, cwd=self.folder, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        self.drivers.append(driver)
        return driver


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """Two nodes."""
    pytest.importorskip("ray", reason="Ray is not installed: pip install 'tsbench[cluster]'")
    folder = Path(tempfile.mkdtemp(prefix="tsb", dir="/tmp"))  # short: sockets have short names
    made = Cluster(folder)
    try:
        made.add(f"--address={made.address}")
        made.wait(1, "(runtime started)")
        yield made
    finally:
        for driver in made.drivers:
            driver.kill()
        for number, node in enumerate(made.nodes):
            if node.poll() is None:
                made.kill(number)
        shutil.rmtree(folder, ignore_errors=True)


def until(happens: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait for something that a running command brings about."""
    for _ in range(6000):
        if happens():
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.05)
    raise AssertionError("waited for five minutes")


def cells(*models: str, seeds: int, results: Path) -> list[object]:
    names = [word for model in models for word in ("--model", model)]
    return ["run", "--dataset", "sktime/airline/12", *names, "--seeds", seeds, "--results", results, "--no-report"]


@pytest.mark.slow
def test_trials_run_on_nodes_and_the_driver_alone_tells(cluster: Cluster, tmp_path: Path) -> None:
    command = ["tune", "--dataset", "sktime/airline/12", "--model", "probe", "--trials", 3, "--seeds", "2021,"]
    process = cluster.tsbench(*command, "--results", tmp_path)
    out, _ = process.communicate(timeout=400)
    assert process.returncode == 0, out
    assert len(re.findall(r"^\[trial \d\].*validation mse", out, re.MULTILINE)) == 3
    assert sum(r["cell"]["study"] is not None for r in Store(tmp_path).results()) == 3


@pytest.mark.slow
def test_a_node_is_killed_and_every_cell_is_finished_and_written_once(cluster: Cluster, tmp_path: Path) -> None:
    (cluster.folder / "calls").unlink(missing_ok=True)
    store = Store(tmp_path)
    process = cluster.tsbench(*cells("probe:seconds=1.5", seeds=8, results=tmp_path))
    until(lambda: len({r["node"] for r in store.results()}) == 2, process)
    before = {path: path.stat().st_mtime_ns for path in store.path("cells", "").glob("*.json")}
    cluster.kill(1)
    out, _ = process.communicate(timeout=400)
    assert process.returncode == 0, out
    assert "8 finished" in out
    assert len(re.findall(r"^\[ *\d+/8\] .* mse ", out, re.MULTILINE)) == 8, "each told once"
    assert len(list(store.results())) == 8
    assert all(path.stat().st_mtime_ns == when for path, when in before.items()), "none was written again"
    assert len(list(store.path("artifacts", "").glob("*/model.json"))) == 8
    calls = cluster.calls()
    assert len(calls) == 8
    assert sum(calls.values()) <= 9, "what the dead node was at, and no more, ran twice"


@pytest.mark.slow
def test_what_a_stopped_driver_finished_stays_and_a_cell_that_kills_its_process_fails(
    cluster: Cluster, tmp_path: Path
) -> None:
    (cluster.folder / "calls").unlink(missing_ok=True)
    store = Store(tmp_path)
    process = cluster.tsbench(*cells("probe:seconds=2", seeds=8, results=tmp_path))
    until(lambda: any(store.results()), process)  # of two nodes' first; there is more to do
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=200)
    assert process.returncode == 130, out
    before = {r["key"]: r["finished"] for r in store.results()}
    process = cluster.tsbench(*cells("probe:seconds=2", "probe:end=raise", "probe:end=die", seeds=2, results=tmp_path))
    out, _ = process.communicate(timeout=400)
    assert process.returncode == 1, out
    after = {r["key"]: r["finished"] for r in store.results()}
    assert {2021, 2022} <= {r["cell"]["seed"] for r in store.results()}
    assert before.items() <= after.items()
    reasons = {r["variant"]: r["reason"] for r in store.failures()}
    assert reasons["probe:end=raise"] == "ValueError: told to raise"
    assert "died 2 times" in reasons["probe:end=die"]
    assert all(r["node"] for r in store.failures() if r["variant"] == "probe:end=raise")
    assert all(count == 2 for fit, count in cluster.calls().items() if fit.startswith("die"))


def test_room_is_what_the_scarcest_resource_leaves() -> None:
    needs = Needs(cpus=2, gpus=0.25, memory=2 * 2**30)
    assert needs.room({"CPU": 64.0, "GPU": 8.0, "memory": 512.0 * 2**30}) == 32
    assert needs.room({"CPU": 64.0, "GPU": 8.0, "memory": 5.0 * 2**30}) == 2
    assert needs.room({"CPU": 64.0, "memory": 512.0 * 2**30}) == 0


@pytest.mark.parametrize(
    ("declared", "said"),
    [({"cell_gpus": 1.5}, "whole ones"), ({"cell_cpus": 0.0}, "more than 0"), ({"device": "cuda"}, "--cell-gpus 1")],
)
def test_needs_that_make_no_sense_are_refused(declared: dict[str, object], said: str) -> None:
    usual = {"cell_cpus": 1.0, "cell_gpus": 0.0, "cell_memory": 0, "device": "cpu"}
    with pytest.raises(UsageError, match=said):
        needs_of(Namespace(**{**usual, **declared}))


def test_a_node_with_other_code_data_or_no_gpu_refuses(tmp_path: Path) -> None:
    (dataset,) = find_datasets("sktime/airline/12")
    cell = make_cell(dataset, dataset.name, None, "repeat", {}, 2021)
    options = Options(tmp_path)
    about = identity(cell, tmp_path)
    many._check(cell, about, options)
    for changed, said in (({"code": "other"}, "same revision"), ({"content": "other"}, "not the same there")):
        with pytest.raises(TsbenchError, match=said):
            many._check(cell, about | changed, options)
    with pytest.raises(TsbenchError, match="no GPU"):
        many._check(cell, about, replace(options, device="cuda"))


def test_a_finished_cell_stays_whatever_comes_later(tmp_path: Path) -> None:
    """A trial of the same settings that was pruned, for one."""
    store = Store(tmp_path)
    first = {"key": "k", "status": "finished", "cell": {}}
    files = {"artifacts/k/weights.pt": b"1", "cells/k.json": json.dumps(first).encode()}
    many.keep(many.Answer(files, "a"), store)
    later = {"artifacts/k/weights.pt": b"2", "cells/k.json": json.dumps(first | {"status": "pruned"}).encode()}
    many.keep(many.Answer(later, "b"), store)
    kept = store.read("k")
    assert kept is not None
    assert (kept["status"], kept["node"]) == ("finished", "a")
    assert store.path("artifacts", "k").joinpath("weights.pt").read_bytes() == b"1"
