"""Scenes of any size: treated in blocks of a grid that is fixed, by one process or many, and put together again.

What a block gives depends on the scene, the settings and its place in the grid alone. So the result is the same, byte for
byte, in whatever order, by whatever machine and after whatever interruption its blocks were treated.
"""
