"""What the most similar training samples had: a file each, for a kind of inputs and of task (see models/nearest.py)."""
