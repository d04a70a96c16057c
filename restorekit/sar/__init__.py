"""Radar: speckle as sensors make it, looks, classical filters, and what a despeckled scene is judged by."""
