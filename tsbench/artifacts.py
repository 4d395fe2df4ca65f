"""The model of a finished cell on disk: plain weights and how to rebuild it. Loading executes no code."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from tsbench.cell import Cell
from tsbench.errors import TsbenchError
from tsbench.model import Model
from tsbench.registry import find_model, task_from_record
from tsbench.store import read_json, write_json


def save_model(folder: Path, cell: Cell, model: Model) -> None:
    """Write `model.json` (name, settings, task) and `weights.pt` (tensors only) into `folder`."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    for half in folder.parent.glob(f".{folder.name}.*"):  # of a process that was killed here
        shutil.rmtree(half, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as temporary:
        made = Path(temporary, "model")
        made.mkdir()
        torch.save({name: value.contiguous() for name, value in model.state().items()}, made / "weights.pt")
        write_json(made / "model.json", {"cell": asdict(cell), "task": model.task.record()})
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(made, folder)


def load_model(folder: Path | str) -> Model:
    """Rebuild the fitted model of a finished cell from its artifact folder (results or MLflow).

    Raises:
        TsbenchError: the folder holds no model of tsbench.
    """
    folder = Path(folder)
    if not (folder / "model.json").is_file():
        raise TsbenchError(f"{folder} holds no model.json; name the folder of one cell, results/artifacts/KEY")
    record: dict[str, Any] = read_json(folder / "model.json")
    cell = Cell(**record["cell"])
    kind = find_model(cell.model)
    model = kind(task_from_record(record["task"]), kind.Config(**cell.settings))
    model.load_state(torch.load(folder / "weights.pt", weights_only=True, map_location="cpu"))
    return model
