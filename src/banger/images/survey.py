"""What a tree of files holds: a digest of all that a disk would keep of it, and how much room that takes.

Run as a program too, because only root of the right user namespace sees the owners as they are to be:
`python -I survey.py TREE` prints `{"digest": ..., "blocks": ..., "inodes": ...}`. Imports nothing of ours.

The digest covers, in the order of path bytes: path, mode, owner, time, device number, extended attributes,
symlink target, contents, and which names are one file. It does not depend on the host's file system.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from collections.abc import Iterator

BLOCK = 4096


def survey(tree: bytes) -> dict[str, object]:
    """`blocks` are of 4 KiB, for contents, directories and extended attributes, not for inodes."""
    digest = hashlib.sha256()
    blocks, inodes = 1, 1
    first_names: dict[tuple[int, int], bytes] = {}
    for path, info in _walk(tree):
        name = os.path.relpath(path, tree)
        known_as = first_names.setdefault((info.st_dev, info.st_ino), name)
        if known_as != name and not stat.S_ISDIR(info.st_mode):
            _add(digest, b"link", name, known_as)
            continue
        attributes = _attributes(path)
        _add(digest, name, _describe(info).encode(), *attributes, _contents(path, info))
        inodes += 1
        blocks += _blocks(path, info) + (1 if attributes else 0)
    return {"digest": digest.hexdigest(), "blocks": blocks, "inodes": inodes}


def _walk(directory: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    with os.scandir(directory) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        info = entry.stat(follow_symlinks=False)
        yield entry.path, info
        if stat.S_ISDIR(info.st_mode):
            yield from _walk(entry.path)


def _describe(info: os.stat_result) -> str:
    device = info.st_rdev if stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode) else 0
    return f"{info.st_mode:o} {info.st_uid}:{info.st_gid} {int(info.st_mtime)} {device}"


def _attributes(path: bytes) -> list[bytes]:
    names = sorted(os.listxattr(path, follow_symlinks=False))
    return [os.fsencode(name) + b"=" + os.getxattr(path, name, follow_symlinks=False) for name in names]


def _contents(path: bytes, info: os.stat_result) -> bytes:
    if stat.S_ISLNK(info.st_mode):
        return os.readlink(path)
    if not stat.S_ISREG(info.st_mode) or info.st_size == 0:
        return b""
    with open(path, "rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").digest()


def _blocks(path: bytes, info: os.stat_result) -> int:
    if stat.S_ISDIR(info.st_mode):
        names = sum(len(name) + 12 for name in os.listdir(path))
        return 1 + names * 2 // BLOCK
    if stat.S_ISREG(info.st_mode):
        return -(-info.st_size // BLOCK)
    return 1 if stat.S_ISLNK(info.st_mode) and info.st_size >= 60 else 0


def _add(digest: hashlib._Hash, *fields: bytes) -> None:
    """Length before each field, so that no two lists of fields look the same."""
    for field in fields:
        digest.update(len(field).to_bytes(8, "little") + field)
    digest.update(b"\n")


if __name__ == "__main__":
    print(json.dumps(survey(os.fsencode(sys.argv[1]))))
