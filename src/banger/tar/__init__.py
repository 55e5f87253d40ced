"""Tar archives: bytes → checked entries, and entries → bytes. Pure: no files, and no knowledge of where an entry goes.

Reads untrusted bytes, of images' layers and of guests. Rooms above decide what may be at an entry's place.
"""
