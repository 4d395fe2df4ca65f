"""Position encodings: a file each, whose name is the encoding's (see tsbench.position)."""
