"""ViennaRNA: the secondary structure of least free energy, by dynamic programming. Nothing is learned."""

from __future__ import annotations

import importlib
from types import ModuleType

import torch
from torch import Tensor

from tsbench.data import Batch, Samples
from tsbench.dataset import Dataset
from tsbench.errors import UsageError
from tsbench.inputs import Nucleotides
from tsbench.model import Model, Run, State
from tsbench.rna.sequences import decode
from tsbench.tasks.pairs import Structure

LOGIT = 6.0  # of a pair that is predicted: 99.75 %


class ViennaMFE(Model):
    """Prediction = 6 for the base pairs of the minimum free energy structure (37 °C, Turner 2004), -6 elsewhere."""

    tasks = (Structure,)
    inputs = (Nucleotides,)
    stochastic = False
    source = "Lorenz et al., ViennaRNA Package 2.0, Algorithms for Molecular Biology 2011"

    @classmethod
    def refuses(cls, dataset: Dataset) -> str | None:
        """Everything, where the library is not installed."""
        try:
            vienna()
        except UsageError as absent:
            return str(absent)
        return super().refuses(dataset)

    def __init__(self, task: Structure, config: object) -> None:
        super().__init__(task, config)
        self.library = vienna()

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Nothing to learn."""

    def predict(self, batch: Batch) -> Tensor:
        """Logits `(batch, time, time)`, symmetric."""
        logits = torch.full(self.task.shape(batch), -LOGIT)
        codes, lengths = batch.inputs[:, 0].cpu(), batch.real[:, 0].sum(-1).tolist()
        for i, length in enumerate(lengths):
            structure, _ = self.library.fold(decode(codes[i, :length]).replace("?", "N"))
            partner = torch.tensor(self.library.ptable(structure)[1:])  # counted from 1; 0 means unpaired
            paired = partner.nonzero()[:, 0]
            logits[i, paired, partner[paired] - 1] = LOGIT
        return logits.to(batch.inputs.device)

    def state(self) -> State:
        """Empty."""
        return {}

    def load_state(self, state: State) -> None:
        """Nothing to load."""


def vienna() -> ModuleType:
    """ViennaRNA's module, imported only where it is used.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return importlib.import_module("RNA")
    except ImportError:
        raise UsageError('vienna_mfe needs ViennaRNA: pip install "tsbench[vienna]"') from None
