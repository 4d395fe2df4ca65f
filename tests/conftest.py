"""Where tests find data and how they run commands."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("TSBENCH_DATA") or ROOT.parent / "shared" / "data")

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
    """Run a command in a folder of its own, without tracking unless asked for."""

    def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("TSBENCH_", "MLFLOW_"))}
        settings = {"MLFLOW_TRACKING_URI": "none", "MLFLOW_DISABLE_TELEMETRY": "true", **environment}
        return subprocess.run(
            command_line(*arguments), capture_output=True, text=True, cwd=tmp_path, env=clean | settings, timeout=600
        )

    return run
