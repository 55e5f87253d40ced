"""Looks whether this host lets machines run, and says how to mend what does not.

A process of its own: it works when the daemon cannot start.
"""
