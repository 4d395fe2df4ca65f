"""Rec-IDs and quantisers: unique, popularity in order, no collapse, and nothing that degenerate vectors can break."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tsbench.rec.codes import rec_ids, usage, usage_chart
from tsbench.rec.quantise import RqVaeConfig, kmeans, nearest, random_codes, residual_kmeans, rq_vae, spread

Quantiser = Callable[[Tensor, int, int], Tensor]
QUANTISERS: dict[str, Quantiser] = {
    "kmeans": residual_kmeans,
    "rqvae": lambda x, levels, codes: rq_vae(x, levels, codes, RqVaeConfig(epochs=4)),
    "released": lambda x, levels, codes: rq_vae(x, levels, codes, RqVaeConfig(epochs=4, repaired=False)),
    "random": lambda x, levels, codes: random_codes(len(x), levels, codes),
}


def points(items: int, width: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(items, width, generator=torch.Generator().manual_seed(seed))


def clusters(items: int = 600, width: int = 64, seed: int = 0) -> Tensor:
    """A hundred tight clusters, far from 0."""
    luck = torch.Generator().manual_seed(seed)
    centres = torch.randn(100, width, generator=luck) + 1
    return centres[torch.arange(items) % 100] + 0.1 * torch.randn(items, width, generator=luck)


def left_over(x: Tensor, codes: Tensor) -> list[float]:
    """Share of the energy of x that the means of codes leave, after each level."""
    left, shares = x, []
    for level in codes.T:
        count = torch.bincount(level)
        means = torch.zeros(len(count), x.shape[1]).index_add(0, level, left) / count.clamp(min=1)[:, None]
        left = left - means[level]
        shares.append(float(left.square().sum() / x.square().sum()))
    return shares


# ---------------------------------------------------------------- Rec-IDs


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=40),
)
def test_rec_ids_are_unique_and_the_popular_come_first(items: list[tuple[int, int, int]]) -> None:
    semantic = torch.tensor([item[:2] for item in items])
    counts = torch.tensor([item[2] for item in items])
    ids = rec_ids(semantic, counts)
    assert torch.equal(ids[:, :2], semantic)
    assert ids.dtype == torch.int64
    assert len(ids.unique(dim=0)) == len(items)
    for i, (*codes, count) in enumerate(items):
        same = [j for j, (*others, _) in enumerate(items) if others == codes]
        assert ids[i, 2] == sum((items[j][2], -j) > (count, -i) for j in same)


def test_popularity_tokens_by_hand() -> None:
    semantic = torch.tensor([[1, 0], [1, 0], [0, 0], [1, 0], [1, 0]])
    assert rec_ids(semantic, torch.tensor([3, 7, 1, 3, 0]))[:, 2].tolist() == [1, 0, 0, 2, 3]


def test_usage_by_hand() -> None:
    ids = rec_ids(torch.tensor([[0, 1], [0, 1], [2, 1], [2, 0]]), torch.zeros(4))
    found = usage(ids, [4, 2, 2])
    assert found == {
        "codes_1_used": 0.5,
        "codes_1_perplexity": pytest.approx(2),
        "codes_2_used": 1.0,
        "codes_2_perplexity": pytest.approx(4 / 3**0.75),  # exp of the entropy of 3/4, 1/4
        "collisions": 0.5,
        "popularity_tokens": 2.0,
    }


def test_usage_of_codes_that_are_all_used_alike() -> None:
    ids = rec_ids(torch.arange(32)[:, None] % 16, torch.zeros(32))
    found = usage(ids, [16, 2])
    assert found["codes_1_used"] == 1
    assert found["codes_1_perplexity"] == pytest.approx(16)
    assert found["collisions"] == 1


def test_the_drawing_has_a_curve_for_each_semantic_level() -> None:
    ids = rec_ids(random_codes(50, 3, 8), torch.zeros(50))
    drawn = usage_chart(ids, [8, 8, 8, int(ids[:, -1].max()) + 1])
    assert drawn.startswith("<svg")
    assert drawn.count("<polyline") == 3
    assert "level 3" in drawn
    assert "level 4" not in drawn


# ---------------------------------------------------------------- quantisers


@pytest.mark.parametrize("name", QUANTISERS)
@pytest.mark.parametrize(
    "x",
    [
        points(40),
        points(3),
        points(1),
        torch.ones(20, 5),
        torch.zeros(20, 5),
        points(4).repeat(9, 1),
        points(50, 1),
        1e4 + points(40),
    ],
    ids=["usual", "few", "one", "constant", "zero", "repeated", "scalar", "far"],
)
def test_codes_are_in_range_and_repeat_with_the_seed(name: str, x: Tensor) -> None:
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        found.append(QUANTISERS[name](x, 3, 6))
    codes = found[0]
    assert torch.equal(*found)
    assert codes.shape == (len(x), 3)
    assert codes.dtype == torch.int64
    assert 0 <= int(codes.min()) <= int(codes.max()) < 6


@pytest.mark.parametrize("name", ["kmeans", "rqvae", "released"])
def test_equal_vectors_get_equal_codes(name: str) -> None:
    torch.manual_seed(0)
    codes = QUANTISERS[name](points(30).repeat(4, 1), 2, 8).view(4, 30, 2)
    assert (codes == codes[0]).all()


@pytest.mark.parametrize("name", ["kmeans", "rqvae"])
def test_each_level_says_more(name: str) -> None:
    torch.manual_seed(0)
    x = clusters()
    one, two, three = left_over(x - x.mean(0), QUANTISERS[name](x, 3, 16))
    assert 1 > one > two > three
    assert left_over(x - x.mean(0), random_codes(600, 3, 16))[0] > one + 0.1


def test_no_more_different_points_than_codes_are_told_apart_exactly() -> None:
    x = points(6).repeat(5, 1)
    codes = residual_kmeans(x, 2, 8)
    assert len(codes[:, 0].unique()) == 6
    assert left_over(x, codes)[0] < 1e-10


def test_every_centre_of_kmeans_has_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even from the worst start: all but one are nobody's."""
    x = torch.cat([points(500) * 0.01, points(5, seed=1) + 100, points(5, seed=2) - 100])
    monkeypatch.setattr("tsbench.rec.quantise.spread", lambda x, codes: torch.arange(codes)[:, None] * 1e3 + x[:1])
    centres = kmeans(x, 20)
    assert (torch.bincount(nearest(x, centres), minlength=20) > 0).all()


