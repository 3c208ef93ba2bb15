"""Source selection as a loop over named sources, in plain Python."""

import math

BONUS = {  # of a source pulled n times, where the path has T rounds
    "ucb": lambda n, horizon: math.sqrt(2 * math.log(horizon) / n),
    "original": lambda n, horizon: math.sqrt(2 * math.log(horizon)) / n,
}


def bandit(policy, orders, is_overlap, *, rounds, batch, numbers):
    """Pull the source with the largest mean plus bonus, each source once before any is compared.

    Args:
        policy: `ucb` or `original`.
        orders: Name of a source -> its points in the order in which it hands them out.
        is_overlap: Point -> whether it is an overlap point.
        rounds: Rounds T.
        batch: Points of a pull.
        numbers: Name of a source -> iterator over the numbers that break its ties, one a round.

    Returns:
        A tuple (name, points, reward, cumulative regret) for each round.
    """
    density = {
        name: sum(is_overlap[point] for point in points) / len(points) if points else 0.0
        for name, points in orders.items()
    }
    left = {name: list(points) for name, points in orders.items()}
    rewards = {name: [] for name in orders}
    path, regret = [], 0.0
    for _ in range(rounds):
        available = [name for name in orders if len(left[name]) >= batch]
        if not available:
            break
        number = {name: next(numbers[name]) for name in orders}
        candidates = [name for name in available if not rewards[name]]
        if not candidates:
            index = {}
            for name in available:
                n = len(rewards[name])
                index[name] = sum(rewards[name]) / n + BONUS[policy](n, rounds)
            most = max(index.values())
            candidates = [name for name in available if math.isclose(index[name], most)]
        pulled = max(candidates, key=lambda name: number[name])
        points, left[pulled] = left[pulled][:batch], left[pulled][batch:]
        reward = sum(is_overlap[point] for point in points) / batch
        rewards[pulled].append(reward)
        regret += max(density[name] for name in available) - density[pulled]
        path.append((pulled, points, reward, regret))
    return path
