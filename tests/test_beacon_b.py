"""BEACON-B: our encoder against BERT's post-norm layers written out anew, and the official module's parameter counts.

`benchmarks/rna_speed.py check` puts the official module's weights into ours: its states differ by 5e-6.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from tsbench.inputs import Nucleotides
from tsbench.models.beacon_b import BeaconB, BeaconBConfig
from tsbench.parts.encoder import Encoder, Layer
from tsbench.position import Positions
from tsbench.tasks.classification import Classification
from tsbench.tasks.pairs import Structure

HEADS, WIDTH = 12, 48
# Of 12 heads: those of 8 heads, then every second of 16 (Press et al. 2022); as in RNABenchmark@da7f9c7.
SLOPES = [2.0**-power for power in (1, 2, 3, 4, 5, 6, 7, 8, 0.5, 1.5, 2.5, 3.5)]
OFFICIAL = 85_655_808  # embeddings, encoder and pooler of RNABenchmark@da7f9c7
OFFICIAL_PAIR_HEAD = 1_588_417


def reference(encoder: Encoder, x: Tensor) -> Tensor:
    """BERT's encoder with symmetric ALiBi on one sequence without padding, `(time, width)`, in equations."""
    x = normalised(encoder.norm, x)
    for layer in encoder.layers:
        assert isinstance(layer, Layer)
        weight, bias = (part.chunk(3) for part in (layer.attention.inward.weight, layer.attention.inward.bias))
        q, k, v = ((x @ w.T + b).reshape(len(x), HEADS, -1) for w, b in zip(weight, bias, strict=True))
        scores = torch.einsum("ihc,jhc->hij", q, k) / math.sqrt(WIDTH / HEADS)
        for head, slope in enumerate(SLOPES):
            for i in range(len(x)):
                away = torch.tensor([abs(i - j) for j in range(len(x))])
                scores[head, i] = scores[head, i] - slope * away
        weights = scores.exp() / scores.exp().sum(-1, keepdim=True)
        seen = torch.einsum("hij,jhc->ihc", weights, v).reshape(len(x), WIDTH)
        x = normalised(layer.first_norm, x + linear(layer.attention.outward, seen))
        inner = linear(layer.up, x)
        inner = inner / 2 * (1 + torch.erf(inner / math.sqrt(2)))
        x = normalised(layer.second_norm, x + linear(layer.down, inner))
    return x


def normalised(norm: nn.LayerNorm, x: Tensor) -> Tensor:
    """LayerNorm."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-12).sqrt() * norm.weight + norm.bias


def linear(layer: nn.Linear, x: Tensor) -> Tensor:
    """A linear layer."""
    return x @ layer.weight.T + layer.bias


def test_encoder_is_berts_with_symmetric_alibi() -> None:
    """States and gradients of padded sequences are those of each alone, by the equations."""
    torch.manual_seed(0)
    encoder = Encoder(BeaconBConfig(layers=2, width=WIDTH, heads=HEADS)).double().eval()
    for parameter in encoder.parameters():  # away from BERT's small initial values, or all attention would be even
        nn.init.normal_(parameter, std=0.4)
    x = torch.randn(3, 19, WIDTH, dtype=torch.float64, requires_grad=True)
    lengths = [19, 11, 1]
    valid = torch.arange(19) < torch.tensor(lengths)[:, None]
    direction = torch.randn(3, 19, WIDTH, dtype=torch.float64)

    states = encoder(x, Positions.along(x, valid))
    expected = [reference(encoder, x[i, :length]) for i, length in enumerate(lengths)]
    torch.testing.assert_close(states[valid], torch.cat(expected), atol=1e-6, rtol=0)

    (gradient,) = torch.autograd.grad((states * direction)[valid].sum(), x)
    (wanted,) = torch.autograd.grad((torch.cat(expected) * direction[valid]).sum(), x)
    torch.testing.assert_close(gradient, wanted, atol=1e-4, rtol=1e-4)
    assert (gradient[~valid] == 0).all()


def test_it_has_the_official_number_of_parameters() -> None:
    with torch.device("meta"):
        model = BeaconB(Classification(Nucleotides(30), 13), BeaconBConfig())
    # Ours lacks the two token types, of which the official module uses one, and `<unk>`.
    assert model.parameter_count() - count(model.head.out) == OFFICIAL - 2 * 768 - 768


def test_its_pair_head_has_the_official_number_of_parameters() -> None:
    with torch.device("meta"):
        model = BeaconB(Structure(Nucleotides(30)), BeaconBConfig())
    assert count(model.head) == OFFICIAL_PAIR_HEAD


def count(module: object) -> int:
    """Parameters of a module."""
    assert isinstance(module, nn.Module)
    return sum(parameter.numel() for parameter in module.parameters())
