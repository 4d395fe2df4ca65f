"""The decoder: all steps at once and one by one are the same; nobody sees the future or the padding of a memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from tests.positions_cases import SPECS, WIDTH, ragged, tokens
from tsbench.errors import UsageError
from tsbench.parts.decoder import Cache, Decoder
from tsbench.parts.encoder import EncoderConfig
from tsbench.position import PositionEncoding, encoding_kind
from tsbench.positions.shaw import Shaw

STEPS = [spec for spec in SPECS if not encoding_kind(spec)[0].reads() and "interpolate" not in spec]
VALID = ragged(9, 9, 4)  # of three memories
every_decoder = pytest.mark.parametrize(("steps", "post_norm"), [(s, p) for s in STEPS for p in (False, True)])


def decoder(steps: str = "sinusoidal", post_norm: bool = True) -> Decoder:
    """Two layers with weights large enough for every part to count."""
    torch.manual_seed(0)
    made = Decoder(EncoderConfig(layers=2, width=WIDTH, heads=4, dropout=0.0, post_norm=post_norm), steps).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return made


def memory(seed: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    """Three memories of nine tokens, those of the last padded with large numbers."""
    made = tokens(3, 9, seed=seed, dtype=dtype)
    return torch.where(VALID[..., None], made, 100 * made)


def stepwise(model: Decoder, x: Tensor, cache: Cache) -> Tensor:
    """States `(row, step, width)` of steps made one by one."""
    return torch.stack([model.step(x[:, i], cache) for i in range(x.shape[1])], 1)


def close(a: Tensor, b: Tensor) -> None:
    """Equal but for rounding."""
    torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-5)


@every_decoder
@torch.no_grad()
def test_one_by_one_is_all_at_once(steps: str, post_norm: bool) -> None:
    model, x = decoder(steps, post_norm).double(), tokens(6, 11, dtype=torch.float64)  # two rows for each memory
    read = memory(dtype=torch.float64)
    whole = model(x, read.repeat_interleave(2, 0), VALID.repeat_interleave(2, 0))
    torch.testing.assert_close(stepwise(model, x, model.begin(read, VALID, 2)), whole, atol=1e-9, rtol=1e-9)
    one = stepwise(model, x[::2], model.begin(read, None, 1))
    torch.testing.assert_close(one, model(x[::2], read), atol=1e-9, rtol=1e-9)


@torch.no_grad()
def test_in_single_precision_too() -> None:
    torch.manual_seed(0)
    model, x = Decoder(EncoderConfig(layers=4, width=WIDTH, heads=4), "sinusoidal").eval(), tokens(3, 40)
    close(stepwise(model, x, model.begin(memory(), VALID, 1)), model(x, memory(), VALID))


@every_decoder
def test_the_future_changes_nothing(steps: str, post_norm: bool) -> None:
    model, x = decoder(steps, post_norm), tokens(3, 11)
    other = torch.cat([x[:, :6], tokens(3, 5, seed=3)], 1)
    before, after = (model(t, memory(), VALID) for t in (x, other))
    close(before[:, :6], after[:, :6])
    assert ((before[:, 6:] - after[:, 6:]).abs().amax(-1) > 0.01).all()


def test_padding_of_a_memory_changes_nothing() -> None:
    model, x = decoder(), tokens(3, 5)
    padded = model(x, memory(), VALID)
    close(padded[2:], model(x[2:], memory()[2:, :4]))
    assert (padded - model(x, memory(seed=4), VALID)).abs().max() > 0.1


@pytest.mark.parametrize("steps", ["sinusoidal", "alibi", "rope"])
@torch.no_grad()
def test_rows_go_on_as_kept(steps: str) -> None:
    """Some end, others change places or go on twice, as beams do; each reads its own memory still."""
    rows, read = torch.tensor([5, 1, 0, 5, 5]), memory(dtype=torch.float64)
    model, x = decoder(steps).double(), tokens(6, 11, dtype=torch.float64)
    cache = model.begin(read, VALID, 2)
    first = stepwise(model, x[:, :4], cache)
    kept = cache.keep(rows)
    assert kept.owner.tolist() == [2, 0, 0, 2, 2]
    path = torch.cat([x[rows, :4], tokens(5, 7, seed=5, dtype=torch.float64)], 1)
    whole = model(path, read[kept.owner], VALID[kept.owner])
    found = torch.cat([first[rows], stepwise(model, path[:, 4:], kept)], 1)
    torch.testing.assert_close(found, whole, atol=1e-9, rtol=1e-9)


@torch.no_grad()
def test_keys_of_a_memory_are_made_once_and_never_copied() -> None:
    model = decoder()
    made = []
    for layer in model.layers:
        layer.cross.memory.register_forward_hook(lambda *_: made.append(1))
    cache = model.begin(memory(), VALID, 50)
    stepwise(model, tokens(150, 4), cache)
    kept = cache.keep(torch.arange(0, 150, 7))
    assert len(made) == 2  # one for each layer
    for before, after in zip(cache.keys, kept.keys, strict=True):
        assert before[0].shape == (3, 4, 9, WIDTH // 4)
        assert [t.data_ptr() for t in before] == [t.data_ptr() for t in after]


def test_rows_are_grouped_by_memory() -> None:
    cache = Cache([(torch.zeros(3, 1, 1, 1),) * 2], None, torch.tensor([2, 0, 2, 2]))
    x = torch.arange(1.0, 5.0)[:, None]
    assert cache.grouped(x)[..., 0].tolist() == [[2, 0, 0], [0, 0, 0], [1, 3, 4]]
    assert torch.equal(cache.apart(cache.grouped(x)), x)


@pytest.mark.parametrize("steps", ["sinusoidal", "alibi", "rope"])
def test_runs_in_the_fused_kernel(steps: str) -> None:
    model = decoder(steps)
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        model(tokens(3, 5), memory(), VALID).sum().backward()
        with torch.no_grad():
            stepwise(model, tokens(3, 2), model.begin(memory(), VALID, 1))
    ran = {event.key: event.count for event in trace.key_averages() if "scaled_dot_product" in event.key}
    flash = "aten::_scaled_dot_product_flash_attention_for_cpu"
    assert ran[flash] == 12  # two layers, twice each; all at once, and two steps
    assert ran[flash + "_backward"] == 4
    assert not any("math" in name for name in ran)


@every_decoder
def test_every_parameter_learns_on_any_device(steps: str, post_norm: bool) -> None:
    model = decoder(steps, post_norm)
    model(tokens(3, 5), memory(), VALID).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() and p.grad.any() for p in model.parameters())
    model.to("meta")(tokens(3, 5).to("meta"), memory().to("meta"), VALID.to("meta")).sum().backward()


def test_encodings_that_need_all_queries_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shaw reads the weights; without that it still adds to the scores of each query."""
    with pytest.raises(UsageError, match="steps=shaw"):
        decoder("shaw")
    monkeypatch.setattr(Shaw, "read", PositionEncoding.read)
    with pytest.raises(UsageError, match="steps=shaw"):
        decoder("shaw")
