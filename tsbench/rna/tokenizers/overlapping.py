"""Overlapping: a token is a k-mer, and one begins at every nucleotide where a whole one fits."""

from __future__ import annotations

from dataclasses import dataclass

from tsbench.rna.tokenizers._kmers import KmerConfig, Kmers


@dataclass(frozen=True)
class OverlappingConfig(KmerConfig):
    """Settings of overlapping k-mers."""

    k: int = 3


class Overlapping(Kmers):
    """Token t covers nucleotides t to t+k-1; a sequence shorter than k is one token."""

    Config = OverlappingConfig
    stride = 1
