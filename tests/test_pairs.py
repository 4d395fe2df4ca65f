"""Pair-level tasks: metrics by hand and against scikit-learn, beside BEACON's own; arc diagrams."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator

import pytest
import torch
from scipy.stats import pearsonr
from sklearn import metrics as sk
from torch import Tensor

from tests.test_tasks import RNA, drawn, of, scored
from tsbench.arcs import arc_diagram
from tsbench.tasks.pairs import Contacts, Distances, Structure


def maps(*pairs_of_rna: tuple[int, list[tuple[int, int]]]) -> Tensor:
    """0/1 maps of RNAs, given length and pairs; NaN beyond their ends."""
    longest = max(length for length, _ in pairs_of_rna)
    found = torch.full((len(pairs_of_rna), longest, longest), float("nan"))
    for values, (length, pairs) in zip(found, pairs_of_rna, strict=True):
        values[:length, :length] = 0
        for i, j in pairs:
            values[i, j] = values[j, i] = 1
    return found


def test_f1_is_of_each_rna_and_beacons_is_pooled() -> None:
    truth = maps((8, [(0, 7), (1, 6)]), (12, [(i, 11 - i) for i in range(4)]), (6, []), (6, []))
    guess = maps((8, [(0, 7), (1, 6)]), (12, [(0, 11), (1, 9)]), (6, []), (6, [(0, 5)]))
    found = of(Structure(RNA), guess.nan_to_num(0) * 20 - 10, truth)
    assert found.units["f1"] == pytest.approx([1, 2 * 1 / (2 + 4), 1, 0])
    assert found.values["precision"] == pytest.approx((1 + 1 / 2 + 1 + 0) / 4)
    assert found.values["recall"] == pytest.approx((1 + 1 / 4 + 1 + 0) / 4)
    known = ~truth.isnan()
    pooled = sk.f1_score(truth[known], guess[known])
    assert found.values["f1_beacon"] == pytest.approx(pooled)
    assert pooled == pytest.approx(2 * 3 / (5 + 6))
    assert found.values["f1"] != pytest.approx(pooled)


def test_a_pair_predicted_in_one_triangle_only_is_half_a_pair_to_beacon() -> None:
    truth = maps((8, [(0, 7)]))
    logits = torch.full((1, 8, 8), -4.0)
    logits[0, 0, 7] = 9.0  # the mean of both triangles is 2.5
    assert of(Structure(RNA), logits, truth).values == pytest.approx(
        {"f1": 1, "precision": 1, "recall": 1, "f1_beacon": 2 / 3}
    )


def test_precision_at_l_counts_the_l_highest_and_beacons_only_those_above_half() -> None:
    far = [(0, 24 + i) for i in range(6)]  # L = 30: 21 pairs are at least 24 apart
    truth = maps((30, far[:3]), (24, [(0, 23)]), (10, []))
    logits = torch.full((3, 30, 30), -5.0)
    for (i, j), value in zip(far, (2.0, -1.0, -1.0, -1.0, -1.0, 3.0), strict=True):
        logits[0, i, j] = logits[0, j, i] = value
    found = of(Contacts(RNA), logits, truth)
    assert found.units["p_at_l"] == pytest.approx([3 / 21])  # all 21, the two short RNAs being left out
    assert found.values["p_at_l5"] == pytest.approx((1 + 4 * 2 / 4) / 6)
    assert found.values["p_at_l_beacon"] == pytest.approx(1 / 2)
    logits[1, 0, 23] = logits[1, 23, 0] = 1.0  # 23 apart counts as long range there
    assert of(Contacts(RNA), logits, truth).values["p_at_l_beacon"] == pytest.approx(2 / 3)
    assert of(Contacts(RNA), torch.full_like(logits, -5.0), truth).values["p_at_l_beacon"] == 0


def test_distances_against_scikit_learn() -> None:
    prediction, batch = drawn(Distances(RNA), 4)
    known = ~batch.target.isnan()
    upper = known.triu(1)
    mean = (prediction + prediction.mT) / 2
    assert scored(Distances(RNA), (prediction, batch)).values == pytest.approx({
        "r2": sk.r2_score(batch.target[upper], mean[upper]),
        "mse": sk.mean_squared_error(batch.target[upper], mean[upper]),
        "pearson2_beacon": pearsonr(batch.target[known].double(), prediction[known].double())[0] ** 2,
    }, rel=1e-5)  # fmt: skip


def test_arcs_of_the_truth_rise_and_those_of_the_prediction_hang() -> None:
    drawing = ET.fromstring(arc_diagram("t", "GGGAAACCC", [(0, 8), (1, 7)], [(0, 8), (2, 6)]))

    def arcs() -> Iterator[str]:
        for path in drawing.iter("{http://www.w3.org/2000/svg}path"):
            yield from (arc for arc in path.attrib["d"].split("M") if "A" in arc)

    assert sorted(arc.split()[5] for arc in arcs()) == ["0", "0", "1", "1"]
