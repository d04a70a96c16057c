"""Measurements are simulated here, part by part, for training, tests, benchmarks and `degrade`."""
