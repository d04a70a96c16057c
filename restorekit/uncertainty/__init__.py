"""Error bars of pictures: intervals from posterior samples, and the factors that make them hold."""
