"""Frozen machines and their clones: banger makes, checks and keeps them ready here."""
