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
        values = (np.arange(300.0) % 5 + np.arange(300.0) / 100)[:, None]
        return forecasting_splits(values, fractions(300), Forecasting(10, 3, 1, 5))

def datasets():
    yield Saw()
'''
TASK = '''
"""Sign: a task kind of its own, higher is better, with its data set and a neural model for it."""
import hashlib
from dataclasses import dataclass
import torch
from torch import nn
from tsbench.data import Batch, Splits
from tsbench.dataset import Dataset
from tsbench.model import NeuralModel
from tsbench.svg import Line, line_chart
from tsbench.tasks.task import Metric, Scores, Task
from tsbench.train import TrainConfig

class Hits:
    def __init__(self):
        self.hits = []
    def update(self, prediction, batch):
        self.hits += ((prediction > 0) == (batch.target > 0.5)).float().tolist()
    def scores(self):
        return Scores({"accuracy": sum(self.hits) / len(self.hits)}, {"accuracy": self.hits})

@dataclass(frozen=True)
class Sign(Task):
    """Is the sum of the series positive?"""
    length: int
    primary, unit = "accuracy", "series"
    metrics = {"accuracy": Metric(True, "share of right answers")}
    def shape(self, batch):
        return (len(batch),)
    def loss(self, prediction, batch):
        return nn.functional.binary_cross_entropy_with_logits(prediction, batch.target)
    def meter(self):
        return Hits()
    def random_batch(self, size, device="cpu"):
        return Batch(torch.randn(size, self.length, 1, device=device), torch.rand(size, device=device).round())
    def examples(self, prediction, batch):
        return {"series": batch.inputs[0, :, 0].tolist(), "logit": prediction[0].item()}
    @classmethod
    def figure(cls, examples):
        return line_chart(f"logit {examples['logit']:.2f}", [Line("", examples["series"], "#000")])

class Table:
    def __init__(self, x, y):
        self.x, self.y = x, y
        self.sizes = torch.full((len(x),), x[0].numel() + 1)
    def __len__(self):
        return len(self.x)
    def batch(self, indices):
        return Batch(self.x[indices], self.y[indices])
    def to(self, device):
        return Table(self.x.to(device), self.y.to(device))

class Signs(Dataset):
    """Noise."""
    name, kind, generated, protocols = "outside/signs", Sign, True, {"full": "all"}
    def digest(self, root):
        return "signs-1"
    def load(self, root, protocol):
        x = torch.randn(600, 8, 1, generator=torch.Generator().manual_seed(0))
        y = (x.sum((1, 2)) > 0).float()
        parts = [Table(x[a:b], y[a:b]) for a, b in ((0, 400), (400, 500), (500, 600))]
        return Splits(Sign(8), *parts)

def datasets():
    yield Signs()

class Sum(NeuralModel):
    """One linear unit."""
    Config, tasks = TrainConfig, (Sign,)
    def __init__(self, task, config):
        super().__init__(task, config)
        self.unit = nn.Linear(task.length, 1)
    def forward(self, batch):
        return self.unit(batch.inputs[..., 0])[:, 0]
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
sum = "outside.sign:Sum"
[project.entry-points."tsbench.datasets"]
saw = "outside.saw"
sign = "outside.sign"
"""


@pytest.mark.slow
def test_an_outside_package_adds_a_model_and_a_data_set(tmp_path: Path) -> None:
    source = tmp_path / "outside-project"
    (source / "outside").mkdir(parents=True)
    for name, text in (("__init__", ""), ("middle", MODEL), ("saw", DATA), ("sign", TASK)):
        (source / "outside" / f"{name}.py").write_text(text)
    (source / "pyproject.toml").write_text(PROJECT)
    site = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(site)]
    subprocess.run([*pip, str(source)], check=True, capture_output=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    commands = (
        "run --dataset outside/saw/3 --model middle --model seasonal_naive --tracking none",
        *("check middle", "check outside/saw/3", "list models"),
        # A task kind that the harness has never heard of, whose metric is better when higher.
        "run --dataset outside/signs --model sum:lr=0.05 --model middle --tracking none",
        *("check sum", "check outside/signs", "report --html page.html"),
        "tune --dataset outside/signs --model sum:epochs=2 --trials 1 --tracking none",
    )
    # One process for all: each would import the heavy packages anew.
    code = (
        "import sys; from tsbench.cli import main\nfor line in sys.argv[1:]: print('code', main(line.split()), '\\n$')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *commands], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    *told, end = done.stdout.split("$\n")
    assert end == "", done.stdout + done.stderr
    assert [text.rsplit("code ", 1)[1].strip() for text in told] == ["0"] * len(commands), done.stdout + done.stderr
    saw, middle, saws, models, signs, own, sign, report, _ = told
    assert "outside/saw/3 middle seed 2021" in saw
    assert "generated data" in saw
    assert "middle" in models
    assert "it does forecasting, the data set is sign" in signs
    assert "outside/signs sum" in signs
    assert float(signs.split("accuracy ")[1].split()[0]) > 0.9
    assert all("keeps the contract" in checked for checked in (middle, saws, own, sign))
    assert "accuracy" in report
    assert "<polyline" in (tmp_path / "page.html").read_text()


def test_every_package_folder_is_declared() -> None:
    """setuptools builds what pyproject.toml lists; a forgotten folder would be missing from the wheel."""
    declared = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    there = {"tsbench", "tsbench.models", "tsbench.datasets"}
    folders = [p.parent.relative_to(ROOT) for p in (ROOT / "tsbench").rglob("__init__.py")]
    there |= {".".join(folder.parts) for folder in folders}
    assert declared == there
    for folder in ("models", "datasets"):
        assert (ROOT / "tsbench" / folder).resolve() == ROOT / folder
        assert not [p for p in (ROOT / folder).iterdir() if p.is_dir() and p.name != "__pycache__"], "keep it flat"
    assert not (ROOT / "mlflow" / "__init__.py").exists(), "it would shadow the mlflow package"


def test_every_suite_has_an_environment_that_runs_it() -> None:
    environments, *commands = (ROOT / "tox.ini").read_text().split("[testenv:{")[1].split("commands =")
    for suite in (ROOT / "tsbench" / "suites").glob("*.toml"):
        assert suite.stem in environments.split("}")[0].split(",")
        assert f"    {suite.stem}: " in commands[0]
        assert f"run --suite {suite.stem} " in commands[0]


def test_links_between_documents_lead_somewhere() -> None:
    import re

    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name} links {link}"


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
        "tsbench/report/page.jinja",
        "tsbench/report/script.js",
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
    command: list[str | Path] = [
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
