"""What a result was made on: code revision, package versions, hardware, time and memory."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import shlex
import subprocess
import sys
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

import tsbench
from tsbench.address import shown

PACKAGES = (
    "torch",
    "numpy",
    "pandas",
    "scikit-learn",
    "sktime",
    "scipy",
    "optuna",
    "mlflow",
    "tokenizers",
    "numba",
    "pysam",
    "ViennaRNA",
)


@lru_cache(maxsize=4)
def environment(device: str = "cpu") -> dict[str, Any]:
    """Versions, revision and hardware of this process, which computes on `device`."""
    return {
        "tsbench": tsbench.__version__,
        "python": platform.python_version(),
        **{name: _version(name) for name in PACKAGES},
        "git": git_revision(Path(__file__).parent),
        "platform": platform.platform(),
        "processor": _processor(),
        "instructions": torch.backends.cpu.get_cpu_capability(),  # which of them torch's kernels use
        "cores": os.cpu_count(),
        "gpu": torch.cuda.get_device_name(device) if device.startswith("cuda") and torch.cuda.is_available() else None,
        "host": platform.node(),
    }


def command_line() -> str:
    """The command that this process or its parent was started with; passwords in addresses are left out."""
    return shlex.join(map(shown, sys.argv))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_revision(folder: Path) -> str | None:
    """Commit of the checkout `folder` is in, with `+changes` if files differ from it; None outside a checkout."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "environment.py")  # installed inside some other project's checkout?
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def reset_peak_memory(device: torch.device) -> None:
    """Start a new measurement of peak memory, where the system can (Linux; CUDA)."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def peak_memory_mb() -> float:
    """Largest resident memory of this process since the reset, MB; elsewhere than Linux since its start."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024
    except (OSError, StopIteration):
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def gpu_memory_mb(device: torch.device) -> float | None:
    """Largest memory allocated on the GPU since the reset, MB; None for other devices."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None
