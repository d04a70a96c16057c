"""This room holds what is particular to radar: speckle as sensors make it, looks, classical filters, and figures of a
despeckled scene."""
