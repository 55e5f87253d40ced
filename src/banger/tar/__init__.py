"""Tar archives: bytes → checked entries, and entries → bytes. Pure: no files, no idea of where an entry goes.

Reads untrusted bytes, of images' layers and of guests. What may be at an entry's place is for the rooms above.
"""
