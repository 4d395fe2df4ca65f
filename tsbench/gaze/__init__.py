"""Gaze: who looked at which object in what order, the models that predict it, and how their paths are scored."""
