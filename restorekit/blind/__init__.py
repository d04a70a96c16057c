"""What a blurred picture says of its own kernel."""
