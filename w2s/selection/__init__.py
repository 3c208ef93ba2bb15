"""Selection of data sources by policies of bandits."""
