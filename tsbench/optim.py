"""Adam and AdamW through torch's fused kernel; every other optimizer is torch's own.

Constructing any `torch.optim` class imports the compiler (over a second of CPU, more than many linear
models need to train), and its `step` costs several times the kernel on small models. `FusedAdam` calls
the same kernel directly and gives the same numbers as `torch.optim.Adam(fused=True)`, which a test checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from tsbench.errors import unknown


class Optimizer(Protocol):
    """What the training loop needs of an optimizer."""

    def set_lr(self, lr: float) -> None:
        """Learning rate of the next step."""

    def step(self) -> None:
        """Update the parameters from their gradients, then clear these."""

    def state_dict(self) -> dict[str, Any]:
        """State for an exact resume."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state."""


class FusedAdam:
    """Adam (Kingma & Ba 2015), or AdamW (Loshchilov & Hutter 2019) if `decoupled`."""

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, weight_decay: float = 0.0, decoupled: bool = False
    ) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        self.lr, self.weight_decay = lr, weight_decay
        self.kernel: Callable[..., None] = torch._fused_adamw_ if decoupled else torch._fused_adam_
        self.mean = [torch.zeros_like(p) for p in self.parameters]
        self.square = [torch.zeros_like(p) for p in self.parameters]
        self.count = torch.zeros((), device=self.parameters[0].device if self.parameters else None)

    def set_lr(self, lr: float) -> None:
        """Learning rate of the next step."""
        self.lr = lr

    @torch.no_grad()
    def step(self) -> None:
        """One update; a parameter without gradient is left alone."""
        grads = [p.grad for p in self.parameters]
        lists: list[Any] = [self.parameters, grads, self.mean, self.square]
        if any(grad is None for grad in grads):
            live = [i for i, grad in enumerate(grads) if grad is not None]
            lists = [[values[i] for i in live] for values in lists]
        self.count += 1
        self.kernel(
            *lists,
            [],
            [self.count] * len(lists[0]),
            lr=self.lr,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self.weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Moments and step counts."""
        return {"mean": self.mean, "square": self.square, "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from moments and step counts."""
        self.count.copy_(state["count"])
        for mine, theirs in zip(self.mean + self.square, state["mean"] + state["square"], strict=True):
            mine.copy_(theirs)


class TorchOptimizer:
    """Any `torch.optim` class behind the interface of the training loop."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def set_lr(self, lr: float) -> None:
        """Learning rate of the next step."""
        for group in self.inner.param_groups:
            group["lr"] = lr

    def step(self) -> None:
        """One update, then clear gradients."""
        self.inner.step()
        self.inner.zero_grad()

    def state_dict(self) -> dict[str, Any]:
        """The inner state."""
        state: dict[str, Any] = self.inner.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the inner state."""
        self.inner.load_state_dict(state)


#: Optimizers by their setting; those from torch are named here only to be offered in messages.
FUSED = {"adam": False, "adamw": True}
FROM_TORCH = {"sgd": "SGD", "radam": "RAdam", "nadam": "NAdam", "adagrad": "Adagrad", "rmsprop": "RMSprop"}
OPTIMIZERS = (*FUSED, *FROM_TORCH)


def make_optimizer(name: str, parameters: Iterable[Tensor], lr: float, weight_decay: float) -> Optimizer:
    """The optimizer called `name`: adam, adamw, sgd (momentum 0.9), radam, nadam, adagrad or rmsprop."""
    if name in FUSED:
        return FusedAdam(parameters, lr, weight_decay, decoupled=FUSED[name])
    if name not in FROM_TORCH:
        raise unknown("optimizer", name, OPTIMIZERS)
    extra = {"momentum": 0.9} if name == "sgd" else {}
    make = getattr(torch.optim, FROM_TORCH[name])
    return TorchOptimizer(make(parameters, lr=lr, weight_decay=weight_decay, **extra))
