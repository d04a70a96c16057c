"""This room asks a blurred picture about its own kernel."""
