"""What the commands of the command line do."""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tsbench import parallel, registry
from tsbench.address import shown
from tsbench.cell import Cell
from tsbench.dataset import Dataset, Source, find_file
from tsbench.errors import MissingData, TsbenchError, UsageError
from tsbench.model import Model
from tsbench.plan import Plan, Suite, make_plan, parse_seeds, read_suite
from tsbench.session import default_jobs, parse_settings, run_all, tracking
from tsbench.store import Store


def run(args: argparse.Namespace) -> int:
    """Plan, run, show the leaderboard; 1 if a cell failed, 2 if nothing could run. Under torchrun, only rank 0 does."""
    if parallel.launched() and parallel.join(args) > 0:
        return parallel.follow(args)
    code = _run(args)
    parallel.dismiss()
    return code


def _run(args: argparse.Namespace) -> int:
    store = Store(args.results)
    suite, seeds = _wanted(args)
    plan = make_plan(suite, seeds, parse_settings(args.set), args.data)
    todo = plan.open_cells(store)
    _print_plan(plan, todo, args.dry_run)
    if args.dry_run:
        return 0
    if not plan.cells:
        raise UsageError("nothing to run: no model fits a data set whose files are there (reasons above)")
    failed = 0
    with tracking(args, store) if todo else contextlib.nullcontext():
        if todo:
            failed = run_all(args, store, todo, args.suite)
        if not args.no_report:
            from tsbench.report import leaderboard

            print(leaderboard(store, {cell.dataset for cell in plan.cells.values()}, args.protocol), flush=True)
    return 1 if failed else 0


def _wanted(args: argparse.Namespace) -> tuple[Suite, list[int]]:
    """The suite meant by the arguments, and its seeds."""
    if args.suite and (args.dataset or args.model):
        raise UsageError("name a --suite, or --dataset and --model, not both")
    if args.suite:
        suite = read_suite(args.suite)
    elif args.dataset and args.model:
        suite = Suite("", tuple(args.dataset), tuple(args.model))
    else:
        raise UsageError("name what to run: --suite NAME, or --dataset NAME and --model NAME")
    if args.protocol:
        suite = Suite(suite.title, suite.datasets, suite.models, args.protocol, suite.seeds)
    return suite, parse_seeds(args.seeds or str(suite.seeds))


def _print_plan(plan: Plan, todo: dict[str, Cell], whole: bool) -> None:
    """The number of cells, why pairs were left out, and with `whole` each cell."""
    print(f"{len(plan.cells)} cells, {len(plan.cells) - len(todo)} finished, {len(todo)} to run")
    for line in plan.left_out():
        print(f"  {line}")
    if whole:
        for key, cell in plan.cells.items():
            print(f"  {'to run  ' if key in todo else 'finished'} {key[:8]} {cell.title()} protocol {cell.protocol}")


def tune(args: argparse.Namespace) -> int:
    """Search settings, study by study, then run default and best over seeds."""
    from tsbench.campaign import tune as search

    args.seeds = args.seeds or (None if args.suite else "5")
    args.jobs = args.jobs or default_jobs(args)
    suite, seeds = _wanted(args)
    args.seeds = ",".join(map(str, seeds)) + ","
    return search(args, suite)


def report(args: argparse.Namespace) -> int:
    """Print the leaderboards; write the files asked for."""
    from tsbench.report import write_reports

    return write_reports(args)


def explain(args: argparse.Namespace) -> int:
    """Print what a fitted model looks for and attends to; write the page asked for."""
    from tsbench.explain import command

    return command(args)


def reproduce(args: argparse.Namespace) -> int:
    """Run a recorded cell again; say what differs."""
    from tsbench.reproduce import command

    return command(args)


def export_results(args: argparse.Namespace) -> int:
    """Pack results into an archive."""
    from tsbench.transfer import export_command

    return export_command(args)


def import_results(args: argparse.Namespace) -> int:
    """Take in results from an archive or an MLflow store."""
    from tsbench.transfer import import_command

    return import_command(args)


def list_all(args: argparse.Namespace) -> int:
    """Models, data sets and suites with a line each."""
    if args.what in ("all", "models"):
        for tasks, models in _by_tasks().items():
            print(f"models: {tasks}")
            for name, kind in models.items():
                print(f"  {name:20} {_headline(kind)}")
    if args.what in ("all", "datasets"):
        print("data sets")
        for name, dataset in sorted(registry.all_datasets().items()):
            made = "  (generated)" if dataset.generated else ""
            print(f"  {name:28} {dataset.kind.__name__.lower()}, protocols {', '.join(dataset.protocols)}{made}")
    if args.what in ("all", "suites"):
        print("suites")
        for path in sorted((Path(__file__).parent / "suites").glob("*.toml")):
            print(f"  {path.stem:20} {read_suite(path.stem).title}")
    return 0


def _by_tasks() -> dict[str, dict[str, type[Model]]]:
    """Models by the task kinds that they can do."""
    found: dict[str, dict[str, type[Model]]] = {}
    for name in registry.model_names():
        kind = registry.find_model(name)
        found.setdefault(", ".join(sorted(task.__name__.lower() for task in kind.tasks)), {})[name] = kind
    return dict(sorted(found.items()))


