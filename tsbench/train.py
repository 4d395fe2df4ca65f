"""The one training loop, for all neural models of all families."""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tsbench import ranks
from tsbench.data import Batch, Samples
from tsbench.errors import Diverged, UsageError, unknown
from tsbench.evaluate import score
from tsbench.optim import OPTIMIZERS, Optimizer, make_optimizer

if TYPE_CHECKING:
    from tsbench.model import NeuralModel, Run


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the training loop; a model's Config inherits them and adds its own."""

    lr: float = 1e-3
    batch_size: int = 32
    epochs: int = 10  # at most
    patience: int = 3  # stop after so many epochs without a better validation score; 0 never stops early
    optimizer: str = "adam"  # see tsbench.optim
    weight_decay: float = 0.0
    schedule: str = "constant"  # constant, halving, cosine or linear
    warmup: float = 0.0  # epochs of linear warm-up
    clip: float = 0.0  # largest gradient norm; 0 does not clip
    accumulate: int = 1  # batches a step
    drop_last: bool = True  # leave out the last partial training batch, unless it is the only one
    buckets: bool = True  # make batches of samples of like size, where sizes differ
    precision: str = "fp32"  # or bf16: autocast of the forward pass
    compile: bool = False  # torch.compile

    def __post_init__(self) -> None:
        """Refuse what no training can have, before anything runs."""
        for name, known in (("schedule", SCHEDULES), ("precision", PRECISIONS), ("optimizer", OPTIMIZERS)):
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)
        for name, least in (
            ("lr", 0.0),
            ("batch_size", 1),
            ("epochs", 1),
            ("patience", 0),
            ("accumulate", 1),
            ("warmup", 0),
            ("clip", 0),
        ):
            if getattr(self, name) < least:
                raise UsageError(f"{name}={getattr(self, name)} must be at least {least}")


#: Learning-rate factor after `progress` epochs of `epochs`.
SCHEDULES = {
    "constant": lambda progress, epochs: 1.0,
    # Two epochs at full rate, then half of it each epoch: `type1` of the Informer line of code.
    "halving": lambda progress, epochs: 0.5 ** max(0, math.floor(progress) - 1),
    "cosine": lambda progress, epochs: 0.5 * (1 + math.cos(math.pi * min(1.0, progress / epochs))),
    "linear": lambda progress, epochs: max(0.0, 1 - progress / epochs),
}
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16}


def train(model: NeuralModel, samples: Samples, validation: Samples, run: Run) -> None:
    """Fit `model`, stop early on validation, and leave it with its best epoch's weights (`run.select`), or its last.

    All randomness comes from torch's global generator, in the order of the usual DataLoader loop, so that the
    loss of every epoch can be compared with that of published code. Interrupted, it resumes from
    `run.checkpoint` and gives the same numbers as if it had run through. Processes that torchrun started train
    together: see tsbench.ranks.

    Raises:
        Diverged: the loss became NaN or infinite.
        Pruned: `run.report` gave the trial up.
    """
    config: TrainConfig = model.config
    samples, validation = samples.to(run.device), validation.to(run.device)
    state = _State(
        model, make_optimizer(config.optimizer, model.parameters(), config.lr, config.weight_decay), run.device
    )
    state.resume(run)
    backward = ranks.shared(_backward(model, run.device.type), model)
    if ranks.count() > 1:
        run.measured["processes"] = ranks.count()
        # Two machines may draw other weights from the same seed, and steps alone keep such models apart.
        model.load_state_dict(ranks.led(lambda: {name: value.cpu() for name, value in model.state_dict().items()}))
    saved = time.monotonic()
    while not state.finished(config, run.epochs or config.epochs):
        ranks.begin_epoch(run.seed, state.epoch)
        loss = _epoch(model, samples, state, run, backward)
        chosen = ranks.led(lambda: _validation_score(model, validation, run)) if run.select else None
        if not math.isfinite(loss) or (chosen is not None and not math.isfinite(chosen)):
            raise Diverged(f"loss {loss}, validation {chosen} in epoch {state.epoch + 1}; try a lower lr or clip=1")
        state.end_epoch(chosen)
        run.log({"train_loss": loss} | ({} if chosen is None else {f"validation_{model.task.primary}": chosen}))
        if run.checkpoint and time.monotonic() - saved >= run.checkpoint_seconds:
            state.save(run.checkpoint, run)
            saved = time.monotonic()
    if run.select:
        model.load_state_dict(state.best)
    run.best_epoch = state.best_epoch


