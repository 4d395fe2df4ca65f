"""BEACON-B: BERT-base on single nucleotides with symmetric ALiBi (Ren et al., NeurIPS 2024)."""

from __future__ import annotations

from dataclasses import dataclass

from tsbench.models.rna_transformer import RnaTransformer, RnaTransformerConfig

_PAIRS = {
    "batch_size": 1,
    "accumulate": 8,
    "epochs": 100,
    "patience": 60,
    "optimizer": "adam",
    "weight_decay": 0.0,
    "schedule": "cosine",
    "warmup": 1.0,
}


@dataclass(frozen=True)
class BeaconBConfig(RnaTransformerConfig):
    """Sizes of the published model and settings of its scripts.

    The scripts warm up for 50 steps and look at validation every 200 steps; here both are counted in epochs.
    """

    layers: int = 12
    width: int = 768
    heads: int = 12
    post_norm: bool = True
    pool: str = "cls"
    pair_rank: int = 0
    pair_channels: int = 48
    pair_blocks: int = 16
    lr: float = 3e-5
    patience: int = 20
    warmup: float = 0.5
    clip: float = 1.0


class BeaconB(RnaTransformer):
    """The published model from scratch: its pre-trained weights cannot be had offline.

    Against the official module it lacks the token-type embedding, a constant here (2 x 768 parameters), the token <unk>
    (768; a letter is never unknown) and attention dropout, which no fused kernel has.
    """

    Config = BeaconBConfig
    train_values = 2**15
    tiny = {"epochs": 1, "layers": 1, "width": 24, "pair_blocks": 1}
    recipes = {
        "rna/ssp@*": {**_PAIRS, "lr": 3e-5},
        "rna/cmp@*": {**_PAIRS, "lr": 3e-5},
        "rna/dmp@*": {**_PAIRS, "lr": 5e-5},
        "rna/apa@*": {"lr": 5e-5},
        "rna/ncrna@*": {"lr": 5e-5, "batch_size": 16, "accumulate": 2},
        "rna/vdp@*": {"lr": 5e-5, "epochs": 100},
        "rna/mrl@*": {"lr": 1e-5},
        "rna/prs@*": {"lr": 1e-5},
        "rna/cri-on@*": {"lr": 1e-5},
        "rna/cri-off@*": {"patience": 10},
    }
