"""Bundles: several files in one, a tar archive in zstd whose first member describes the others."""
