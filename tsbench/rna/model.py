"""Nucleotide model: tokenizer, embedding, body, head; a model file writes its body only."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor, nn

from tsbench.data import Batch, Samples
from tsbench.errors import UsageError
from tsbench.inputs import NucleotidePair, Nucleotides
from tsbench.model import NeuralModel, Run
from tsbench.rna.heads import HeadConfig, make_head
from tsbench.rna.masking import Masked
from tsbench.rna.sequences import Sequences
from tsbench.rna.tokenizer import make_tokenizer, tokenizer_kind
from tsbench.settings import as_dict
from tsbench.tasks.classification import Classification
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.nucleotide import MaskedNucleotides, NucleotideClassification, NucleotideRegression
from tsbench.tasks.pairs import PairMap
from tsbench.tasks.regression import Regression


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
        if not 0 <= self.dropout < 1:
            raise UsageError(f"dropout={self.dropout} must be at least 0 and below 1")


#: Settings in which a model may differ from the one whose weights it takes over: training's and the head's own.
FREE = {f.name for f in fields(HeadConfig) if f.name != "width"} | {"pretrained", "dropout", "packed"}


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
    train_values = 2**18
    tiny = {"epochs": 1, "width": 16}

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
        folder = _artifact(config.pretrained)
        return tuple(folder / name for name in ("model.json", "weights.pt") if config.pretrained)

    def forward(self, batch: Batch) -> Tensor:
        """The prediction, in the task's shape."""
        tokens = self.tokenizer(batch.inputs.flatten(0, 1), batch.real.flatten(0, 1))
        states = self.body(self.embedding(tokens.ids), tokens.valid)
        prediction: Tensor = self.head(states, tokens, batch)
        return prediction

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Take over pre-trained weights or train the tokenizer, then train by the shared loop."""
        if self.config.pretrained:
            self._take_over(_artifact(self.config.pretrained))
        else:
            self.tokenizer.train(_texts(train))
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
        for name, mine in as_dict(self.config).items():
            theirs = getattr(other.config, name)
            if name not in FREE and theirs != mine:
                raise UsageError(f"pretrained={folder} has {name}={theirs}, this has {name}={mine}; make them equal")
        self.tokenizer.load_state(other.tokenizer.state())
        self.embedding.load_state_dict(other.embedding.state_dict())
        self.body.load_state_dict(other.body.state_dict())

    def get_extra_state(self) -> Tensor:
        """What the tokenizer learned, kept with the weights."""
        return self.tokenizer.state()

    def set_extra_state(self, state: Tensor) -> None:
        """Give it back."""
        if state.numel():
            self.tokenizer.load_state(state.cpu())


def _artifact(text: str) -> Path:
    """The folder of a trained model, by its path or the beginning of it, as a plan shows it."""
    found = [] if Path(text).is_dir() else list(Path(text).parent.glob(Path(text).name + "*"))
    return found[0] if len(found) == 1 else Path(text)


def _texts(samples: Samples) -> Iterator[str]:
    """The letters of all sequences, read only if a tokenizer asks for them; hidden nucleotides are shown."""
    if not isinstance(samples, Sequences | Masked):
        raise UsageError(f"a tokenizer cannot learn from {type(samples).__name__}; use samples of tsbench.rna")
    yield from samples.texts()
