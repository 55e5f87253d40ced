"""Frozen machines and their clones: made, checked, kept ready."""
