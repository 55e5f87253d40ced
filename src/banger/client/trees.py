"""File trees as tar streams: packing ours, and unpacking what a guest sends.

A guest is hostile. Nothing is written outside the destination, whatever a member's name or an earlier
member's link says, of this stream or of one before: every directory is opened from its parent with O_NOFOLLOW,
never by a path, and the destination itself is no link unless a slash follows it. Links are data: they are kept as
they are and never followed. Device nodes, FIFOs and sparse files are left out and named; set-id bits of files are
dropped.
"""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

from banger.errors import Error

PIECE = 64 * 1024
_HEADER_LIMIT = 1024 * 1024
_LONG_HEADERS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_END = bytes(1024)
_PIECES_AT_ONCE = 64
_ZEROS = bytes(PIECE)
_UNTOLD_BYTES = 4 * 1024 * 1024
_XATTR = "SCHILY.xattr."
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def pack_tree(
    source: str, name: str, keep_owner: bool = False, complaints: list[str] | None = None
) -> Iterator[bytes]:
    """A tar stream of `source`, whose root is called `name` in it ("." for the contents alone).

    Without `keep_owner` all is root's. Sockets and device nodes are left out. What did not go as it is here is added to
    `complaints`, a sentence each.
    """
    packer = _Packer(keep_owner, complaints if complaints is not None else [])
    waiting: list[bytes] = []
    for path, member in _walk(source, name):
        for piece in packer.pack(path, member):
            waiting.append(piece)
            if len(piece) == PIECE or len(waiting) == _PIECES_AT_ONCE:
                yield b"".join(waiting)
                waiting.clear()
    yield b"".join([*waiting, _END])


def _walk(path: str, name: str) -> Iterator[tuple[str, str]]:
    """The paths of a tree and their names, directories before what is in them."""
    yield path, name
    if os.path.isdir(path) and not os.path.islink(path):
        for entry in sorted(os.listdir(path)):
            yield from _walk(os.path.join(path, entry), f"{name}/{entry}")


class _Packer:
    """Writes members; remembers files of several names."""

    def __init__(self, keep_owner: bool, complaints: list[str]) -> None:
        self._keep_owner = keep_owner
        self._complaints = complaints
        self._seen: dict[tuple[int, int], str] = {}

    def pack(self, path: str, name: str) -> Iterator[bytes]:
        info = os.lstat(path)
        member = tarfile.TarInfo(name)
        member.mode = stat.S_IMODE(info.st_mode)
        member.mtime = int(info.st_mtime)
        if self._keep_owner:
            member.uid, member.gid = info.st_uid, info.st_gid
        if not self._set_type(member, path, info):
            self._complaints.append(f"left out {path}: it is no plain file, directory or link")
            return
        untold = b""
        if member.isreg() and not member.size:
            untold = self._read_untold(path)
            member.size = len(untold)
        if member.isreg() or member.isdir():
            member.pax_headers = dict(_attributes(path))
        yield member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        if untold:
            yield untold + bytes(-len(untold) % 512)
        elif member.size:
            yield from self._contents(path, member.size)

    def _read_untold(self, path: str) -> bytes:
        """What is in a file that says it is empty, as the kernel's own files do."""
        with open(path, "rb", buffering=0) as file:
            found = bytearray()
            while len(found) < _UNTOLD_BYTES and (piece := file.read(_UNTOLD_BYTES - len(found))):
                found += piece
        if len(found) == _UNTOLD_BYTES:
            self._complaints.append(f"{path} does not say how long it is: only its beginning was copied")
        return bytes(found)

    def _contents(self, path: str, size: int) -> Iterator[bytes]:
        """Exactly `size` bytes of the file, whatever happens to it meanwhile, and the padding."""
        left = size
        with open(path, "rb", buffering=0) as file:
            while left and (piece := file.read(min(PIECE, left))):
                left -= len(piece)
                yield piece
        if left:
            self._complaints.append(
                f"{path} became shorter while it was copied: zeros take the place of its end"
            )
        while left:
            gap = min(PIECE, left)
            left -= gap
            yield bytes(gap)
        yield bytes(-size % 512)

    def _set_type(self, member: tarfile.TarInfo, path: str, info: os.stat_result) -> bool:
        """False for what no tar stream should carry."""
        first = self._seen.setdefault((info.st_dev, info.st_ino), member.name)
        if stat.S_ISDIR(info.st_mode):
            member.type = tarfile.DIRTYPE
        elif stat.S_ISLNK(info.st_mode):
            member.type, member.linkname = tarfile.SYMTYPE, os.readlink(path)
        elif stat.S_ISFIFO(info.st_mode):
            member.type = tarfile.FIFOTYPE
        elif stat.S_ISREG(info.st_mode) and first != member.name:
            member.type, member.linkname = tarfile.LNKTYPE, first
        else:
            member.size = info.st_size
            return stat.S_ISREG(info.st_mode)
        return True


