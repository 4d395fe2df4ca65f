"""Run the cells of a plan, in this process or in several workers, beside other runners of the same store.

Every worker goes through the same list and takes the first cell that nobody holds. The store's locks decide who
works on what, so workers, a second command on the same results and a restart after a kill need no coordination.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

from tsbench.cell import Cell
from tsbench.errors import TsbenchError
from tsbench.run import Options, new_result, run_cell
from tsbench.store import Store

Cells = dict[str, Cell]
#: Called with an event and the key of its cell. Events: start, finished, pruned, failed, elsewhere (another runner
#: finished it).
Watcher = Callable[[str, str], None]

MOST_DEATHS = 2  # of workers at one cell, before the cell counts as failed
DIED = "its worker process died"  # how the reason of such a failure begins


def run_cells(cells: Cells, store: Store, options: Options, jobs: int, watch: Watcher) -> None:
    """Run all cells with `jobs` processes: this one alone, or that many workers."""
    if min(jobs, len(cells)) <= 1:
        work(cells, store, options, watch)
    else:
        _Pool(cells, store, options, watch).run(min(jobs, len(cells)))


def work(cells: Cells, store: Store, options: Options, watch: Watcher) -> None:
    """Run all cells that nobody else runs; wait for those that somebody does, and take over if they die."""
    waiting = dict(cells)
    pause = 0.05
    while waiting:
        before = len(waiting)
        for key, cell in list(waiting.items()):
            if settled(key, store, options):
                event = "elsewhere"
            else:
                event = run_cell(cell, key, store, options, started=partial(watch, "start", key))
            if event != "busy":
                del waiting[key]
                watch(event, key)
        pause = 0.05 if len(waiting) < before else min(2 * pause, 1.0)
        if waiting:
            time.sleep(pause)


def settled(key: str, store: Store, options: Options) -> bool:
    """True if a cell needs no more work in this invocation."""
    if store.finished(key):
        return True
    failure = store.failure(key)
    return failure is not None and failure["invocation"] == options.invocation


class _Pool:
    """Workers that each go through the whole list, and a parent that watches and replaces the dead."""

    def __init__(self, cells: Cells, store: Store, options: Options, watch: Watcher) -> None:
        self.cells, self.store, self.options, self.watch = cells, store, options, watch
        self.workers: dict[Connection, BaseProcess] = {}
        self.at: dict[Connection, str] = {}  # the cell each worker is at
        self.deaths: Counter[str] = Counter()
        self.seen: set[str] = set()  # cells whose end was told

    def run(self, jobs: int) -> None:
        """Start the workers and follow them to the end."""
        for _ in range(jobs):
            self._start()
        try:
            while self.workers:
                for connection in multiprocessing.connection.wait(list(self.workers)):
                    assert isinstance(connection, Connection)
                    self._read(connection)
        finally:
            for process in self.workers.values():
                process.terminate()
        for key in self.cells.keys() - self.seen:
            self.watch("elsewhere", key)

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        mine, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_worker, args=(self.cells, self.store, self.options, theirs), daemon=True)
        process.start()
        theirs.close()
        self.workers[mine] = process

    def _read(self, connection: Connection) -> None:
        try:
            event, key = connection.recv()
        except EOFError:
            self._ended(connection)
            return
        self.at[connection] = key if event == "start" else ""
        self.deaths.pop("start", None)
        if event == "elsewhere":  # mostly one of our own workers; the parent tells the rest at the end
            return
        if event != "start":
            self.seen.add(key)
        self.watch(event, key)

    def _ended(self, connection: Connection) -> None:
        """A worker is done, or died; then its cell is tried once more by another before it counts as failed."""
        process = self.workers.pop(connection)
        process.join()
        key = self.at.pop(connection, "")
        if process.exitcode == 0:
            return
        if key:
            self.deaths[key] += 1
        if key and self.deaths[key] >= MOST_DEATHS and not self.store.finished(key):
            reason = f"{DIED} {self.deaths[key]} times ({_cause(process.exitcode or 0)})"
            result = new_result(self.cells[key], key, self.options) | {"status": "failed", "reason": reason}
            self.store.write_failure(key, result)
            self.seen.add(key)
            self.watch("failed", key)
        if not key:
            self.deaths["start"] += 1
            if self.deaths["start"] >= MOST_DEATHS:
                raise TsbenchError(f"workers cannot start ({_cause(process.exitcode or 0)}); try --jobs 1")
        self._start()


def _cause(code: int) -> str:
    if code == -signal.SIGKILL:
        return "killed: by a person, or by the system because memory ran out; use fewer --jobs or a smaller batch_size"
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def _worker(cells: Cells, store: Store, options: Options, connection: Connection) -> None:
    """Run cells until none is left; end at once when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers
    threading.Thread(target=exit_with_parent, daemon=True).start()
    work(cells, store, options, lambda event, key: connection.send((event, key)))


def exit_with_parent() -> None:
    """Wait for the parent process to end, then end this one; to be run in a thread."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
