"""Tune: an Optuna study over a model's search space, judged by validation alone; then the best over seeds.

A trial is an ordinary cell that is never scored on test. Several processes may work on one study; a trial whose
process was killed is found by its free lock, marked as failed and queued again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import os
import platform
import re
import signal
import statistics
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from filelock import FileLock, Timeout

from tsbench.cell import Cell, identity, key_of, make_cell
from tsbench.dataset import Dataset
from tsbench.errors import Pruned, TsbenchError, UsageError
from tsbench.executor import exit_with_parent
from tsbench.plan import FIRST_SEED, dataset_spec, parse_seeds
from tsbench.registry import find_datasets, find_model
from tsbench.run import Options, load_splits, run_cell
from tsbench.session import parse_settings, run_all, tracking
from tsbench.settings import parse_spec
from tsbench.store import Store, write_json

if TYPE_CHECKING:
    import optuna

LOCK, KEY, REASON = "lock", "key", "reason"  # user attributes of a trial


class Search:
    """One study: data set, model, fixed settings and where it is kept."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args = args
        self.store = Store(args.results)
        self.dataset: Dataset = _single(args.dataset)
        self.model, settings = parse_spec(args.model)
        self.kind = find_model(self.model)
        self.fixed: dict[str, Any] = {**settings, **parse_settings(args.set)}
        self.space = {k: v for k, v in self.kind.search_space.items() if k not in self.fixed}
        if reason := self.kind.refuses(self.dataset):
            raise UsageError(f"{self.model} cannot be tuned on {self.dataset.name}: {reason}")
        if not self.space:
            raise UsageError(f"{self.model} has no search space left to tune")
        # A cell with the fixed settings, made to have every mistake reported before the first trial.
        base = self.cell({}, FIRST_SEED)
        self.protocol = base.protocol
        about = identity(base, args.data)
        self.digest, self.code = about["content"], about["code"]
        splits = load_splits(base.dataset, base.protocol, args.data.resolve(), self.digest)
        if splits.validation is splits.test:
            raise UsageError(f"protocol {base.protocol}: validation is TEST, and a study would choose settings by it")
        self.name = args.study or re.sub(r"[^\w.-]+", "-", f"{base.dataset}-{base.variant}-{base.protocol}").strip("-")
        metric = self.dataset.kind.metrics[self.dataset.kind.primary]
        self.direction: Literal["maximize", "minimize"] = "maximize" if metric.higher_is_better else "minimize"
        self.storage = args.storage or f"sqlite:///{self.store.root / 'optuna.db'}"

    def cell(self, found: dict[str, Any], seed: int, trial: bool = False) -> Cell:
        """The cell of some settings."""
        spec = dataset_spec(self.dataset)
        # Four digits are what a setting is worth, and what a table can show.
        rounded = {k: float(f"{v:.4g}") if isinstance(v, float) else v for k, v in found.items()}
        settings = {**self.fixed, **rounded}
        study = self.name if trial else None
        return make_cell(
            self.dataset, spec, self.args.protocol, self.model, settings, seed, test=not trial, study=study
        )

    def open_study(self) -> optuna.Study:
        """Open or create the study; created under a lock, because a store made by two at once may break."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.store.path("locks", "").mkdir(parents=True, exist_ok=True)
        with FileLock(self.store.path("locks", "study.lock")):
            study = optuna.create_study(
                study_name=self.name,
                storage=self.storage,
                direction=self.direction,
                load_if_exists=True,
                pruner=optuna.pruners.MedianPruner(n_warmup_steps=1),
            )
            known = study.user_attrs.get("of")
            mine = {
                "dataset": dataset_spec(self.dataset),
                "content": self.digest,
                "protocol": self.protocol,
                "model": self.model,
                "code": self.code,
                "fixed": {k: str(v) for k, v in self.fixed.items()},
            }
            if known is None:
                study.set_user_attr("of", mine)
            elif known != mine:
                raise UsageError(
                    f"study {self.name!r} exists for something else ({known}); choose another --study name"
                )
        return study


def tune(args: argparse.Namespace) -> int:
    """Run trials until the study has as many as asked for, then the best setting over seeds."""
    if args.trials < 1 or args.jobs < 1:
        raise UsageError(f"--trials {args.trials} and --jobs {args.jobs} must be at least 1")
    if args.study and not re.fullmatch(r"[\w.-]+", args.study):
        raise UsageError(f"--study {args.study!r}: letters, digits, - _ and . only; it names a file too")
    search = Search(args)
    study = search.open_study()
    done = len(_ended(study.get_trials(deepcopy=False)))
    print(
        f"study {search.name}: {done} of {args.trials} trials done, {args.jobs} at once, in {search.storage}",
        flush=True,
    )
    with tracking(args, search.store):
        if args.jobs == 1:
            work(args)
        else:
            _work_together(args)
        study = search.open_study()
        _record(search, study, finished=True)
        return _final_runs(search, study)


def _work_together(args: argparse.Namespace) -> None:
    context = multiprocessing.get_context("spawn")
    plain = argparse.Namespace(**{k: v for k, v in vars(args).items() if k != "command"})
    workers = [context.Process(target=work, args=(plain, True), daemon=True) for _ in range(args.jobs)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    died = [w.exitcode for w in workers if w.exitcode]
    if len(died) == len(workers):
        raise TsbenchError(f"all workers of the study died (exit codes {died}); the same command continues the study")


def work(args: argparse.Namespace, child: bool = False) -> None:
    """Take trials one by one until the study has enough; one process of possibly many."""
    import optuna

    if child:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends its workers
        threading.Thread(target=exit_with_parent, daemon=True).start()
    search = Search(args)
    study = search.open_study()
    options = Options(args.data.resolve(), args.device, args.threads, invocation=f"study-{os.getpid()}")
    while True:
        with FileLock(search.store.path("locks", f"ask-{_short(search.name)}.lock")):
            _revive(search, study)
            # One snapshot: a trial that ends between two looks would be in neither of them.
            trials = study.get_trials(deepcopy=False)
            running = _running(trials)
            if len(_ended(trials)) + len(running) >= args.trials:
                if not running:
                    return
                trial = None
            else:
                # Seeded by the number of trials: one process alone gives the same study again, and no two processes
                # or restarts draw the same numbers.
                study.sampler = optuna.samplers.TPESampler(seed=FIRST_SEED + len(study.get_trials(deepcopy=False)))
                trial = study.ask(search.space)
                lock = search.store.lock(f"trial-{_short(search.name)}-{trial.number}")
                lock.acquire()
                trial.set_user_attr(LOCK, _holder(Path(lock.lock_file)))
        if trial is None:
            time.sleep(0.5)  # others are at the last trials; one of them may die and leave its trial to us
            continue
        try:
            _try(search, study, trial, options)
        finally:
            lock.release()
        _record(search, study, finished=False)


def _try(search: Search, study: optuna.Study, trial: optuna.Trial, options: Options) -> None:
    """Run one trial as a cell and tell the study how it went."""
    import optuna

    primary = search.dataset.kind.primary

    def report(epoch: int, curve: dict[str, float]) -> None:
        trial.report(curve[f"validation_{primary}"], epoch)
        if trial.should_prune():
            raise Pruned(f"worse than the median of earlier trials after epoch {epoch}")

    cell = search.cell(trial.params, FIRST_SEED, trial=True)
    key = key_of(identity(cell, search.args.data))
    trial.set_user_attr(KEY, key)
    while (outcome := run_cell(cell, key, search.store, replace(options, report=report))) == "busy":
        time.sleep(0.2)  # another process tries the same settings; its result will serve
    result = search.store.failure(key) if outcome == "failed" else search.store.read(key)
    assert result is not None
    if result["status"] == "failed":
        trial.set_user_attr(REASON, result["reason"])
        study.tell(trial, state=optuna.trial.TrialState.FAIL)
        told = f"FAILED: {result['reason']}"
    elif result["status"] == "pruned":
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        told = f"pruned: {result['reason']}"
    else:
        value = result["scores"]["validation"][primary]
        study.tell(trial, value)
        told = f"validation {primary} {value:.5f}"
    shown = ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in trial.params.items())
    print(f"[trial {trial.number}] {shown}  {told}", flush=True)


def _revive(search: Search, study: optuna.Study) -> None:
    """Fail trials whose process is gone and queue their settings again."""
    import optuna

    for trial in _running(study.get_trials(deepcopy=False)):
        path = Path(trial.user_attrs.get(LOCK, {}).get("path", ""))
        if trial.user_attrs.get(LOCK) != _holder(path):
            continue  # of another machine, or asked for just now: not ours to judge
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        killed = [t for t in study.get_trials(deepcopy=False) if t.params == trial.params and t.state.name == "FAIL"]
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        if not killed:  # a setting that kills its process twice is not tried a third time
            study.enqueue_trial(trial.params)
        lock.release()


def _holder(lock: Path) -> dict[str, str]:
    """Names a lock beyond this folder and machine, since a study's storage may be shared by several."""
    return {"path": str(lock.resolve()), "host": platform.node()}


