"""Codecs for bytes that cross a boundary. Pure: no I/O, no clock."""
