"""Throughput of the tokenizers: million nucleotides a CPU second, one thread, on the sequences of bpRNA's TR0.

From text: letters to codes, padded batches of 256 sequences, token ids. From codes: the last step alone. Batches are of
like length, as tsbench makes them, or in the file's order, where most of a batch is padding. Every run has a tokenizer
of its own, because the library behind BPE remembers short sequences.

    python benchmarks/tokenising.py --data ../shared/data
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from tsbench.rna.sequences import Ragged, decode, encode
from tsbench.rna.tokenizer import Tokenizer, make_tokenizer

SPECS = ("single", "overlapping(k=3)", "overlapping(k=6)", "blocks(k=3)", "blocks(k=6)", "bpe(vocabulary=1024)")
BATCH = 256


def main() -> None:
    """Measure every tokenizer on both orders and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TSBENCH_DATA", "data")))
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--tokenizer", nargs="*", default=SPECS, help="such as 'blocks(k=4)'")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["RAYON_NUM_THREADS"] = "1"  # threads of the library behind BPE, which starts them at first use
    path = args.data / "rna" / "Secondary_structure_prediction" / "bpRNA" / "TR0.dbn"
    texts = path.read_text().splitlines()[1::3]
    total = sum(map(len, texts))
    trained = {spec: trained_state(spec, texts) for spec in args.tokenizer}
    print(f"{len(texts)} sequences, {total / 1e6:.2f} Mnt; Mnt a CPU second, median [range] of {args.runs}")
    for order, rows in (("like length", sorted(texts, key=len)), ("file's order", texts)):
        blocks = [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)]
        batches = [padded(block) for block in blocks]
        places = sum(codes.numel() for codes, _ in batches) / total
        print(f"\n{order}: {places:.2f} places a nucleotide")
        print(f"{'tokenizer':22} {'from text':>22} {'from codes':>22}")
        for spec, state in trained.items():
            measured = []
            for work in (
                lambda tokenizer, blocks=blocks: (tokenizer(*padded(block)) for block in blocks),
                lambda tokenizer, batches=batches: (tokenizer(*batch) for batch in batches),
            ):
                speeds = sorted(total / 1e6 / seconds(spec, state, work) for _ in range(args.runs))
                measured.append(f"{statistics.median(speeds):.1f} [{speeds[0]:.1f}, {speeds[-1]:.1f}]")
            print(f"{spec:22} {measured[0]:>22} {measured[1]:>22}", flush=True)


def trained_state(spec: str, texts: list[str]) -> Tensor:
    """What a tokenizer learns from the texts."""
    tokenizer = make_tokenizer(spec)
    tokenizer.train(decode(encode(text, unknown="N")) for text in texts)
    return tokenizer.state()


def padded(texts: list[str]) -> tuple[Tensor, Tensor]:
    """Codes of a batch, encoded at one go as tsbench.rna.samples does, and where they are real."""
    values = torch.from_numpy(encode("".join(texts), unknown="N"))
    ends = torch.tensor([len(text) for text in texts]).cumsum(0)
    codes, valid = Ragged(values, ends).padded(torch.arange(len(texts)))
    return codes.long(), valid


def seconds(spec: str, state: Tensor, work: Callable[[Tokenizer], Iterable[object]]) -> float:
    """CPU seconds of some work with a new tokenizer."""
    tokenizer = make_tokenizer(spec)
    tokenizer.load_state(state)
    begun = time.process_time()
    for _ in work(tokenizer):
        pass
    return time.process_time() - begun


if __name__ == "__main__":
    main()
