"""The names of the regions, in the order of their codes, and of sets of points by region."""

REGIONS = ("easy", "hard", "overlap")  # codes 0, 1, 2
SETS = ("all", "overlap")  # what a probe of source selection is trained on: all points, or these
