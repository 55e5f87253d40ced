"""Disks of named volumes: made, copied, packed into one file and unpacked. No program here reads their file systems."""
