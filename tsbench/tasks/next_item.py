"""Next item: what a user takes next, out of a whole catalogue, given what they took before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from tsbench.data import Batch
from tsbench.inputs import Histories
from tsbench.rec.drawing import history_examples, history_figure, popularity_chart, rank_histogram
from tsbench.rec.metrics import CUTOFFS
from tsbench.rec.samples import shuffled
from tsbench.rec.scores import LIST, Ranked, RankMeter
from tsbench.tasks.task import Counts, Examples, Labelling, Meter, Metric

MEASURES = {
    "recall": "share of a user's targets among the first {k}",
    "ndcg": "gain of targets among the first {k}, 1 / log2(1 + rank) each, over that of the best list",
    "mrr": "1 / rank of the first target, 0 if it is not among the first {k}",
}
TIES = "the expected value where scores are equal"


@dataclass(frozen=True)
class NextItem(Labelling):
    """Predict a score for each item, `(batch, item)`; the target is items, `(batch, target)` int64, -1 beyond the last.

    All items are candidates (Krichene and Rendle, KDD 2020: samples of them need not even keep the order of models).

    Attributes:
        mask: items of the history are taken out of the ranking.
        targets: most targets of a user.
    """

    inputs: Histories
    mask: bool = True
    targets: int = 1

    primary: ClassVar[str] = "ndcg_10"
    unit: ClassVar[str] = "a user"
    metrics: ClassVar[Mapping[str, Metric]] = {
        **{
            f"{name}_{k}": Metric(True, f"{words.format(k=k)}; {TIES}")
            for k in CUTOFFS
            for name, words in MEASURES.items()
        },
        **{
            f"{name}_10_{bound}": Metric(True, f"{name}_10 where all equal scores fall {fall} for the model")
            for name in ("recall", "ndcg")
            for bound, fall in (("low", "badly"), ("high", "well"))
        },
        **{
            f"recall_{k}_{kind}": Metric(
                True, f"share of targets among the first {k}, of targets that {what} in training"
            )
            for kind, what in (("warm", "occur"), ("cold", "do not occur"))
            for k in (10, 20)
        },
        "shuffled_ndcg_10": Metric(True, "ndcg_10 of the same model, shown each history in a random order"),
        f"coverage_{LIST}": Metric(True, f"share of the catalogue in anybody's first {LIST}, barred items left out"),
        f"valid_{LIST}": Metric(
            True, f"share of the first {LIST} that a model makes, before any are barred, that are items at all"
        ),
        f"unique_{LIST}": Metric(True, f"different items among these, as a share of {LIST}"),
        f"seen_{LIST}": Metric(
            False, f"items of the history among these, as a share of {LIST}; if barred, no other metric counts them"
        ),
    }
    shown: ClassVar[tuple[str, ...]] = ("ndcg_10", "recall_10", "ndcg_20", "recall_20", f"coverage_{LIST}")

    def loss(self, prediction: Tensor, batch: Batch) -> Tensor:
        """Cross-entropy over the whole catalogue, `-log p` averaged over a user's targets, then over users."""
        real = batch.target >= 0
        found = prediction.log_softmax(1).gather(1, batch.target.clamp(min=0)).where(real, 0)
        return -(found.sum(1) / real.sum(1).clamp(min=1)).mean()

    def meter(self) -> Meter:
        """Ranks of targets among all items."""
        return RankMeter(self.inputs.items, self.mask)

    def shape(self, batch: Batch) -> tuple[int, ...]:
        """`(batch, item)`."""
        return len(batch), self.inputs.items

    def answer(self, model: Any, prediction: Tensor, batch: Batch) -> Ranked:
        """Scores, lists, and scores of shuffled histories."""
        other = model.predict(shuffled(batch)) if self.inputs.ordered else None
        return Ranked(prediction, model.lists(batch, prediction, LIST), other)

    def random_batch(self, size: int, device: str = "cpu") -> Batch:
        """Random histories, each followed by one item."""
        inputs, valid, _ = self.inputs.random(size, device)
        target = torch.randint(0, self.inputs.items, (size, self.targets), device=device)
        user = torch.arange(size, device=device) % self.inputs.users
        return Batch(inputs, target, valid, None, None, {"user": user, "counts": torch.ones_like(target)})

    def examples(self, prediction: Ranked, batch: Batch) -> dict[str, Any]:
        """Ends of histories, what came next, and what was recommended."""
        return history_examples(prediction, batch, self.mask)

    @classmethod
    def figure(cls, examples: Examples) -> str:
        """Histories, targets and lists beside each other, by title."""
        return history_figure(examples)

    def charts(self, tables: Mapping[str, Counts]) -> dict[str, str]:
        """Where targets rank, and how popular recommended items are."""
        drawn = {"ranks of targets": rank_histogram(tables)}
        return drawn | ({"popularity": popularity_chart(tables)} if "popularity" in tables else {})
