"""Tune: the trials of one study. Optuna asks, a cell answers, judged by validation alone.

A trial is an ordinary cell that is never scored on test. Whoever asks also tells and holds the trial's lock; the
attempt between may run in any process that reaches the study's storage. Several processes may work on one study; a
trial whose process was killed is found by its free lock, marked as failed and queued again.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import platform
import signal
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from filelock import BaseFileLock, FileLock, Timeout

from tsbench.address import shown
from tsbench.cell import Cell, identity, key_of
from tsbench.errors import Pruned, TsbenchError
from tsbench.executor import exit_with_parent
from tsbench.plan import FIRST_SEED
from tsbench.run import Options, run_cell
from tsbench.search import Search, rounded
from tsbench.store import Result
from tsbench.study_file import KEY, LOCK, REASON, SECONDS, cpu_seconds, ended, record
from tsbench.tracking import results_id

if TYPE_CHECKING:
    import optuna
    from optuna.trial import FrozenTrial

SEEN = "seen"  # user attribute of a trial whose lock is not known: when somebody first saw it so, in s since 1970
NAMED = 60.0  # seconds; by then, who asked for a trial has written down its lock


@dataclass(frozen=True)
class Asked:
    """A trial to attempt; its lock is held until it is told, and tells others that somebody is at it."""

    number: int
    lock: BaseFileLock


@dataclass(frozen=True)
class Outcome:
    """What a trial came to.

    Attributes:
        key: of its cell.
        status: "finished", "pruned" or "failed".
        value: the validation score of a finished one.
        reason: why another ended.
        seconds: wall and CPU seconds that the cell took, in all its parts.
    """

    key: str
    status: str
    value: float | None
    reason: str
    seconds: tuple[float, float]


def work(args: argparse.Namespace, child: bool = False) -> None:
    """Take trials one by one until the study has enough; one process of possibly many."""
    if child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers
        threading.Thread(target=exit_with_parent, daemon=True).start()
    search = Search(args)
    study = search.open_study()
    waits = 0
    while (asked := ask(search, study)) != "enough":
        if asked == "wait":
            time.sleep(0.5)  # others are at the last trials; one of them may die and leave its trial to us
            waits += 1
            if waits % 120 == 0:
                _tell_of_waiting(search, study)
            continue
        try:
            tell(search, study, asked, _attempt(search, study, asked.number))
        finally:
            asked.lock.release()


def _tell_of_waiting(search: Search, study: optuna.Study) -> None:
    for trial in _running(study.get_trials(deepcopy=False)):
        host = trial.user_attrs.get(LOCK, {}).get("host", "another process")
        remedy = f"if that is gone: optuna tell --storage {shown(search.storage)} --study-name {search.name}"
        print(
            f"waiting for trial {trial.number} of {host}; {remedy} --trial-number {trial.number} --state fail",
            flush=True,
        )


def work_together(args: argparse.Namespace) -> None:
    """`args.jobs` processes at the study's trials."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=work, args=(args, True), daemon=True) for _ in range(args.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    died = [w.exitcode for w in workers if w.exitcode]
    if len(died) == len(workers):
        raise TsbenchError(f"all workers of the study died (exit codes {died}); the same command continues the study")


def ask(search: Search, study: optuna.Study) -> Asked | Literal["wait", "enough"]:
    """The next trial; or "wait" while others are at the last ones; or "enough" when the budget is used up."""
    import optuna

    with search.store.lock(f"ask-{_short(search.name)}"):
        _revive(search, study)
        # One snapshot: a trial that ends between two looks would be in neither of them.
        trials = study.get_trials(deepcopy=False)
        if used_up(search.args, trials):
            return "wait" if _running(trials) else "enough"
        if not trials and search.default:
            study.enqueue_trial(search.default, skip_if_exists=True)  # the best shall be no worse
        # Seeded by the number of trials: one process alone gives the same study again, and no two processes
        # or restarts draw the same numbers.
        study.sampler = optuna.samplers.TPESampler(seed=FIRST_SEED + len(trials))
        trial = study.ask(search.space)
        if used_up(search.args, study.get_trials(deepcopy=False)[: trial.number]):
            study.tell(trial, state=optuna.trial.TrialState.FAIL)  # another machine, which our lock does not reach, was
            return "wait"  # faster
        lock = search.store.lock(f"trial-{_short(search.name)}-{trial.number}")
        lock.acquire()
        trial.set_user_attr(LOCK, _holder(search, Path(lock.lock_file)))
    return Asked(trial.number, lock)


def used_up(args: argparse.Namespace, trials: list[FrozenTrial]) -> bool:
    """True if no further trial may begin: as many ended or run as are allowed, or the CPU time of trials is spent."""
    over = ended(trials)
    spent = args.cpu_minutes is not None and cpu_seconds(over) >= 60 * args.cpu_minutes
    return spent or len(over) + len(_running(trials)) >= args.trials


