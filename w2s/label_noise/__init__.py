"""Planted label noise: which scores find it, and what it is worth."""
