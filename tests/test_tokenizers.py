"""Tokenizers: what all must keep, whichever files there are; then what each one promises."""

from __future__ import annotations

import json
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tokenizers
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from torch import Tensor

from tsbench import plugins
from tsbench.errors import UsageError
from tsbench.rna.sequences import LETTERS, MASKED, Ragged, decode, encode
from tsbench.rna.tokenizer import CLS, EOS, MASK, PACKAGE, PAD, SPECIAL, Tokenizer, Tokens, make_tokenizer

OTHER_SETTINGS = ("overlapping(k=1)", "overlapping(k=6)", "blocks(k=1)", "blocks(k=3)", "bpe(vocabulary=30)")
SPECS = (*plugins.names(PACKAGE), *OTHER_SETTINGS)
every_tokenizer = pytest.mark.parametrize("spec", SPECS)

few = settings(max_examples=30, deadline=None)  # for each of the tokenizers

texts = st.lists(st.text(LETTERS, min_size=1, max_size=50), min_size=1, max_size=5)
places = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 49)), max_size=12)


@cache
def trained(spec: str) -> Tokenizer:
    """A tokenizer that learned from random sequences."""
    draw = np.random.default_rng(0)
    tokenizer = make_tokenizer(spec)
    tokenizer.train(decode(draw.choice(5, size=60, p=[0.3, 0.2, 0.2, 0.2, 0.1])) for _ in range(100))
    return tokenizer


def batch(texts: list[str], padding: int = 0) -> tuple[Tensor, Tensor]:
    """Codes and validity, with some columns of padding that the longest does not need."""
    codes, valid = Ragged.of([encode(text) for text in texts]).padded(torch.arange(len(texts)))
    return (torch.nn.functional.pad(part, (0, padding)) for part in (codes.long(), valid))  # type: ignore[return-value]


def rows(tokens: Tokens) -> list[list[tuple[int, int, int]]]:
    """Id, start and length of the tokens of each row that are not padding, `<cls>` and `<eos>` included."""
    parts = (tokens.ids, tokens.start, tokens.length, tokens.valid)
    return [
        [(i, s, n) for i, s, n, real in zip(*row, strict=True) if real]
        for row in zip(*(part.tolist() for part in parts), strict=True)
    ]


def spelt(tokenizer: Tokenizer, tokens: Tokens) -> list[list[str]]:
    """The letters of the tokens of each row; a masked one is `?`."""
    return [["?" if i == MASK else tokenizer.letters(i) for i, _, _ in row[1:-1]] for row in rows(tokens)]


@every_tokenizer
@few
@given(texts=texts)
def test_letters_give_the_sequence_back(spec: str, texts: list[str]) -> None:
    tokenizer = trained(spec)
    for text, row in zip(texts, rows(tokenizer(*batch(texts))), strict=True):
        seen: list[set[str]] = [set() for _ in text]
        for token, start, length in row[1:-1]:
            letters = tokenizer.letters(token)
            assert len(letters) == length <= tokenizer.longest
            assert SPECIAL <= token < tokenizer.vocabulary
            for offset, letter in enumerate(letters):
                seen[start + offset].add(letter)  # an IndexError would be a token that covers padding
        assert seen == [{letter} for letter in text]


@every_tokenizer
@few
@given(texts=texts, hidden=places)
def test_a_token_that_covers_a_masked_nucleotide_is_mask_and_no_other(
    spec: str, texts: list[str], hidden: list[tuple[int, int]]
) -> None:
    tokenizer = trained(spec)
    codes, valid = batch(texts)
    for sample, place in hidden:
        if sample < len(texts) and place < len(texts[sample]):
            codes[sample, place] = MASKED
    tokens = tokenizer(codes, valid)
    for text, shown, row in zip(texts, codes, rows(tokens), strict=True):
        covered = set()
        for token, start, length in row[1:-1]:
            cover = range(start, start + length)
            covered |= set(cover)
            assert (token == MASK) == any(shown[place] == MASKED for place in cover)
            assert token == MASK or tokenizer.letters(token) == "".join(text[place] for place in cover)
        assert covered == set(range(len(text)))
    other = codes.clone()
    other[~valid] = MASKED  # what padding holds is nobody's business
    assert rows(tokenizer(other, valid)) == rows(tokens)


