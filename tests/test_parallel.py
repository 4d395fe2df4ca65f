"""Two processes under torchrun train as one does: same order, same steps, same weights up to rounding."""

from __future__ import annotations

import os
import subprocess
import sys
from argparse import Namespace
from multiprocessing import get_context
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from tests.conftest import command_line
from tsbench import ranks
from tsbench.cell import make_cell
from tsbench.cli import main
from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.model import Run
from tsbench.parallel import join
from tsbench.registry import find_datasets
from tsbench.run import fit
from tsbench.store import Result, Store

# Steps of SGD, since Adam makes a step of any gradient, one of rounding errors included (a key's bias has only these).
# 33 does not divide by two, and neither does the last batch.
SAME = "optimizer=sgd,batch_size=33,drop_last=false,clip=0.5"
MODELS = [
    "dlinear:moving_average=4",
    "dlinear:lr=1e30",
    f"dlinear:{SAME},epochs=4,accumulate=2",
    f"patch_transformer:{SAME},epochs=3,width=16,dropout=0",
    "repeat",
]


@pytest.mark.slow
def test_two_processes_give_the_weights_of_one(tmp_path: Path) -> None:
    words = [word for model in MODELS for word in ("--model", model)]
    words = ["run", "--dataset", "sktime/airline/12", *words, "--no-report", "--tracking", "none", "--results"]
    assert main([*words, str(tmp_path / "one")]) == 1
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, *command_line(*words, "two")[1:]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, env=clean())
    assert "3 finished" in done.stdout, done.stdout + done.stderr
    one, two = ({r["key"]: r for r in Store(tmp_path / name).results()} for name in ("one", "two"))
    assert one.keys() == two.keys()
    for key, result in one.items():
        trained = bool(result["curves"])
        assert two[key]["measured"].get("processes", 1) == (2 if trained else 1)
        for mine, theirs in zip(result["curves"], two[key]["curves"], strict=True):
            assert mine == pytest.approx(theirs, rel=1e-5)
        weights = [torch.load(tmp_path / n / "artifacts" / key / "weights.pt") for n in ("one", "two")]
        for name, value in weights[0].items():
            torch.testing.assert_close(value, weights[1][name], rtol=1e-4, atol=1e-6)
        assert two[key]["scores"]["test"] == pytest.approx(result["scores"]["test"], rel=1e-4)
    failed: list[Result] = list(Store(tmp_path / "two").failures())
    reasons = {r["variant"]: r["reason"] for r in failed}
    assert "must be odd" in reasons.pop("dlinear:moving_average=4"), "no model could be built, and the next cell ran"
    assert ["lower lr" in reason for reason in reasons.values()] == [True], "it diverged in both, and the next cell ran"


def clean() -> dict[str, str]:
    """Surroundings without settings of ours."""
    return {k: v for k, v in os.environ.items() if not k.startswith(("TSBENCH_", "MLFLOW_"))}


def _fail_in_the_second(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    model = torch.nn.Linear(1, 1)

    def backward(batch: Batch) -> Tensor:
        if rank == 1:
            raise MemoryError("told to fail")
        loss: Tensor = model(batch.inputs).mean()
        loss.backward()
        return loss.detach()

    step = ranks.shared(backward, model)
    try:
        step(Batch(torch.ones(4, 1), torch.ones(4)))
    except Exception as error:
        Path(folder, str(rank)).write_text(f"{type(error).__name__}: {error}")
    dist.destroy_process_group()


@pytest.mark.slow
def test_all_processes_hear_why_one_failed(tmp_path: Path) -> None:
    context = get_context("spawn")
    both = [context.Process(target=_fail_in_the_second, args=(rank, str(tmp_path))) for rank in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    assert (tmp_path / "0").read_text() == "Abandoned: process 1: MemoryError: told to fail"
    assert (tmp_path / "1").read_text() == "MemoryError: told to fail"


def _train_from_other_weights(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    (dataset,) = find_datasets("sktime/airline/12")
    settings = {"epochs": 1, "batch_size": 33, "optimizer": "sgd"}
    cell = make_cell(dataset, dataset.name, None, "linear", settings, 2021 + rank)
    run = Run(seed=2021, device=torch.device("cpu"))
    torch.save(fit(cell, dataset.load(Path(folder), cell.protocol), run).state(), Path(folder, f"{rank}.pt"))
    dist.destroy_process_group()


@pytest.mark.slow
def test_all_processes_begin_with_the_weights_of_the_first(tmp_path: Path) -> None:
    context = get_context("spawn")
    both = [context.Process(target=_train_from_other_weights, args=(rank, str(tmp_path))) for rank in (0, 1)]
    for process in both:
        process.start()
    for process in both:
        process.join(120)
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    for name, value in first.items():
        torch.testing.assert_close(value, second[name], rtol=0, atol=0)


@pytest.mark.parametrize("device", ["cuda:0", "cuda:1"])
def test_one_gpu_for_all_processes_is_refused(device: str) -> None:
    with pytest.raises(UsageError, match="each process takes its own"):
        join(Namespace(engine="local", jobs=None, device=device))


def test_alone_nothing_is_shared() -> None:
    def backward(batch: Batch) -> Tensor:
        return batch.inputs.sum()

    assert ranks.shared(backward, torch.nn.Linear(1, 1)) is backward
    assert ranks.led(lambda: 7) == 7
    state = torch.get_rng_state()
    ranks.begin_epoch(1, 2)
    assert torch.equal(torch.get_rng_state(), state)
