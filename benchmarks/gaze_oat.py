"""OAT of the published size on one thread: CPU seconds of a training step, and of paths drawn for one display.

The official code takes 8.4-10.5 CPU s a step of 20 trials, its patch CNN included, and 1.4-1.7 s for one greedy path;
the same core without the CNN 1.89 CPU s a step (measured once, on another machine). Made displays of 84 objects.

python benchmarks/gaze_oat.py --turns 5
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from tsbench.data import Batch
from tsbench.gaze.walk import walked
from tsbench.inputs import Objects
from tsbench.models.oat import OAT
from tsbench.optim import make_optimizer
from tsbench.tasks.scanpath import Scanpath

OBJECTS, STEPS, FEATURES = 84, 35, 64  # a display of Amazon, the length that the official step was measured at


def cpu(job: Callable[[], object], turns: int) -> tuple[float, float, float]:
    """Least, median and most CPU seconds of some turns, after one that does not count."""
    job()
    seconds = []
    for _ in range(turns):
        begun = time.process_time()
        job()
        seconds.append(time.process_time() - begun)
    return min(seconds), statistics.median(seconds), max(seconds)


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    task = Scanpath(Objects(OBJECTS + 1, FEATURES + 1), STEPS - 1)
    model = OAT(task, OAT.Config(**OAT.published))
    batch = made(task, 20)
    optimizer = make_optimizer("adam", model.parameters(), 1e-4, 0.0)

    def step() -> None:
        model.train()
        model.loss_and_gradient(batch)
        optimizer.step()

    print(f"{model.parameter_count() / 1e6:.2f} M parameters, {OBJECTS} objects, {STEPS} steps, one thread")
    low, middle, high = cpu(step, args.turns)
    print(
        f"training step of 20 trials: {middle:.2f} CPU s ({low:.2f}-{high:.2f}); official 8.4-10.5: {9.5 / middle:.1f}x"
    )
    one = batch.map(lambda t: t[:1])
    for name, bias in (("never ending", -1e3), ("as long as people's", 0.0)):
        walks = Ending(model, bias, 1 / 14.5)
        paths = walked(walks, one, 100, STEPS - 1, seed=1)
        length = float((paths > 0).sum(2).double().mean())
        low, middle, high = cpu(lambda walks=walks: walked(walks, one, 100, STEPS - 1, seed=1), args.turns)  # type: ignore[misc]
        print(
            f"100 drawn paths, {name} ({length:.1f} fixations each): {middle * 10:.1f} CPU ms a path "
            f"({low * 10:.1f}-{high * 10:.1f}), {middle * 10 / length:.2f} a fixation; "
            f"official 1,400-1,700 for one greedy path: {1550 / (middle * 10):.0f}x"
        )


def made(task: Scanpath, size: int) -> Batch:
    """Full displays and paths."""
    batch = task.random_batch(size)
    batch.valid = torch.ones_like(batch.inputs[..., 0], dtype=torch.bool)
    return batch


class Ending:
    """A model whose paths end by chance: an untrained one has no idea when."""

    def __init__(self, model: OAT, bias: float, rate: float) -> None:
        self.model, self.bias, self.rate = model, bias, rate

    def walk(self, batch: Batch, copies: int) -> Ending:
        """Begin."""
        self.under_way = self.model.walk(batch, copies)
        return self

    def next(self, last: torch.Tensor) -> torch.Tensor:
        """The model's logits, END having the probability `rate`, or almost none."""
        logits = self.under_way.next(last)
        logits[:, 0] = self.bias if self.bias else logits[:, 1:].logsumexp(1) + torch.tensor(self.rate).logit()
        return logits

    def keep(self, rows: torch.Tensor) -> None:
        """Pass on."""
        self.under_way.keep(rows)


if __name__ == "__main__":
    main()