def attempt(args: argparse.Namespace, number: int) -> Outcome:
    """Run one trial of the study as a cell, in any process: it loads the study, and reports and prunes through it.

    The cell's result goes to the store of `args.results`, which need not be that of the process that asked.
    """
    search = Search(args)
    return _attempt(search, search.open_study(), number)


def _attempt(search: Search, study: optuna.Study, number: int) -> Outcome:
    trial, args = _trial(study, number), search.args

    def report(epoch: int, curve: dict[str, float]) -> None:
        trial.report(curve[f"validation_{search.metric}"], epoch)
        if trial.should_prune():
            raise Pruned(f"worse than the median of earlier trials after epoch {epoch}")

    options = Options(args.data.resolve(), args.device, args.threads, invocation=f"study-{os.getpid()}", report=report)
    cell, key = cell_of(search, study, number)
    while (status := run_cell(cell, key, search.store, options)) == "busy":
        time.sleep(0.2)  # another process tries the same settings; its result will serve
    return outcome_of(search, key, search.store.failure(key) if status == "failed" else search.store.read(key))


def cell_of(search: Search, study: optuna.Study, number: int) -> tuple[Cell, str]:
    """The cell of a trial, and its key.

    Raises:
        TsbenchError: its data are not there.
    """
    cell = search.cell(_trial(study, number).params, FIRST_SEED, trial=True)
    return cell, key_of(identity(cell, search.args.data))


def outcome_of(search: Search, key: str, result: Result | None) -> Outcome:
    """What a trial came to, by the result of its cell."""
    if result is None:  # as on a full disk
        return Outcome(key, "failed", None, "it failed, and its reason could not be recorded", (0.0, 0.0))
    value = result["scores"]["validation"][search.metric] if result["status"] == "finished" else None
    took = round(sum(result["seconds"].values()), 4), round(sum(result["cpu_seconds"].values()), 4)
    return Outcome(key, result["status"], value, result.get("reason", ""), took)


def tell(search: Search, study: optuna.Study, asked: Asked, outcome: Outcome) -> None:
    """Tell the study how a trial went, and the user; record the study; let the trial go."""
    import optuna

    trial = _trial(study, asked.number)
    attributes = {KEY: outcome.key, SECONDS: outcome.seconds, REASON: outcome.reason}
    for name, value in attributes.items():
        if value:
            trial.set_user_attr(name, value)
    states = optuna.trial.TrialState
    state = {"finished": states.COMPLETE, "pruned": states.PRUNED, "failed": states.FAIL}[outcome.status]
    study.tell(asked.number, outcome.value, state=state)
    asked.lock.release()
    told = {"failed": f"FAILED: {outcome.reason}", "pruned": f"pruned: {outcome.reason}"}
    settings = ", ".join(f"{name}={value}" for name, value in rounded(trial.params).items())
    score = f"validation {search.metric} {outcome.value:.5f}" if outcome.value is not None else ""
    print(f"[trial {asked.number}] {settings}  {told.get(outcome.status, score)}", flush=True)
    record(search, study)


def lose(study: optuna.Study, asked: Asked, reason: str) -> None:
    """A trial's machine failed, not its settings: it uses up no budget, and its settings are queued once more."""
    print(f"[trial {asked.number}] lost: {reason}", flush=True)
    _queue_again(study, study.get_trials(deepcopy=False)[asked.number])
    asked.lock.release()


def _trial(study: optuna.Study, number: int) -> optuna.trial.Trial:
    """A trial that anybody asked for; Optuna offers no other way to one by its number."""
    import optuna

    return optuna.trial.Trial(study, study.get_trials(deepcopy=False)[number]._trial_id)


def _revive(search: Search, study: optuna.Study) -> None:
    """Fail trials whose process is gone and queue their settings again."""
    import optuna

    for trial in _running(study.get_trials(deepcopy=False)):
        path = Path(trial.user_attrs.get(LOCK, {}).get("path", ""))
        if LOCK not in trial.user_attrs:  # Optuna's own times are local, and asking machines may be far apart
            seen = trial.user_attrs.get(SEEN)
            if seen is None:
                _trial(study, trial.number).set_user_attr(SEEN, time.time())
            elif time.time() > seen + NAMED:
                study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # killed before it could name its lock
            continue
        if trial.user_attrs[LOCK] != _holder(search, path):
            continue  # of another machine, or asked for just now: not ours to judge
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        _queue_again(study, trial)
        lock.release()


def _queue_again(study: optuna.Study, trial: FrozenTrial) -> None:
    """Fail a trial without a reason of its own; settings that were lost twice are not tried a third time."""
    import optuna

    lost = [t for t in study.get_trials(deepcopy=False) if t.params == trial.params and t.state.name == "FAIL"]
    study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    if not lost:
        study.enqueue_trial(trial.params)


def _running(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return [t for t in trials if t.state.name == "RUNNING"]


def _holder(search: Search, lock: Path) -> dict[str, str]:
    """Names a lock beyond this folder and machine, since a study's storage may be shared by several; two containers
    may have the same names."""
    return {"path": str(lock.resolve()), "host": platform.node(), "results": results_id(search.store)}


def _short(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:12]
