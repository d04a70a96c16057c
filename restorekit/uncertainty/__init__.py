"""This room makes error bars of pictures: intervals from posterior samples, and the factors that make them hold."""
