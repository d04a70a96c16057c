"""This room puts optical and radar pictures of one place into one picture."""
