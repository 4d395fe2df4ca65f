"""One model on several GPUs, data-parallel: what the processes do that torchrun starts.

torchrun --nproc-per-node 2 -m tsbench.cli run --dataset ... --model ... --device cuda

Rank 0 is the ordinary command: it plans, scores, writes and reports. The others only train the cells that it is at.
"""

from __future__ import annotations

import argparse
import os
import threading
import traceback
from dataclasses import replace
from datetime import timedelta

import torch
import torch.distributed as dist

from tsbench import ranks
from tsbench.cell import Cell, identity, key_of
from tsbench.errors import Diverged, TsbenchError, UsageError
from tsbench.executor import Cells, Watcher, work
from tsbench.model import NeuralModel, Run
from tsbench.registry import find_model
from tsbench.run import Options, fit, load_splits, second_run
from tsbench.store import Store

HEARING = 300.0  # seconds in which process 0 says that it failed too


def launched() -> bool:
    """True in a process that torchrun started beside others."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def join(args: argparse.Namespace) -> int:
    """Meet the other processes; returns this one's rank. Each takes the GPU of its number, if GPUs are asked for.

    Raises:
        UsageError: arguments that do not go with torchrun.
    """
    if args.engine != "local" or (args.jobs or 1) > 1:
        raise UsageError("under torchrun all processes train one cell at a time; leave out --jobs and --engine")
    if args.device.startswith("cuda:"):
        raise UsageError(f"--device {args.device} is one GPU; under torchrun say cuda, and each process takes its own")
    if args.device == "cuda":
        args.device = f"cuda:{os.environ['LOCAL_RANK']}"
        torch.cuda.set_device(args.device)
    backend = "cpu:gloo,cuda:nccl" if args.device.startswith("cuda") else "gloo"
    dist.init_process_group(backend, timeout=timedelta(days=1))  # rank 0 may score for long
    return dist.get_rank()


def lead(cells: Cells, store: Store, options: Options, watch: Watcher) -> None:
    """Rank 0: run all cells, telling the others which one begins and that it is over."""

    def tell(event: str, key: str) -> None:
        if event == "start":
            _say((cells[key], key))
        elif event != "elsewhere":
            _say(ranks.Over())
        watch(event, key)

    work(cells, store, options, tell)


def dismiss() -> None:
    """Rank 0: let the others go, if there are any."""
    if ranks.count() > 1:
        _say(None)
        dist.destroy_process_group()


def _say(what: tuple[Cell, str] | ranks.Over | None) -> None:
    dist.broadcast_object_list([what], src=0)


def follow(args: argparse.Namespace) -> int:
    """Another rank: train what rank 0 trains until it says that nothing is left."""
    options = Options(args.data.resolve(), args.device, args.threads)
    while True:
        said: list[tuple[Cell, str] | ranks.Over | None] = [None]
        dist.broadcast_object_list(said, src=0)
        if said[0] is None:
            dist.destroy_process_group()
            return 0
        if not isinstance(said[0], ranks.Over):
            try:
                _train(*said[0], options)
            except (ranks.Abandoned, Diverged):
                continue
            except Exception as error:  # rank 0 met it too, and records it: it ends no more than the cell
                if not _over(error):
                    raise


def _over(error: Exception) -> bool:
    """True if what rank 0 says next is that it is done with the cell. Where it waits for this one's gradients instead,
    it says nothing, and only the end of this process ends that."""
    alarm = threading.Timer(HEARING, _die, [error])
    alarm.daemon = True
    alarm.start()
    said: list[object] = [None]
    dist.broadcast_object_list(said, src=0)
    alarm.cancel()
    return isinstance(said[0], ranks.Over)


def _die(error: Exception) -> None:
    traceback.print_exception(error)
    os._exit(1)


def _train(cell: Cell, key: str, options: Options) -> None:
    """The fits of one cell; a model with a way of its own to fit is left to rank 0.

    Raises:
        TsbenchError: data or code differ from those of rank 0.
    """
    if not issubclass(find_model(cell.model), NeuralModel):
        return
    torch.set_num_threads(options.threads)
    parts = identity(cell, options.data)
    if key_of(parts) != key:
        raise TsbenchError(f"{cell.title()}: this machine's data or code differ from those of process 0")
    splits = load_splits(cell.dataset, cell.protocol, options.data, parts["content"])
    whole = "validation" in splits.whole_batches
    run = Run(seed=cell.seed, device=torch.device(options.device), select=splits.selects, whole_batches=whole)
    fit(cell, splits, run)
    if cell.test and splits.refit:
        fit(cell, replace(splits, train=splits.refit.train, test=splits.refit.test), second_run(run))