def _attributes(path: str) -> Iterator[tuple[str, str]]:
    """Records of extended attributes that mean the same in another system."""
    with suppress(OSError):  # a file system without them
        for name in os.listxattr(path, follow_symlinks=False):
            if name.startswith("user.") or name == "security.capability":
                value = os.getxattr(path, name, follow_symlinks=False)
                yield _XATTR + name, value.decode("utf-8", "surrogateescape")


class _Member(tarfile.TarInfo):
    """A header whose extension has a sensible size: `tarfile` would read any into memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> _Member:
        return _check_size(super().frombuf(buf, encoding, errors))

    @classmethod
    def _frombuf(cls, buf: bytes, encoding: str, errors: str, *, dircheck: bool = True) -> _Member:
        """Newer versions of the library, and Debian's, read headers by way of this, around `frombuf`."""
        member: _Member = super()._frombuf(buf, encoding, errors, dircheck=dircheck)  # type: ignore[misc]
        return _check_size(member)


def _check_size(member: _Member) -> _Member:
    if member.size < 0 or (member.type in _LONG_HEADERS and member.size > _HEADER_LIMIT):
        raise _broken("a header of a senseless size")
    return member


class _Reader:
    """The file object that `tarfile` wants, from pieces."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size and (piece := next(self._pieces, None)) is not None:
            self._rest += piece
        data, self._rest = self._rest[:size], self._rest[size:]
        return data

    def drain(self) -> None:
        """Padding after the end is read too, so that a broken connection shows."""
        for _ in self._pieces:
            pass


def read_members(pieces: Iterable[bytes]) -> Iterator[tuple[tarfile.TarInfo, Iterator[bytes]]]:
    """The members of a tar stream, each with its contents. Raises `agent_error`."""
    reader = _Reader(pieces)
    try:
        with tarfile.open(  # type: ignore[call-overload]
            fileobj=reader,
            mode="r|",
            bufsize=4 * PIECE,
            tarinfo=_Member,
            encoding="utf-8",
            errors="surrogateescape",
        ) as tar:
            while (member := tar.next()) is not None:
                yield member, _member_contents(tar, member)
                tar.members.clear()
        reader.drain()
    except (tarfile.TarError, UnicodeError, ValueError) as exc:
        raise _broken(str(exc)) from exc
    except RecursionError as exc:
        raise _broken("too many extended headers in a row") from exc


def _member_contents(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    try:
        file = tar.extractfile(member)
        while file is not None and (piece := file.read(PIECE)):
            yield piece
    except tarfile.TarError as exc:
        raise _broken(str(exc)) from exc


def safe_parts(name: str) -> tuple[str, ...]:
    """A member's name as components, none of them able to lead anywhere else. Raises `agent_error`."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise _broken(f"the name {name!r} leads out of the tree")
    return parts


def unpack_tree(pieces: Iterable[bytes], place: Callable[[bool], tuple[str, str]]) -> list[str]:
    """Write a tar stream's tree; the names of what was left out.

    The first member is the tree's root. `place` is told whether that is a directory, and says which
    directory to write to and what to call the root there ("": it is that directory itself).
    """
    unpacker: Unpacker | None = None
    try:
        for member, contents in read_members(pieces):
            if unpacker is None:
                directory, name = place(member.isdir())
                if not name and not member.isdir():
                    raise _broken("its first member is no directory")
                unpacker = Unpacker(directory, name, safe_parts(member.name))
            unpacker.take(member, contents)
        return unpacker.left_out if unpacker else []
    finally:
        if unpacker:
            unpacker.close()


