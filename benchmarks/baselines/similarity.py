"""Overlap scores from the whole similarity matrix."""

import torch


def max_cosine(points, references):
    """Largest absolute cosine of each point, through the full (n, k) matrix."""
    points = torch.nn.functional.normalize(torch.as_tensor(points), dim=1)
    references = torch.nn.functional.normalize(torch.as_tensor(references), dim=1)
    return (points @ references.T).abs().amax(dim=1).numpy()
