"""Measurements of what SPECIFICATION.md promises. `python -m bench` prints one table."""
