"""Selection arms: which weak labels a student learns from, at a budget."""
