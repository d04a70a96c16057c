"""A prior of radar scenes is taught by scenes that nobody has seen without speckle."""
