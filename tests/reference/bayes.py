"""The best accuracy that a rule can have on the synthetic mixture."""

import math

import numpy as np
from scipy.stats import norm


def bayes_accuracy(population):
    """In each region, Phi(|theta of its coordinates| / sqrt(variance)): (3,) or (R, 3)."""
    norms = np.sqrt((population.theta**2) @ population.present.T)
    return norm.cdf(norms / math.sqrt(population.design.variance))
