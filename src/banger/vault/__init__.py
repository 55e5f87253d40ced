"""Secrets, encrypted at rest: the key, the form of a sealed value, and who may have a value: machines that start."""
