"""The members of a tar file, read in place; nothing is unpacked.

Only names are followed, never the host's file system: a link leads to another member or nowhere. An archive with two
members of one name is refused, because tools differ in which one they use. Blocking.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass

from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import Lifeline
from banger.images.reference.documents import invalid
from banger.model.sizes import KIB
from banger.tar.cursor import Cursor
from banger.tar.entries import read_entries, skip_data
from banger.tar.entry import Entry
from banger.tar.failure import Corrupt, TarFailure, printable
from banger.tar.kind import Kind
from banger.tar.limits import Bounds

MAX_MEMBERS = 20_000
_MAX_HEADER_BYTES = 64 * KIB
_MAX_LINKS = 8
_READ_BYTES = 16 * KIB


@dataclass(frozen=True)
class _Member:
    """The place of a file's bytes; or, with a `target`, the name of another member."""

    offset: int = 0
    size: int = 0
    target: str = ""


class Archive:
    """An index of a tar file. Owns the file and closes it; members that were opened stay open."""

    def __init__(self, file: ByteRange, name: str, line: Lifeline) -> None:
        """Read all headers. Raises `image_invalid`, `Cut`."""
        self.name = name
        self._file = file
        self._members: dict[str, _Member] = {}
        try:
            self._index(line)
        except TarFailure as exc:
            where = f"entry '{printable(exc.entry)}': " if exc.entry else ""
            raise invalid(f"{name} is not a tar file, or is damaged: {where}{exc.what}") from exc

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def open(self, name: str) -> ByteRange:
        """Raises `image_invalid` for a member that does not exist."""
        member = self._find(name)
        if member is None:
            raise invalid(f"{self.name} has no file {name[:200]!r}")
        return self._file.part(member.offset, member.size)

    def close(self) -> None:
        self._file.close()

    def _index(self, line: Lifeline) -> None:
        cursor = _Places(self._file)
        limits = Bounds(entries=3 * MAX_MEMBERS, header_bytes=_MAX_HEADER_BYTES)
        for count, entry in enumerate(read_entries(cursor, limits, lambda name: False), 1):
            line.check()
            if count > MAX_MEMBERS:
                raise invalid(f"{self.name} has more than {MAX_MEMBERS} members")
            self._add(entry, cursor.place())
            skip_data(cursor, entry)

    def _add(self, entry: Entry, place: int) -> None:
        name = _normal(_text(entry.path))
        if entry.kind is Kind.SYMLINK:
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), _text(entry.target)))
            member = _Member(target=target)
        elif entry.kind is None:
            member = _Member(target=_normal(_text(entry.target)))
        elif entry.kind is Kind.FILE and entry.segments is None:
            member = _Member(place, entry.size)
        else:
            return
        if name in self._members:
            raise invalid(f"{self.name} has {name[:200]!r} twice")
        self._members[name] = member

    def _find(self, name: str) -> _Member | None:
        for _ in range(_MAX_LINKS):
            member = self._members.get(name)
            if member is None or not member.target:
                return member
            name = member.target
        return None


class _Places(Cursor):
    """Reads headers only, and skips data."""

    def __init__(self, file: ByteRange) -> None:
        super().__init__(self._read)
        self._file = file

    def _read(self) -> memoryview | None:
        return memoryview(self._file.read(_READ_BYTES) or b"") or None

    def place(self) -> int:
        """The place of the next byte in the file."""
        return self._file.tell() - (self.end - self.at)

    def skip(self, count: int) -> None:
        place = self.place() + count
        if place > self._file.size:
            raise Corrupt("ends in the middle of an entry")
        if count <= self.end - self.at:
            self.at += count
        else:
            self.at = self.end
            self._file.seek(place)


def _text(name: bytes) -> str:
    return name.decode("utf-8", "surrogateescape")


def _normal(name: str) -> str:
    """A name without "./" in front. A name that leads outside matches no member."""
    return posixpath.normpath(name)
