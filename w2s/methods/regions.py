"""The names of the regions, in the order of their codes."""

REGIONS = ("easy", "hard", "overlap")  # codes 0, 1, 2
