"""Speed of the RNA family: a training step beside BEACON's official code, padding, bf16. One thread, CPU seconds.

    step     forward and backward of BEACON-B on 4 x 512 tokens, masked-language loss: the official module in fp32
             (eager attention, its weights dropped out at 0.1) against ours in fp32 and in bf16 autocast
    check    that the official weights in our module give the official states, with padding
    padding  real nucleotides a CPU second on the lengths of NcRNA train: random batches against batches of like length
             and packed rows, of a small and a larger model
    bf16     fp32 against bf16 autocast, a small model and BEACON-B

Every measurement has a process of its own: a warm-up, then what is timed. Variants take turns; "times faster" (in real
nucleotides a CPU second) and memory ratio are within a turn. Both modules of `step` see the same tokens and have logits
for each, the official 10 of a dense layer and the tied embedding, ours 4 of a linear layer: 0.6 % less arithmetic.

    git clone https://github.com/terry-r123/RNABenchmark CODE && git -C CODE checkout da7f9c7
    pip install --no-deps -t SITE transformers==4.38.1 tokenizers==0.15.2 huggingface-hub==0.21.1 safetensors==0.4.5
    python benchmarks/rna_speed.py step --official CODE --site SITE --pairs 5
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import torch
from torch.nn import functional as F

from tsbench.data import Batch
from tsbench.inputs import Nucleotides
from tsbench.models.beacon_b import BeaconB
from tsbench.models.rna_transformer import RnaTransformer
from tsbench.rna.masking import Masked
from tsbench.rna.readers import read_sequences
from tsbench.rna.sequences import Ragged, encode
from tsbench.rna.tokenizer import SPECIAL, Tokens, make_tokenizer
from tsbench.tasks.classification import Classification
from tsbench.tasks.nucleotide import MaskedNucleotides
from tsbench.train import training_batches

STEP = [510] * 4  # nucleotides of the texts of a step; with <cls> and <eos> 512 tokens
LONGEST = 1022  # BEACON cuts NcRNA there
THEIR_IDS = torch.tensor([1, 0, 2, 9, 4, 6, 7, 5, 8])  # of our <pad> <cls> <eos> <mask> A C G U N


class Cost(NamedTuple):
    """CPU seconds, thousand real nucleotides a CPU second, peak resident GB."""

    seconds: float
    rate: float
    memory: float


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("step", "check", "padding", "bf16"))
    parser.add_argument("--official", type=Path, help="checkout of RNABenchmark")
    parser.add_argument("--site", type=Path, help="folder of the libraries that it needs")
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TSBENCH_DATA", "data")))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--batches", type=int, default=20, help="of an epoch, in `padding`")
    parser.add_argument("--packed", type=int, default=LONGEST + 2, help="tokens of a packed row")
    args = parser.parse_args()
    if args.what in ("step", "check") and not (args.official and args.site):
        parser.error(f"{args.what} needs --official and --site")
    os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="passive", GOMP_SPINCOUNT="0")  # of processes to come
    if args.what == "check":
        states, pooled = fresh(partial(check, args.official, args.site))
        print(f"with the official weights states differ by up to {states:.1e}, pooled states by {pooled:.1e}")
    elif args.what == "step":
        official = {"official fp32": partial(official_step, args.official, args.site)}
        ours = {f"ours {precision}": partial(our_steps, BeaconB, precision, 1) for precision in ("fp32", "bf16")}
        compare("BEACON-B", official | ours, args.pairs)
    elif args.what == "bf16":
        for model, steps in ((RnaTransformer, 20), (BeaconB, 1)):
            both = {precision: partial(our_steps, model, precision, steps) for precision in ("fp32", "bf16")}
            compare(model.__name__, both, args.pairs)
    else:
        ways = {"random": {"buckets": False}, "buckets": {}, "packed": {"buckets": False, "packed": args.packed}}
        for sizes in ({}, {"layers": 4, "width": 256}):
            runs = {way: partial(epoch_part, args.data, sizes | ways[way], args.batches) for way in ways}
            compare(f"RnaTransformer {sizes or ''}", runs, args.pairs)


def compare(what: str, variants: Mapping[str, Callable[[int], Cost]], pairs: int) -> None:
    """Run all variants in turn, `pairs` times, and print each beside the first."""
    turns = [{name: fresh(partial(run, turn)) for name, run in variants.items()} for turn in range(pairs)]
    first = next(iter(variants))
    print(f"{what}, {pairs} turns, load {os.getloadavg()[0]:.1f}: median [range]")
    print(f"{'CPU s':>38} {'knt a CPU s':>22} {'GB':>22} {'times faster':>22} {'memory ratio':>22}")
    for name in variants:
        columns: list[Any] = [*zip(*(turn[name] for turn in turns), strict=True)]
        columns += [[getattr(turn[name], of) / getattr(turn[first], of) for turn in turns] for of in ("rate", "memory")]
        cells = (f"{statistics.median(c):.4g} [{min(c):.4g}, {max(c):.4g}]" for c in columns)
        print(f"  {name:13}", *(f"{cell:>22}" for cell in cells), flush=True)


def fresh(work: Callable[[], Any]) -> Any:
    """What `work` returns, called in a new process with one thread."""
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        return pool.submit(work).result()


def timed(work: Callable[[], object], nucleotides: int) -> Cost:
    """Time of `work`, and the peak memory of this process so far."""
    begun = time.process_time()
    work()
    seconds = time.process_time() - begun
    return Cost(seconds, nucleotides / seconds / 1000, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)


def texts(lengths: list[int]) -> tuple[Batch, Tokens]:
    """Random nucleotides, 15 % of them hidden, and their tokens."""
    torch.manual_seed(0)
    codes = [torch.randint(0, 4, (length,), dtype=torch.uint8).numpy() for length in lengths]
    batch: Any = Masked(Ragged.of(codes)).batch(torch.arange(len(lengths)))
    return batch, make_tokenizer("single")(batch.inputs[:, 0], batch.valid[:, 0])


def our_steps(kind: type[RnaTransformer], precision: str, steps: int, turn: int) -> Cost:
    """Training steps of one of our models."""
    batch, _ = texts(STEP)
    model = kind(MaskedNucleotides(Nucleotides(STEP[0])), kind.Config(precision=precision)).train()
    gradient(model, batch)
    return timed(lambda: [gradient(model, batch) for _ in range(steps)], steps * sum(STEP))


def gradient(model: RnaTransformer, batch: Batch) -> Any:
    """Forward and backward pass as in training."""
    with torch.autocast("cpu", torch.bfloat16, enabled=model.config.precision == "bf16"):
        loss = model.task.loss(model(batch), batch)
    return loss.backward()


def official_step(code: Path, site: Path, turn: int) -> Cost:
    """A training step of the official module, on the same tokens."""
    batch, tokens = texts(STEP)
    target = F.pad(batch.target, (1, 1), value=-1)  # <cls> and <eos>
    labels = THEIR_IDS[target + SPECIAL].masked_fill(target < 0, -100)
    model = official_model(code, site).train()

    def step() -> Any:
        return model(THEIR_IDS[tokens.ids], attention_mask=tokens.valid.long(), masked_lm_labels=labels)[0].backward()

    step()
    return timed(step, sum(STEP))


def official_model(code: Path, site: Path) -> Any:
    """RnaLmForMaskedLM of the configuration `rnalm-single-alibi`; it imports flash_attn but does not need it."""
    sys.modules["flash_attn"] = sys.modules["flash_attn.bert_padding"] = MagicMock()
    sys.path[:0] = [str(site), str(code)]
    with contextlib.redirect_stdout(sys.stderr):
        from model.rnalm.modeling_rnalm import RnaLmForMaskedLM  # type: ignore[import-not-found]
        from model.rnalm.rnalm_config import RnaLmConfig  # type: ignore[import-not-found]

        folder = code / "model" / "rnalm" / "config" / "rnalm-single-alibi"
        return RnaLmForMaskedLM(RnaLmConfig.from_pretrained(folder, attn_implementation="eager"))


@torch.no_grad()
def check(code: Path, site: Path) -> tuple[float, float]:
    """Largest differences of states (of real tokens) and of pooled states, with the official weights in our module."""
    _, tokens = texts([510, 300, 97, 1])
    theirs = official_model(code, site).eval()
    for parameter in theirs.parameters():  # biases and norms start as 0 and 1, which would hide a wrong place
        parameter += 0.02 * torch.randn_like(parameter)
    ours: Any = BeaconB(Classification(Nucleotides(510), 2), BeaconB.Config()).eval()
    copy_weights(theirs.bert, ours)
    expected, expected_pooled = theirs.bert(THEIR_IDS[tokens.ids], attention_mask=tokens.valid.long())[:2]
    states = ours.body(ours.embedding(tokens.ids), tokens.valid)
    pooled = ours.head.pooler(states[:, 0]).tanh()
    return (states - expected)[tokens.valid].abs().max().item(), (pooled - expected_pooled).abs().max().item()


def copy_weights(bert: Any, ours: Any) -> None:
    """The official weights into our module; the token-type embedding, a constant here, joins that of the tokens."""
    encoder, embeddings = ours.body.encoder, bert.embeddings
    words = embeddings.word_embeddings.weight + embeddings.token_type_embeddings.weight[0]
    ours.embedding.weight.copy_(words[THEIR_IDS])
    same = [(encoder.norm, embeddings.LayerNorm), (ours.head.pooler, bert.pooler.dense)]
    for mine, layer in zip(encoder.layers, bert.encoder.layer, strict=True):
        parts = [getattr(layer.attention.self, name) for name in ("query", "key", "value")]
        mine.attention.inward.weight.copy_(torch.cat([part.weight for part in parts]))
        mine.attention.inward.bias.copy_(torch.cat([part.bias for part in parts]))
        after, last = layer.attention.output, layer.output
        same += [(mine.attention.outward, after.dense), (mine.first_norm, after.LayerNorm)]
        same += [(mine.up, layer.intermediate.dense), (mine.down, last.dense), (mine.second_norm, last.LayerNorm)]
    for to, source in same:
        to.load_state_dict(source.state_dict())


def epoch_part(data: Path, settings: Mapping[str, Any], count: int, turn: int) -> Cost:
    """Training on `count` batches of an epoch, each as likely as any other: every n-th in order of length."""
    records = read_sequences(data / "rna" / "NoncodingRNAFamily" / "train.fasta")
    samples = Masked(Ragged.of([encode(record.sequence, "N")[:LONGEST] for record in records]))
    torch.manual_seed(turn)
    model = RnaTransformer(MaskedNucleotides(Nucleotides(LONGEST)), RnaTransformer.Config(**settings)).train()
    epoch = sorted(training_batches(samples.sizes, model.config), key=lambda batch: int(samples.sizes[batch].max()))
    first, every = float(torch.rand(())), len(epoch) / count
    chosen = [epoch[int((i + first) * every)] for i in range(count)]
    gradient(model, samples.batch(chosen[0]))
    real = sum(int(samples.codes.lengths[batch].sum()) for batch in chosen)
    return timed(lambda: [gradient(model, samples.batch(batch)) for batch in chosen], real)


if __name__ == "__main__":
    main()
