"""Catalogs: what names of images and kernels mean, whom that is believed from, and files to publish it with."""
