"""What every position encoding must keep, whatever it is: a new file in tsbench/positions is tested as it is."""

from __future__ import annotations

import contextlib
import dataclasses

import pytest
import torch
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from tests.positions_cases import CASES, SPECS, WIDTH, encoder, ragged, shifted, tokens
from tsbench.errors import UsageError
from tsbench.parts.attention import Attention, Scope
from tsbench.parts.encoder import Encoder, EncoderConfig
from tsbench.position import PositionEncoding, Positions, make_encoding
from tsbench.positions.shaw import Shaw

every_case = pytest.mark.parametrize(("spec", "causal"), CASES)
every_spec = pytest.mark.parametrize("spec", SPECS)


@every_case
def test_padding_changes_nothing(spec: str, causal: bool) -> None:
    model, x = encoder(spec), tokens(2, 12)
    alone = model(x, Positions.along(x, causal=causal))
    padded = torch.cat([x, 100 * tokens(2, 5, seed=2)], 1)
    valid = ragged(17, 12)[1:].expand(2, -1)
    torch.testing.assert_close(
        model(padded, Positions.along(padded, valid, causal))[:, :12], alone, atol=1e-5, rtol=1e-5
    )


@every_spec
def test_causal_means_the_past_does_not_see_the_future(spec: str) -> None:
    model, x = encoder(spec), tokens(2, 12)
    changed = torch.cat([x[:, :7], tokens(2, 5, seed=2)], 1)
    before, after = (model(t, Positions.along(t, causal=True)) for t in (x, changed))
    torch.testing.assert_close(before[:, :7], after[:, :7], atol=1e-6, rtol=1e-6)
    assert (before[:, 7:] - after[:, 7:]).abs().max() > 0.1


def order_effect(model: Encoder, causal: bool = False) -> float:
    """How much the states of tokens change when the tokens change places."""
    x = tokens(1, 12, dtype=torch.float64)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(3))
    moved = x[:, order]
    states, states_moved = (model(t, Positions.along(t, causal=causal)) for t in (x, moved))
    return (states[:, order] - states_moved).abs().max().item()


@every_case
def test_no_positions_no_order_and_otherwise_order(spec: str, causal: bool) -> None:
    effect = order_effect(encoder(spec, torch.float64), causal)
    if spec == "none" and not causal:
        assert effect < 1e-12
    else:
        assert effect > 1e-2


def test_beacon_defect_2_rope_without_position_signal() -> None:
    """BEACON's configurations say `rope`, its attention asks for `rotary`: its RoPE models rotated nothing."""
    assert order_effect(encoder("rope", torch.float64)) > 1e-2
    defective = encoder("rope", torch.float64)
    defective.encoding = PositionEncoding(WIDTH, 4, None)  # what is left when no name matches
    assert order_effect(defective) < 1e-12
    for name in ("rotary", "RoPE", "absolute", ""):
        with pytest.raises(UsageError):
            EncoderConfig(positions=name)


@every_case
def test_relative_means_a_shift_changes_nothing(spec: str, causal: bool) -> None:
    model, x = encoder(spec, torch.float64), tokens(2, 12, dtype=torch.float64)
    here = Positions.along(x, causal=causal)
    change = (model(x, here) - model(x, shifted(here, 37))).abs().max()
    if model.encoding.relative:
        assert change < 1e-9
    else:
        assert change > 1e-3


@every_case
def test_coordinates_may_be_shared_or_of_each_sample(spec: str, causal: bool) -> None:
    model, x = encoder(spec), tokens(3, 9)
    shared = Positions.along(x, causal=causal)
    own = dataclasses.replace(shared, coords=shared.coords.repeat(3, 1))
    real = dataclasses.replace(shared, coords=shared.coords.float())
    for other in (own, real):
        torch.testing.assert_close(model(x, shared), model(x, other), atol=1e-5, rtol=1e-5)


@every_case
def test_state_is_parameters_only_and_makes_the_same_model(spec: str, causal: bool) -> None:
    model, x = encoder(spec), tokens(2, 12)
    assert set(model.state_dict()) == {name for name, _ in model.named_parameters()}
    other = Encoder(EncoderConfig(positions=spec, layers=2, width=WIDTH, heads=4)).eval()
    other.load_state_dict(model.state_dict())
    positions = Positions.along(x, causal=causal)
    assert torch.equal(model.eval()(x, positions), other(x, positions))


@every_case
def test_longer_than_trained_runs_or_refuses_as_documented(spec: str, causal: bool) -> None:
    model, x = encoder(spec), tokens(1, 600)
    documented = "UsageError" in str(type(model.encoding).embed.__doc__)
    with torch.no_grad(), contextlib.suppress(UsageError) if documented else contextlib.nullcontext():
        assert model(x, Positions.along(x, causal=causal)).isfinite().all()


