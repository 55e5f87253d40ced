"""Machines: how they begin and end, what runs in them, how a new daemon finds them again."""
