"""The only room that opens pictures, rasters, archives and kernels, and the one owner of writing whole files."""
