"""The command line. Heavy packages are imported by the commands that need them, so that --help is instant."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tsbench import __version__
from tsbench.errors import TsbenchError
from tsbench.options import command, examples, pairs, running, tracking, where

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 good, 1 a cell failed, 2 the command was wrong, 130 stopped."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(getattr(args, "threads", None) or 1)  # before the first numpy import
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end in good order, as for Ctrl-C
    try:
        return int(args.command(args))
    except (TsbenchError, PermissionError, FileExistsError, NotADirectoryError) as error:
        print(f"tsbench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ntsbench: stopped. Nothing finished is lost; the same command continues.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, `| head` for one, is gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = argparse.ArgumentParser(
        prog="tsbench",
        description="Benchmark sequence models: real seeds, honest baselines, tracked and resumable runs.",
        epilog=examples(
            "tsbench run --suite quick",
            "tsbench run --dataset 'ltsf/*/96' --model dlinear --model ols --seeds 5 --jobs 2",
            "tsbench report --html report.html",
            "tsbench COMMAND --help",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tsbench {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    working = (_add_run, _add_tune, _add_report, _add_explain, _add_reproduce, _add_export, _add_import)
    for add in (*working, _add_list, _add_matrix, _add_data, _add_check, _add_sync, _add_ui):
        add(commands)
    return parser


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "run",
        "run",
        "Train and score models on data sets; finished cells are not run again.",
        "tsbench run --suite quick",
        "tsbench run --suite ltsf --seeds 5 --jobs 2",
        "tsbench run --dataset ltsf/etth1/96 --model dlinear --seeds 5 --set lr=0.005",
        "tsbench run --dataset 'ltsf/*/96' --model ols --model dlinear:individual=true --protocol paper",
        "tsbench run --dataset my.csv:horizon=24,look_back=96 --model repeat --model dlinear",
        "tsbench run --suite full --engine ray --address 10.0.0.1:6379 --cell-gpus 0.25 --cell-memory 4G",
    )
    pairs(parser, "name, with settings after a colon; repeatable")
    parser.add_argument(
        "--seeds",
        metavar="N",
        help="number of seeds from 2021 on, or a list such as 2021,7 (default: the suite's, else 1)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument("--no-report", action="store_true", help="print no leaderboard at the end")
    running(parser)
    where(parser)
    tracking(parser)


def _add_tune(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "tune",
        "tune",
        "Search settings on validation scores, a study a data set and model; then run default and best over seeds.",
        "tsbench tune --dataset ltsf/etth1/96 --model dlinear --trials 50",
        "tsbench tune --dataset 'ltsf/*/96' --model dlinear --model nlinear --trials 20 --jobs 2",
        "tsbench tune --suite uea --trials 30 --cpu-minutes 60",
        "tsbench tune --suite my.toml --storage postgresql://me@host/optuna",
    )
    pairs(parser, "name; its settings after a colon stay fixed; repeatable")
    parser.add_argument(
        "--trials",
        type=int,
        default=50,
        help="trials of each study in all, earlier ones included (default: 50)",
    )
    parser.add_argument(
        "--cpu-minutes",
        type=float,
        metavar="M",
        help="begin no further trial of a study whose trials took so long (default: trials alone count)",
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        help="seeds of the final runs, a number or a list (default: the suite's, else 5)",
    )
    parser.add_argument(
        "--storage",
        metavar="URL",
        help="Optuna storage, such as postgresql://USER@HOST/NAME (default: SQLite in the results folder)",
    )
    parser.add_argument(
        "--study", metavar="NAME", help="name of a single study (default: data set, model and protocol)"
    )
    running(parser)
    where(parser)
    tracking(parser)


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "report",
        "report",
        "Tables and plots from the results: mean ± std over seeds, ranks, published scores, tests.",
        "tsbench report",
        "tsbench report --dataset 'ltsf/etth1/*' --protocol paper",
        "tsbench report --dataset 'uea/*' --model minirocket --model vsformer --model 'vsformer:*'",
        "tsbench report --csv scores.csv --latex table.tex --html report.html",
        "tsbench report --figures figures/",
    )
    parser.add_argument(
        "--dataset", action="append", default=[], metavar="GLOB", help="only these data sets (or own files)"
    )
    parser.add_argument("--model", action="append", default=[], metavar="GLOB", help="only these models or variants")
    parser.add_argument("--protocol", help="only this protocol")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all scores as CSV")
    parser.add_argument("--latex", type=Path, metavar="FILE", help="write the leaderboards as LaTeX tables (booktabs)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page with tables and plots")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="write each figure as SVG, PDF and PNG")
    where(parser, data=False)


def _add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "explain",
        "explain",
        "What a fitted model looks for, and what of some test cases it attended to; needs its finished run.",
        "tsbench explain --dataset uea/BasicMotions --model vsformer --html explain.html",
        "tsbench explain 3f9c1a2b --case 0 --case 7",
        "tsbench explain results/artifacts/KEY",
    )
    parser.add_argument(
        "cell", nargs="?", metavar="KEY", help="key (or its start) or artifact folder of a finished cell"
    )
    parser.add_argument("--dataset", metavar="NAME", help="instead of a key: the cell of this data set ...")
    parser.add_argument("--model", metavar="NAME", help="... of this model, with settings after a colon ...")
    parser.add_argument("--protocol", help="... under this protocol ...")
    parser.add_argument("--seed", type=int, help="... and of this seed (default: the lowest)")
    parser.add_argument(
        "--case", type=int, action="append", metavar="N", help="a test case, from 0, repeatable (default: three)"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page with drawings")
    where(parser)


def _add_reproduce(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "reproduce",
        "reproduce",
        "Run a recorded cell again from its record alone; say that it is equal, or what differs. Exit code: 0 equal, 1 "
        "something differs, 2 it cannot be rebuilt.",
        "tsbench reproduce 3f9c1a2b",
        "tsbench reproduce 3f9c1a2b --dry-run",
        "tsbench reproduce ~/paper/result.json --data /data",
        "tsbench reproduce 0b7de5a0c1f84b0fb2a4a1c6f4f1d3aa --tracking http://server:5000",
    )
    parser.add_argument(
        "run", metavar="RUN_ID", help="key (or its start) of a cell, file of a result, or MLflow run id with --tracking"
    )
    parser.add_argument("--dry-run", action="store_true", help="only compare code, data, versions and hardware")
    parser.add_argument("--dataset", metavar="NAME", help="where a data file of one's own is now, with its options")
    parser.add_argument("--device", help="instead of the recorded one")
    parser.add_argument("--threads", type=int, metavar="N", help="instead of the recorded number")
    where(parser)
    tracking(parser)


def _add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "export",
        "export_results",
        "Pack results into one archive, with the sha256 of each file.",
        "tsbench export results.tar.gz",
        "tsbench export ltsf.zip --dataset 'ltsf/*' --model dlinear --model 'dlinear:*' --no-artifacts",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="a new file, .tar.gz, .tgz or .zip")
    parser.add_argument("--dataset", action="append", default=[], metavar="GLOB", help="only these data sets")
    parser.add_argument("--model", action="append", default=[], metavar="GLOB", help="only these models or variants")
    parser.add_argument("--no-artifacts", action="store_true", help="without fitted models")
    parser.add_argument("--with-failures", action="store_true", help="and why cells failed that are not finished")
    where(parser, data=False)


def _add_import(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "import",
        "import_results",
        "Take in results from an archive or an MLflow store; what is here is never replaced. Exit code: 0 good, 1 "
        "something was left out, 2 the archive is refused.",
        "tsbench import results.tar.gz",
        "tsbench import --tracking http://server:5000 --dataset 'ltsf/*'",
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="what `tsbench export` wrote")
    parser.add_argument("--tracking", metavar="URI", help="instead of a file: an MLflow store to read runs from")
    parser.add_argument("--dataset", action="append", default=[], metavar="GLOB", help="only these data sets")
    parser.add_argument("--suite", metavar="NAME", help="only what this suite ran")
    where(parser, data=False)


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "list",
        "list_all",
        "List models, data sets or suites.",
        "tsbench list",
        "tsbench list models",
        "tsbench list datasets",
    )
    parser.add_argument("what", nargs="?", choices=("all", "models", "datasets", "suites"), default="all")


def _add_matrix(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "matrix",
        "matrix",
        "Which model runs on which family, and why not where it does not; nothing is trained.",
        "tsbench matrix",
        "tsbench matrix --why sasrec",
        "tsbench matrix --csv matrix.csv",
    )
    parser.add_argument("--why", metavar="MODEL", help="tell of one model what it takes, and why not the rest")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all of it as CSV, reasons included")


def _add_data(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "data",
        "data",
        "Data files: what is there, download what is not, check what is.",
        "tsbench data list",
        "tsbench data fetch ltsf/etth1",
        "tsbench data check ltsf",
        "tsbench data check lab/scenes.json",
        "tsbench data leakage rna/cri-off rna/ncrna",
    )
    parser.add_argument("action", choices=("list", "fetch", "check", "leakage"))
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="families or data sets, such as ltsf or ltsf/etth1, or for check and leakage files of one's own (default: "
        "all; fetch and leakage need one)",
    )
    parser.add_argument(
        "--mirror", metavar="URL", help="fetch from this folder of files instead of the original sources"
    )
    where(parser)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "check",
        "check",
        "Test a model or data set against the contract that all of them keep.",
        "tsbench check dlinear",
        "tsbench check ltsf/etth1/96",
        "tsbench check dlinear:individual=true",
    )
    parser.add_argument("name", help="a model or data set")
    where(parser)


def _add_sync(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "sync",
        "sync",
        "Send results to MLflow that it does not have yet.",
        "tsbench sync",
        "tsbench sync --tracking http://server:5000",
    )
    where(parser, data=False)
    tracking(parser)


def _add_ui(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = command(
        commands,
        "ui",
        "ui",
        "Open the MLflow UI on the results, on this machine only.",
        "tsbench ui",
        "tsbench ui --port 5001",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to serve on (default: 127.0.0.1, this machine only)"
    )
    parser.add_argument("--port", type=int, default=5000)
    where(parser, data=False)
    tracking(parser)


if __name__ == "__main__":
    sys.exit(main())
