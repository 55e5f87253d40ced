"""Machines: their life, what runs in them, how they are torn down and found again."""
