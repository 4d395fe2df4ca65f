"""The second fit: to all of TRAIN, for as many epochs as the first one chose, and TEST is read after it, once."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.conftest import ROOT
from tsbench.artifacts import load_model
from tsbench.cell import Cell, identity, key_of, make_cell
from tsbench.data import Batch, Refit, Samples, Splits
from tsbench.evaluate import score
from tsbench.model import Run
from tsbench.registry import all_datasets
from tsbench.run import Options, fit, load_splits, run_cell
from tsbench.store import Store

MODEL = "series_transformer"
SMALL = {"epochs": 6, "width": 16, "heads": 2, "layers": 1}


def cell_of(name: str = "generated/shapes", **settings: Any) -> tuple[Cell, str]:
    cell = make_cell(all_datasets()[name], name, None, MODEL, {**SMALL, **settings}, seed=5)
    return cell, key_of(identity(cell, Path()))


def run(tmp_path: Path, cell: Cell, key: str) -> dict[str, Any]:
    store = Store(tmp_path)
    assert run_cell(cell, key, store, Options(Path())) == "finished"
    return next(r for r in store.results() if r["key"] == key)


def test_the_test_score_is_that_of_a_second_fit_to_all_of_train(tmp_path: Path) -> None:
    cell, key = cell_of(patience=1)
    result = run(tmp_path, cell, key)
    splits = all_datasets()[cell.dataset].load(Path(), cell.protocol)
    assert splits.refit is not None
    first = Run(seed=5)
    chosen = fit(cell, splits, first)
    scores = [curve["validation_accuracy"] for curve in result["curves"]]
    assert (
        first.best_epoch == result["measured"]["epochs"] == max(i for i, s in enumerate(scores) if s == max(scores)) + 1
    )
    assert result["scores"]["validation"] == score(chosen, splits.validation).values
    again = Run(seed=5, select=False, epochs=first.best_epoch)
    second = fit(cell, replace(splits, train=splits.refit.train), again)
    assert len(again.curves) == first.best_epoch
    assert result["scores"]["test"] == score(second, splits.refit.test).values
    saved = load_model(tmp_path / "artifacts" / key)
    batch = splits.refit.test.batch(torch.arange(5))
    torch.testing.assert_close(saved.predict(batch), second.predict(batch))


def test_where_validation_is_too_small_the_last_epoch_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_splits.cache_clear()  # it keeps the last splits
    monkeypatch.setattr("tsbench.series.splits.LEAST_CASES", 1000)
    cell, key = cell_of(patience=1)
    result = run(tmp_path, cell, key)
    assert result["measured"]["epochs"] == len(result["curves"]) == SMALL["epochs"]
    assert all(set(curve) == {"train_loss"} for curve in result["curves"])
    assert any("last one counts" in note for note in result["data"]["notes"])
    load_splits.cache_clear()


class Watched:
    """Samples that tell when they are read."""

    def __init__(self, samples: Samples, name: str, told: list[str]) -> None:
        self.samples, self.name, self.told = samples, name, told

    @property
    def sizes(self) -> Tensor:
        return self.samples.sizes

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, indices: Tensor) -> Batch:
        self.told.append(self.name)
        return self.samples.batch(indices)

    def to(self, device: Any) -> Watched:
        return self


def test_test_cases_are_read_after_both_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, key = cell_of(epochs=2)
    splits = all_datasets()[cell.dataset].load(Path(), cell.protocol)
    assert splits.refit is not None
    told: list[str] = []
    seen = Splits(
        splits.task,
        Watched(splits.train, "part", told),
        Watched(splits.validation, "validation", told),
        Watched(splits.test, "unused test", told),
        refit=Refit(Watched(splits.refit.train, "whole", told), Watched(splits.refit.test, "test", told)),
    )
    monkeypatch.setattr("tsbench.run.load_splits", lambda *_: seen)
    run(tmp_path, cell, key)
    assert list(dict.fromkeys(told)) == ["part", "validation", "whole", "test"]
    assert "test" not in told[: told.index("test")]
    assert set(told[told.index("test") :]) == {"test"}, "nothing is fitted or selected once test has been read"


@pytest.mark.slow
@pytest.mark.parametrize("part", ["fit", "refit"])
def test_killed_in_either_fit_it_resumes_and_gives_the_same_bits(tmp_path: Path, part: str) -> None:
    """SIGKILL while a checkpoint of the first or the second fit is there; the same command then finishes."""
    code = (
        "import sys; from pathlib import Path; from tests.test_refit import *; from tsbench.run import Options\n"
        "cell, key = cell_of(epochs=60, patience=0)\n"
        "print(run_cell(cell, key, Store(Path(sys.argv[1])), Options(Path(), checkpoint_seconds=0.1)))"
    )
    results = []
    for name, killed in (("through", False), ("killed", True)):
        folder = tmp_path / name
        command = [sys.executable, "-c", code, str(folder)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while killed and process.poll() is None and time.monotonic() < deadline:
            found = {path.name.partition(".")[2] for path in (folder / "checkpoints").glob("*.pt")}
            if ("refit.pt" if part == "refit" else "pt") in found:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.01)
        process.wait()
        if killed:
            assert process.returncode == -signal.SIGKILL
            assert subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode == 0
        (result,) = Store(folder).results()
        assert not list((folder / "checkpoints").iterdir())
        results.append(result)
    assert results[0]["scores"] == results[1]["scores"]
    assert results[0]["curves"] == results[1]["curves"]
