"""Frames: a file each, for a kind of inputs and of task (see tsbench.frame)."""
