"""Plain re-implementations of what the project replaces, to be measured against."""