def _backward(model: NeuralModel, device: str) -> Callable[[Batch], Tensor]:
    """What computes a batch's loss and adds its gradient: the model's own way, or autograd at another precision."""
    config: TrainConfig = model.config
    precision = PRECISIONS[config.precision]
    if precision is None and not config.compile:
        return model.loss_and_gradient
    training_loss = torch.compile(model.training_loss) if config.compile else model.training_loss

    def backward(batch: Batch) -> Tensor:
        with torch.autocast(device, precision) if precision else contextlib.nullcontext():
            loss: Tensor = training_loss(batch)
        loss.backward()
        return loss.detach()

    return backward


def _epoch(model: NeuralModel, samples: Samples, state: _State, run: Run, backward: Callable[[Batch], Tensor]) -> float:
    """One pass over the training samples; returns the mean loss of its batches."""
    config: TrainConfig = model.config
    sizes = samples.sizes.cpu()
    batches = ranks.led(lambda: training_batches(sizes, config))
    roomy = int(sizes.max()) * config.batch_size <= model.train_values
    steps = math.ceil(len(batches) / config.accumulate)
    losses: list[Tensor] = []
    computed, real = 0, torch.zeros((), dtype=torch.int64, device=run.device)
    model.train()
    for step in range(steps):
        group = batches[step * config.accumulate : (step + 1) * config.accumulate]
        if not roomy:
            group = [part for batch in group for part in _within(batch, sizes, model.train_values)]
        for indices in group:
            batch = samples.batch(indices.to(run.device))
            if batch.valid is not None:
                computed, real = computed + batch.valid.numel(), real + batch.valid.sum()
            losses.append(backward(batch))
        if len(group) > 1:
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad /= len(group)
        if config.clip:
            nn.utils.clip_grad_norm_(model.parameters(), config.clip)
        state.optimizer.set_lr(_learning_rate(config, state.epoch + step / steps, 1 / steps))
        state.optimizer.step()
    if computed:
        run.measured["padding"] = computed / int(real)
    return torch.stack(losses).double().mean().item()


def _within(batch: Tensor, sizes: Tensor, limit: int) -> Sequence[Tensor]:
    """A batch in parts, equal to one sample, whose padded values stay within `limit`: one step in less memory.

    The step is that of the whole batch where the loss is a mean over samples and parts are equal, else close to it.
    """
    parts = math.ceil(len(batch) * int(sizes[batch].max()) / limit)
    return batch.tensor_split(min(parts, len(batch))) if parts > 1 else [batch]


#: Batches that are sorted together: enough to be of like size, few enough to leave the order random.
MEGABATCH = 50


