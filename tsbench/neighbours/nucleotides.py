"""RNA: labels of the most similar sequences and places in sequences, and of equal pairs of places."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from tsbench.data import Batch, Samples, like_size
from tsbench.inputs import Codes, Nucleotides
from tsbench.model import Model, Run, State
from tsbench.models.constant import link
from tsbench.models.kmer_ridge import kmers
from tsbench.neighbour import NeighbourConfig, Neighbours
from tsbench.tasks.classification import Classification
from tsbench.tasks.multilabel import MultiLabel
from tsbench.tasks.nucleotide import MaskedNucleotides, NucleotideClassification, NucleotideRegression
from tsbench.tasks.pairs import PairMap
from tsbench.tasks.regression import Regression

K = 3  # letters of the longest k-mers
LETTERS = 5  # A, C, G, U, and one for all that is none of them
SEPARATIONS = 12  # classes of j - i, that of which is 0, 1, 2-3, 4-7 and so on


class NearestSequences(Neighbours):
    """A sequence is the frequencies of its k-mers of 1 to 3 letters; sequences of one length, its letters in place."""

    tasks = (Classification, Regression, MultiLabel)
    inputs = (Codes,)
    block_values = 2**14  # k-mers are many times as many

    def __init__(self, task: Classification | Regression | MultiLabel, config: NeighbourConfig) -> None:
        super().__init__(task, config)
        self.aligned = torch.tensor(False)

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """See whether all are of one length, which is then that of every sequence."""
        self.aligned = train.sizes.min() == train.sizes.max()
        super().fit(train, validation, run)

    def describe(self, batch: Batch) -> Tensor:
        """`(batch, value)`."""
        if self.aligned:
            letters = kmers(batch, 1).float()
            return F.pad(letters, (0, 0, 0, self.task.inputs.length - letters.shape[2])).flatten(1)
        return (kmers(batch, K).float().sum(2) / batch.real.sum(-1, keepdim=True).clamp(min=1)).flatten(1)

    def state(self) -> State:
        """The entries, and how they are described."""
        return {**super().state(), "aligned": self.aligned}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        super().load_state(state)
        self.aligned = state["aligned"]


class NearestPlaces(Neighbours):
    """A nucleotide is the letters around it, and the features if there are any; the nearer the more they count."""

    tasks = (NucleotideRegression, NucleotideClassification, MaskedNucleotides)
    inputs = (Nucleotides,)
    block_values = 2**14
    rows = 8

    def describe(self, batch: Batch) -> Tensor:
        """`(batch, time, value)`."""
        x, side = kmers(batch, 1)[:, 0].float(), self.config.context
        if batch.features is not None:
            x = torch.cat([x, batch.features * batch.real[:, 0, :, None]], -1)
        around = F.pad(x, (0, 0, side, side)).unfold(1, 2 * side + 1, 1)  # (batch, time, value, place)
        far = torch.arange(-side, side + 1, device=x.device).abs()
        return (around / (1 + far).sqrt()).flatten(2)


class NearestPairs(Model):
    """Pairs of places with the same three letters around each and about as far apart; what they had in training.

    A mean over few such pairs is drawn to that of pairs with the same two letters, and this to the mean of all, each
    with the weight of `neighbours` pairs.
    """

    tasks = (PairMap,)
    inputs = (Nucleotides,)
    stochastic = False
    block_values = 2**11  # maps are many times as many
    sizes = (LETTERS**6 * SEPARATIONS, LETTERS**2 * SEPARATIONS, 1)

    def __init__(self, task: PairMap, config: object) -> None:
        super().__init__(task, config)
        self.means = torch.zeros(self.sizes[0])

    def fit(self, train: Samples, validation: Samples, run: Run) -> None:
        """Average the targets of pairs i <= j, in float64."""
        totals = [torch.zeros(2, size, dtype=torch.float64) for size in self.sizes]
        for indices in like_size(train.sizes, self.block_values):
            batch = train.batch(indices)
            known = (~batch.target.isnan()).triu()
            had = torch.stack([batch.target[known].cpu().double(), torch.ones(int(known.sum())).double()])
            for total, cells in zip(totals, self.cells(batch), strict=True):
                total.index_add_(1, cells.expand_as(known)[known].cpu(), had)
        mean = totals[2][0] / totals[2][1]
        everywhere = torch.arange(self.sizes[0])
        letters = everywhere // SEPARATIONS
        middle = (letters // LETTERS**4 % LETTERS, letters // LETTERS % LETTERS)
        coarser = (middle[0] * LETTERS + middle[1]) * SEPARATIONS + everywhere % SEPARATIONS
        weight = self.config.neighbours
        coarse = (totals[1][0] + weight * mean) / (totals[1][1] + weight)
        self.means = ((totals[0][0] + weight * coarse[coarser]) / (totals[0][1] + weight)).float()

    def predict(self, batch: Batch) -> Tensor:
        """Symmetric, `(batch, time, time)`."""
        upper = link(self.task, self.means.to(batch.inputs.device)[self.cells(batch)[0]]).triu()
        return upper + upper.triu(1).mT

    def cells(self, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
        """Which means each pair belongs to, from fine to coarse, `(batch or 1, time, time)` each."""
        codes = batch.inputs[:, 0].where(batch.real[:, 0], LETTERS - 1).clamp(max=LETTERS - 1)
        around = F.pad(codes, (1, 1), value=LETTERS - 1).unfold(1, 3, 1)  # (batch, time, 3)
        words = (around[..., 0] * LETTERS + around[..., 1]) * LETTERS + around[..., 2]
        place = torch.arange(codes.shape[1], device=codes.device)
        apart = (place - place[:, None]).abs().add(1).log2().ceil().long().clamp(max=SEPARATIONS - 1)
        fine, coarse = (
            (x[:, :, None] * size + x[:, None]) * SEPARATIONS + apart
            for x, size in ((words, LETTERS**3), (codes, LETTERS))
        )
        return fine, coarse, torch.zeros_like(apart)[None]

    def state(self) -> State:
        """The mean of each kind of pair."""
        return {"means": self.means}

    def load_state(self, state: State) -> None:
        """Take over `state`."""
        self.means = state["means"]
