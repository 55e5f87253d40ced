"""One entry of an archive: the contents of its headers, in whichever format they are."""

from __future__ import annotations

from banger.tar.failure import TooLarge
from banger.tar.kind import Kind
from banger.tar.limits import TarLimits
from banger.tar.sparse import Segments


class Entry:
    """One entry, not yet put anywhere. `kind` None is a hard link.

    `path`, `target`  as the archive has them
    `mode`            0..0o7777; of a symbolic link 0o777, as all have on Linux
    `size`            the file's, with its holes; 0 for everything else
    `stored`          how many bytes of it follow in the stream
    `segments`        where these go; None for a file without holes
    """

    __slots__ = (
        "device",
        "gid",
        "kind",
        "mode",
        "mtime_ns",
        "path",
        "segments",
        "size",
        "stored",
        "target",
        "uid",
        "xattrs",
    )

    def __init__(
        self, path: bytes, kind: Kind | None, owner: tuple[int, int, int], mtime_ns: int, size: int
    ) -> None:
        self.path = path
        self.kind = kind
        self.mode, self.uid, self.gid = owner
        self.mtime_ns = mtime_ns
        self.size = self.stored = size
        self.target = b""
        self.device = (0, 0)
        self.xattrs: dict[bytes, bytes] | None = None
        self.segments: Segments | None = None

    def metadata_bytes(self, limits: TarLimits) -> int:
        """The memory that the entry takes, in bytes. Raises `TooLarge`."""
        metadata = len(self.path) + len(self.target)
        if self.xattrs:
            xattrs = sum(map(len, self.xattrs)) + sum(map(len, self.xattrs.values()))
            if xattrs > limits.xattr_bytes:
                raise TooLarge(f"its extended attributes have {xattrs} bytes")
            metadata += xattrs
        if self.segments:
            metadata += 16 * len(self.segments)
        return metadata
