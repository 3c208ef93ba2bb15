"""The single change point by trying every split, in exact rational arithmetic."""

from fractions import Fraction


def exact(value):
    """A fraction as it is, a float as the decimal that it was written as: 0.4 is 2/5."""
    return value if isinstance(value, Fraction) else Fraction(repr(float(value)))


def squared_error(values):
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values)


def split_costs(values):
    """Threshold -> cost of every split that does not separate equal values, as fractions."""
    ordered = sorted(exact(value) for value in values)
    return {
        ordered[k]: squared_error(ordered[:k]) + squared_error(ordered[k:])
        for k in range(1, len(ordered))
        if ordered[k] != ordered[k - 1]
    }


def change_point(values):
    """The threshold of least cost, the smallest on a tie."""
    costs = split_costs(values)
    least = min(costs.values())
    return float(min(threshold for threshold, cost in costs.items() if cost == least))
