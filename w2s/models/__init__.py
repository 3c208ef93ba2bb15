"""Language models: the only folder that imports transformers and torch.nn."""
