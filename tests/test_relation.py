"""Relation-aware attention: the formula of MMGRec, and that histories are sets."""

from __future__ import annotations

import dataclasses
import math

import pytest
import torch

from tests.positions_cases import WIDTH, encoder, ragged, tokens
from tsbench.errors import UsageError
from tsbench.parts.attention import Attention, Scope
from tsbench.parts.decoder import Decoder
from tsbench.parts.encoder import Encoder, EncoderConfig
from tsbench.position import Positions, make_encoding
from tsbench.positions.relation import Relation

F64 = torch.float64


def owned(*lengths: int) -> Positions:
    """Rows of some lengths, each with an owner."""
    x = tokens(len(lengths), max(lengths), dtype=F64)
    return dataclasses.replace(Positions.along(x, ragged(*lengths)), context=tokens(len(lengths), seed=5, dtype=F64))


@pytest.mark.parametrize("head_width", [0, 16])
@pytest.mark.parametrize("explicit", [False, True])
def test_one_attention_call_equals_the_two_terms_of_the_paper(explicit: bool, head_width: int) -> None:
    torch.manual_seed(0)
    heads, d = 4, head_width or WIDTH // 4
    attention = Attention(WIDTH, heads, head_width).to(F64)
    relation = make_encoding("relation", WIDTH, heads, head_width).to(F64)
    positions, x = owned(6, 4, 1), tokens(3, 6, dtype=F64)
    got = attention(x, relation, Scope.of(positions, relation), explicit)
    q, k, v = (part.unflatten(-1, (heads, d)) for part in attention.inward(x).chunk(3, -1))
    assert isinstance(relation, Relation)
    s_q, s_k, s_v = (scalar(positions.context) for scalar in relation.scalars)
    u_q, u_k, u_v = (linear(x) for linear in relation.tokens)
    wanted = torch.zeros(3, 6, heads, d, dtype=F64)
    for b, length in enumerate((6, 4, 1)):
        for h in range(heads):
            for i in range(6):
                first = (q[b, i, h] * k[b, :length, h]).sum(-1)
                second = (s_q[b] * u_q[b, i] * (s_k[b] * u_k[b, :length])).sum(-1)
                weights = ((first + second) / math.sqrt(d)).softmax(0)
                wanted[b, i, h] = (weights[:, None] * (v[b, :length, h] + s_v[b] * u_v[b, :length])).sum(0)
    torch.testing.assert_close(got, attention.outward(wanted.flatten(2)))


def test_a_history_is_a_set() -> None:
    model, x, order = encoder("relation", F64), tokens(2, 7, dtype=F64), torch.tensor([3, 1, 6, 0, 5, 2, 4])
    positions = owned(7, 7)
    torch.testing.assert_close(model(x[:, order], positions), model(x, positions)[:, order], rtol=0, atol=1e-12)


def test_without_the_second_term_it_is_plain_attention() -> None:
    model, plain = encoder("relation", F64), encoder("none", F64)
    plain.load_state_dict({n: v for n, v in model.state_dict().items() if "encoding" not in n and "others" not in n})
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "scalars" in name:
                parameter.zero_()
    x = tokens(2, 5, dtype=F64)
    torch.testing.assert_close(model(x, owned(5, 3)), plain(x, owned(5, 3)))


def test_each_layer_has_its_own_and_all_learn() -> None:
    model = encoder("relation", F64)
    model(tokens(2, 5, dtype=F64), owned(5, 3)).square().sum().backward()
    learned = [
        name for name, p in model.named_parameters() if "scalars" in name and p.grad is not None and p.grad.any()
    ]
    assert len(learned) == 2 * 3 * 2  # layers, scalars, weights of each


def test_it_needs_an_owner_and_all_queries_at_once() -> None:
    x = tokens(1, 3)
    with pytest.raises(UsageError, match="needs a context"):
        encoder("relation")(x, Positions.along(x))
    with pytest.raises(UsageError, match="a decoder takes"):
        Decoder(EncoderConfig(width=WIDTH, heads=4), "relation")


@pytest.mark.parametrize("spec", ["rope", "shaw", "alibi", "none"])
def test_heads_may_be_wider_than_their_share(spec: str) -> None:
    model = Encoder(EncoderConfig(positions=spec, layers=1, width=WIDTH, heads=4, head_width=16)).eval()
    x = tokens(2, 5)
    assert model.state_dict()["layers.0.attention.inward.weight"].shape == (3 * 64, WIDTH)
    positions = Positions.along(x, ragged(5, 3))
    torch.testing.assert_close(model(x, positions), model(x, positions, explicit=True), atol=1e-5, rtol=1e-5)
