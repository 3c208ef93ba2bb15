"""Results: metrics, intervals, rows of tables and what figures are drawn with."""
