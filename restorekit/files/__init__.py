"""This room alone opens pictures, rasters, archives and kernels, and owns the writing of whole files."""
