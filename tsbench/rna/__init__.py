"""What RNA models and data sets share: sequences, files, tokenizers, heads."""
