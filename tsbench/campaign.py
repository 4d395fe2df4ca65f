"""Campaign: the studies of a suite one after another, with equal budgets; then default against tuned, side by side.

A study that is finished is not searched again, and an open one goes on, so the same command continues after a kill.
"""

from __future__ import annotations

import json
import re
import statistics
from argparse import Namespace
from typing import Any

from tsbench.address import shown
from tsbench.cell import identity, key_of
from tsbench.errors import TsbenchError, UsageError
from tsbench.plan import FIRST_SEED, Plan, Skipped, Suite, dataset_spec, make_plan, own_settings, parse_seeds
from tsbench.registry import find_datasets, find_model
from tsbench.search import Search
from tsbench.session import parse_settings, run_all, tracking
from tsbench.settings import format_spec, parse_spec
from tsbench.store import Store
from tsbench.studies import Study, gains, studies, table
from tsbench.study_file import ended, record
from tsbench.summary import boards
from tsbench.tune import used_up, work, work_together


def tune(args: Namespace, suite: Suite) -> int:
    """Run every study of a suite until its budget is used up, then its default and its best setting over seeds.

    Returns:
        0, or 1 if a study found nothing or a final run failed.

    Raises:
        UsageError: arguments that do not fit, or nothing that could be tuned.
    """
    _check(args)
    wanted, plan = _studies(args, suite)
    for line in plan.left_out():
        print(line, flush=True)
    if args.study and len(wanted) > 1:
        raise UsageError(f"--study {args.study} names one study, and these are {len(wanted)}; leave it out")
    if not wanted:
        raise UsageError("nothing to tune, for the reasons above")
    budget = f"{args.trials} trials" + (f" or {args.cpu_minutes:g} CPU minutes" if args.cpu_minutes else "")
    print(f"{len(wanted)} studies of {budget} each, seeds of the final runs {args.seeds}", flush=True)
    store, failed, names = Store(args.results), 0, set()
    with tracking(args, store):
        for number, one in enumerate(wanted, 1):
            try:
                search = Search(one)
                names.add(search.name)
                failed += _study(search, f"study {number} of {len(wanted)}, {search.name}")
            except TsbenchError as error:
                if len(wanted) == 1:
                    raise
                failed += 1
                print(f"study {number} of {len(wanted)} left out: {one.dataset} x {one.model}: {error}", flush=True)
        print(_side_by_side(store, [s for s in studies(store) if s.name in names]), flush=True)
    return 1 if failed else 0


def _check(args: Namespace) -> None:
    if args.trials < 1 or args.jobs < 1:
        raise UsageError(f"--trials {args.trials} and --jobs {args.jobs} must be at least 1")
    if args.cpu_minutes is not None and args.cpu_minutes <= 0:
        raise UsageError(f"--cpu-minutes {args.cpu_minutes} must be more than 0")
    if args.study and not re.fullmatch(r"[\w.-]+", args.study):
        raise UsageError(f"--study {args.study!r}: letters, digits, - _ and . only; it names a file too")
    parse_seeds(args.seeds)


def _studies(args: Namespace, suite: Suite) -> tuple[list[Namespace], Plan]:
    """The arguments of each study that can be, and the plan that says why others cannot."""
    changed = parse_settings(args.set)
    plan = make_plan(suite, [FIRST_SEED], changed, args.data)
    absent = {(s.dataset, s.model) for s in plan.skipped}
    plain = {k: v for k, v in vars(args).items() if k != "command"}  # a function that no other process could get
    found = {}
    for dataset in (dataset for pattern in suite.datasets for dataset in find_datasets(pattern)):
        for model in suite.models:
            spec, (name, settings) = dataset_spec(dataset), parse_spec(model)
            own = own_settings(changed, find_model(name), suite.models)
            if (spec, model) in absent:
                continue
            if not find_model(name).search_space.keys() - own.keys() - settings.keys():
                plan.skipped.append(Skipped(spec, model, "it has no settings left to search"))
                continue
            mine = {"dataset": spec, "model": model, "set": [format_spec("", own)[1:]] if own else []}
            found[spec, model] = Namespace(**{**plain, **mine, "protocol": suite.protocol})
    return list(found.values()), plan


def _study(search: Search, title: str) -> int:
    """One study: trials until the budget is used up, then the final runs; returns how many of these failed."""
    args, study = search.args, search.open_study()
    trials = study.get_trials(deepcopy=False)
    done = len(ended(trials))
    print(f"{title}: {done} of {args.trials} trials done, {args.jobs} at once, in {shown(search.storage)}", flush=True)
    if not used_up(args, trials) or len(trials) > done:
        if args.engine == "ray":
            from tsbench.cluster import Nodes
            from tsbench.cluster_trials import tune_on

            tune_on(Nodes(args), args)
        else:
            work(args) if args.jobs == 1 else work_together(args)
    record(search, study, finished=True)
    over = ended(study.get_trials(deepcopy=False))
    if not any(t.state.name == "COMPLETE" for t in over):
        raise TsbenchError("no trial completed, so there is no best setting; their reasons are above")
    best = f"best of {len(over)} trials: {json.dumps(study.best_params)}"
    print(f"{best}, validation {search.metric} {study.best_value:.5f}", flush=True)
    return _final_runs(search, study.best_params)


def _final_runs(search: Search, best: dict[str, Any]) -> int:
    """Run the default and the best setting over the same seeds, on test; returns how many failed."""
    cells = [search.cell(settings, seed) for settings in ({}, best) for seed in search.seeds]
    keys = [key_of(identity(cell, search.args.data)) for cell in cells]
    todo = {key: cell for key, cell in zip(keys, cells, strict=True) if not search.store.finished(key)}
    failed = run_all(search.args, search.store, todo, search.args.suite) if todo else 0
    results = [r for key in keys[len(search.seeds) :] if (r := search.store.read(key))]
    for metric in search.dataset.kind.metrics if results else ():
        values = [r["scores"]["test"][metric] for r in results]
        spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
        print(f"test {metric} {statistics.fmean(values):.4f}{spread} over {len(values)} seeds")
    return failed


def _side_by_side(store: Store, found: list[Study]) -> str:
    """The table of default against tuned."""
    labels = sorted({study.dataset for study in found})
    return f"\ndefault against tuned, over the same seeds\n{table(gains(found, boards(store.results(), labels)))}"
