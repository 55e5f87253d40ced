"""Two trees of files compared name by name: one that is merged in memory, one that is on a file system.

What is compared is what a program in the image could see, apart from inode numbers, the sizes of directories and times
other than mtime.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

from banger.images.disks.tree import Node
from banger.tar.kind import Kind

_SHORT = 64
KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFCHR: Kind.CHAR,
    stat.S_IFBLK: Kind.BLOCK,
    stat.S_IFIFO: Kind.FIFO,
    stat.S_IFSOCK: Kind.SOCKET,
}
# Security modules of the host put these on every file they see.
_HOST_XATTRS = ("security.selinux", "security.ima", "security.evm")


@dataclass(frozen=True)
class Seen:
    """What can be compared of one name. `contents` are the bytes, or the digest of more than a few."""

    kind: Kind
    mode: int
    uid: int
    gid: int
    mtime_ns: int
    size: int
    contents: bytes
    target: bytes
    device: tuple[int, int]
    xattrs: tuple[tuple[bytes, bytes], ...]
    names: frozenset[bytes] = frozenset()
    """All names of the same inode, for what is no directory."""


Tree = dict[bytes, Seen]
"""By path, relative to the root, which is b""."""


def summary(data: bytes) -> bytes:
    return data if len(data) <= _SHORT else hashlib.sha256(data).digest()


def seen_in_nodes(root: Node, contents: Callable[[Node], bytes]) -> Tree:
    """`contents` gives a file's data."""
    found: Tree = {}
    inodes: dict[bytes, object] = {}
    for path, node in _walk_nodes(root):
        inodes[path] = id(node)
        is_file = node.kind is Kind.FILE
        found[path] = Seen(
            Kind(node.kind),
            node.mode,
            node.uid,
            node.gid,
            node.mtime_ns,
            node.size if is_file else 0,
            summary(contents(node)) if is_file else b"",
            node.target,
            node.device,
            tuple(sorted((node.xattrs or {}).items())),
        )
    return with_names(found, inodes)


def _walk_nodes(root: Node) -> Iterator[tuple[bytes, Node]]:
    todo = [(b"", root)]
    while todo:
        path, node = todo.pop()
        yield path, node
        if node.kind is Kind.DIRECTORY:
            prefix = path + b"/" if path else b""
            todo += [(prefix + name, child) for name, child in node.children.items()]


def seen_in_directory(root: Path, leave_out: frozenset[bytes] = frozenset()) -> Tree:
    """A tree that is unpacked or mounted at `root`; needs root for most images. Paths in `leave_out` are not looked
    at."""
    found: Tree = {}
    inodes: dict[bytes, object] = {}
    top = os.fsencode(root)
    todo = [b""]
    while todo:
        path = todo.pop()
        if path in leave_out:
            continue
        full = top + b"/" + path if path else top
        info = os.lstat(full)
        inodes[path] = (info.st_dev, info.st_ino)
        found[path] = _seen_file(full, info)
        if stat.S_ISDIR(info.st_mode):
            todo += [path + b"/" + name if path else name for name in os.listdir(full)]
    return with_names(found, inodes)


def _seen_file(path: bytes, info: os.stat_result) -> Seen:
    kind = KINDS[stat.S_IFMT(info.st_mode)]
    is_device = kind in (Kind.CHAR, Kind.BLOCK)
    return Seen(
        kind,
        stat.S_IMODE(info.st_mode),
        info.st_uid,
        info.st_gid,
        info.st_mtime_ns,
        info.st_size if kind is Kind.FILE else 0,
        _file_summary(path, info.st_size) if kind is Kind.FILE else b"",
        os.readlink(path) if kind is Kind.SYMLINK else b"",
        (os.major(info.st_rdev), os.minor(info.st_rdev)) if is_device else (0, 0),
        tuple(
            sorted(
                (os.fsencode(name), os.getxattr(path, name, follow_symlinks=False))
                for name in os.listxattr(path, follow_symlinks=False)
                if name not in _HOST_XATTRS
            )
        ),
    )


def _file_summary(path: bytes, size: int) -> bytes:
    with open(path, "rb") as file:
        return file.read() if size <= _SHORT else hashlib.file_digest(file, "sha256").digest()


def with_names(found: Tree, inodes: Mapping[bytes, object]) -> Tree:
    """`inodes` says which names are of one inode."""
    groups: dict[object, set[bytes]] = {}
    for path, inode in inodes.items():
        groups.setdefault(inode, set()).add(path)
    return {
        path: seen if seen.kind is Kind.DIRECTORY else replace(seen, names=frozenset(groups[inodes[path]]))
        for path, seen in found.items()
    }


def differences(left: Tree, right: Tree, ignore: Mapping[bytes, frozenset[str]] | None = None) -> list[str]:
    """A line for each; empty when the trees are alike. `ignore` names fields that do not count, by path."""
    lines = [f"{path!r}: only in the first" for path in sorted(left.keys() - right.keys())]
    lines += [f"{path!r}: only in the second" for path in sorted(right.keys() - left.keys())]
    for path in sorted(left.keys() & right.keys()):
        one, two = left[path], right[path]
        for field in fields(Seen):
            if field.name in (ignore or {}).get(path, ()):
                continue
            a, b = getattr(one, field.name), getattr(two, field.name)
            if a != b:
                lines.append(f"{path!r}: {field.name} is {a!r} in the first, {b!r} in the second")
    return lines
