"""Null worlds of `null_worlds.py`: what they read, how they are judged, a module a study."""
