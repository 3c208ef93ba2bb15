"""Names that several parts share: regions, in the order of their codes; sets; rows of tables."""

REGIONS = ("easy", "hard", "overlap")  # codes 0, 1, 2
SETS = ("all", "overlap")  # what a probe of source selection is trained on: all points, or these
MODELS = ("floor", "w2s", "ceiling")
REFERENCES = {"reference": "floor", "reference_w2s": "w2s"}  # and whose accuracy each one has
PLACEBO = "_placebo"  # ends the name of a matched curve over random points that are not hard
