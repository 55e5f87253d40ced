"""Copies of machines: snapshots, forks, images of disks."""
