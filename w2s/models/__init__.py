"""Models: from texts to tokens and activations."""
