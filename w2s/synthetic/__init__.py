"""The synthetic study: mixtures of which the truth is known."""
