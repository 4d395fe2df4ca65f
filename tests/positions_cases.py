"""What tests of position encodings share: every encoding of the registry, with settings, in a real encoder."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from tsbench.parts.encoder import Encoder, EncoderConfig
from tsbench.plugins import find, names
from tsbench.position import PACKAGE, PositionEncoding, Positions, make_encoding

#: More settings to test than the default ones, by encoding.
MORE = {
    "gaussian": ["gaussian(sigma=0.7)"],
    "learned": ["learned(length=8,beyond=clamp)", "learned(length=8,beyond=interpolate)"],
    "shaw": ["shaw(reach=2)"],
    "t5": ["t5(buckets=8,furthest=16)"],
    "rope": [
        "rope(layout=interleaved)",
        "rope(fraction=0.5)",
        "rope(scaling=linear,factor=4)",
        "rope(scaling=ntk,factor=4)",
        "rope(scaling=truncated,length=8)",
        "rope(xpos=true)",
    ],
}
#: Those that need no more than tokens and their places.
NAMES = [name for name in names(PACKAGE) if not find(PACKAGE, name, PositionEncoding).contextual]
SPECS = [spec for name in NAMES for spec in (name, *MORE.get(name, ()))]
#: Every encoding with and without causal attention, where it may go without.
CASES = [
    (spec, causal)
    for spec in SPECS
    for causal in (False, True)
    if causal or not make_encoding(spec, width=32, heads=4).causal_only
]
WIDTH = 32


def encoder(spec: str, dtype: torch.dtype = torch.float32) -> Encoder:
    """A small encoder with weights large enough for every part of it to count."""
    torch.manual_seed(0)
    made = Encoder(EncoderConfig(positions=spec, layers=2, width=WIDTH, heads=4, dropout=0.0)).to(dtype)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return made


def tokens(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> Tensor:
    """Random tokens `(*shape, width)`."""
    return torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def ragged(*lengths: int) -> Tensor:
    """`valid` of sequences of some lengths."""
    return torch.arange(max(lengths))[None] < torch.tensor(lengths)[:, None]


def shifted(positions: Positions, by: float) -> Positions:
    """The same with all coordinates moved."""
    return dataclasses.replace(positions, coords=positions.coords + by)
