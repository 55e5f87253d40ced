"""Catalogs: what names of images and kernels mean, which publishers are trusted, and files for publishing."""
