"""Machines as they are or were: snapshots, forks, images of disks."""