def test_the_start_of_kmeans_is_of_different_points() -> None:
    """Two are so near to others that rounding hides them."""
    x = torch.cat([points(20) + 1e3, points(2) + 1e3 + 1e-4])
    torch.manual_seed(0)
    assert len(spread(x, 22).unique(dim=0)) == 22


def test_nearest_is_nearest_however_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    x, centres = points(101), points(7, seed=1)
    wanted = torch.cdist(x, centres).argmin(1)
    assert torch.equal(nearest(x, centres), wanted)
    monkeypatch.setattr("tsbench.rec.quantise._BLOCK", 50)
    assert torch.equal(nearest(x, centres), wanted)


def test_without_repairs_the_rq_vae_collapses() -> None:
    """As released, its first codebook kept 2 of 128 codes on its own sample (reference note, section 1.4)."""
    x, found = clusters(), {}
    for repaired in (True, False):
        torch.manual_seed(0)
        ids = rec_ids(rq_vae(x, 3, 64, RqVaeConfig(epochs=30, repaired=repaired)), torch.zeros(len(x)))
        found[repaired] = usage(ids, [64, 64, 64, len(x)])
    assert found[False]["codes_1_used"] < 0.2
    assert found[True]["codes_1_used"] > 0.8
    assert found[True]["codes_1_perplexity"] > 30
    assert found[True]["collisions"] < found[False]["collisions"]


# ---------------------------------------------------------------- real vectors


def read(real_data: Path, name: str) -> Tensor:
    path = real_data / "rec" / name
    if not path.is_file():
        pytest.skip(f"no {path}")
    return torch.from_numpy(np.load(path, allow_pickle=False)).float()


def test_lastfm_text_is_quantised_as_well_as_measured_before(real_data: Path) -> None:
    """Reference note, section 5: torch k-means residual, 3 x 64, leaves 0.229 and 1,168 different codes."""
    x = read(real_data, "LastFM2K/text_minilm.npy")
    torch.manual_seed(0)
    codes = residual_kmeans(x, 3, 64)
    assert left_over(x, codes)[-1] < 0.229
    assert len(codes.unique(dim=0)) > 1168


@pytest.mark.slow
def test_tiktok_is_quantised_as_well_as_measured_before(real_data: Path) -> None:
    """Reference note, section 5: 3 x 256 of image and audio leave 0.273 (faiss 0.266) and 6,523 different codes.

    It does not say how the columns were scaled: of five ways tried, z-scores come nearest to its faiss figures.
    """
    x = torch.cat([read(real_data, f"TikTok/{name}_feat.npy") for name in ("image", "audio")], 1)
    x = (x - x.mean(0)) / x.std(0).clamp(min=1e-9)
    torch.manual_seed(0)
    codes = residual_kmeans(x, 3, 256)
    assert left_over(x, codes)[-1] < 0.273
    assert len(codes.unique(dim=0)) > 6523
