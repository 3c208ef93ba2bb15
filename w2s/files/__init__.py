"""Artifacts: what they hold, on disk and in memory, and work that goes on after a kill."""
