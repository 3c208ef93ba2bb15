"""Probes: many logistic regressions on one matrix."""
