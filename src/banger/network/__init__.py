"""The network of machines: how they reach the world."""
