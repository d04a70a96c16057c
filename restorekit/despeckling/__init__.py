"""This room despeckles one block of a radar scene, measures before and judges after; on arrays and on files."""
