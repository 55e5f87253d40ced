"""The members of a tar file, read where they lie; nothing is unpacked.

Only names are followed, never the host's file system: a link leads to another member or nowhere. A file that is there
twice is refused, because tools differ in which one they take. Blocking.
"""

from __future__ import annotations

import io
import posixpath
import tarfile
from dataclasses import dataclass

from banger.images.byte_range import ByteRange
from banger.images.oci import invalid
from banger.images.registry.lifeline import Lifeline
from banger.model.sizes import KIB

MAX_MEMBERS = 20_000
_MAX_HEADER_BYTES = 64 * KIB
_MAX_LINKS = 8


@dataclass(frozen=True)
class _Member:
    """Where a file's bytes lie; or, with a `target`, the name of another member."""

    offset: int = 0
    size: int = 0
    target: str = ""


class Archive:
    """An index of a tar file. Owns the file and closes it; what was opened from it stays open."""

    def __init__(self, file: ByteRange, name: str, line: Lifeline) -> None:
        """Reads every header. Raises `image_invalid`, `Cut`."""
        self.name = name
        self._file = file
        self._members: dict[str, _Member] = {}
        try:
            self._index(line)
        except (tarfile.TarError, EOFError, ValueError, UnicodeError, OverflowError, RecursionError) as exc:
            raise invalid(f"{name} is not a tar file, or is damaged: {str(exc)[:200]}") from exc

    def __contains__(self, name: str) -> bool:
        return self._find(name) is not None

    def open(self, name: str) -> ByteRange:
        """Raises `image_invalid` for a member that is not there."""
        member = self._find(name)
        if member is None:
            raise invalid(f"{self.name} has no file {name[:200]!r}")
        return self._file.part(member.offset, member.size)

    def close(self) -> None:
        self._file.close()

    def _index(self, line: Lifeline) -> None:
        with tarfile.open(fileobj=_Headers(self._file), mode="r:", tarinfo=tarfile.TarInfo) as tar:
            for _ in range(MAX_MEMBERS):
                line.check()
                info = tar.next()
                if info is None:
                    return
                tar.members = []  # type: ignore[attr-defined]  # it would keep them all
                self._add(info)
        raise invalid(f"{self.name} has more than {MAX_MEMBERS} members")

    def _add(self, info: tarfile.TarInfo) -> None:
        name = _normal(info.name)
        if info.issym():
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), info.linkname))
            member = _Member(target=target)
        elif info.islnk():
            member = _Member(target=_normal(info.linkname))
        elif info.isreg() and not info.issparse():
            if info.size < 0 or info.offset_data + info.size > self._file.size:
                raise invalid(f"{self.name} ends in the middle of {name[:200]!r}")
            member = _Member(info.offset_data, info.size)
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


class _Headers(io.RawIOBase):
    """What tarfile reads of an archive to list it. It takes a header's word for the length of names and attributes, so
    a read of more than those may have is refused."""

    def __init__(self, file: ByteRange) -> None:
        super().__init__()
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise tarfile.ReadError("a header is too long")
        return self._file.read(size) or b""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _normal(name: str) -> str:
    """Without "./" at the front. One that leads outside is found by nobody."""
    return posixpath.normpath(name)
