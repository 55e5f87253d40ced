"""The data of a file, from the stream to its place."""

from __future__ import annotations

from banger.images.disks.ext4 import can_store
from banger.images.disks.merge.limits import Limits
from banger.images.disks.merge.sink import Sink
from banger.images.disks.tree import Node
from banger.tar.cursor import Cursor
from banger.tar.entries import read_entries, skip_data
from banger.tar.entry import Entry
from banger.tar.sparse import Segments


def write_wanted(cursor: Cursor, limits: Limits, wanted: dict[int, Node], sink: Sink) -> None:
    """Read a layer a second time, for some of its files: `wanted` is by the number of the entry."""
    for number, entry in enumerate(read_entries(cursor, limits, can_store)):
        if number in wanted:
            wanted[number].extents = write_contents(cursor, entry, sink)
        else:
            skip_data(cursor, entry)


def write_contents(cursor: Cursor, entry: Entry, sink: Sink) -> bytes:
    """Read data and padding of the entry. Returns the extents. Raises `Corrupt` if the stream ends too early."""
    stored = entry.stored
    at = cursor.at
    if entry.segments is not None:
        extents = _write_segments(cursor, entry.segments, entry.size, sink)
    elif cursor.end - at >= stored:
        cursor.at = at + stored
        extents = sink.add_file(cursor.view[at : at + stored]) if stored else b""
    else:
        sink.begin_file()
        for piece in cursor.pieces(stored):
            sink.append(piece)
        extents = sink.end_file()[1]
    cursor.skip_padding(stored)
    return extents


def _write_segments(cursor: Cursor, segments: Segments, size: int, sink: Sink) -> bytes:
    sink.begin_file()
    position = 0
    for offset, length in segments:
        if offset > position:
            sink.skip_hole(offset - position)
        for piece in cursor.pieces(length):
            sink.append(piece)
        position = offset + length
    if size > position:
        sink.skip_hole(size - position)
    return sink.end_file()[1]
