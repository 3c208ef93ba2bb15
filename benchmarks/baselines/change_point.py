"""Binary segmentation by ruptures, as the original code calls it, and with every split allowed."""

import numpy as np
import ruptures


def binseg(values, *, jump):
    """Position of the change point of the sorted values."""
    signal = np.sort(values)
    found = ruptures.Binseg(model="l2", jump=jump, min_size=2).fit(signal).predict(n_bkps=1)
    return found[0]
