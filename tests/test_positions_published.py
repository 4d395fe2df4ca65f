"""Position encodings against their papers' formulas and against public implementations."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.positions_cases import encoder, ragged, tokens
from tsbench.errors import UsageError
from tsbench.position import PositionEncoding, Positions, make_encoding
from tsbench.positions.alibi import slopes
from tsbench.positions.rope import Rope
from tsbench.positions.t5 import bucket

HEADS, WIDTH, TIME = 4, 64, 24
OFFSETS = torch.arange(-300, 301)


def queries_and_keys(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """`(1, head, time, head_width)`."""
    torch.manual_seed(0)
    return torch.randn(1, HEADS, TIME, WIDTH // HEADS, dtype=dtype), torch.randn(
        1, HEADS, TIME, WIDTH // HEADS, dtype=dtype
    )


def places(time: int = TIME, causal: bool = False) -> Positions:
    """0, 1, 2, ..."""
    return Positions(torch.arange(time)[None], causal=causal)


def make(spec: str) -> Any:
    """An encoding of HEADS heads of WIDTH / HEADS channels, in float64."""
    return make_encoding(spec, WIDTH, HEADS).double()


def scores(encoding: PositionEncoding, positions: Positions, q: Tensor, k: Tensor) -> Tensor:
    """Products of transformed queries and keys."""
    q, k = encoding.transform(q, k, positions)
    return q @ k.mT


def close(a: Tensor, b: Tensor, within: float) -> None:
    """Equal up to `within`, absolutely."""
    assert a.shape == b.shape
    assert (a - b).abs().max() <= within


# Sinusoidal, learned


def test_sinusoidal_is_toeplitz_with_constant_norm() -> None:
    table = make("sinusoidal").embed(torch.zeros(1, 50, WIDTH, dtype=torch.float64), places(50))[0]
    gram = table @ table.T
    close(gram[1:, 1:], gram[:-1, :-1], 1e-12)
    close(gram.diagonal(), torch.full((50,), WIDTH / 2, dtype=torch.float64), 1e-12)
    p, c = 7, 3
    assert table[p, 2 * c].item() == pytest.approx(math.sin(p / 10000 ** (2 * c / WIDTH)), abs=1e-12)
    assert table[p, 2 * c + 1].item() == pytest.approx(math.cos(p / 10000 ** (2 * c / WIDTH)), abs=1e-12)
    assert make_encoding("sinusoidal", 7, 1).embed(torch.zeros(1, 5, 7), places(5)).shape == (1, 5, 7)


def test_learned_positions_beyond_the_table() -> None:
    x = torch.zeros(1, 8, WIDTH, dtype=torch.float64)
    error, clamp, interpolate = (make(f"learned(length=8,beyond={b})") for b in ("error", "clamp", "interpolate"))
    for encoding in (error, clamp, interpolate):
        assert torch.equal(encoding.embed(x, places(8))[0], encoding.table)
    longer = torch.zeros(1, 15, WIDTH, dtype=torch.float64)
    with pytest.raises(UsageError, match=r"outside 0\.\.7.*clamp or interpolate"):
        error.embed(longer, places(15))
    assert torch.equal(clamp.embed(longer, places(15))[0, 7:], clamp.table[-1].expand(8, -1))
    resized = torch.nn.functional.interpolate(interpolate.table.T[None], 15, mode="linear", align_corners=True)[0].T
    close(interpolate.embed(longer, places(15))[0], resized, 1e-12)


def test_only_real_tokens_need_a_row() -> None:
    encoding = make("learned(length=8)")
    x = torch.zeros(2, 12, WIDTH, dtype=torch.float64)
    padded = Positions.along(x, ragged(12, 8) & ragged(12, 8)[1])
    assert torch.equal(encoding.embed(x, padded)[0, :8], encoding.table)
    packed = Positions(torch.arange(6).repeat(2)[None], segment=torch.arange(2).repeat_interleave(6)[None])
    assert torch.equal(encoding.embed(x[:1], packed)[0, 6:], encoding.table[:6])
    with pytest.raises(UsageError, match="outside"):
        encoding.embed(x[:1, :6], Positions(torch.arange(6)[None] - 1))


# Shaw


def test_shaw_equals_a_vector_for_every_pair() -> None:
    encoding, (q, k) = make("shaw(reach=5)"), queries_and_keys()
    rows = places().offsets()[0].clamp(-5, 5) + 5
    naive = torch.einsum("bhid,ijd->bhij", q, encoding.keys[rows]) / math.sqrt(WIDTH / HEADS)
    close(encoding.relate(q, places()), naive, 1e-14)
    weights = (q @ k.mT).softmax(-1)
    close(encoding.read(weights, places()), torch.einsum("bhij,ijd->bhid", weights, encoding.values[rows]), 1e-14)


def test_shaw_without_vectors_is_no_positions() -> None:
    shaw, none, x = encoder("shaw"), encoder("none"), tokens(1, 12)
    torch.nn.init.zeros_(shaw.encoding.keys)  # type: ignore[arg-type]
    torch.nn.init.zeros_(shaw.encoding.values)  # type: ignore[arg-type]
    none.load_state_dict({k: v for k, v in shaw.state_dict().items() if not k.startswith("encoding")})
    torch.testing.assert_close(shaw(x, Positions.along(x)), none(x, Positions.along(x)), atol=1e-5, rtol=1e-5)


# T5


def test_t5_buckets() -> None:
    behind = -torch.tensor([0, 1, 15, 16, 17, 20, 32, 64, 127, 128, 500])
    assert bucket(behind, causal=True).tolist() == [0, 1, 15, 16, 16, 17, 21, 26, 31, 31, 31]
    assert bucket(torch.tensor([-200, -8, -1, 0, 1, 7, 8, 500])).tolist() == [15, 8, 1, 0, 17, 23, 24, 31]
    assert bucket(torch.tensor([3]), causal=True).tolist() == [0]


@pytest.mark.parametrize("causal", [False, True])
def test_t5_bias_is_the_row_of_the_bucket(causal: bool) -> None:
    encoding = make("t5")
    bias = encoding.bias(places(causal=causal))
    for i, j in ((20, 3), (3, 20), (7, 7)):
        row = int(bucket(torch.tensor(j - i), causal=causal))
        assert torch.equal(bias[0, :, i, j], encoding.table[row])


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(("buckets", "furthest"), [(32, 128), (8, 32), (64, 1000)])
def test_t5_buckets_are_those_of_x_transformers(causal: bool, buckets: int, furthest: int) -> None:
    theirs = pytest.importorskip("x_transformers.x_transformers").RelativePositionBias._relative_position_bucket
    expected = theirs(OFFSETS, causal=causal, num_buckets=buckets, max_distance=furthest)
    assert torch.equal(bucket(OFFSETS, buckets, furthest, causal), expected)


# ALiBi


@pytest.mark.parametrize(
    ("heads", "expected"),
    [
        (3, [0.0625, 0.00390625, 0.25]),
        (6, [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125]),
        (8, [2.0**-h for h in range(1, 9)]),
        (12, [2.0**-h for h in range(1, 9)] + [2.0 ** -(h - 0.5) for h in range(1, 5)]),
        (16, [2.0 ** (-h / 2) for h in range(1, 17)]),
    ],
)
def test_alibi_slopes(heads: int, expected: list[float]) -> None:
    assert slopes(heads) == pytest.approx(expected, abs=1e-15)
    bias = make_encoding("alibi", heads, heads).bias(places(10))
    assert bias is not None
    assert bias[0, :, 2, 7].tolist() == pytest.approx([-5 * m for m in expected], abs=1e-6)
    assert torch.equal(bias, bias.flip(-1, -2))


@pytest.mark.parametrize("heads", [1, 3, 6, 8, 12, 16])
def test_alibi_bias_is_that_of_x_transformers(heads: int) -> None:
    theirs = pytest.importorskip("x_transformers.x_transformers").AlibiPositionalBias(heads)
    bias = make_encoding("alibi", heads, heads).bias(places())
    assert bias is not None
    close(bias[0], theirs(TIME, TIME), 1e-6)


# RoPE


def test_rope_turns_pairs_by_place_times_frequency() -> None:
    for layout, first, second in (("half", 3, 11), ("interleaved", 6, 7)):
        encoding, (q, k) = make(f"rope(layout={layout})"), queries_and_keys()
        turned, _ = encoding.transform(q, k, places())
        pair = torch.complex(q[..., first], q[..., second])
        angle = torch.arange(TIME, dtype=torch.float64) * 10000 ** (-6 / 16)
        close(torch.complex(turned[..., first], turned[..., second]), pair * torch.exp(1j * angle), 1e-12)
        close(turned.norm(dim=-1), q.norm(dim=-1), 1e-12)


def test_rope_layouts_are_one_up_to_the_order_of_channels() -> None:
    q, k = queries_and_keys()
    order = torch.arange(16).view(8, 2).T.flatten()  # even channels, then odd ones
    half = scores(make("rope"), places(), q[..., order], k[..., order])
    close(half, scores(make("rope(layout=interleaved)"), places(), q, k), 1e-12)


def test_rope_leaves_the_other_channels() -> None:
    encoding, (q, k) = make("rope(fraction=0.25)"), queries_and_keys()
    turned, _ = encoding.transform(q, k, places())
    assert torch.equal(turned[..., 4:], q[..., 4:])
    assert not torch.allclose(turned[..., 1:, :4], q[..., 1:, :4])


def test_rope_for_longer_sequences() -> None:
    q, k = queries_and_keys()
    shrunk = Positions(torch.arange(TIME, dtype=torch.float64)[None] / 8)
    close(scores(make("rope(scaling=linear,factor=8)"), places(), q, k), scores(make("rope"), shrunk, q, k), 1e-12)

    like = torch.zeros((), dtype=torch.float64)
    plain, ntk = (make(s).frequencies(like) for s in ("rope", "rope(scaling=ntk,factor=8)"))
    assert ntk[0] == plain[0] == 1
    assert ntk[-1].item() == pytest.approx(plain[-1].item() / 8, rel=1e-12)

    truncated = make("rope(scaling=truncated,length=64)").frequencies(like)
    expected = [1, 10**-0.5, 0.1, 2 * math.pi / 64 / 16, 0, 0, 0, 0]
    assert truncated.tolist() == pytest.approx(expected, abs=1e-12)


def test_rope_is_that_of_rotary_embedding_torch() -> None:
    theirs = pytest.importorskip("rotary_embedding_torch").RotaryEmbedding(WIDTH // HEADS)
    q, k = queries_and_keys(torch.float32)
    turned, _ = make_encoding("rope(layout=interleaved)", WIDTH, HEADS).transform(q, k, places())
    close(turned, theirs.rotate_queries_or_keys(q), 2e-6)


@pytest.mark.parametrize("xpos", [False, True])
def test_rope_and_xpos_are_those_of_x_transformers(xpos: bool) -> None:
    package = pytest.importorskip("x_transformers.x_transformers")
    theirs = package.RotaryEmbedding(WIDTH // HEADS, use_xpos=xpos)
    freqs, scale = theirs.forward_from_seq_len(TIME)
    q, k = queries_and_keys(torch.float32)
    turn = package.apply_rotary_pos_emb
    expected = turn(q, freqs, scale) @ turn(k, freqs, scale**-1.0).mT
    ours = make_encoding(f"rope(layout=interleaved,xpos={str(xpos).lower()})", WIDTH, HEADS)
    close(scores(ours, places(causal=True), q, k), expected, 1e-5)


def test_xpos_scores_depend_on_differences_and_fall_with_them() -> None:
    encoding, (q, k) = make("rope(xpos=true)"), queries_and_keys()
    assert isinstance(encoding, Rope)
    here, there = places(causal=True), Positions(torch.arange(TIME)[None] + 1000, causal=True)
    close(scores(encoding, here, q, k), scores(encoding, there, q, k), 1e-10)
    far = Positions(torch.arange(TIME)[None] * 100, causal=True)
    same = q[:, :, :1].expand_as(q)
    first = scores(encoding, far, same, same)[..., 0].abs()
    assert (first[..., -1] < first[..., 0] / 4).all()


# Hugging Face transformers


@pytest.mark.slow
def test_t5_buckets_are_those_of_transformers() -> None:
    theirs = pytest.importorskip("transformers.models.t5.modeling_t5").T5Attention._relative_position_bucket
    for causal in (False, True):
        assert torch.equal(bucket(OFFSETS, causal=causal), theirs(OFFSETS, bidirectional=not causal))


@pytest.mark.slow
@pytest.mark.parametrize("heads", [3, 8, 12])
def test_causal_alibi_is_that_of_bloom(heads: int) -> None:
    bloom = pytest.importorskip("transformers.models.bloom.modeling_bloom")
    # Bloom adds slope times the key's place, which differs from ours by a constant in each row of a causal softmax.
    theirs = bloom.build_alibi_tensor(torch.ones(1, TIME), heads, torch.float32)
    bias = make_encoding("alibi", heads, heads).bias(places(causal=True))
    assert bias is not None
    future = torch.ones(TIME, TIME, dtype=torch.bool).triu(1)
    ours, bloom_weights = (b.masked_fill(future, -math.inf).softmax(-1) for b in (bias[0], theirs.expand_as(bias[0])))
    close(ours, bloom_weights, 1e-6)


@pytest.mark.slow
def test_half_rope_is_that_of_llama() -> None:
    theirs = pytest.importorskip("transformers.models.llama.modeling_llama").apply_rotary_pos_emb
    encoding, (q, k) = make("rope"), queries_and_keys()
    angle = torch.arange(TIME)[:, None] * encoding.frequencies(q)
    angle = torch.cat([angle, angle], -1)[None]
    for ours, expected in zip(encoding.transform(q, k, places()), theirs(q, k, angle.cos(), angle.sin()), strict=True):
        close(ours, expected, 1e-14)