@every_tokenizer
@few
@given(texts=texts, padding=st.integers(0, 9))
def test_rows_are_cls_tokens_eos_padding_and_padding_changes_no_token(
    spec: str, texts: list[str], padding: int
) -> None:
    tokenizer = trained(spec)
    tokens = tokenizer(*batch(texts, padding))
    assert rows(tokens) == [rows(tokenizer(*batch([text])))[0] for text in texts]
    for ids, length, start, valid in zip(tokens.ids, tokens.length, tokens.start, tokens.valid, strict=True):
        real = int(valid.sum())
        assert valid[:real].all()
        assert (ids[0], ids[real - 1]) == (CLS, EOS)
        assert (ids[real:] == PAD).all()
        assert not {CLS, EOS, PAD} & set(ids[1 : real - 1].tolist())
        outside = torch.ones_like(valid)
        outside[1 : real - 1] = False
        assert (length > 0).equal(~outside)
        assert not start[outside].any()


@every_tokenizer
def test_types_ids_without_letters_and_state(spec: str) -> None:
    tokenizer, again = trained(spec), make_tokenizer(spec)
    codes, valid = batch(["ACGUNACGUACGGGAUUACA", "AC"])
    tokens = tokenizer(codes, valid)
    kinds = [part.dtype for part in (tokens.ids, tokens.start, tokens.length, tokens.valid)]
    assert kinds == [torch.int64, torch.int64, torch.int64, torch.bool]
    assert [tokenizer.letters(special) for special in range(SPECIAL)] == [""] * SPECIAL
    again.load_state(tokenizer.state())
    assert tokenizer.state().dtype == torch.uint8
    assert torch.equal(again.state(), tokenizer.state())
    assert rows(again(codes, valid)) == rows(tokens)
    assert (again.vocabulary, again.longest) == (tokenizer.vocabulary, tokenizer.longest)
    shape = make_tokenizer(spec)(codes.to("meta"), valid.to("meta"))
    assert [part.dtype for part in (shape.ids, shape.start, shape.length, shape.valid)] == kinds
    assert shape.ids.is_meta
    assert shape.ids.shape == shape.start.shape == shape.length.shape == shape.valid.shape
    assert shape.ids.shape[1] >= tokens.ids.shape[1]


@every_tokenizer
def test_no_sequence_is_cls_eos(spec: str) -> None:
    codes = torch.zeros(2, 3, dtype=torch.long)
    valid = torch.tensor([[False] * 3, [True] * 3])
    assert rows(trained(spec)(codes, valid))[0] == [(CLS, 0, 0), (EOS, 0, 0)]
    assert rows(trained(spec)(codes[:, :0], valid[:, :0])) == [[(CLS, 0, 0), (EOS, 0, 0)]] * 2


@given(texts=texts, k=st.integers(1, 12))
def test_kmers_are_slices(texts: list[str], k: int) -> None:
    overlapping, blocks = make_tokenizer(f"overlapping(k={k})"), make_tokenizer(f"blocks(k={k})")
    assert spelt(overlapping, overlapping(*batch(texts))) == [
        [text[t : t + k] for t in range(max(1, len(text) - k + 1))] for text in texts
    ]
    assert spelt(blocks, blocks(*batch(texts))) == [[text[t : t + k] for t in range(0, len(text), k)] for text in texts]


@pytest.mark.parametrize("name", ["overlapping", "blocks"])
def test_every_kmer_id_has_letters_of_its_own(name: str) -> None:
    tokenizer = make_tokenizer(f"{name}(k=4)")
    letters = {tokenizer.letters(token) for token in range(SPECIAL, tokenizer.vocabulary)}
    assert len(letters) == tokenizer.vocabulary - SPECIAL == 5 + 25 + 125 + 625
    assert all(1 <= len(kmer) <= 4 for kmer in letters)
    for k in (0, 13):
        with pytest.raises(UsageError, match=f"k={k} must be from 1 to 12"):
            make_tokenizer(f"{name}(k={k})")


def test_bpe_says_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"not trained; call train\(sequences\)"):
        make_tokenizer("bpe")(*batch(["ACGU"]))
    with pytest.raises(UsageError, match="vocabulary=8 must be at least 9"):
        make_tokenizer("bpe(vocabulary=8)")
    with pytest.raises(UsageError, match="training sequence 2 holds 'T', which is none of ACGUN"):
        make_tokenizer("bpe").train(["ACGU", "ACGT"])
    with pytest.raises(UsageError, match="longest=1 must be at least 2"):
        make_tokenizer("bpe(longest=1)")
    for smaller, need in (("vocabulary=20", "vocabulary=30"), ("longest=2", "longest=")):
        with pytest.raises(UsageError, match=f"saved tokenizer needs {need}"):
            make_tokenizer(f"bpe({smaller})").load_state(trained("bpe(vocabulary=30)").state())


