"""Georeferenced rasters: read in windows, written whole or not at all, with everything kept that came with them."""