def _headline(kind: type) -> str:
    """First line of the docstring of the file a class is defined in."""
    module = sys.modules[kind.__module__]
    doc = module.__doc__ or ast.get_docstring(ast.parse(Path(module.__file__ or "").read_text())) or ""
    return doc.strip().splitlines()[0] if doc.strip() else ""


def matrix(args: argparse.Namespace) -> int:
    """Which model runs on which family."""
    from tsbench.matrix import command

    return command(args)


def data(args: argparse.Namespace) -> int:
    """List, fetch or check data files; report what splits have in common."""
    from tsbench import download

    if args.action == "leakage":
        return leakage(args)
    if args.action == "list" and not args.names:
        return _list_sets(args.data)
    own = {name: found for name in args.names if (found := registry.own_dataset(name))}
    failed = [_told_bad(name, dataset, args) for name, dataset in own.items()]
    args.names = [name for name in args.names if name not in own]
    return max([*failed, download.command(args) if args.names or not own else 0])


def _list_sets(root: Path) -> int:
    """A line for all data sets of the same files: are these there?"""
    sets: dict[tuple[Source, ...], list[str]] = {}
    for name, dataset in registry.all_datasets().items():
        sets.setdefault(dataset.sources, []).append(name)
    free = sets.pop((), [])
    for sources, names in sorted(sets.items(), key=lambda item: item[1]):
        there = sum(_is_there(root, source.file) for source in sources)
        state = "there" if there == len(sources) else f"{there} of {len(sources)} files" if there else "missing"
        print(f"{names[0] + (f' and {len(names) - 1} more' if len(names) > 1 else ''):44} {state}")
    print(f"need no file: {', '.join(sorted(free))}")
    print(f"data folder: {root.resolve()}; `tsbench data list NAME` lists files, licences and whom to cite")
    return 0


def _is_there(root: Path, file: str) -> bool:
    try:
        return find_file(root, file).is_file()
    except MissingData:
        return False


def _told_bad(name: str, dataset: Dataset, args: argparse.Namespace) -> int:
    """Say that a user's own file is there, or if asked to check, how it reads; 1 if it is bad."""
    told = "there, a file of one's own"
    if args.action == "check":
        try:
            splits = dataset.load(args.data, next(iter(dataset.protocols)))
            told = f"good: {len(splits.train)} + {len(splits.validation)} + {len(splits.test)} samples"
        except UsageError as error:
            told = f"can be read; {error}"
        except TsbenchError as error:
            told = f"BAD: {error}"
    print(f"{name}: {told}", flush=True)
    return int(told.startswith("BAD"))


def leakage(args: argparse.Namespace) -> int:
    """Print what the splits of data sets have in common, under each protocol."""
    from tsbench.leakage import leakage as found_in
    from tsbench.registry import all_datasets, find_datasets

    if not args.names:
        raise UsageError("name the data sets, for example: tsbench data leakage rna/cri-off 'rna-substitute/*'")
    families = {name: [d for n, d in all_datasets().items() if n.startswith(name + "/")] for name in args.names}
    for dataset in (found for name in args.names for found in families[name] or find_datasets(name)):
        for protocol in dataset.protocols:
            try:
                overlaps = found_in(dataset.load(args.data, protocol))
            except MissingData as absent:
                print(f"left out: {str(absent).split('. ')[0]}")
                break
            told = [overlap.words for overlap in overlaps if overlap.words]
            nothing = "nothing in common between splits" if overlaps else "not examined: only labelled samples are"
            print(f"{dataset.name}, protocol {protocol}\n  " + "\n  ".join(told or [nothing]))
    return 0


def check(args: argparse.Namespace) -> int:
    """Test the contract."""
    from tsbench.contract import command

    return command(args)


def sync(args: argparse.Namespace) -> int:
    """Send what MLflow misses."""
    from tsbench.tracking import sync as send
    from tsbench.tracking import tracking_uri

    store = Store(args.results)
    uri = tracking_uri(store, args.tracking)
    print(f"{send(store, uri)} runs sent to MLflow at {shown(uri)}")
    return 0


def ui(args: argparse.Namespace) -> int:
    """Serve the MLflow UI until interrupted."""
    from tsbench.tracking import ENVIRONMENT, create_database, tracking_uri

    store = Store(args.results)
    uri = tracking_uri(store, args.tracking)
    if uri.startswith("http"):
        print(f"the store is a server with a UI of its own: {shown(uri)}")
        return 0
    if uri.startswith("sqlite:///"):
        create_database(Path(uri.removeprefix("sqlite:///")))
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((args.host, args.port))
        except OSError as error:
            raise UsageError(f"--host {args.host} --port {args.port}: {error.strerror}; try another --port") from None
    print(
        f"MLflow UI on {shown(uri)}: http://{args.host}:{args.port} in some seconds; "
        "choose 'Model training', not 'GenAI'; Ctrl-C ends it",
        flush=True,
    )
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--artifacts-destination", str(store.path("mlflow-artifacts", ""))]
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **ENVIRONMENT, **os.environ}
    environment["MLFLOW_BACKEND_STORE_URI"] = uri  # other users see arguments
    server = subprocess.Popen(
        [*command, "--host", args.host, "--port", str(args.port)], env=environment, start_new_session=True
    )
    try:
        return server.wait()
    finally:  # the server starts processes of its own, which outlive it
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
