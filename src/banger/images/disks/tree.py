"""A tree of files as the merge of layers builds it and the ext4 writer reads it.

Pure data: no I/O, no checks. A hard link is the same `Node` under several names; a directory has one name only.
"""

from __future__ import annotations

from banger.tar.kind import Kind


class Node:
    """One inode to be. There may be a million of them, so it is slots and small values.

    `mode`      permission bits, 0..0o7777
    `uid`, `gid` 32 bits
    `mtime_ns`  nanoseconds since 1970, may be negative
    `xattrs`    full names ("user.x", "security.capability") and values as setxattr(2) takes them, or None
    `size`      bytes; FILE only, the writer's answer (a directory's is set by the writer)
    `extents`   where the data is, opaque: what `Ext4Writer.add_file` or `end_file` gave
    `target`    SYMLINK only
    `device`    (major, minor); CHAR and BLOCK only
    `children`  DIRECTORY only: other kinds have no such attribute. The order of insertion does not matter
    `ino`       the writer's own note while it works; 0 before and after
    """

    __slots__ = (
        "children",
        "device",
        "extents",
        "gid",
        "ino",
        "kind",
        "mode",
        "mtime_ns",
        "size",
        "target",
        "uid",
        "xattrs",
    )
    children: dict[bytes, Node]

    def __init__(
        self,
        kind: Kind,
        mode: int,
        uid: int = 0,
        gid: int = 0,
        mtime_ns: int = 0,
        size: int = 0,
        extents: bytes = b"",
        target: bytes = b"",
        device: tuple[int, int] = (0, 0),
        xattrs: dict[bytes, bytes] | None = None,
    ) -> None:
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.size = size
        self.extents = extents
        self.target = target
        self.device = device
        self.xattrs = xattrs
        self.ino = 0
        if kind is Kind.DIRECTORY:
            self.children = {}

    def copy(self) -> Node:
        """Another inode that is alike, of anything but a directory; with the same extents."""
        owner = (self.mode, self.uid, self.gid)
        return Node(
            self.kind, *owner, self.mtime_ns, self.size, self.extents, self.target, self.device, self.xattrs
        )


def path_of(root: Node, wanted: Node) -> str:
    """A path of `wanted` below the root, for people. Slow: for error messages."""
    waiting = [(root, b"")]
    while waiting:
        node, path = waiting.pop()
        if node is wanted:
            return (path or b"/").decode("utf-8", "backslashreplace")
        if node.kind is Kind.DIRECTORY:
            waiting += [(child, path + b"/" + name) for name, child in node.children.items()]
    return "?"
