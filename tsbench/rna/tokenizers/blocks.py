"""Blocks: a token is a k-mer, and the next one begins where it ends."""

from __future__ import annotations

from dataclasses import dataclass

from tsbench.rna.tokenizers._kmers import KmerConfig, Kmers


@dataclass(frozen=True)
class BlocksConfig(KmerConfig):
    """Settings of non-overlapping k-mers."""

    k: int = 6


class Blocks(Kmers):
    """Token t covers nucleotides kt to kt+k-1; what remains at the end is one shorter token."""

    Config = BlocksConfig

    @property
    def stride(self) -> int:
        """The k of the settings."""
        return self.config.k
