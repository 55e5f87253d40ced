"""A guest's tar stream → a tar stream for another guest, without a file on this host.

The sending guest may be hostile to the receiving guest: names outside the tree, links to files outside it and device
nodes are left out, and without `keep_owner` all belongs to root and nothing lends the rights of its owner.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from banger.client.trees.complaints import Complaints
from banger.client.trees.unpacking import LIMITS, Parts, broken, cursor_of, safe_parts
from banger.tar.cursor import Cursor
from banger.tar.entries import read_entries, skip_data
from banger.tar.entry import Entry
from banger.tar.failure import Corrupt, TarFailure
from banger.tar.kind import Kind
from banger.tar.writer import END, padding, write_headers

_TOGETHER_BYTES = 256 * 1024
_LENT_RIGHTS = 0o6000
_PASSED = (None, Kind.FILE, Kind.DIRECTORY, Kind.SYMLINK, Kind.FIFO)


def pass_tree(
    pieces: Iterable[bytes],
    place: Callable[[bool], tuple[str, str]],
    keep_owner: bool = False,
    complaints: Complaints | None = None,
) -> tuple[str, Iterator[bytes]]:
    """The directory to write to, and the stream to be extracted there. `place` and `complaints` are as for
    `unpack_tree`. Raises `agent_error` for a malformed stream, also while the stream is read."""
    cursor = cursor_of(pieces)
    entries = read_entries(cursor, LIMITS, lambda name: _is_kept(name, keep_owner), to_its_end=True)
    try:
        root = next(entries, None)
        if root is None:
            raise Corrupt("it is empty")
        directory, name = place(root.kind is Kind.DIRECTORY)
        parts = safe_parts(root.path)
    except TarFailure as exc:
        raise broken(exc) from exc
    passer = _Passer(os.fsencode(name), parts, keep_owner, Complaints() if complaints is None else complaints)
    return directory, _together(passer.all(root, entries, cursor))


def _is_kept(name: bytes, keep_owner: bool) -> bool:
    return name.startswith(b"user.") or (keep_owner and name == b"security.capability")


class _Passer:
    """Lives for one stream. `root`: the name of the tree in the incoming stream; `name`: its name in the outgoing
    stream, "" for the contents alone."""

    def __init__(self, name: bytes, root: Parts, keep_owner: bool, complaints: Complaints) -> None:
        self._name = name or b"."
        self._root = root
        self._keep_owner = keep_owner
        self._complaints = complaints

    def all(self, root: Entry, entries: Iterator[Entry], cursor: Cursor) -> Iterator[bytes]:
        entry: Entry | None = root
        try:
            while entry is not None:
                yield from self._one(entry, cursor)
                entry = next(entries, None)
            while cursor.fetch():  # a connection that breaks after the last entry is an error, too
                pass
        except TarFailure as exc:
            exc.entry = exc.entry or (entry.path if entry else None)
            raise broken(exc) from exc
        yield END

    def _one(self, entry: Entry, cursor: Cursor) -> Iterator[bytes]:
        shown = os.fsdecode(entry.path)
        why_not = self._rename(entry)
        if why_not:
            self._complaints.add(f"left out {shown}: {why_not}")
            skip_data(cursor, entry)
            return
        if not self._keep_owner:
            entry.uid = entry.gid = 0
            if entry.kind is not Kind.DIRECTORY:
                entry.mode &= ~_LENT_RIGHTS
        yield write_headers(entry)
        for piece in cursor.pieces(entry.stored):
            yield bytes(piece)
        cursor.skip_padding(entry.stored)
        yield padding(entry.stored)

    def _rename(self, entry: Entry) -> str:
        """Give the entry its new name. Returns why it is left out."""
        path = self._place(entry.path)
        if path is None:
            return "it is outside of the tree that was to be copied"
        if entry.kind not in _PASSED:
            return "it is not a regular file, directory or link"
        if entry.kind is None:
            first = self._place(entry.target)
            if first is None:
                return "it is a link to a file that was not copied"
            entry.target = first
        entry.path = path
        return ""

    def _place(self, name: bytes) -> bytes | None:
        parts = safe_parts(name)
        if parts[: len(self._root)] != self._root:
            return None
        return b"/".join((self._name, *parts[len(self._root) :]))


def _together(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Headers and the like in few pieces: each costs its way through the daemon."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= _TOGETHER_BYTES:
            yield b"".join(waiting)
            waiting.clear()
            size = 0
    yield b"".join(waiting)
