"""Where tests find data and how they run commands."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tsbench.cli import main

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("TSBENCH_DATA") or ROOT.parent / "shared" / "data")
# As `tsbench` itself has it, and before the first numpy import: tests run side by side, so more threads only wait.
os.environ["OMP_NUM_THREADS"] = "1"

Command = Callable[..., "subprocess.CompletedProcess[str]"]


def command_line(*arguments: object) -> list[str]:
    """The tsbench command of the Python that runs the tests."""
    return [sys.executable, "-m", "tsbench.cli", *map(str, arguments)]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real data; the test is skipped where there is none."""
    if not (SHARED / "ltsf" / "ETTh1.csv").is_file():
        pytest.skip(f"no real data: {SHARED} has no ltsf/ETTh1.csv; set TSBENCH_DATA")
    return SHARED


@pytest.fixture
def tsbench(tmp_path: Path) -> Command:
    """Run a command in a folder of the test's own."""
    return commands_in(tmp_path)


def commands_in(folder: Path) -> Command:
    """Run commands in a folder, each in a process of its own, without tracking unless asked for."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        return Running(folder, *arguments, **environment).end()

    return run


class Running:
    """A command at work in a process group of its own.

    The process is forked from one that has imported the heavy packages, which take most of a short command's time.
    """

    def __init__(self, folder: Path, *arguments: object, **environment: str) -> None:
        context = get_context("forkserver")
        context.set_forkserver_preload(["tsbench.commands", "sktime.datasets"])
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("TSBENCH_", "MLFLOW_"))}
        settings = {"MLFLOW_TRACKING_URI": "none", "MLFLOW_DISABLE_TELEMETRY": "true", **environment}
        self.words, self.said = [*map(str, arguments)], TemporaryDirectory()
        self.process = context.Process(target=_command, args=(self.words, folder, clean | settings, self.said.name))
        self.process.start()
        assert self.process.pid is not None
        self.pid: int = self.process.pid

    def alive(self) -> bool:
        return self.process.is_alive()

    def children(self) -> list[int]:
        """The processes that it started, workers for one."""
        told = Path(f"/proc/{self.pid}/task/{self.pid}/children")
        return [int(child) for child in told.read_text().split()] if self.alive() else []

    def kill(self) -> None:
        """SIGKILL to it and all that it started in its group."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def end(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end; ten minutes at most."""
        self.process.join(600)
        if self.process.exitcode is None:
            self.kill()
            pytest.fail(f"tsbench {' '.join(self.words)} takes more than ten minutes")
        out, err = ((Path(self.said.name) / name).read_text() for name in ("out", "err"))
        self.said.cleanup()
        return subprocess.CompletedProcess(self.words, self.process.exitcode, out, err)


def _command(words: list[str], folder: Path, environment: Mapping[str, str], said: str) -> None:
    """One command, in the process that is its own; its output goes to files in the folder `said`."""
    os.setsid()
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{said}/{name}", os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.exit(main(words))
