"""Checks whether this host can run machines, and says how to repair what keeps it from that.

A process of its own, which works even if the daemon cannot start.
"""
