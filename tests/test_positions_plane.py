"""Places with several axes: what every encoding does there, or that it refuses; and the Gaussian code's formula."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from tests.positions_cases import SPECS, WIDTH, encoder, ragged, tokens
from tsbench.errors import UsageError
from tsbench.parts.attention import Scope
from tsbench.position import Positions, encoding_kind, make_encoding, of_several_axes

ABLE = [spec for spec in SPECS if encoding_kind(spec)[0].several and "xpos" not in spec]


def plane(count: int = 12, samples: int = 2, axes: int = 2) -> Tensor:
    """Real places `(sample, token, axis)`, 0 to 7."""
    return 7 * torch.rand(samples, count, axes, generator=torch.Generator().manual_seed(5))


def code(spec: str, places: Tensor, width: int = 126) -> Tensor:
    """Codes `(place, width)` of places `(place, axis)`, in float64."""
    made = make_encoding(spec, width, 1).double()
    blank = torch.zeros(1, len(places), width, dtype=torch.float64)
    return made.embed(blank, Positions(places[None].double()))[0]


@pytest.mark.parametrize("spec", SPECS)
def test_one_axis_is_no_axis(spec: str) -> None:
    model, x, places = encoder(spec), tokens(2, 12), plane(axes=1)
    causal = model.encoding.causal_only
    if not model.encoding.several:
        with pytest.raises(UsageError, match=r"one axis only; use one of alibi, .*sinusoidal"):
            model(x, Positions(places))
        return
    torch.testing.assert_close(
        model(x, Positions(places, causal=causal)), model(x, Positions(places[..., 0], causal=causal))
    )


def test_those_that_refuse_name_those_that_do_not() -> None:
    assert of_several_axes() == ["alibi", "gaussian", "learned", "none", "rope", "sinusoidal"]
    for spec in ("t5", "shaw"):
        with pytest.raises(UsageError, match="alibi, gaussian, learned, none, rope, sinusoidal"):
            Scope.of(Positions(plane()), make_encoding(spec, WIDTH, 4))


@pytest.mark.parametrize("spec", ABLE)
class TestPlane:
    """What holds for all that have a meaning there."""

    def test_every_axis_counts(self, spec: str) -> None:
        model, x, places = encoder(spec, torch.float64), tokens(2, 12, dtype=torch.float64), plane().double()
        for axis in (0, 1):
            moved = places.clone()
            moved[:, 3, axis] += 1.5
            change = (model(x, Positions(places)) - model(x, Positions(moved))).abs().max()
            assert change == 0 if spec == "none" else change > 1e-3

    def test_axes_are_told_apart(self, spec: str) -> None:
        """But by distance, which is the same when x and y are swapped."""
        model, x, places = encoder(spec, torch.float64), tokens(2, 12, dtype=torch.float64), plane().double()
        change = (model(x, Positions(places)) - model(x, Positions(places.flip(-1)))).abs().max()
        assert change < 1e-12 if spec in ("none", "alibi") else change > 1e-3

    def test_padding_changes_nothing(self, spec: str) -> None:
        model, x, places = encoder(spec), tokens(2, 12), plane(17)
        padded = torch.cat([x, 100 * tokens(2, 5, seed=2)], 1)
        valid = ragged(17, 12)[1:].expand(2, -1)
        # `beyond=interpolate` looks for the end of a sequence among its real tokens, and finds it below its table's.
        alone = model(x, Positions(places[:, :12]))
        torch.testing.assert_close(model(padded, Positions(places, valid))[:, :12], alone, atol=1e-5, rtol=1e-5)

    def test_relative_means_a_shift_changes_nothing(self, spec: str) -> None:
        model, x, places = encoder(spec, torch.float64), tokens(2, 12, dtype=torch.float64), plane().double()
        moved = places / 2 + torch.tensor([0.25, 3.25])
        change = (model(x, Positions(places / 2)) - model(x, Positions(moved))).abs().max()
        assert change < 1e-9 if model.encoding.relative else change > 1e-3

    def test_follows_the_device(self, spec: str) -> None:
        x = tokens(2, 12).to("meta")
        encoder(spec).to("meta")(x, Positions(plane().to("meta"))).sum().backward()


def test_widths_that_axes_do_not_divide() -> None:
    """What is left over stays as it was; an axis without channels is refused."""
    for spec in ("sinusoidal", "learned", "gaussian"):
        out = make_encoding(spec, 32, 1).embed(torch.zeros(1, 4, 32), Positions(plane(4, 1, 3)))
        assert (out[..., :30] != 0).all()
        assert (out[..., 30:] == 0).all()
    with pytest.raises(UsageError, match="under 2 for each of 3 axes"):
        code("gaussian", torch.zeros(1, 3), 5)
    q = torch.randn(1, 2, 4, 14)
    turned, _ = make_encoding("rope", 28, 2).transform(q, q, Positions(plane(4, 1, 3)))
    assert ((turned - q).abs().amax((0, 1, 2)) > 0).tolist() == ([True] * 6 + [False]) * 2
    with pytest.raises(UsageError, match="turns 4 channels, under 2 for each of 3 axes"):
        make_encoding("rope", 8, 2).transform(q, q, Positions(plane(4, 1, 3)))
    with pytest.raises(UsageError, match="xpos is along one axis only"):
        make_encoding("rope(xpos=true)", 28, 2).transform(q, q, Positions(plane(4, 1)))


@pytest.mark.parametrize("spec", ["sinusoidal", "gaussian(sigma=1.5)"])
def test_each_axis_has_its_share_of_a_code(spec: str) -> None:
    places = plane(9, 1)[0]
    whole = code(spec, places, 64)
    for axis, share in enumerate(whole.chunk(2, 1)):
        torch.testing.assert_close(share, code(spec, places[:, axis : axis + 1], 32))


def test_rope_scores_are_those_of_each_axis() -> None:
    """A head of 16 channels, 8 for each axis; in the interleaved layout those of an axis lie together."""
    q, k, places = torch.randn(1, 1, 5, 16), torch.randn(1, 1, 5, 16), plane(5, 1)
    whole, both = make_encoding("rope(layout=interleaved)", 16, 1), make_encoding("rope(layout=interleaved)", 8, 1)
    a, b = whole.transform(q, k, Positions(places))
    parts = [
        both.transform(q[..., 8 * i : 8 * i + 8], k[..., 8 * i : 8 * i + 8], Positions(places[..., i])) for i in (0, 1)
    ]
    torch.testing.assert_close(a @ b.mT, sum(u @ v.mT for u, v in parts))


def test_alibi_takes_the_straight_line() -> None:
    bias = make_encoding("alibi", 4, 4).bias(Positions(torch.tensor([[[0.0, 0.0], [3.0, 4.0]]])))
    assert bias is not None
    torch.testing.assert_close(bias[0, :, 0, 1], -5 * torch.tensor([1 / 4, 1 / 16, 1 / 64, 1 / 256]))


def likeness(sigma: float, distance: Tensor, pairs: int, at: float = 0.0) -> Tensor:
    """Cosines of the codes of `at` and of places that far from it."""
    places = torch.cat([torch.zeros(1), distance])[:, None] + at
    codes = code(f"gaussian(sigma={sigma})", places, 2 * pairs)
    return torch.nn.functional.cosine_similarity(codes[:1], codes[1:])


@pytest.mark.parametrize("sigma", [0.5, 2.0, 2.5])
@pytest.mark.parametrize(
    ("pairs", "errors"),
    [(5, (0.011, 0.13, 0.37)), (10, (7e-4, 9e-4, 0.013)), (16, (8e-4, 8e-4, 8e-4)), (42, (8e-4, 8e-4, 8e-4))],
)
def test_gaussian_is_a_gaussian_of_distance(sigma: float, pairs: int, errors: tuple[float, ...]) -> None:
    """For real places, as nearly as is promised up to 4, 6.5 and 10 σ."""
    for deviations, within in zip((4, 6.5, 10), errors, strict=True):
        distance = torch.linspace(0, deviations * sigma, 801, dtype=torch.float64)
        for at in (0.0, -3.7):
            found = likeness(sigma, distance, pairs, at)
            torch.testing.assert_close(found, torch.exp(-(distance**2) / (2 * sigma**2)), atol=within, rtol=0)


def test_gaussian_at_the_widths_of_oat() -> None:
    """Grids of up to 14 places: within 1e-3 with 10 pairs an axis (width 128), 16, and 42 (the published 512)."""
    distance = torch.linspace(0, 13, 501, dtype=torch.float64)
    for pairs in (10, 16, 42):
        torch.testing.assert_close(likeness(2.0, distance, pairs), torch.exp(-(distance**2) / 8), atol=1e-3, rtol=0)


def test_gaussian_tells_far_places_apart() -> None:
    """Nowhere from 5 to 50 σ does the code come back whole, or its opposite."""
    distance = torch.linspace(10, 100, 4001, dtype=torch.float64)
    for pairs, most in ((10, 0.6), (16, 0.5), (42, 0.03)):
        assert likeness(2.0, distance, pairs).abs().max() < most


@pytest.mark.parametrize("pairs", [10, 42, 43])
def test_gaussian_is_the_shipped_table_of_oat(pairs: int) -> None:
    """HKUST-NISL/oat_eccv24, table of 14 x 86, cosines at distances 0 to 5 (reference/gaze.md, 1.2).

    It was fitted: where it says .136 the formula says .1353.
    """
    found = likeness(2.0, torch.arange(6.0), pairs)
    assert found.tolist() == pytest.approx([1.000, 0.883, 0.607, 0.325, 0.136, 0.044], abs=1e-3)


def test_gaussian_codes_are_equally_long() -> None:
    codes = code("gaussian", 20 * torch.randn(50, 2), 120)
    for share in codes.chunk(2, 1):
        torch.testing.assert_close(share.norm(dim=1), torch.full((50,), math.sqrt(60), dtype=torch.float64))
