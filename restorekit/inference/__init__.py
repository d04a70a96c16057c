"""What a measurement is, and the one loop around every solver."""
