"""This package holds what several solvers share."""