def training_batches(sizes: Tensor, config: TrainConfig) -> list[Tensor]:
    """Indices of one epoch's batches, in random order; of like size where samples differ in size.

    Random batches of sequences compute up to three times the real tokens, sorted ones a few per cent more.
    """
    count = min(config.batch_size, len(sizes))
    order = shuffled(len(sizes))
    if config.drop_last:  # before sorting, or it would always be the largest samples
        order = order[: len(order) // count * count]
    if not config.buckets or sizes.min() == sizes.max():
        return list(order.split(count))
    mega = [part[sizes[part].argsort()] for part in order.split(MEGABATCH * count)]
    batches = [batch for part in mega for batch in part.split(count)]
    return [batches[i] for i in shuffled(len(batches)).tolist()]


def _learning_rate(config: TrainConfig, progress: float, step: float) -> float:
    """Rate of the step that begins after `progress` epochs and is `step` epochs long."""
    warm = min(1.0, (progress + step) / config.warmup) if config.warmup else 1.0
    return config.lr * warm * SCHEDULES[config.schedule](progress, config.epochs)


def _validation_score(model: NeuralModel, validation: Samples, run: Run) -> float:
    """The primary metric on validation; with `run.whole_batches` as published code computes it.

    That code shuffles validation and leaves out its last partial batch, so its early stopping sees all but a
    random few windows.
    """
    order = None
    if run.whole_batches:
        size = min(model.config.batch_size, len(validation))
        order = shuffled(len(validation))[: len(validation) // size * size]
    chosen = score(model, validation, order, selecting=True).values[model.task.primary]
    # Published code evaluates the test set here, every epoch. We never touch it, but opening its loader
    # draws one number, which must be drawn here too or every later shuffle differs.
    _draw()
    return chosen


def shuffled(size: int) -> Tensor:
    """A random order of `size` samples, drawn as torch's DataLoader draws it: a worker seed, then a sampler seed."""
    _draw()
    return torch.randperm(size, generator=torch.Generator().manual_seed(_draw()))


def _draw() -> int:
    return int(torch.empty((), dtype=torch.int64).random_().item())


def _device_random(device: torch.device) -> Tensor | None:
    """State of an accelerator's own random generator."""
    if device.type not in ("cuda", "mps"):
        return None
    state: Tensor = getattr(torch, device.type).get_rng_state()
    return state


def read_checkpoint(path: Path | None) -> dict[str, Any] | None:
    """What an interrupted training left; None if there is nothing, or if it was cut by a power failure."""
    if path is None or not path.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError):
        return None
    return state


class _State:
    """Everything a resumed training needs, beyond the model's own weights."""

    def __init__(self, model: NeuralModel, optimizer: Optimizer, device: torch.device) -> None:
        self.model, self.optimizer, self.device = model, optimizer, device
        self.epoch = 0  # epochs done
        self.best_epoch = 0  # epochs done when the best score came
        self.stale = 0  # epochs since the best one
        self.best_score: float | None = None
        self.best: dict[str, Tensor] = {}

    def _weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.model.state_dict().items()}

    def finished(self, config: TrainConfig, epochs: int) -> bool:
        """All epochs done, or patience used up."""
        return self.epoch >= epochs or (config.patience > 0 and self.stale >= config.patience)

    def end_epoch(self, chosen: float | None) -> None:
        """Keep the weights unless the best score is strictly better than `chosen`: ties count as progress."""
        self.epoch += 1
        if chosen is None:  # nothing is selected: the last epoch counts
            self.best_epoch = self.epoch
            return
        if self.best_score is not None and self.model.task.better(self.best_score, than=chosen):
            self.stale += 1
            return
        self.best_score, self.stale, self.best, self.best_epoch = chosen, 0, self._weights(), self.epoch

    def save(self, path: Path, run: Run) -> None:
        """Write a checkpoint, atomically."""
        state: dict[str, Any] = {
            "epoch": self.epoch,
            "stale": self.stale,
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "best": self.best,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
            "random_device": _device_random(self.device),
            "curves": run.curves,
            "measured": run.measured,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(state, path.with_suffix(".tmp"))
        os.replace(path.with_suffix(".tmp"), path)

    def resume(self, run: Run) -> None:
        """Continue from `run.checkpoint` if there is one."""
        state = ranks.led(lambda: read_checkpoint(run.checkpoint))
        if state is None:
            return
        self.epoch, self.stale, self.best_score = state["epoch"], state["stale"], state["best_score"]
        self.best, self.best_epoch = state["best"], state["best_epoch"]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])
        if state["random_device"] is not None and self.device.type in ("cuda", "mps"):
            getattr(torch, self.device.type).set_rng_state(state["random_device"])
        run.curves[:] = state["curves"]
        run.measured.update(state["measured"])
