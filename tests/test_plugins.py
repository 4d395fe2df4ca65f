"""Another package brings a model and a data set through entry points; and what we ship installs outside the repo."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT

MODEL = '''
"""Middle: the mean of the window."""
from tsbench.models.repeat import Repeat

class Middle(Repeat):
    """Forecast = mean of the window."""
    def predict(self, batch):
        return batch.inputs.mean(1, keepdim=True).expand(-1, self.task.horizon, -1)
'''
DATA = '''
"""A saw-tooth."""
import hashlib
import numpy as np
from tsbench.dataset import Dataset
from tsbench.tasks.forecasting import Forecasting
from tsbench.windows import forecasting_splits, fractions

class Saw(Dataset):
    """Period 5."""
    name, kind, generated, protocols = "outside/saw/3", Forecasting, True, {"full": "all"}
    def digest(self, root):
        return "saw-1"
    def load(self, root, protocol):
        values = (np.arange(300.0) % 5)[:, None]
        return forecasting_splits(values, fractions(300), Forecasting(10, 3, 1, 5))

def datasets():
    yield Saw()
'''
PROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"
[project]
name = "outside"
version = "1"
[project.entry-points."tsbench.models"]
middle = "outside.middle"
[project.entry-points."tsbench.datasets"]
saw = "outside.saw"
"""


@pytest.mark.slow
def test_an_outside_package_adds_a_model_and_a_data_set(tmp_path: Path) -> None:
    source = tmp_path / "outside-project"
    (source / "outside").mkdir(parents=True)
    for name, text in (("__init__", ""), ("middle", MODEL), ("saw", DATA)):
        (source / "outside" / f"{name}.py").write_text(text)
    (source / "pyproject.toml").write_text(PROJECT)
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(site)]
    subprocess.run([*pip, str(source)], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def tsbench(*arguments: str) -> str:
        command = [sys.executable, "-m", "tsbench.cli", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    told = tsbench(
        "run", "--dataset", "outside/saw/3", "--model", "middle", "--model", "seasonal_naive", "--tracking", "none"
    )
    assert "outside/saw/3 middle seed 2021" in told
    assert "generated data" in told
    assert "keeps the contract" in tsbench("check", "middle")
    assert "keeps the contract" in tsbench("check", "outside/saw/3")
    assert "middle" in tsbench("list", "models")


def test_every_package_folder_is_declared() -> None:
    """setuptools builds what pyproject.toml lists; a forgotten folder would be missing from the wheel."""
    declared = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    there = {"tsbench", "tsbench.models", "tsbench.datasets"}
    there |= {f"tsbench.{p.parent.name}" for p in (ROOT / "tsbench").glob("*/__init__.py")}
    assert declared == there
    for folder in ("models", "datasets"):
        assert (ROOT / "tsbench" / folder).resolve() == ROOT / folder
        assert not [p for p in (ROOT / folder).iterdir() if p.is_dir() and p.name != "__pycache__"], "keep it flat"
    assert not (ROOT / "mlflow" / "__init__.py").exists(), "it would shadow the mlflow package"


@pytest.mark.slow
def test_the_wheel_works_outside_the_repo(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "tsbench/models/dlinear.py",
        "tsbench/datasets/ltsf_published.csv",
        "tsbench/suites/quick.toml",
        "tsbench/report.jinja",
    ):
        assert needed in names
    assert not [n for n in names if n.split("/")[0] in ("models", "datasets", "mlflow", "tests")]
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    # The dependencies are those of this environment; only tsbench itself is the wheel's.
    purelib = sysconfig.get_paths()["purelib"]
    (site,) = venv.glob("lib/python*/site-packages")
    subprocess.run([venv / "bin" / "pip", "install", "-q", "--no-deps", str(wheel)], check=True, capture_output=True)
    (site / "dependencies.pth").write_text(purelib + "\n")
    command = [
        venv / "bin" / "tsbench",
        "run",
        "--dataset",
        "sktime/airline/12",
        "--model",
        "dlinear",
        "--tracking",
        "none",
    ]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    where = subprocess.run(
        [venv / "bin" / "python", "-c", "import tsbench.models.dlinear as m; print(m.__file__)"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(site))
