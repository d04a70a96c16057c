"""This room makes up rain, takes it out plainly, and repairs with a prior what derainers leave."""
