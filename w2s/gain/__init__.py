"""What the gain of weak-to-strong can be told from beforehand, and whether it holds elsewhere."""
