"""The command line. Heavy packages are imported by the commands that need them, so that --help is instant."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path

from tsbench import __version__
from tsbench.errors import TsbenchError

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 good, 1 a cell failed, 2 the command was wrong, 130 stopped."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = str(getattr(args, "threads", 1))  # before the first numpy import
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
        epilog=_examples(
            "tsbench run --suite quick",
            "tsbench run --dataset 'ltsf/*/96' --model dlinear --model ols --seeds 5 --jobs 2",
            "tsbench report --html report.html",
            "tsbench COMMAND --help",
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tsbench {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (_add_run, _add_tune, _add_report, _add_explain, _add_list, _add_data, _add_check, _add_sync, _add_ui):
        add(commands)
    return parser


def _examples(*lines: str) -> str:
    return "examples:\n" + textwrap.indent("\n".join(lines), "  ")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: str,
    text: str,
    *examples: str,
) -> argparse.ArgumentParser:
    """A sub-command whose function is `tsbench.commands.<run>`, imported when it is called."""

    def call(args: argparse.Namespace) -> int:
        from tsbench import commands as functions

        return int(getattr(functions, run)(args))

    parser = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=_examples(*examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=call)
    return parser


def _where(parser: argparse.ArgumentParser, data: bool = True) -> None:
    """Options for the folders."""
    if data:
        parser.add_argument(
            "--data",
            type=Path,
            metavar="DIR",
            default=Path(os.environ.get("TSBENCH_DATA", "data")),
            help="data folder, one folder a family (default: TSBENCH_DATA, else ./data)",
        )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="DIR",
        default=Path(os.environ.get("TSBENCH_RESULTS", "results")),
        help="results folder (default: TSBENCH_RESULTS, else ./results)",
    )


def _tracking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--tracking",
        metavar="URI",
        default=os.environ.get("MLFLOW_TRACKING_URI", ""),
        help="MLflow store (default: MLFLOW_TRACKING_URI, else SQLite in the results folder); 'none' sends nothing",
    )


def _running(parser: argparse.ArgumentParser) -> None:
    """Options for how cells run."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the model, repeatable"
    )
    parser.add_argument("--protocol", help="protocol of the data set (default: its first)")
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        metavar="N",
        help="cells at once, each in a process of its own (default: 1)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="threads of each process (default: 1, fastest when jobs fill the cores)",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps (default: cpu)")


def _add_run(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "run",
        "run",
        "Train and score models on data sets; finished cells are not run again.",
        "tsbench run --suite quick",
        "tsbench run --suite ltsf --seeds 5 --jobs 2",
        "tsbench run --dataset ltsf/etth1/96 --model dlinear --seeds 5 --set lr=0.005",
        "tsbench run --dataset 'ltsf/*/96' --model ols --model dlinear:individual=true --protocol paper",
        "tsbench run --dataset my.csv:horizon=24,look_back=96 --model repeat --model dlinear",
    )
    parser.add_argument("--suite", help="a suite by name (tsbench list suites) or a TOML file of your own")
    parser.add_argument(
        "--dataset",
        action="append",
        default=[],
        metavar="NAME",
        help="name, glob or file, with options after a colon; repeatable",
    )
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="name, with settings after a colon; repeatable",
    )
    parser.add_argument(
        "--seeds",
        metavar="N",
        help="number of seeds from 2021 on, or a list such as 2021,7 (default: the suite's, else 1)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plan and stop")
    parser.add_argument("--no-report", action="store_true", help="print no leaderboard at the end")
    _running(parser)
    _where(parser)
    _tracking(parser)


def _add_tune(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "tune",
        "tune",
        "Search a model's settings on validation scores, then run the best over seeds.",
        "tsbench tune --dataset ltsf/etth1/96 --model dlinear --trials 50",
        "tsbench tune --dataset ltsf/ili/24 --model nlinear --trials 20 --jobs 2 --seeds 5",
        "tsbench tune --dataset ltsf/etth1/96 --model dlinear --storage postgresql://host/optuna",
    )
    parser.add_argument("--dataset", required=True, metavar="NAME", help="one data set")
    parser.add_argument(
        "--model", required=True, metavar="NAME", help="one model; its settings after a colon stay fixed"
    )
    parser.add_argument(
        "--trials",
        type=int,
        default=50,
        help="trials of the study in all, earlier ones included (default: 50)",
    )
    parser.add_argument("--seeds", default="5", help="seeds of the final runs (default: 5)")
    parser.add_argument("--storage", metavar="URL", help="Optuna storage (default: SQLite in the results folder)")
    parser.add_argument("--study", metavar="NAME", help="name of the study (default: data set, protocol and model)")
    _running(parser)
    _where(parser)
    _tracking(parser)


def _add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "report",
        "report",
        "Tables and plots from the results: mean ± std over seeds, ranks, published scores, tests.",
        "tsbench report",
        "tsbench report --dataset 'ltsf/etth1/*' --protocol paper",
        "tsbench report --dataset 'uea/*' --model minirocket --model vsformer --model 'vsformer:*'",
        "tsbench report --csv scores.csv --latex table.tex --html report.html",
    )
    parser.add_argument(
        "--dataset", action="append", default=[], metavar="GLOB", help="only these data sets (or own files)"
    )
    parser.add_argument("--model", action="append", default=[], metavar="GLOB", help="only these models or variants")
    parser.add_argument("--protocol", help="only this protocol")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write all scores as CSV")
    parser.add_argument("--latex", type=Path, metavar="FILE", help="write the leaderboards as LaTeX tables (booktabs)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page with tables and plots")
    _where(parser, data=False)


def _add_explain(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
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
    _where(parser)


def _add_list(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "list",
        "list_all",
        "List models, data sets or suites.",
        "tsbench list",
        "tsbench list models",
        "tsbench list datasets",
    )
    parser.add_argument("what", nargs="?", choices=("all", "models", "datasets", "suites"), default="all")


def _add_data(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
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
    _where(parser)


def _add_check(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "check",
        "check",
        "Test a model or data set against the contract that all of them keep.",
        "tsbench check dlinear",
        "tsbench check ltsf/etth1/96",
        "tsbench check dlinear:individual=true",
    )
    parser.add_argument("name", help="a model or data set")
    _where(parser)


def _add_sync(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
        commands,
        "sync",
        "sync",
        "Send results to MLflow that it does not have yet.",
        "tsbench sync",
        "tsbench sync --tracking http://server:5000",
    )
    _where(parser, data=False)
    _tracking(parser)


def _add_ui(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _command(
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
    _where(parser, data=False)
    _tracking(parser)


if __name__ == "__main__":
    sys.exit(main())
