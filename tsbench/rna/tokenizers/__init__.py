"""Tokenizers: a file each, whose name is the tokenizer's (see tsbench.rna.tokenizer)."""
