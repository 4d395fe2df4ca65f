"""All that is of labelled series only: files, samples, splits, motifs, distances."""
