"""BPE: byte-pair encoding, the most frequent neighbours of the training sequences merged one pair after the other.

Sennrich et al., Neural machine translation of rare words with subword units, ACL 2016. Training and encoding are those
of the library `tokenizers`: merges in the order in which they were learned. A vocabulary without merges, applied by
longest match, is another tokenizer.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import numpy as np
import tokenizers
import torch
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from torch import Tensor

from tsbench.errors import UsageError
from tsbench.rna.sequences import LETTERS, MASKED, decode
from tsbench.rna.tokenizer import MASK, SPECIAL, Tokenizer, Tokens
from tsbench.rna.tokenizers._frame import framed

# One thread: several cells run at once, and the library warns when a process that used its threads is forked.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

# The library's first id, so that its ids and ours differ by MASK. It splits the text and is never merged.
HIDDEN = decode(np.array([MASKED]))
SMALLEST = SPECIAL + len(LETTERS)


@dataclass(frozen=True)
class BpeConfig:
    """Settings of byte-pair encoding."""

    vocabulary: int = 1024  # ids, special tokens and single letters included; fewer are used if pairs run out
    longest: int = 16  # most nucleotides of a token; pairs that would make a longer one are not merged


class Bpe(Tokenizer):
    """A token is what merges make of letters; each masked nucleotide is a token of its own, and merges stop there."""

    Config = BpeConfig
    config: BpeConfig

    def __init__(self, config: BpeConfig) -> None:
        super().__init__(config)
        if config.vocabulary < SMALLEST:
            raise UsageError(
                f"bpe: vocabulary={config.vocabulary} must be at least {SMALLEST}: special ids and letters"
            )
        if config.longest < 2:
            raise UsageError(f"bpe: longest={config.longest} must be at least 2; single has no longer tokens than 1")
        self._library: tokenizers.Tokenizer | None = None
        self._lengths = np.zeros(0, dtype=np.int32)  # nucleotides of each id of the library

    @property
    def vocabulary(self) -> int:
        """The size in the settings, learned or not."""
        return self.config.vocabulary

    @property
    def longest(self) -> int:
        """The limit in the settings, reached or not."""
        return self.config.longest

    def train(self, sequences: Iterable[str]) -> None:
        """Learn merges; a sequence is one word. The same sequences give the same merges.

        Raises:
            UsageError: a letter that is none of A, C, G, U, N.
        """
        trainer = BpeTrainer(
            vocab_size=self.vocabulary - MASK,
            special_tokens=[HIDDEN],
            initial_alphabet=list(LETTERS),
            max_token_length=self.longest + 1,  # the library merges to fewer than it is told
            show_progress=False,
        )
        library = tokenizers.Tokenizer(BPE())
        library.train_from_iterator(_checked(sequences), trainer)
        self._take(library)

    def __call__(self, codes: Tensor, valid: Tensor) -> Tokens:
        """Encoded by the library on the CPU.

        On the `meta` device, where there is nothing to read, a token is one nucleotide, trained or not.

        Raises:
            UsageError: not trained.
        """
        if codes.is_meta:
            return framed(codes, codes, codes, valid.sum(1, keepdim=True))
        library = self._trained()
        time = codes.shape[1]
        text = decode(codes.cpu().flatten())
        ends = valid.sum(1).tolist()
        rows = [text[row * time : row * time + end] for row, end in enumerate(ends)]
        encoded = [encoding.ids for encoding in library.encode_batch_fast(rows)]
        counts = np.array([len(ids) for ids in encoded], dtype=np.int32)[:, None]
        inside = np.arange(counts.max(initial=0)) < counts
        ids = np.zeros(inside.shape, dtype=np.int32)
        ids[inside] = np.fromiter(chain.from_iterable(encoded), dtype=np.int32, count=counts.sum())
        lengths = self._lengths[ids]
        start = lengths.cumsum(1, dtype=np.int32) - lengths
        parts = (torch.from_numpy(part).to(codes.device) for part in (ids + MASK, start, lengths, counts))
        return framed(*parts)

    def letters(self, token: int) -> str:
        """The letters that were merged; empty for an id that training did not reach."""
        return (self._trained().id_to_token(token - MASK) or "") if token >= SPECIAL else ""

    def state(self) -> Tensor:
        """The library's JSON; empty if not trained."""
        if self._library is None:
            return super().state()
        return torch.frombuffer(bytearray(self._library.to_str().encode()), dtype=torch.uint8)

    def load_state(self, state: Tensor) -> None:
        """Take over what `state` gave.

        Raises:
            UsageError: it was trained with larger limits than those of the settings.
        """
        if not len(state):
            return
        library = tokenizers.Tokenizer.from_str(state.cpu().numpy().tobytes().decode())
        needs = {"vocabulary": library.get_vocab_size() + MASK, "longest": max(map(len, library.get_vocab()))}
        for setting, need in needs.items():
            if need > getattr(self.config, setting):
                raise UsageError(f"bpe: the saved tokenizer needs {setting}={need}, the settings allow fewer")
        self._take(library)

    def _take(self, library: tokenizers.Tokenizer) -> None:
        tokens = library.get_vocab()
        self._lengths = np.zeros(len(tokens), dtype=np.int32)
        self._lengths[list(tokens.values())] = [len(token) for token in tokens]
        self._library = library

    def _trained(self) -> tokenizers.Tokenizer:
        if self._library is None:
            raise UsageError("bpe is not trained; call train(sequences) with the training sequences, or load_state")
        return self._library


def _checked(sequences: Iterable[str]) -> Iterator[str]:
    for number, sequence in enumerate(sequences, start=1):
        strange = set(sequence) - set(LETTERS)
        if strange:
            raise UsageError(f"bpe: training sequence {number} holds {min(strange)!r}, which is none of {LETTERS}")
        yield sequence
