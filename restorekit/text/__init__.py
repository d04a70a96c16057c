"""This room holds the grammar of settings in text, and every name that it knows."""
