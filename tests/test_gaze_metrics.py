"""Scanpath metrics: every case of the reference file, golden values, and what must hold for any path.

Golden values are those of `gaze_metric_cases.json` (see its `made_with`): multimatch_gaze 0.1.3, GazeParser 0.12.3
(ScanMatch), the scasim script of tmalsburg/scanpath, chenxy99/Scanpaths (TDE, STDE, grid SED), HAT and OAT.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tsbench.gaze.alignment import BLOCK
from tsbench.gaze.delays import stde, tde
from tsbench.gaze.metrics import (
    Conventions,
    Paths,
    behaviour,
    compare,
    delta,
    fixation_map,
    found_curve,
    nss,
    pairs,
    scanpath_ratio,
)
from tsbench.gaze.multimatch import PARTS, multimatch
from tsbench.gaze.scasim import scasim
from tsbench.gaze.strings import cells, edit_distance, scanmatch, sequence_score, share

DATA = Path(os.environ.get("TSBENCH_DATA", "data"))
FILE = DATA / "../reference/gaze_metric_cases.json"
AMAZON = DATA / "gaze/AmazonBookCovers/Amazon.json"

GOLDEN: list[dict[str, Any]] = [
    {
        "id": "COCO-Search18 000000281017.jpg/sink:1-10",
        "screen": [1680, 1050],
        "scanpath_a": [[863.9, 579.8, 0.307], [1235.8, 750.5, 0.238], [1340.6, 750.7, 0.162], [1375.5, 699.3, 0.467]],
        "scanpath_b": [[721.8, 573.8, 0.186], [1137.1, 781.3, 0.139], [1325.0, 773.1, 0.181]],
        "objects_a": [1, 0, 0, 0],
        "objects_b": [1, 1, 0],
        "target_object": 0,
        "target_box_xywh": [1194.0, 715.0, 242.0, 144.0],
        "expected": {
            "multimatch_gaze": {
                "vector": 0.9789203093,
                "direction": 0.9855102295,
                "length": 0.9579641946,
                "position": 0.9282095665,
                "duration": 0.6058631922,
            },
            "scanmatch_16x12_thr3.5_gap0_noduration": 0.5357142857,
            "scanmatch_16x12_thr3.5_gap0_tempbin50ms": 0.3291925466,
            "scanmatch_12x8_thr3.5_gap0_tempbin100ms": 0.369047619,
            "scasim_ms": 1088.2765514626,
            "tde_mean_k1_human_a_sim_b": 90.9725177574,
            "tde_mean_k2_human_a_sim_b": 94.0779013314,
            "tde_mean_k3_human_a_sim_b": 90.9725177574,
            "stde_human_a_sim_b": 0.9467065793,
            "grid5x5_string_edit_distance": 1,
            "sequence_score_nw_gap0": 0.5,
            "levenshtein": 2,
            "oat_behaviour_a": {"correct": 1.0, "length": 4.0, "search": 0.5, "refix": 0.5, "revisit": 0.0},
            "oat_behaviour_b": {
                "correct": 1.0,
                "length": 3.0,
                "search": 0.6666666667,
                "refix": 0.3333333333,
                "revisit": 0.0,
            },
            "scanpath_ratio_a": 0.8616241356,
            "scanpath_ratio_b": 0.9663027014,
        },
    },
    {
        "id": "edge: two fixations and three",
        "screen": [1024, 768],
        "scanpath_a": [[100.0, 100.0, 0.2], [300.0, 400.0, 0.3]],
        "scanpath_b": [[120.0, 90.0, 0.2], [500.0, 410.0, 0.3], [640.0, 250.0, 0.2]],
        "expected": {
            "multimatch_gaze": dict.fromkeys(("vector", *PARTS[1:])),
            "scanmatch_16x12_thr3.5_gap0_tempbin50ms": 0.3469387755,
            "scasim_ms": 663.6377391963,
            "tde_mean_k2_human_a_sim_b": 275.0729610991,
            "tde_mean_k3_human_a_sim_b": None,
            "stde_human_a_sim_b": 0.7942767721,
            "grid5x5_string_edit_distance": 2,
        },
    },
]


@cache
def published() -> list[dict[str, Any]]:
    """Cases of the reference file; none where it is not at hand."""
    cases: list[dict[str, Any]] = json.loads(FILE.read_text())["cases"] if FILE.exists() else []
    return cases


def sets() -> dict[str, Any]:
    if not FILE.exists():
        pytest.skip(f"{FILE} is not at hand")
    found: dict[str, Any] = json.loads(FILE.read_text())["sets"]
    return found


def padded(rows: list[Any], fill: float, extra: int = 0) -> Tensor:
    """Rows of unlike length as one tensor."""
    width = max(map(len, rows)) + extra
    shape = np.array(rows[0]).shape[1:]
    found = np.full((len(rows), width, *shape), fill)
    for row, values in zip(found, rows, strict=True):
        row[: len(values)] = np.array(values).reshape(len(values), *shape)
    return torch.from_numpy(found).long() if fill == -1 else torch.from_numpy(found)


def measured(cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What we make of all cases at once, under the names of the file."""
    size = torch.tensor([case["screen"] for case in cases], dtype=torch.float64)
    a, b = (padded([case[f"scanpath_{side}"] for case in cases], torch.nan) for side in "ab")
    x, y, p, q = a[..., :2], b[..., :2], 1000 * a[..., 2], 1000 * b[..., 2]
    # Off every object is an object of its own to the reference; to us -1 ends a path.
    has = [case.get("objects_a", [0]) for case in cases], [case.get("objects_b", [0]) for case in cases]
    s, t = (padded([[999 if o < 0 else o for o in row] for row in rows], -1) for rows in has)
    targets = torch.zeros(len(cases), 1000, dtype=torch.bool)
    targets[torch.arange(len(cases)), [case.get("target_object", 998) for case in cases]] = True
    boxes = torch.tensor([case.get("target_box_xywh", [0] * 4) for case in cases], dtype=torch.float64)
    goal = boxes[:, :2] + boxes[:, 2:] / 2
    five = [multimatch(x, y, size, p, q, pad_short) for pad_short in (False, True)]
    values: dict[str, Tensor] = {
        "scanmatch_16x12_thr3.5_gap0_noduration": scanmatch(x, y, size),
        "scanmatch_16x12_thr3.5_gap0_tempbin50ms": scanmatch(x, y, size, p, q, temporal_bin=50),
        "scanmatch_12x8_thr3.5_gap0_tempbin100ms": scanmatch(x, y, size, p, q, (12, 8), temporal_bin=100),
        "scasim_ms": scasim(x, y, p, q, size / 2 + 0.5),
        **{f"tde_mean_k{k}_human_a_sim_b": tde(x, y, k) for k in (1, 2, 3)},
        "stde_human_a_sim_b": stde(x, y, size),
        "grid5x5_string_edit_distance": edit_distance(cells(x, size, (5, 5)), cells(y, size, (5, 5))),
        "sequence_score_nw_gap0": sequence_score(s, t),
        "levenshtein": edit_distance(s, t),
        "scanpath_ratio_a": scanpath_ratio(x, goal),
        "scanpath_ratio_b": scanpath_ratio(y, goal),
    }
    names, parts = ("vector", *PARTS[1:]), ("correct", "length", "search", "refix", "revisit")
    doing = [behaviour(objects, targets) for objects in (s, t)]
    return [
        {name: value[i].item() for name, value in values.items()}
        | {
            "multimatch_gaze": dict(zip(names, five[0][i].tolist(), strict=True)),
            "multimatch_oat_copy": dict(zip(names, five[1][i].tolist(), strict=True)),
            "oat_behaviour_a": dict(zip(parts, doing[0][i].tolist(), strict=True)),
            "oat_behaviour_b": dict(zip(parts, doing[1][i].tolist(), strict=True)),
        }
        for i in range(len(cases))
    ]


