"""Data: from a source's rows to examples and halves."""
