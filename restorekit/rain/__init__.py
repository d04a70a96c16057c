"""Rain: streaks made up, a plain derainer, and what derainers leave, repaired with a prior."""