def test_bpe_merges_stop_at_masked_nucleotides() -> None:
    """AC, ACAC and ACACACAC are all that these sequences can teach."""
    tokenizer = make_tokenizer("bpe(vocabulary=14)")
    tokenizer.train(["ACACACAC"] * 3)
    codes, valid = batch(["ACACACAC", "ACACACAC"])
    codes[1, 3:5] = MASKED
    assert spelt(tokenizer, tokenizer(codes, valid)) == [["ACACACAC"], ["AC", "A", "?", "?", "C", "AC"]]
    assert [tokenizer.letters(token) for token in range(9, 14)] == ["AC", "ACAC", "ACACACAC", "", ""]
    assert (tokenizer.longest, tokenizer.vocabulary) == (16, 14)
    shorter = make_tokenizer("bpe(longest=4)")
    shorter.train(["ACACACAC"] * 3)
    assert spelt(shorter, shorter(codes, valid))[0] == ["ACAC", "ACAC"]


@pytest.fixture(scope="module")
def bprna(real_data: Path) -> tuple[list[str], list[str]]:
    """Every fourth sequence of TR0, and all of TS0."""
    folder = real_data / "rna" / "Secondary_structure_prediction" / "bpRNA"
    if not folder.is_dir():
        pytest.skip(f"no real data: {folder} is missing; set TSBENCH_DATA")
    train, test = ((folder / f"{name}.dbn").read_text().splitlines()[1::3] for name in ("TR0", "TS0"))
    return tuple([decode(encode(text, unknown="N")) for text in part] for part in (train[::4], test))  # type: ignore[return-value]


def test_bpe_on_real_sequences_equals_the_library_and_is_deterministic(bprna: tuple[list[str], list[str]]) -> None:
    train, test = bprna
    ours, again = make_tokenizer("bpe(vocabulary=1024)"), make_tokenizer("bpe(vocabulary=1024)")
    ours.train(train)
    again.train(iter(train))
    assert torch.equal(ours.state(), again.state())
    library = tokenizers.Tokenizer(BPE())
    size, longest = 1024 - SPECIAL, ours.longest + 1  # the library stays below its limit
    trainer = BpeTrainer(vocab_size=size, max_token_length=longest, initial_alphabet=list(LETTERS), show_progress=False)
    library.train_from_iterator(train, trainer)
    assert spelt(ours, ours(*batch(test))) == [encoding.tokens for encoding in library.encode_batch(test)]


def test_defect_4_a_vocabulary_without_merges_applied_by_longest_match(bprna: tuple[list[str], list[str]]) -> None:
    """BEACON's "BPE" (terry-r123/RNABenchmark@da7f9c7) is a list of tokens, of which the longest that fits is taken.

    That is another tokenizer: it agrees with the merges on hardly any sequence of TS0.
    """
    train, test = bprna[0], bprna[1][:200]
    ours = make_tokenizer("bpe(vocabulary=1024)")
    ours.train(train)
    model = json.loads(bytes(ours.state().tolist()))["model"]
    ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
    by_merges = [merged(text, ranks) for text in test]
    by_longest_match = [longest_match(text, set(model["vocab"])) for text in test]
    assert all("".join(tokens) == text for tokens, text in zip(by_longest_match, test, strict=True))
    assert spelt(ours, ours(*batch(test))) == by_merges
    differ = sum(a != b for a, b in zip(by_longest_match, by_merges, strict=True))
    assert differ > 0.9 * len(test)


def merged(text: str, ranks: dict[tuple[str, ...], int]) -> list[str]:
    """Byte-pair encoding by its definition: the pair learned first is merged first, from left to right."""
    tokens = list(text)
    while True:
        pairs = {pair for pair in pairwise(tokens) if pair in ranks}
        if not pairs:
            return tokens
        first = min(pairs, key=ranks.__getitem__)
        done: list[str] = []
        while tokens:
            take = 2 if tuple(tokens[:2]) == first else 1
            done.append("".join(tokens[:take]))
            tokens = tokens[take:]
        tokens = done


def longest_match(text: str, vocabulary: set[str]) -> list[str]:
    """The defective form: from the left, the longest token that fits."""
    longest, tokens = max(map(len, vocabulary)), []
    while text:
        token = next(text[:n] for n in range(longest, 0, -1) if text[:n] in vocabulary)
        tokens.append(token)
        text = text[len(token) :]
    return tokens
