"""How machines reach the world, and it them."""
