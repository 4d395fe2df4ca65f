"""Baselines of recommendation on real data beside the figures of the note (shared/reference/rec.md, section 2).

Where a split is given, the note shows models the training items alone, although validation items are taken out of the
ranking as well: that is what its ItemKNN and EASE of LastFM-2K tell. The harness shows both; its figures come last.
One thread; CPU seconds are those of fitting and of testing once.

python benchmarks/rec_baselines.py                      # all, some minutes
python benchmarks/rec_baselines.py rec/lastfm-2k
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from tsbench.cell import make_cell
from tsbench.data import Batch, Splits, like_size
from tsbench.model import Model, Run
from tsbench.rec.samples import HistorySamples
from tsbench.registry import find_datasets
from tsbench.run import fit
from tsbench.settings import parse_spec
from tsbench.tasks.task import Scores

NEAR = 0.002
#: data set, model -> metric -> the note's figure
NOTE: Mapping[str, Mapping[str, Mapping[str, float]]] = {
    "rec/movielens-100k:ties=file": {
        "popularity": {"recall_10": 0.0848, "ndcg_10": 0.0441},
        "item_knn": {"recall_10": 0.1082, "ndcg_10": 0.0558},
        "item_markov": {"recall_10": 0.1985, "ndcg_10": 0.1082},
    },
    "rec/amazon-instruments": {
        "popularity": {"recall_10": 0.0680, "ndcg_10": 0.0453},
        "item_knn": {"recall_10": 0.1241, "ndcg_10": 0.1035},
        "item_markov": {"recall_10": 0.1307, "ndcg_10": 0.1056},
    },
    "rec/amazon-beauty": {
        "popularity": {"recall_10": 0.0115, "ndcg_10": 0.0054},
        "item_knn": {"recall_10": 0.0568, "ndcg_10": 0.0326},
        "item_markov": {"recall_10": 0.0805, "ndcg_10": 0.0501},
    },
    "rec/lastfm-2k": {
        "popularity": {"recall_20": 0.1252, "ndcg_20": 0.0777},
        "item_knn": {"recall_20": 0.3941, "ndcg_20": 0.2806},
        "ease": {"recall_20": 0.4084, "ndcg_20": 0.2882},
        "content_knn:modality=text": {"recall_20": 0.2735, "ndcg_20": 0.1817},
        "content_knn:modality=audio": {"recall_20": 0.0914, "ndcg_20": 0.0535},
    },
    "rec/tiktok": {
        "popularity": {"recall_20": 0.0597, "ndcg_20": 0.0255, "recall_20_cold": 0.0},
        "item_knn": {"recall_20": 0.0111, "recall_20_cold": 0.0},
        "ease": {"recall_20": 0.0843, "ndcg_20": 0.0376, "recall_20_cold": 0.0},
        "content_knn:modality=image": {"recall_20": 0.0215, "recall_20_cold": 0.047},
        "content_knn:modality=audio": {"recall_20": 0.0129, "recall_20_cold": 0.022},
    },
}


def main() -> None:
    """Fit, test and print beside the note."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", help="all by default")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TSBENCH_DATA", "data")))
    args = parser.parse_args()
    torch.set_num_threads(1)
    beyond = 0
    for spec, models in NOTE.items():
        if args.datasets and spec.split(":")[0] not in args.datasets:
            continue
        (dataset,) = find_datasets(spec)
        splits = dataset.load(args.data, next(iter(dataset.protocols)))
        print(f"\n{spec}\n{'':28}{'metric':>16}{'note':>8}{'ours':>8}{'diff.':>9}", end="")
        print(f"{'harness':>9}{'diff.':>9}{'CPU s':>7}")
        for name, figures in models.items():
            begun = time.process_time()
            model = fit(make_cell(dataset, dataset.name, None, *parse_spec(name), seed=0), splits, Run())
            harness = tested(model, splits, as_note=False)
            seconds = time.process_time() - begun
            ours = tested(model, splits, as_note=True)
            for metric, figure in figures.items():
                by_note, by_harness = ours.values[metric] - figure, harness.values[metric] - figure
                beyond += abs(by_note) > NEAR
                print(
                    f"{name:28}{metric:>16}{figure:8.4f}{ours.values[metric]:8.4f}{by_note:+9.4f}"
                    f"{harness.values[metric]:9.4f}{by_harness:+9.4f}{seconds:7.1f}",
                    flush=True,
                )
    print(f"\n{beyond} of ours differ from the note by more than {NEAR}")


def tested(model: Model, splits: Splits, as_note: bool) -> Scores:
    """Test scores; `as_note`, models of sets, whose splits are given, see training items only."""
    train, test, meter = splits.train, splits.test, splits.task.meter()
    assert isinstance(train, HistorySamples)
    items = len(train.counts)
    user, item = train.interactions()
    trained = (user * items + item).sort().values
    for indices in like_size(test.sizes, model.block_values):
        batch = test.batch(indices)
        meter.update(model.predict(of_pairs(batch, trained, items) if as_note and not train.ordered else batch), batch)
    return meter.scores()


def of_pairs(batch: Batch, pairs: Tensor, items: int) -> Batch:
    """The same, but of each history only items that are in the sorted `pairs` with their user; for models of sets."""
    pair = batch.more["user"][:, None] * items + batch.inputs
    known = pairs[torch.searchsorted(pairs, pair).clamp(max=len(pairs) - 1)] == pair
    return replace(batch, valid=batch.real & known)


if __name__ == "__main__":
    main()
