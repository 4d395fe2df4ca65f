"""The matrix: what it says is what the plan does, and it needs no data."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tsbench.cli import main
from tsbench.matrix import FAMILIES, OTHER, families, fits, is_general, matrix
from tsbench.plan import Suite, make_plan
from tsbench.registry import all_datasets, find_model

GENERAL = {"transformer", "convolution", "linear_layer", "nearest"}


def test_every_data_set_is_of_one_family() -> None:
    assert sum(map(len, families().values())) == len(all_datasets())
    assert OTHER not in families()
    assert {d.name.split("/")[0] for d in families()["ltsf"]} == {"ltsf", "sktime", "generated"}
    assert {d.name.split("/")[0] for d in families()["rna"]} == {"rna", "rna-substitute", "generated"}


def test_general_models_come_first_and_take_every_data_set() -> None:
    table = matrix()
    assert set(list(table)[: len(GENERAL)]) == GENERAL == {name for name, row in table.items() if is_general(row)}
    for name in GENERAL:
        assert all(table[name][family].words == "all" for family in FAMILIES)


@pytest.mark.parametrize("model", ["dlinear", "gaze_other_subject", "transformer"])
def test_it_says_what_a_plan_does(model: str) -> None:
    free = [dataset for dataset in all_datasets().values() if not dataset.sources]
    plan = make_plan(Suite("", tuple(d.name for d in free), (model,)), [1], {}, Path())
    row = fits(find_model(model))
    assert all(fit.takes + sum(fit.reasons.values()) == fit.of for fit in row.values())
    told = {reason for fit in row.values() for reason in fit.reasons}
    assert {skipped.reason for skipped in plan.skipped} <= told


def test_the_command_prints_reasons_and_writes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["matrix", "--csv", str(tmp_path / "matrix.csv")]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[:2] == ["model", "ltsf"]
    assert shown[1].startswith("convolution*")
    assert next(line for line in shown if line.startswith("oat ")).split() == ["oat", "-", "-", "-", "all", "-"]
    with (tmp_path / "matrix.csv").open(newline="") as file:
        rows = {(row["model"], row["family"]): row for row in csv.DictReader(file)}
    assert rows["transformer", "rec"]["general"] == "true"
    assert rows["gaze_other_subject", "gaze"]["reasons"] == "no two people searched one display"
    assert rows["oat", "rec"]["takes"] == "0"

    assert main(["matrix", "--why", "gaze_other_subject"]) == 0
    assert "1 not: no two people searched one display" in capsys.readouterr().out
    assert main(["matrix", "--why", "transfomer"]) == 2
    assert "Did you mean 'transformer'" in capsys.readouterr().err
    assert main(["matrix", "--csv", str(tmp_path / "no" / "matrix.csv")]) == 2
    assert "name a file in a folder that is there" in capsys.readouterr().err
