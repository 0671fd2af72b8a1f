"""Replicate offline: the same routes, predictions that move, a few small models that really compute."""
