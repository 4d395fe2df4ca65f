"""Nucleotide model: tokenizer, embedding, body, head; a model file writes its body only."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from tsbench.data import Batch, Samples
from tsbench.errors import UsageError
from tsbench.inputs import NucleotidePair, Nucleotides
from tsbench.model import NeuralModel, Run
from tsbench.parts.heads import HeadConfig, make_head
from tsbench.sequences import decode
from tsbench.tasks.classification import Classification
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.nucleotide import MaskedNucleotides, NucleotideClassification, NucleotideRegression
from tsbench.tasks.pairs import PairMap
from tsbench.tasks.regression import Regression
from tsbench.tokenizer import make_tokenizer, tokenizer_kind


@dataclass(frozen=True)
class NucleotideConfig(HeadConfig):
    """Settings of a model of nucleotides; small enough for a CPU."""

    tokenizer: str = "single"  # with settings: overlapping(k=3)
    pretrained: str = ""  # folder of a model trained on masked nucleotides: results/artifacts/KEY
    width: int = 64
    dropout: float = 0.1
    lr: float = 1e-3
    epochs: int = 30
    patience: int = 5
    optimizer: str = "adamw"
    weight_decay: float = 0.01
    schedule: str = "linear"
    warmup: float = 0.5
    clip: float = 1.0

    def __post_init__(self) -> None:
        """Refuse an unknown tokenizer."""
        super().__post_init__()
        tokenizer_kind(self.tokenizer)


class NucleotideModel(NeuralModel):
    """Tokens, their embedding, a body that mixes them, and the head of the task.

    The two sequences of a pair go through the same body, and the head joins them.
    """

    Config: ClassVar[type] = NucleotideConfig
    tasks = (
        Classification,
        Regression,
        MultiLabel,
        NucleotideRegression,
        NucleotideClassification,
        MaskedNucleotides,
        PairMap,
    )
    inputs = (Nucleotides, NucleotidePair)
    block_values = 2**14
    tiny = {"epochs": 2, "width": 16}

    def __init__(self, task: Any, config: Any) -> None:
        super().__init__(task, config)
        self.tokenizer = make_tokenizer(config.tokenizer)
        self.embedding = nn.Embedding(self.tokenizer.vocabulary, config.width)
        self.body = self.build_body()
        self.head = make_head(task, config, self.tokenizer.longest)

    @abstractmethod
    def build_body(self) -> nn.Module:
        """A module from embedded tokens `(batch, token, width)` and their validity to states of the same shape."""

    @classmethod
    def parts(cls, config: Any) -> tuple[type, ...]:
        """The tokenizer."""
        return (tokenizer_kind(config.tokenizer)[0],)

    @classmethod
    def files(cls, config: Any) -> tuple[Path, ...]:
        """The pre-trained weights."""
        return (Path(config.pretrained) / "weights.pt",) if config.pretrained else ()

    def forward(self, batch: Batch) -> Tensor:
        """The prediction, in the task's shape."""
        codes = batch.inputs.flatten(0, 1)
        valid = torch.ones_like(codes, dtype=torch.bool) if batch.valid is None else batch.valid.flatten(0, 1)
        tokens = self.tokenizer(codes, valid)
        states = self.body(self.embedding(tokens.ids), tokens.valid)
        prediction: Tensor = self.head(states, tokens, batch)
        return prediction

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Take over pre-trained weights or train the tokenizer, then train by the shared loop."""
        if self.config.pretrained:
            self._take_over(Path(self.config.pretrained))
        else:
            self.tokenizer.train(texts(train))
        super().fit(train, validation, run)

    def _take_over(self, folder: Path) -> None:
        """Everything but the head, from a model of the same kind and shape.

        Raises:
            UsageError: it is another model, or another shape.
        """
        from tsbench.artifacts import load_model

        other = load_model(folder)
        if not isinstance(other, NucleotideModel) or type(other.body) is not type(self.body):
            raise UsageError(f"pretrained={folder} is a {type(other).__name__}, this is a {type(self).__name__}")
        if other.config.tokenizer != self.config.tokenizer:
            raise UsageError(
                f"pretrained={folder} has tokenizer {other.config.tokenizer}, this has {self.config.tokenizer}"
            )
        self.tokenizer.load_state(other.tokenizer.state())
        for part in ("embedding", "body"):
            try:
                getattr(self, part).load_state_dict(getattr(other, part).state_dict())
            except RuntimeError as error:
                raise UsageError(
                    f"pretrained={folder}: its {part} has another shape; give both models the same sizes ({error})"
                ) from None

    def get_extra_state(self) -> Tensor:
        """What the tokenizer learned, kept with the weights."""
        return self.tokenizer.state()

    def set_extra_state(self, state: Tensor) -> None:
        """Give it back."""
        if state.numel():
            self.tokenizer.load_state(state.cpu())


def texts(samples: Samples) -> list[str]:
    """The letters of all sequences of samples, masked nucleotides left out."""
    found = []
    for indices in torch.arange(len(samples)).split(256):
        batch = samples.batch(indices)
        codes = batch.inputs.flatten(0, 1)
        lengths = [codes.shape[1]] * len(codes) if batch.valid is None else batch.valid.flatten(0, 1).sum(1).tolist()
        found += [decode(row[:length].cpu()).replace("?", "") for row, length in zip(codes, lengths, strict=True)]
    return found