def check(found: Any, expected: Any, name: str) -> None:
    if isinstance(expected, dict):
        for part, value in expected.items():
            check(found[part], value, f"{name} {part}")
    elif expected is None:
        assert np.isnan(found), name
    else:
        # The file has ten decimals; its sequence scores are float32.
        tolerance = 1e-6 if name.startswith("sequence") else 1e-9
        assert found == pytest.approx(expected, abs=tolerance, rel=1e-9), name


@pytest.mark.parametrize("case", GOLDEN, ids=lambda case: case["id"])
def test_golden(case: dict[str, Any]) -> None:
    for name, expected in case["expected"].items():
        check(measured([case])[0][name], expected, name)


def test_every_case_of_the_reference() -> None:
    if not published():
        pytest.skip(f"{FILE} is not at hand")
    for case, found in zip(published(), measured(published()), strict=True):
        for name, expected in case["expected"].items():
            check(found[name], expected, name)


def test_nss() -> None:
    z = nss(torch.arange(9.0).reshape(1, 3, 3), torch.tensor([[[2.0, 0.0], [2.0, 2.0], [torch.nan] * 2]]))
    assert z.item() == pytest.approx(0.3872983346, abs=1e-9)  # reference file, sets.nss
    assert torch.isnan(nss(torch.ones(1, 3, 3), torch.zeros(1, 1, 2))).all()
    points = torch.tensor([[[0.5, 1.9], [5.0, 0.0], [torch.nan] * 2]])
    assert fixation_map(points, 3, 2).tolist() == [[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]]


