"""This room says what a measurement is, and holds the one loop around every solver."""
