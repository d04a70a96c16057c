"""Optical and radar pictures of one place in one picture."""