def amazon() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Objects, targets, display and subject of all trials, a fixation in no box going to the nearest centre."""
    known = sets()["amazon_human_behaviour"]
    if not AMAZON.exists():
        pytest.skip(f"{AMAZON} is not at hand")
    columns, rows = np.array(known["column_x"]), np.array(known["row_y"])
    boxes = np.array([[c[0], r[0], c[1], r[1]] for r in rows for c in columns])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    objects, targets, display, subject = [], [], [], []
    for i, trial in enumerate(json.loads(AMAZON.read_text()).values()):
        box = trial["ground_truth"][0]
        middle = np.array([box["xmin"] + box["xmax"], box["ymin"] + box["ymax"]]) / 2
        for j, points in enumerate(trial["fixations"].values()):
            p = np.array(points, float)[:, None]
            inside = np.all((p >= boxes[:, :2]) & (p <= boxes[:, 2:]), axis=-1)
            nearest = np.linalg.norm(p - centres, axis=-1).argmin(1)
            objects.append(np.where(inside.any(1), inside.argmax(1), nearest))
            targets.append(np.linalg.norm(centres - middle, axis=-1).argmin())
            display.append(i)
            subject.append(j)
    target = torch.nn.functional.one_hot(torch.tensor(np.array(targets)), len(boxes)).bool()
    return padded(objects, -1), target, torch.tensor(display), torch.tensor(subject)


def test_amazon_people() -> None:
    objects, targets, display, subject = amazon()
    expected = sets()["amazon_human_behaviour"]["mean"]
    assert behaviour(objects, targets).mean(0).tolist() == pytest.approx(list(expected.values()), abs=1e-9)
    a, b = objects[pairs(display, subject)]
    assert len(a) == 3000
    assert sequence_score(a, b).mean() == pytest.approx(0.204, abs=5e-4)  # reference note, 2.2
    assert edit_distance(a, b).mean() == pytest.approx(17.1, abs=0.05)


def recursive(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, int]:
    """Most aligned and fewest edits, straight from the definition."""

    @cache
    def best(i: int, j: int) -> tuple[int, int]:
        if not i or not j:
            return 0, i + j
        (m, e), (m1, e1), (m2, e2) = best(i - 1, j - 1), best(i - 1, j), best(i, j - 1)
        same = a[i - 1] == b[j - 1]
        return max(m + same, m1, m2), min(e + (not same), e1 + 1, e2 + 1)

    return best(len(a), len(b))


STRINGS = st.lists(st.integers(0, 3), max_size=9).map(tuple)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(STRINGS, STRINGS), min_size=1, max_size=4))
def test_strings_by_brute_force(case: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    first, second = (padded([list(pair[side]) for pair in case], -1) for side in (0, 1))
    aligned, edits = torch.tensor([recursive(*pair) for pair in case]).double().T
    longest = torch.tensor([max(map(len, pair)) for pair in case])
    torch.testing.assert_close(sequence_score(first, second), aligned / longest, equal_nan=True)
    torch.testing.assert_close(edit_distance(first, second), edits)
    torch.testing.assert_close(share(edits, first, second), edits / longest, equal_nan=True)


def cheapest(a: np.ndarray, b: np.ndarray) -> list[tuple[int, int]]:
    """Every walk through the saccades of two paths is tried."""
    cost = np.linalg.norm(np.diff(a, axis=0)[:, None] - np.diff(b, axis=0), axis=-1)

    def walks(i: int, j: int) -> list[tuple[float, list[tuple[int, int]]]]:
        if i == j == 0:
            return [(cost[0, 0], [(0, 0)])]
        before = [(i - 1, j - 1), (i - 1, j), (i, j - 1)]
        reached = [way for at in before if min(at) >= 0 for way in walks(*at)]
        return [(total + cost[i, j], [*way, (i, j)]) for total, way in reached]

    return min(walks(cost.shape[0] - 1, cost.shape[1] - 1))[1]


def test_multimatch_by_brute_force() -> None:
    random = np.random.default_rng(0)
    rows = [[random.uniform(0, 500, (n, 2)) for n in lengths] for lengths in ((3, 5), (5, 4), (4, 4), (6, 3))]
    a, b = (padded([row[side] for row in rows], torch.nan) for side in (0, 1))
    found = multimatch(a, b, torch.full((4, 2), 500.0))
    diagonal = 500 * 2**0.5
    for (p, q), values in zip(rows, found, strict=True):
        i, j = np.array(cheapest(p, q)).T
        u, v = np.diff(p, axis=0)[i], np.diff(q, axis=0)[j]
        shape = np.median(np.linalg.norm(u - v, axis=1)) / (2 * diagonal)
        length = np.median(abs(np.linalg.norm(u, axis=1) - np.linalg.norm(v, axis=1))) / diagonal
        position = np.median(np.linalg.norm(p[i] - q[j], axis=1)) / diagonal
        assert values[[0, 2, 3]].tolist() == pytest.approx([1 - shape, 1 - length, 1 - position], abs=1e-12)
        assert torch.isnan(values[4])  # no durations


def paths(count: int, seed: int, extra: int = 0) -> Paths:
    """Random paths of 3 to 12 fixations."""
    random = np.random.default_rng(seed)
    lengths = random.integers(3, 13, count)
    return Paths(
        padded([list(random.integers(0, 6, n)) for n in lengths], -1, extra),
        padded([random.uniform(-5, 805, (n, 2)) for n in lengths], torch.nan, extra),
        padded([random.uniform(50, 400, n) for n in lengths], torch.nan, extra),
    )


HOW = Conventions(temporal_bin=50)
SYMMETRIC = ("ss", "sed", "sed_share", "grid_sed", "grid_sed_share", "scanmatch", *(f"multimatch_{p}" for p in PARTS))


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    for name in a:
        torch.testing.assert_close(a[name], b[name], equal_nan=True, msg=name)


def test_many_pairs_at_once_are_as_one_by_one() -> None:
    count = BLOCK + 5
    a, b, size = paths(count, 1), paths(count, 2), torch.full((count, 2), 800.0)
    together = compare(a, b, size, HOW)
    for i in (0, 17, BLOCK, count - 1):
        one = torch.tensor([i])
        same({name: values[one] for name, values in together.items()}, compare(a[one], b[one], size[one], HOW))


def test_padding_order_and_identity() -> None:
    a, b, size = paths(20, 3), paths(20, 4), torch.tensor([[800.0, 600.0]]).expand(20, 2)
    ours = compare(a, b, size, HOW)
    same(ours, compare(paths(20, 3, extra=4), paths(20, 4, extra=7), size, HOW))
    turned = compare(b, a, size, HOW)
    same({name: ours[name] for name in SYMMETRIC}, {name: turned[name] for name in SYMMETRIC})
    assert not torch.allclose(ours["tde_1"], turned["tde_1"])
    for name, values in compare(a, a, size, HOW).items():
        distance = "sed" in name or "tde_" in name
        torch.testing.assert_close(values, torch.full_like(values, 0.0 if distance else 1.0), msg=name)
    centre = size / 2
    torch.testing.assert_close(
        scasim(a.points, b.points, a.durations, b.durations, centre),
        scasim(b.points, a.points, b.durations, a.durations, centre),
    )
    assert scasim(a.points, a.points, a.durations, a.durations, centre).abs().max() < 1e-9


def test_short_paths() -> None:
    """As if (1, 1) had been looked at for 1."""
    points = torch.tensor([[[100.0, 100.0], [300.0, 400.0]]])
    other = torch.tensor([[[120.0, 90.0], [500.0, 410.0], [640.0, 250.0]]])
    size, durations = torch.tensor([[1024.0, 768.0]]), torch.ones(1, 3)
    filled = torch.cat([points, torch.ones(1, 1, 2)], 1)
    assert torch.isnan(multimatch(points, other, size, durations[:, :2], durations)).all()
    torch.testing.assert_close(
        multimatch(points, other, size, durations[:, :2], durations, pad_short=True),
        multimatch(filled, other, size, durations, durations),
    )


def test_no_pairs() -> None:
    none = paths(3, 0)[torch.tensor([], dtype=torch.int64)]
    assert all(values.shape == (0,) for values in compare(none, none, torch.zeros(0, 2), HOW).values())


def test_scanmatch_with_gaps_by_brute_force() -> None:
    a, b, size = paths(30, 6), paths(30, 7), torch.full((30, 2), 800.0)
    found = scanmatch(a.points, b.points, size, bins=(8, 8), threshold=2.0, gap=-0.5)
    for i, ours in enumerate(found.tolist()):
        both = (path.points[i][~path.points[i, :, 0].isnan()].numpy() for path in (a, b))
        p, q = ((points / 100).clip(0, 7).astype(int) for points in both)

        @cache
        def best(n: int, m: int, p: np.ndarray = p, q: np.ndarray = q) -> float:
            if not n or not m:
                return -0.5 * (n + m)
            gain = 2.0 - float(np.linalg.norm(p[n - 1] - q[m - 1]))
            return max(best(n - 1, m - 1) + gain, best(n - 1, m) - 0.5, best(n, m - 1) - 0.5)

        assert ours == pytest.approx(best(len(p), len(q)) / (2.0 * max(len(p), len(q))), abs=1e-9)


def test_scanmatch_needs_durations() -> None:
    points = torch.zeros(1, 3, 2)
    with pytest.raises(ValueError, match="durations"):
        scanmatch(points, points, torch.ones(1, 2), temporal_bin=50)


def test_behaviour() -> None:
    objects = torch.tensor([[3, 3, 1, 3, 0, -1], [2, -1, -1, -1, -1, -1], [-1] * 6])
    targets = torch.tensor([[True, False, False, False], [False] * 4, [True] * 4])
    found = behaviour(objects, targets)
    expected = torch.tensor([[1, 5, 0.6, 0.2, 0.2], [torch.nan, 1, 1, 0, 0], [torch.nan, 0, *[torch.nan] * 3]])
    torch.testing.assert_close(found, expected.double(), equal_nan=True)


def test_delta() -> None:
    human = torch.tensor([[0.8, 10.0, 0.5, 0.4, 0.1]])
    model = torch.tensor([[0.4, 12.0, 0.5, 0.4, 0.2], [0.4, 8.0, 0.5, 0.4, 0.2]])
    assert delta(model, human).item() == pytest.approx((0.5 + 0 + 0 + 0 + 1) / 5)
    human[0, 4] = 0.0  # left out
    assert delta(model, human).item() == pytest.approx(0.5 / 4)


def test_found_curve() -> None:
    objects = torch.tensor([[0, 1, 2], [2, 2, -1], [1, 1, 1], [1, 2, 1]])
    targets = torch.tensor([[False, False, True]]).expand(4, 3)
    assert found_curve(objects, targets, 5).tolist() == [0, 0.25, 0.5, 0.75, 0.75, 0.75]
    assert found_curve(objects, targets, 1).tolist() == [0, 0.25]


def test_ratio_of_a_path_of_no_length() -> None:
    point, none = torch.tensor([[[1.0, 1.0], [torch.nan] * 2]]), torch.full((1, 2, 2), torch.nan)
    assert scanpath_ratio(point, torch.tensor([[4.0, 5.0]])).item() == 1
    assert scanpath_ratio(point, point[:, 0]).item() == 1
    assert scanpath_ratio(none, point[:, 0]).isnan().all()


def test_pairs() -> None:
    display, subject = torch.tensor([0, 0, 1, 0, 1]), torch.tensor([0, 1, 0, 0, 0])
    found = pairs(display, subject)
    assert found.T.tolist() == [[0, 1], [1, 0], [1, 3], [3, 1]]
    assert pairs(display, subject, self_pairs=True).shape == (2, 9 + 4)
    drawn = pairs(display, subject, most=2, seed=1)
    assert drawn.shape == (2, 2)
    assert torch.equal(drawn, pairs(display, subject, most=2, seed=1))
    assert pairs(display[:0], subject[:0]).shape == (2, 0)


def test_conventions() -> None:
    a, size = paths(4, 5), torch.full((4, 2), 800.0)
    cut = a.cut(Conventions(first=False, longest=2))
    assert torch.equal(cut.objects, a.objects[:, 1:3])
    assert torch.equal(compare(a, a, size, Conventions(longest=2))["tde_3"].isnan(), torch.ones(4, dtype=torch.bool))
    line = str(Conventions(first=False, longest=7, temporal_bin=50))
    assert "\n" not in line
    assert all(words in line for words in ("first fixation out", "at most 7", "5x5", "16x12", "50 ms", "undefined"))