@every_case
def test_every_parameter_learns(spec: str, causal: bool) -> None:
    model, x = encoder(spec), tokens(2, 12)
    model(x, Positions.along(x, ragged(12, 9), causal)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@every_case
def test_fused_equals_explicit(spec: str, causal: bool) -> None:
    model, x = encoder(spec), tokens(3, 12)
    positions = Positions.along(x, ragged(12, 9, 5), causal)
    torch.testing.assert_close(model(x, positions), model(x, positions, explicit=True), atol=1e-5, rtol=1e-5)


class KeysOfShaw(Shaw):
    """Adds to the scores of each query, but reads no weights: no encoding of ours, but one that may come."""

    read = PositionEncoding.read  # type: ignore[assignment]


@pytest.mark.parametrize("causal", [False, True])
def test_scores_of_the_query_are_masked_in_the_fused_kernel(causal: bool) -> None:
    model, x = encoder("shaw"), tokens(3, 12)
    model.encoding.__class__ = KeysOfShaw
    assert not model.encoding.reads()
    positions = Positions.along(x, ragged(12, 9, 5), causal)
    torch.testing.assert_close(model(x, positions), model(x, positions, explicit=True), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("explicit", [False, True])
@every_case
def test_a_query_that_sees_nothing_gets_zero(spec: str, causal: bool, explicit: bool) -> None:
    torch.manual_seed(0)
    attention, encoding = Attention(WIDTH, 4), make_encoding(spec, WIDTH, 4)
    x = tokens(3, 8).requires_grad_()
    valid = ragged(8, 8, 8)
    valid[1] = False  # nothing to see in this row
    valid[2, :2] = False  # if causal, nothing for its first two queries
    positions = Positions.along(x, valid, causal)
    y = attention(encoding.embed(x, positions), encoding, Scope.of(positions, encoding), explicit)
    dead = torch.cat([y[1], y[2, :2]]) if causal else y[1]
    assert torch.equal(dead, attention.outward.bias.expand_as(dead))
    y.square().sum().backward()
    for gradient in (x.grad, *(p.grad for p in attention.parameters()), *(p.grad for p in encoding.parameters())):
        assert gradient is not None
        assert gradient.isfinite().all()


@every_case
def test_bf16_autocast_stays_near_fp32(spec: str, causal: bool) -> None:
    model, x = encoder(spec), tokens(2, 40)
    positions = Positions.along(x, ragged(40, 25), causal)
    exact = model(x, positions)
    for explicit in (False, True):
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(x, positions, explicit)
        assert (rough - exact).square().mean().sqrt() < 0.03 * exact.square().mean().sqrt()
        model.zero_grad()
        rough.float().square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
@every_case
def test_states_have_the_type_of_the_weights(spec: str, causal: bool, dtype: torch.dtype) -> None:
    model, x = encoder(spec, dtype), tokens(2, 12).to(dtype)
    positions = Positions.along(x, ragged(12, 9), causal)
    for explicit in (False, True):
        assert model(x, positions, explicit).dtype == dtype


@every_case
def test_everything_follows_the_device(spec: str, causal: bool) -> None:
    model, x = encoder(spec).to("meta"), tokens(2, 600).to("meta")
    shared = Positions.along(x, torch.ones(2, 600, dtype=torch.bool, device="meta"), causal)
    own = dataclasses.replace(
        shared, coords=shared.coords.expand(2, -1), segment=torch.zeros(2, 600, dtype=torch.long, device="meta")
    )
    for positions in (shared, own):
        for explicit in (False, True):
            model(x, positions, explicit).sum().backward()


def kernels(run: nn.Module, x: Tensor, positions: Positions) -> set[str]:
    """Names of the attention operators that forward and backward ran."""
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        run(x, positions).sum().backward()
    return {event.key for event in trace.key_averages() if "scaled_dot_product" in event.key}


@pytest.mark.parametrize("spec", ["none", "sinusoidal", "learned", "gaussian", "alibi", "rope"])
def test_padding_and_constant_bias_run_in_the_fused_kernel(spec: str) -> None:
    x = tokens(2, 16)
    ran = kernels(encoder(spec), x, Positions.along(x, ragged(16, 9)))
    flash = "aten::_scaled_dot_product_flash_attention_for_cpu"
    assert {flash, flash + "_backward"} <= ran
    assert not any("math" in name for name in ran)


def test_a_mask_alone_reaches_the_kernel_as_bool(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Tensor] = []
    fused = nn.functional.scaled_dot_product_attention

    def spy(q: Tensor, k: Tensor, v: Tensor, attn_mask: Tensor) -> Tensor:
        given.append(attn_mask)
        return fused(q, k, v, attn_mask=attn_mask)

    monkeypatch.setattr(nn.functional, "scaled_dot_product_attention", spy)
    x = tokens(2, 16)
    for spec, dtype in (("rope", torch.bool), ("alibi", torch.float32)):
        encoder(spec)(x, Positions.along(x, ragged(16, 9)))
        assert given.pop().dtype == dtype


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("learned(beyond=wrap)", "clamp, error, interpolate"),
        ("learned(length=0)", "at least 1"),
        ("shaw(reach=0)", "at least 1"),
        ("t5(buckets=6)", "multiple of 4"),
        ("t5(furthest=16)", "more than half"),
        ("rope(layout=split)", "half, interleaved"),
        ("rope(scaling=yarn)", "linear, none, ntk, truncated"),
        ("rope(factor=2)", "use linear or ntk"),
        ("rope(fraction=0)", "at most 1"),
        ("rope(fraction=0.1)", "not one pair"),
        ("alibi(form=symmetric)", "unknown setting"),
        ("gaussian(sigma=0)", "above 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(spec: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make_encoding(spec, WIDTH, 4)


def test_xpos_is_refused_where_tokens_see_later_ones() -> None:
    x = tokens(1, 8)
    with pytest.raises(UsageError, match="causal"):
        encoder("rope(xpos=true)")(x, Positions.along(x))
