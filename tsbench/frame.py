"""Frame: what stands at both ends of a body of tokens, for one kind of inputs and of task. One file each in frames/.

A general model is a body: any map from tokens with places to states. Its frame makes the tokens of a batch (stem) and
reads the task's prediction off the states (head), so that models of one task differ in their bodies only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from tsbench.data import Batch
from tsbench.errors import UsageError
from tsbench.gaze.walk import Walk
from tsbench.inputs import Inputs
from tsbench.position import Positions
from tsbench.tasks.task import Task
from tsbench.train import TrainConfig

#: Tokens `(batch, token, width)` to states of the same shape; tokens that are not `valid` change no other.
Body = Callable[[Tensor, Positions], Tensor]


@dataclass(frozen=True)
class FrameConfig(TrainConfig):
    """Settings of every general model."""

    width: int = 64  # of a token
    tokens: int = 64  # at most: a longer series is cut into so many patches, of a longer history the last are read
    clip: float = 1.0

    def __post_init__(self) -> None:
        """Refuse what gives no token."""
        super().__post_init__()
        for name in ("width", "tokens"):
            if getattr(self, name) < 1:
                raise UsageError(f"{name}={getattr(self, name)} must be at least 1")


class Frame(nn.Module, ABC):
    """Stem and head of one task. Subclasses build both in `__init__` and use them in `forward`.

    Attributes:
        tasks: the task kinds it predicts.
        inputs: the kinds of inputs it reads.
        block_values: see Model; states are many times as many as the values of a sample.
        train_values: see Model.
    """

    tasks: ClassVar[tuple[type[Task], ...]]
    inputs: ClassVar[tuple[type[Inputs], ...]]
    block_values: ClassVar[int] = 2**18
    train_values: ClassVar[int] = 2**30

    def __init__(self, task: Any, config: FrameConfig, linear: bool) -> None:
        """Build the ends of a model.

        Args:
            task: what is predicted.
            config: width and most tokens.
            linear: the body has no nonlinearity, so that the ends have none either.
        """
        super().__init__()
        self.task, self.config, self.linear = task, config, linear

    @abstractmethod
    def forward(self, batch: Batch, body: Body) -> Tensor:
        """The prediction, in the task's shape."""

    def loss(self, batch: Batch, body: Body) -> Tensor:
        """What training makes small: the task's loss of the prediction, unless there is more to learn from."""
        loss: Tensor = self.task.loss(self(batch, body), batch)
        return loss

    def walk(self, batch: Batch, copies: int, body: Body) -> Walk:
        """Paths that the model makes by itself (see ScanpathModel), if its task asks for any."""
        raise UsageError(f"{type(self.task).__name__} asks for no paths")
