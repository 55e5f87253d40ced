"""Layers for tests: written member by member, wrongly if wanted, and merged by the simplest program that is right."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import zstandard

from banger.images.disks.merge import LayerInput
from banger.images.disks.tree import Node
from banger.tar.kind import Kind
from tests.support.oracle import Seen, Tree, seen_in_nodes, summary, with_names

TYPES = {
    "file": tarfile.REGTYPE,
    "dir": tarfile.DIRTYPE,
    "link": tarfile.LNKTYPE,
    "symlink": tarfile.SYMTYPE,
    "char": tarfile.CHRTYPE,
    "block": tarfile.BLKTYPE,
    "fifo": tarfile.FIFOTYPE,
}


@dataclass(frozen=True)
class Member:
    """One entry of a layer. Names are bytes: `os.fsdecode` gives what tarfile wants."""

    name: bytes
    kind: str = "file"
    data: bytes = b""
    target: bytes = b""
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: float | int = 0
    device: tuple[int, int] = (0, 0)
    pax: dict[str, str] = field(default_factory=dict)

    def info(self) -> tarfile.TarInfo:
        info = tarfile.TarInfo(self.name.decode("utf-8", "surrogateescape"))
        info.type = TYPES[self.kind]
        info.size = len(self.data)
        info.linkname = self.target.decode("utf-8", "surrogateescape")
        info.mode, info.uid, info.gid, info.mtime = self.mode, self.uid, self.gid, self.mtime
        info.devmajor, info.devminor = self.device
        info.pax_headers = dict(self.pax)
        return info


def tar_of(members: Iterable[Member], form: int = tarfile.PAX_FORMAT) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, encoding="utf-8", errors="surrogateescape") as tar:
        for member in members:
            tar.addfile(member.info(), io.BytesIO(member.data))
    return out.getvalue()


def compress(tar: bytes, how: str) -> bytes:
    if how == "gzip":
        return gzip.compress(tar, 1, mtime=0)
    if how == "zstd":
        return zstandard.compress(tar)
    return tar


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer_of(tar: bytes, directory: Path, how: str = "") -> LayerInput:
    """`tar` as a file in `directory`."""
    blob = compress(tar, how)
    path = directory / digest(blob).partition(":")[2]
    path.write_bytes(blob)
    return LayerInput(digest(blob), digest(tar), path)


class MemorySink:
    """Keeps contents instead of writing them; extents are a number. Holes are kept as zeros."""

    def __init__(self) -> None:
        self.files: list[bytes] = []
        self._open: io.BytesIO | None = None

    def restart(self) -> None:
        self.files, self._open = [], None

    def add_file(self, data: bytes | memoryview) -> bytes:
        self.files.append(bytes(data))
        return str(len(self.files) - 1).encode()

    def begin_file(self) -> None:
        assert self._open is None
        self._open = io.BytesIO()

    def append(self, data: bytes | memoryview) -> None:
        assert self._open is not None
        self._open.write(data)

    def skip_hole(self, length: int) -> None:
        self.append(bytes(length))

    def end_file(self) -> tuple[int, bytes]:
        assert self._open is not None
        data = self._open.getvalue()
        self._open = None
        return len(data), self.add_file(data)

    def contents(self, node: Node) -> bytes:
        return self.files[int(node.extents)] if node.extents else b""

    @property
    def written_bytes(self) -> int:
        return sum(map(len, self.files))


@dataclass(frozen=True)
class Thing:
    """One inode of the model: the member that made it."""

    member: Member
    number: int


Model = dict[bytes, Thing]


def extract(layers: Sequence[Sequence[Member]]) -> Model:
    """What sequential extraction leaves: path → thing. Whiteouts remove what lower layers have."""
    tree: Model = {b"": Thing(Member(b"", "dir", mode=0o755), 0)}
    number = 0
    for layer in layers:
        own: set[bytes] = set()
        for member in layer:
            number += 1
            if member.name.rpartition(b"/")[2].startswith(b".wh."):
                _whiteout(tree, member.name, own)
            else:
                _put(tree, member, number, own)
    return tree


def _whiteout(tree: Model, path: bytes, own: set[bytes]) -> None:
    above, _, name = path.rpartition(b"/")
    directory = follow(tree, above)
    if directory is None:
        return
    prefix = directory + b"/" if directory else b""
    hidden = prefix if name == b".wh..wh..opq" else prefix + name[4:] + b"/"
    for other in sorted((p for p in tree if p and (p + b"/").startswith(hidden)), reverse=True):
        if other + b"/" == hidden and name == b".wh..wh..opq":
            continue
        if other not in own:
            if any(p.startswith(other + b"/") for p in tree):
                tree[other] = Thing(Member(other, "dir", mode=0o755), tree[other].number)
            else:
                del tree[other]


def follow(tree: Model, path: bytes, links: int = 0) -> bytes | None:
    """Where `path` leads to, inside the root; None if no directory is there. A path itself that nothing has."""
    if links > 20:
        return None
    at: list[bytes] = []
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    for number, part in enumerate(parts):
        if part == b"..":
            at = at[:-1]
            continue
        thing = tree.get(b"/".join([*at, part]))
        if thing is None:
            return None
        if thing.member.kind == "symlink":
            target = thing.member.target
            start = b"" if target.startswith(b"/") else b"/".join(at)
            return follow(tree, b"/".join([start, target, *parts[number + 1 :]]), links + 1)
        if thing.member.kind != "dir":
            return None
        at.append(part)
    return b"/".join(at)


def _remove(tree: Model, path: bytes) -> None:
    for other in [p for p in tree if p == path or p.startswith(path + b"/")]:
        del tree[other]


def _reach(tree: Model, path: bytes, number: int) -> bytes:
    """Make the directory that `path` leads to, one part after the other. A dangling link makes what it leads to."""
    for _ in range(100):
        found = follow(tree, path)
        if found is not None:
            return found
        missing = _first_missing(tree, path)
        assert missing not in tree, (path, missing)
        tree[missing] = Thing(Member(missing, "dir", mode=0o755), -number * 100 - len(tree))
    raise AssertionError(path)


def _first_missing(tree: Model, path: bytes, links: int = 0) -> bytes:
    assert links <= 20
    at: list[bytes] = []
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    for number, part in enumerate(parts):
        if part == b"..":
            at = at[:-1]
            continue
        here = b"/".join([*at, part])
        thing = tree.get(here)
        if thing is None or thing.member.kind not in ("dir", "symlink"):
            return here
        if thing.member.kind == "symlink":
            target = thing.member.target
            start = b"" if target.startswith(b"/") else b"/".join(at)
            return _first_missing(tree, b"/".join([start, target, *parts[number + 1 :]]), links + 1)
        at.append(part)
    raise AssertionError(path)


def _put(tree: Model, member: Member, number: int, own: set[bytes]) -> None:
    above, _, name = member.name.rpartition(b"/")
    directory = _reach(tree, above, number)
    path = directory + b"/" + name if directory else name
    old = tree.get(path)
    if member.kind == "link":
        above, _, name = member.target.rpartition(b"/")
        directory = follow(tree, above) or b""
        assert directory or not above
        target = directory + b"/" + name if directory else name
        thing = tree[target]
        assert thing.member.kind != "dir" and target != path
    elif old is not None and old.member.kind == "dir" and member.kind == "dir":
        thing = Thing(member, old.number)
    else:
        thing = Thing(member, number)
    if member.kind != "dir" or (old is not None and old.member.kind != "dir"):
        _remove(tree, path)
    tree[path] = thing
    own.add(path)


KINDS = {
    "file": Kind.FILE,
    "dir": Kind.DIRECTORY,
    "symlink": Kind.SYMLINK,
    "char": Kind.CHAR,
    "block": Kind.BLOCK,
    "fifo": Kind.FIFO,
}


def seen_in_model(tree: Model) -> Tree:
    found = {path: _seen_thing(thing.member) for path, thing in tree.items()}
    return with_names(found, {path: thing.number for path, thing in tree.items()})


def _seen_thing(member: Member) -> Seen:
    xattrs = tuple(
        sorted(
            (key.removeprefix("SCHILY.xattr.").encode(), value.encode())
            for key, value in member.pax.items()
            if key.startswith("SCHILY.xattr.")
        )
    )
    return Seen(
        KINDS[member.kind],
        0o777 if member.kind == "symlink" else member.mode,
        member.uid,
        member.gid,
        int(member.mtime * 1_000_000_000),
        len(member.data),
        summary(member.data),
        member.target if member.kind == "symlink" else b"",
        member.device,
        xattrs,
    )


def seen_in_tree(root: Node, sink: MemorySink) -> Tree:
    return seen_in_nodes(root, sink.contents)


def header(
    name: bytes,
    size: int | bytes = 0,
    flag: bytes = b"0",
    target: bytes = b"",
    *,
    mode: int | bytes = 0o644,
    uid: int | bytes = 0,
    gid: int | bytes = 0,
    mtime: int | bytes = 0,
    device: tuple[int, int] = (0, 0),
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    tail: bytes = b"",
    checksum: bytes | None = None,
) -> bytes:
    """One header block, right or wrong. Numbers that are given as bytes stand as they are; `tail` is what comes from
    offset 345 on."""
    fields = [
        name.ljust(100, b"\0"),
        octal(mode, 8),
        octal(uid, 8),
        octal(gid, 8),
        octal(size, 12),
        octal(mtime, 12),
        b" " * 8,
        flag,
        target.ljust(100, b"\0"),
        magic,
        bytes(64),
        octal(device[0], 8),
        octal(device[1], 8),
        (tail or prefix.ljust(155, b"\0")).ljust(167, b"\0"),
    ]
    block = b"".join(fields)
    assert len(block) == 512, len(block)
    return block[:148] + (checksum or b"%06o\0 " % sum(block)) + block[156:]


def mended(block: bytes) -> bytes:
    """With the right checksum, if it looks like a header: what is damaged otherwise gets past that."""
    if len(block) < 512 or block[257:262] != b"ustar":
        return block
    return block[:148] + b"%06o\0 " % (sum(block) - sum(block[148:156]) + 8 * 0x20) + block[156:]


def octal(value: int | bytes, width: int) -> bytes:
    return value if isinstance(value, bytes) else b"%0*o\0" % (width - 1, value)


def base256(value: int, width: int) -> bytes:
    """GNU's form of a number, negative or too large for octal digits."""
    return ((value & ((1 << (8 * width - 1)) - 1)) | 1 << (8 * width - 1)).to_bytes(width, "big")


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes) -> bytes:
    """One record of an extended header."""
    length = len(key) + len(value) + 3
    while len(b"%d" % length) + len(key) + len(value) + 3 != length:
        length = len(b"%d" % length) + len(key) + len(value) + 3
    return b"%d %s=%s\n" % (length, key, value)


def extended(*records: tuple[bytes, bytes], flag: bytes = b"x") -> bytes:
    data = b"".join(record(*pair) for pair in records)
    return header(b"extended", len(data), flag) + padded(data)


END = bytes(1024)
