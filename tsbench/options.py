"""Options that several commands share, and what a command of the command line is."""

from __future__ import annotations

import argparse
import os
import textwrap
from pathlib import Path


def examples(*lines: str) -> str:
    """Commands to copy, for the end of a help text."""
    return "examples:\n" + textwrap.indent("\n".join(lines), "  ")


def command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: str,
    text: str,
    *lines: str,
) -> argparse.ArgumentParser:
    """A sub-command whose function is `tsbench.commands.<run>`, imported when it is called."""

    def call(args: argparse.Namespace) -> int:
        from tsbench import commands as functions

        return int(getattr(functions, run)(args))

    parser = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=examples(*lines),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=call)
    return parser


def pairs(parser: argparse.ArgumentParser, model: str) -> None:
    """Options that name data sets and models; `model` is the help of the latter."""
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
        help=model,
    )


def where(parser: argparse.ArgumentParser, data: bool = True) -> None:
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


def tracking(parser: argparse.ArgumentParser) -> None:
    """Where MLflow's store is."""
    parser.add_argument(
        "--tracking",
        metavar="URI",
        default=os.environ.get("MLFLOW_TRACKING_URI", ""),
        help="MLflow store (default: MLFLOW_TRACKING_URI, else SQLite in the results folder); 'none' sends nothing",
    )


def running(parser: argparse.ArgumentParser) -> None:
    """Options for how cells run."""
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the model, repeatable"
    )
    parser.add_argument("--protocol", help="protocol of the data set (default: its first)")
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="cells at once, each in a process of its own (default: 1; on a cluster, as many as there is room for)",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=1,
        help="threads of each process (default: 1, fastest when jobs fill the cores)",
    )
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, mps (default: cpu)")
    parser.add_argument(
        "--engine", choices=("local", "ray"), default="local", help="this machine or a Ray cluster (default: local)"
    )
    cluster = parser.add_argument_group("on a Ray cluster", "pip install 'tsbench[cluster]'; see docs/cluster.md")
    cluster.add_argument(
        "--address", default="auto", metavar="HOST:PORT", help="of its head (default: auto, the one of this machine)"
    )
    cluster.add_argument(
        "--cell-cpus", type=float, default=1.0, metavar="N", help="CPUs of a cell, its threads too (default: 1)"
    )
    cluster.add_argument(
        "--cell-gpus", type=float, default=0.0, metavar="N", help="GPUs of a cell; 0.25: four share one (default: 0)"
    )
    cluster.add_argument(
        "--cell-memory", type=size, default=0, metavar="SIZE", help="memory of a cell, such as 2G (default: any)"
    )


def size(text: str) -> int:
    """`2G`, `500M` or a number of bytes."""
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    number, unit = (text[:-1], units[text[-1].upper()]) if text[-1:].upper() in units else (text, 1)
    return int(float(number) * unit)
