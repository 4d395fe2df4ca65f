"""Cells on many machines: Ray places them, and runs those of a lost worker again; we ask and keep.

A task works in a folder of its own on whatever node it meets and returns what it wrote. The driver, the process that
sends tasks, alone writes the results folder, so that nodes need no disk in common. Every node has the same code, and
the data folder under the same path; one that differs says so instead of computing something else.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import resource
import tempfile
import time
from argparse import Namespace
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tsbench.cell import Cell, identity
from tsbench.environment import command_line
from tsbench.errors import TsbenchError, UsageError
from tsbench.executor import DIED, MOST_DEATHS, Cells, Watcher, settled
from tsbench.run import Options, new_result, run_cell
from tsbench.store import Store

LOOK_SECONDS = 10.0  # between two looks at which nodes there are
WAIT_SECONDS = 1.0  # for an answer, before we see again what other runners did


@dataclass(frozen=True)
class Needs:
    """What a cell is given: CPUs, which are its threads too, GPUs (0.25 is a quarter of one), bytes of memory."""

    cpus: float = 1.0
    gpus: float = 0.0
    memory: int = 0

    @property
    def resources(self) -> dict[str, float]:
        """Those that it needs, as Ray calls them."""
        named = {"CPU": self.cpus, "GPU": self.gpus, "memory": self.memory}
        return {name: amount for name, amount in named.items() if amount > 0}

    def room(self, node: dict[str, float]) -> int:
        """How many such cells a node with these resources holds at once."""
        return min(int(node.get(name, 0.0) / amount) for name, amount in self.resources.items())


@dataclass(frozen=True)
class Answer:
    """What a task returns: the files it wrote, by their place in a results folder, and where it ran."""

    files: dict[str, bytes]
    node: str
    value: Any = None


class Nodes:
    """A Ray cluster as somewhere to send tasks to, so many at a time that no node waits and the driver is not flooded.

    Raises:
        UsageError: Ray is not installed, no cluster answers, or no node has what a cell needs.
    """

    def __init__(self, args: Namespace) -> None:
        self.needs = needs_of(args)
        self.jobs: int | None = args.jobs
        self.ray = _connect(args.address)
        self.out: dict[Any, Any] = {}  # what Ray promised, and what it is for
        self._tasks: dict[Callable[..., Answer], Any] = {}  # as Ray knows them: each is sent to nodes once
        self._slots, self._looked = 0, 0.0
        if not self.slots:
            there = "; ".join(_told(node["Resources"]) for node in self._alive()) or "none"
            raise UsageError(f"no node has what a cell needs, {_told(self.needs.resources)}. Nodes: {there}")
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a lock for each cell that is out

    def _alive(self) -> list[dict[str, Any]]:
        return [node for node in self.ray.nodes() if node["Alive"]]

    @property
    def slots(self) -> int:
        """How many cells the nodes hold at once; nodes may come and go."""
        self._look()
        return self._slots

    def _look(self) -> None:
        """Count what nodes hold, now and then; say so when the last of them is gone."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._looked, before = time.monotonic(), self._slots
            self._slots = sum(self.needs.room(node["Resources"]) for node in self._alive())
            if before and not self._slots:
                print(f"no node has room for a cell any more ({_told(self.needs.resources)}); waiting", flush=True)

    @property
    def hosts(self) -> set[str]:
        """Names of the machines."""
        return {node["NodeManagerHostname"] for node in self._alive()}

    @property
    def full(self) -> bool:
        """True while as many tasks are out as `--jobs` allows, or as nodes have room for and some more in a queue."""
        return len(self.out) >= (self.jobs or self.slots + self.slots // 4 + 2)

    def send(self, what: Any, task: Callable[..., Answer], *arguments: Any) -> None:
        """Send a task; `what` comes back with its answer."""
        need = self.needs
        if task not in self._tasks:
            self._tasks[task] = self.ray.remote(task)
        remote = self._tasks[task].options(
            num_cpus=need.cpus, num_gpus=need.gpus, memory=need.memory or None, max_retries=MOST_DEATHS - 1
        )
        self.out[remote.remote(Path.cwd(), *arguments)] = what

    def answers(self) -> Iterator[tuple[Any, Answer | str]]:
        """The answers that are there, after a short wait for one; of a task that has none, why."""
        self._look()
        if not self.out:
            time.sleep(WAIT_SECONDS)
            return
        ready, _ = self.ray.wait(list(self.out), timeout=WAIT_SECONDS)
        if ready:
            ready, _ = self.ray.wait(list(self.out), num_returns=len(self.out), timeout=0)
        for promised in ready:
            what = self.out.pop(promised)
            try:
                yield what, self.ray.get(promised)
            except self.ray.exceptions.RayTaskError as error:
                yield what, f"{type(error.cause).__name__}: {error.cause}"
            except self.ray.exceptions.RayError as error:
                yield what, f"{DIED} {MOST_DEATHS} times: {' '.join(str(error).split())[:400]}"


def needs_of(args: Namespace) -> Needs:
    """The needs of a cell, as the command line says them.

    Raises:
        UsageError: they make no sense.
    """
    needs = Needs(args.cell_cpus, args.cell_gpus, args.cell_memory)
    if needs.cpus <= 0 or needs.gpus < 0 or needs.memory < 0:
        raise UsageError("--cell-cpus must be more than 0, --cell-gpus and --cell-memory at least 0")
    if needs.gpus > 1 and not needs.gpus.is_integer():
        raise UsageError(f"--cell-gpus {needs.gpus:g}: a part of one GPU, or whole ones")
    if args.device != "cpu" and not needs.gpus:
        raise UsageError(f"--device {args.device}: nodes give GPUs to cells that declare them; add --cell-gpus 1")
    return needs


def placed(args: Namespace) -> tuple[str, int]:
    """Device and threads of a cell that gets what it needs."""
    needs = needs_of(args)
    return "cuda" if needs.gpus else "cpu", max(1, int(needs.cpus))


def _connect(address: str) -> Any:
    # Before ray is imported. A process that ran out of memory counts as a death, and is not tried for ever.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_task_oom_retries", str(MOST_DEATHS - 1))
    try:
        import ray
    except ImportError:
        raise UsageError("--engine ray needs Ray, which is not installed: pip install 'tsbench[cluster]'") from None
    if not ray.is_initialized():
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            remedy = "Start one: ray start --head. If it has a token, set RAY_AUTH_MODE=token; see docs/cluster.md"
            raise UsageError(f"--address {address}: no Ray cluster answers ({reason}). {remedy}") from None
    return ray


def _told(resources: dict[str, float]) -> str:
    named = {name: resources[name] for name in ("CPU", "GPU", "memory") if resources.get(name)}
    return ", ".join(f"{v / 2**30:.1f} GiB memory" if k == "memory" else f"{v:g} {k}" for k, v in named.items())


def run_cells_on(nodes: Nodes, cells: Cells, store: Store, options: Options, watch: Watcher) -> None:
    """Run all cells on a cluster, beside other runners of the same store: a cell that is out is locked by us."""
    waiting = deque(cells.items())
    while waiting or nodes.out:
        for _ in range(len(waiting)):
            if nodes.full:
                break
            key, cell = waiting.popleft()
            lock = store.lock(key)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                waiting.append((key, cell))  # another runner is at it, and may die
                continue
            if settled(key, store, options):
                lock.release()
                watch("elsewhere", key)
                continue
            watch("start", key)
            try:
                nodes.send((key, lock), cell_on_node, cell, key, identity(cell, options.data), options)
            except (TsbenchError, OSError) as error:  # its data are gone since the plan was made
                _ended(cells, key, lock, str(error), store, options, watch)
        for (key, lock), answer in nodes.answers():
            _ended(cells, key, lock, answer, store, options, watch)


def _ended(
    cells: Cells, key: str, lock: FileLock, answer: Answer | str, store: Store, options: Options, watch: Watcher
) -> None:
    """Keep an answer, or record why there is none, and let the cell go."""
    reason = answer if isinstance(answer, str) else ""
    if not isinstance(answer, str):
        try:
            keep(answer, store)
        except OSError as error:  # a full disk costs the cells that end while it is full, and no other
            reason = f"its result could not be kept: {error}"
    if reason:
        with contextlib.suppress(OSError):
            store.write_failure(key, new_result(cells[key], key, options) | {"status": "failed", "reason": reason})
    lock.release()
    watch("failed" if not (done := store.read(key)) else done["status"], key)


def keep(answer: Answer, store: Store) -> None:
    """Write what a task returned, results last: a cell is finished when all of it is here. What is, stays."""
    for name, content in sorted(answer.files.items()):  # artifacts, cells, failures
        kind = Path(name).parts[0]
        key = Path(name).parts[1] if kind == "artifacts" else Path(name).stem
        if store.finished(key):  # another trial of the same settings was faster
            continue
        if kind == "artifacts":
            store.root.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
            store.root.joinpath(name).write_bytes(content)
        else:
            result = json.loads(content) | {"node": answer.node, "command": command_line()}
            (store.write if kind == "cells" else store.write_failure)(key, result)


def cell_on_node(folder: Path, cell: Cell, key: str, about: dict[str, Any], options: Options) -> Answer:
    """A task: run one cell, whose identity the driver knows as `about`, in a store that lives as long as the task."""
    with store_at(folder) as store:
        try:
            _check(cell, about, options)
        except (TsbenchError, OSError) as error:
            failed = {"status": "failed", "reason": f"node {node_name()}: {error}"}
            store.write_failure(key, new_result(cell, key, options) | failed)
        else:
            run_cell(cell, key, store, options)
        return Answer(written(store), node_name())


@contextlib.contextmanager
def store_at(folder: Path) -> Iterator[Store]:
    """In the driver's folder, where there is one, so that relative paths mean the same; with a store for the task."""
    if folder.is_dir():
        os.chdir(folder)
    with tempfile.TemporaryDirectory(prefix="tsbench-") as temporary:
        yield Store(temporary)


def written(store: Store) -> dict[str, bytes]:
    """The files of an answer."""
    paths = [p for kind in ("artifacts", "cells", "failures") for p in store.path(kind, "").rglob("*") if p.is_file()]
    return {str(path.relative_to(store.root)): path.read_bytes() for path in paths}


def node_name() -> str:
    """Name of the machine and Ray's identifier of the node: a machine may be several."""
    import ray

    return f"{platform.node()}/{ray.get_runtime_context().get_node_id()[:8]}"


def _check(cell: Cell, about: dict[str, Any], options: Options) -> None:
    """Refuse to run a cell where it would be another one.

    Raises:
        TsbenchError: this node's code or data differ, a file is not there, or the GPU is not.
    """
    import torch

    if options.device == "cuda" and not torch.cuda.is_available():
        raise TsbenchError(f"torch {torch.__version__} finds no GPU; install its CUDA build")
    here = identity(cell, options.data)
    if here["code"] != about["code"]:
        raise TsbenchError("its code differs from the driver's; install the same revision of tsbench on every node")
    if here != about:
        other = ", ".join(name for name in about if here[name] != about[name])
        raise TsbenchError(f"{cell.dataset} is not the same there ({other}); copy {options.data} from the driver again")


def options_on(args: Namespace, options: Options) -> Options:
    """The same options for cells on nodes."""
    device, threads = placed(args)
    return replace(options, device=device, threads=threads)