def _ended(trials: list[Any]) -> list[Any]:
    """Trials that use up the budget: completed, pruned, or failed by their settings. A killed one is made up for."""
    ended = [t for t in trials if t.state.name in ("COMPLETE", "PRUNED", "FAIL")]
    return [t for t in ended if t.state.name != "FAIL" or REASON in t.user_attrs]


def _running(trials: list[Any]) -> list[Any]:
    return [t for t in trials if t.state.name == "RUNNING"]


def _short(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def _single(spec: str) -> Dataset:
    found = find_datasets(spec)
    if len(found) != 1:
        raise UsageError(f"--dataset {spec} means {len(found)} data sets; a study is on one")
    return found[0]


def _record(search: Search, study: optuna.Study, finished: bool) -> None:
    """Write what the study found so far, for MLflow and the report."""
    ended = _ended(study.get_trials(deepcopy=False))
    complete = [t for t in ended if t.state.name == "COMPLETE"]
    if not complete:
        return
    write_json(
        search.store.path("studies", f"{search.name}.json"),
        {
            "family": search.dataset.name.split("/")[0],
            "dataset": dataset_spec(search.dataset),
            "model": search.model,
            "protocol": search.protocol,
            "space": {k: repr(v) for k, v in search.space.items()},
            "trials": len(ended),
            "pruned": sum(t.state.name == "PRUNED" for t in ended),
            "best_value": study.best_value,
            "best": study.best_params,
            "finished": finished,
        },
    )


def _final_runs(search: Search, study: optuna.Study) -> int:
    """Run the best setting over seeds, on test, and report it beside its validation score."""
    ended = _ended(study.get_trials(deepcopy=False))
    if not any(t.state.name == "COMPLETE" for t in ended):
        raise TsbenchError("no trial completed, so there is no best setting; their reasons are above")
    best = study.best_params
    print(
        f"best of {len(ended)} trials: {json.dumps(best)}, validation {search.dataset.kind.primary} "
        f"{study.best_value:.5f}",
        flush=True,
    )
    seeds = parse_seeds(search.args.seeds) if search.kind.stochastic else [FIRST_SEED]
    cells = [search.cell(best, seed) for seed in seeds]
    keyed = {key_of(identity(cell, search.args.data)): cell for cell in cells}
    todo = {k: c for k, c in keyed.items() if not search.store.finished(k)}
    failed = run_all(search.args, search.store, todo, None) if todo else 0
    results = [r for key in keyed if (r := search.store.read(key))]
    for metric in search.dataset.kind.metrics if results else ():
        values = [r["scores"]["test"][metric] for r in results]
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        print(f"test {metric} {statistics.fmean(values):.4f}{spread} over {len(values)} seeds")
    return 1 if failed else 0