class Unpacker:
    """Writes members below a directory, which it holds open until `close`. `left_out` names what it
    refused to write."""

    def __init__(self, directory: str, name: str, root: tuple[str, ...]) -> None:
        # A link is followed only if a slash comes after it: one without may be of an earlier copy.
        self._directory = os.open(directory, _DIRECTORY)
        self._own = (name,) if name else ()
        self._root = root
        self._files: set[tuple[str, ...]] = set()
        self._made: list[tuple[tuple[str, ...], tarfile.TarInfo]] = []
        self.left_out: list[str] = []

    def close(self) -> None:
        try:
            for parts, member in reversed(self._made):
                self._finish_directory(parts, member)
        finally:
            os.close(self._directory)

    def _finish_directory(self, parts: tuple[str, ...], member: tarfile.TarInfo) -> None:
        """Its mode and time come last: it had to be written to."""
        directory = self._open_directory(parts)
        try:
            _set_attributes(directory, member)
            os.fchmod(directory, member.mode & 0o3777)
            _set_time(directory, member)
        finally:
            os.close(directory)

    def take(self, member: tarfile.TarInfo, contents: Iterable[bytes]) -> None:
        """Write one member, or note that it is left out."""
        parts = self._place(member.name)
        if parts is not None and member.isdir():
            self._make_directory(parts, member)
        elif not parts or not self._take_file(member, parts, contents):
            self.left_out.append(member.name)

    def _make_directory(self, parts: tuple[str, ...], member: tarfile.TarInfo) -> None:
        """One that is there already stays as it is: the copy only adds to it."""
        if parts:
            parent = self._open_directory(parts[:-1])
            try:
                os.mkdir(parts[-1], 0o700, dir_fd=parent)
                self._made.append((parts, member))
            except FileExistsError:
                pass
            finally:
                os.close(parent)
        os.close(self._open_directory(parts))

    def _place(self, name: str) -> tuple[str, ...] | None:
        """Where a member goes; None for one that is not in the tree."""
        parts = safe_parts(name)
        inside = parts[: len(self._root)] == self._root
        return self._own + parts[len(self._root) :] if inside else None

    def _take_file(self, member: tarfile.TarInfo, parts: tuple[str, ...], contents: Iterable[bytes]) -> bool:
        if member.isreg() and not member.issparse():
            self._write_file(member, parts, contents)
        elif member.issym() and member.linkname and "\0" not in member.linkname:
            self._link(parts, lambda fd: os.symlink(member.linkname, parts[-1], dir_fd=fd))
        elif member.islnk():
            return self._hard_link(parts, self._place(member.linkname))
        else:
            return False
        return True

    def _hard_link(self, parts: tuple[str, ...], first: tuple[str, ...] | None) -> bool:
        """Another name for a file that was written before; nothing else is linked to."""
        if first is None or first not in self._files or first == parts:
            return False
        source = self._open_directory(first[:-1])
        try:
            self._link(parts, lambda fd: _link_at(source, first[-1], fd, parts[-1]))
        finally:
            os.close(source)
        self._files.add(parts)
        return True

    def _write_file(self, member: tarfile.TarInfo, parts: tuple[str, ...], contents: Iterable[bytes]) -> None:
        parent = self._open_directory(parts[:-1])
        try:
            _clear(parent, parts[-1])
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(parts[-1], flags, 0o600, dir_fd=parent), "wb") as file:
                for piece in contents:
                    if piece == _ZEROS[: len(piece)]:
                        file.seek(len(piece), os.SEEK_CUR)  # a hole
                    else:
                        file.write(piece)
                file.truncate()
                _set_attributes(file.fileno(), member)
                os.fchmod(file.fileno(), member.mode & 0o1777)
                _set_time(file.fileno(), member)
        finally:
            os.close(parent)
        self._files.add(parts)

    def _link(self, parts: tuple[str, ...], make: Callable[[int], None]) -> None:
        parent = self._open_directory(parts[:-1])
        try:
            _clear(parent, parts[-1])
            make(parent)
        finally:
            os.close(parent)

    def _open_directory(self, parts: tuple[str, ...]) -> int:
        """Walk down, making what is missing, following no link."""
        current = os.dup(self._directory)
        for part in parts:
            try:
                below = _enter(current, part)
            finally:
                os.close(current)
            current = below
        return current


def _enter(parent: int, name: str) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o755, dir_fd=parent)
    try:
        return os.open(name, _DIRECTORY, dir_fd=parent)
    except OSError as exc:
        raise Error("bad_request", f"{name!r} is in the way and is no directory") from exc


def _clear(parent: int, name: str) -> None:
    """Make room for a file; a directory stays, and is in the way."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        pass
    except (IsADirectoryError, PermissionError) as exc:
        raise Error("bad_request", f"cannot replace {name!r}: {exc.strerror}") from exc


def _link_at(source: int, first: str, parent: int, name: str) -> None:
    os.link(first, name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)


def _set_attributes(fd: int, member: tarfile.TarInfo) -> None:
    """Those of users. Capabilities are as set-id bits: here the file belongs to somebody else."""
    for key, value in member.pax_headers.items():
        if key.startswith(_XATTR + "user."):
            with suppress(OSError, ValueError):  # a file system without them
                os.setxattr(fd, key.removeprefix(_XATTR), value.encode("utf-8", "surrogateescape"))


def _set_time(fd: int, member: tarfile.TarInfo) -> None:
    with suppress(OSError, ValueError, OverflowError):
        os.utime(fd, (member.mtime, member.mtime))


def _broken(reason: str) -> Error:
    return Error("agent_error", f"the machine sent a broken tar stream: {reason}")
