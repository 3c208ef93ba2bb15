"""Mutated inputs of every kind, for `tests/fuzz.py`."""
