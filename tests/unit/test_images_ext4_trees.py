"""Random trees, written and read back by a small reader of our own that shares no code with the writer."""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from banger.images.disks.ext4 import DiskInfo, Ext4Writer
from banger.images.disks.tree import Node
from banger.tar.kind import Kind

UUID, HASH_SEED = bytes(range(16)), bytes(range(16, 32))
FORMATS = {1: 0o100000, 2: 0o040000, 3: 0o020000, 4: 0o060000, 5: 0o010000, 6: 0o140000, 7: 0o120000}


PREFIXES = {1: b"user.", 4: b"trusted.", 6: b"security."}


@dataclass(eq=False)
class Recipe:
    """A node to be. `pieces` are data, or lengths of holes. One under several names is hard links."""

    kind: Kind
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    pieces: list[bytes | int] = field(default_factory=list)
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    children: dict[bytes, Recipe] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        return b"".join([bytes(p) if isinstance(p, int) else p for p in self.pieces])


class Seen(NamedTuple):
    """What a reader sees of a node; `mode` with the format."""

    mode: int
    uid: int
    gid: int
    mtime_ns: int
    links: int
    size: int
    content: bytes
    target: bytes
    device: tuple[int, int]
    xattrs: dict[bytes, bytes]


# What of a recipe is drawn.


def without_zeros(name: bytes) -> bytes:
    return name.replace(b"\0", b"\1").replace(b"/", b"\\")


NAMES = st.one_of(
    st.sampled_from([b"a\nb", b'"', b"'", b"\\", b"\x01\x7f", b" ", b"-", b"\xff\xfe", b"x" * 255, b"..."]),
    st.binary(min_size=1, max_size=40).map(without_zeros),
    st.binary(min_size=255, max_size=255).map(without_zeros),
).filter(lambda name: name not in (b".", b"..", b"lost+found"))
CAPABILITY = struct.pack("<I4I", 0x02000001, 0x2000, 0, 0, 0)
ACL = struct.pack("<I", 2) + b"".join(
    struct.pack("<HHI", *entry)
    for entry in (
        (1, 7, 0xFFFFFFFF),
        (2, 5, 1000),
        (2, 4, 100000),
        (4, 5, 0xFFFFFFFF),
        (8, 1, 50),
        (16, 7, 0xFFFFFFFF),
        (32, 0, 0xFFFFFFFF),
    )
)
# What the kernel gives back for any kind of file, and for files and directories only.
XATTRS = st.dictionaries(
    st.sampled_from([b"trusted.overlay.opaque", b"security.ima", b"trusted." + b"n" * 247, b"security.x"]),
    st.binary(max_size=600),
    max_size=3,
)
USER_XATTRS = st.dictionaries(
    st.binary(min_size=1, max_size=20).map(lambda name: b"user." + without_zeros(name)),
    st.one_of(st.binary(max_size=40), st.binary(min_size=300, max_size=300)),
    max_size=3,
)
ATTRIBUTES = {
    "mode": st.integers(0, 0o7777),
    "uid": st.one_of(st.integers(0, 70000), st.just(0xFFFFFFFE)),
    "gid": st.one_of(st.integers(0, 70000), st.just(0xFFFFFFFE)),
    "mtime_ns": st.integers(-(1 << 31) * 10**9, (3 * (1 << 32) - (1 << 31)) * 10**9 - 1),
}
PIECES = st.lists(
    st.one_of(
        st.binary(max_size=100),
        st.builds(lambda byte, count: bytes((byte,)) * count, st.integers(0, 255), st.integers(0, 20000)),
        st.integers(0, 30000),
    ),
    max_size=12,
)
FILES = st.builds(
    lambda first, second, extra, **rest: Recipe(Kind.FILE, xattrs={**first, **second, **extra}, **rest),
    XATTRS,
    USER_XATTRS,
    st.sampled_from([{}, {b"security.capability": CAPABILITY}, {b"system.posix_acl_access": ACL}]),
    pieces=PIECES,
    **ATTRIBUTES,
)
OTHERS = st.one_of(
    st.builds(
        lambda byte, length, **rest: Recipe(Kind.SYMLINK, target=bytes((byte,)) * length, **rest),
        st.integers(1, 255),
        st.one_of(st.integers(1, 70), st.just(4095)),
        xattrs=XATTRS,
        **ATTRIBUTES,
    ),
    st.builds(
        Recipe,
        st.sampled_from([Kind.CHAR, Kind.BLOCK]),
        device=st.tuples(st.integers(0, 4095), st.integers(0, (1 << 20) - 1)),
        xattrs=XATTRS,
        **ATTRIBUTES,
    ),
    st.builds(Recipe, st.sampled_from([Kind.FIFO, Kind.SOCKET]), xattrs=XATTRS, **ATTRIBUTES),
)


def directories(children: st.SearchStrategy[Recipe]) -> st.SearchStrategy[Recipe]:
    return st.builds(
        lambda first, second, extra, **rest: Recipe(
            Kind.DIRECTORY, xattrs={**first, **second, **extra}, **rest
        ),
        XATTRS,
        USER_XATTRS,
        st.sampled_from([{}, {b"system.posix_acl_default": ACL, b"system.posix_acl_access": ACL}]),
        children=st.dictionaries(NAMES, children, max_size=8),
        **ATTRIBUTES,
    )


@st.composite
def trees(draw: st.DrawFn) -> Recipe:
    """A root; some files have several names, one directory may have many entries."""
    nodes = st.recursive(st.one_of(FILES, OTHERS), directories, max_leaves=25)
    root = draw(directories(nodes))
    found = list(walk(root))
    files = [node for node in found if node.kind is not Kind.DIRECTORY]
    places = [node for node in found if node.kind is Kind.DIRECTORY]
    if files:
        for number in range(draw(st.integers(0, 5))):
            place, file = draw(st.sampled_from(places)), draw(st.sampled_from(files))
            place.children[b"hard link %d" % number] = file
    crowd = draw(st.sampled_from([0, 0, 0, 15, 200, 2000]))
    length = draw(st.sampled_from([8, 31, 32, 33, 64, 255]))
    draw(st.sampled_from(places)).children.update(
        {(b"%08d" % number).ljust(length, b"\xe9"): Recipe(Kind.FILE) for number in range(crowd)}
    )
    return root


def walk(recipe: Recipe) -> Iterator[Recipe]:
    yield recipe
    for child in recipe.children.values():
        yield from walk(child)


# How a recipe is written, and what should be seen afterwards.


def write_recipe(
    recipe: Recipe, place: Path, backwards: bool = False, **options: int | None
) -> tuple[DiskInfo, Node]:
    place.unlink(missing_ok=True)
    with Ext4Writer(place, uuid=UUID, hash_seed=HASH_SEED) as writer:
        root = make_node(recipe, writer, {}, backwards)
        return writer.finish(root, **options), root


def make_node(recipe: Recipe, writer: Ext4Writer, made: dict[Recipe, Node], backwards: bool) -> Node:
    if recipe in made:
        return made[recipe]
    node = Node(
        recipe.kind,
        recipe.mode,
        recipe.uid,
        recipe.gid,
        recipe.mtime_ns,
        target=recipe.target,
        device=recipe.device,
        xattrs=recipe.xattrs or None,
    )
    made[recipe] = node
    if recipe.kind is Kind.FILE:
        node.size, node.extents = write_pieces(recipe.pieces, writer)
    if recipe.kind is Kind.DIRECTORY:
        # Data comes in one order, names in any.
        children = [
            (n, make_node(c, writer, made, backwards)) for n, c in sorted(recipe.children.items(), key=first)
        ]
        node.children.update(reversed(children) if backwards else children)
    return node


def first(pair: tuple[bytes, Recipe]) -> bytes:
    return pair[0]


def write_pieces(pieces: list[bytes | int], writer: Ext4Writer) -> tuple[int, bytes]:
    if len(pieces) == 1 and isinstance(pieces[0], bytes):
        return len(pieces[0]), writer.add_file(pieces[0])
    writer.begin_file()
    for piece in pieces:
        if isinstance(piece, int):
            writer.skip_hole(piece)
        else:
            writer.append(memoryview(piece))
    return writer.end_file()


def expected(root: Recipe) -> dict[bytes, Seen]:
    """By path; the root is b"". A directory's size is the writer's affair: 0 here."""
    found: dict[bytes, Recipe] = {}
    waiting = [(b"", root)]
    while waiting:
        path, recipe = waiting.pop()
        found[path] = recipe
        waiting += [(path + b"/" + name, child) for name, child in recipe.children.items()]
    if b"/lost+found" not in found:
        found[b"/lost+found"] = Recipe(Kind.DIRECTORY, 0o700, mtime_ns=root.mtime_ns)
    links: dict[Recipe, int] = {}
    for recipe in found.values():
        links[recipe] = links.get(recipe, 0) + 1
    return {path: seen(recipe, links[recipe], recipe is root) for path, recipe in found.items()}


def seen(recipe: Recipe, links: int, is_root: bool) -> Seen:
    if recipe.kind is Kind.DIRECTORY:
        links = 2 + sum(child.kind is Kind.DIRECTORY for child in recipe.children.values())
        links += is_root and b"lost+found" not in recipe.children
    content = recipe.content
    return Seen(
        mode=FORMATS[recipe.kind] | recipe.mode,
        uid=recipe.uid,
        gid=recipe.gid,
        mtime_ns=recipe.mtime_ns,
        links=links,
        size=len(content) or len(recipe.target),
        content=content,
        target=recipe.target,
        device=recipe.device,
        xattrs=recipe.xattrs,
    )


class Reader:
    """As much of ext4 as the writer uses, read straight from a file. Open until the end of its block."""

    def __init__(self, place: Path) -> None:
        with open(place, "rb") as file:
            self.bytes = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self._per_group = self.number(1024 + 40, 4)

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.bytes.close()

    def number(self, at: int, size: int, high_at: int = 0) -> int:
        low = int.from_bytes(self.bytes[at : at + size], "little")
        return (
            low | int.from_bytes(self.bytes[high_at : high_at + size], "little") << 8 * size
            if high_at
            else low
        )

    def tree(self) -> dict[bytes, Seen]:
        found: dict[bytes, Seen] = {}
        waiting = [(b"", 2)]
        while waiting:
            path, ino = waiting.pop()
            found[path] = self.node(ino)
            if found[path].mode >> 12 == 4:
                waiting += [(path + b"/" + name, number) for name, number in self.entries(ino)]
        return found

    def inode_at(self, ino: int) -> int:
        group, index = divmod(ino - 1, self._per_group)
        at = 4096 + 64 * group
        return self.number(at + 8, 4, at + 40) * 4096 + index * 256

    def node(self, ino: int) -> Seen:
        at = self.inode_at(ino)
        mode = self.number(at, 2)
        size = self.number(at + 4, 4, at + 108)
        seconds = struct.unpack("<i", self.bytes[at + 16 : at + 20])[0]
        extra = self.number(at + 136, 4)
        is_link, is_file = mode >> 12 == 0o12, mode >> 12 == 0o10
        data = (
            self.data(at, size)
            if is_file or (is_link and size >= 60)
            else self.bytes[at + 40 : at + 40 + size]
        )
        return Seen(
            mode=mode,
            uid=self.number(at + 2, 2, at + 120),
            gid=self.number(at + 24, 2, at + 122),
            mtime_ns=(seconds + ((extra & 3) << 32)) * 10**9 + (extra >> 2),
            links=self.number(at + 26, 2),
            size=size if is_file or is_link else 0,
            content=data if is_file else b"",
            target=data if is_link else b"",
            device=self.device(at) if mode >> 12 in (2, 6) else (0, 0),
            xattrs=self.attributes(at),
        )

    def device(self, at: int) -> tuple[int, int]:
        old, new = self.number(at + 40, 4), self.number(at + 44, 4)
        return (old >> 8, old & 255) if old else (new >> 8 & 0xFFF, new & 255 | new >> 12 & 0xFFF00)

    def data(self, inode: int, size: int) -> bytes:
        content = bytearray((size + 4095) // 4096 * 4096)
        for logical, physical, count in self.extents(inode + 40):
            content[logical * 4096 : (logical + count) * 4096] = self.bytes[
                physical * 4096 : (physical + count) * 4096
            ]
        assert not any(content[size:])
        return bytes(content[:size])

    def extents(self, at: int) -> Iterator[tuple[int, int, int]]:
        magic, count, _, depth = struct.unpack("<4H", self.bytes[at : at + 8])
        assert magic == 0xF30A
        for record in range(at + 12, at + 12 + 12 * count, 12):
            if depth:
                yield from self.extents(self.number(record + 4, 4) * 4096)
            else:
                yield self.number(record, 4), self.number(record + 8, 4), self.number(record + 4, 2)

    def entries(self, ino: int) -> Iterator[tuple[bytes, int]]:
        at = self.inode_at(ino)
        data = self.data(at, self.number(at + 4, 4))
        position, names = 0, []
        while position < len(data):
            number, length, size, kind = struct.unpack_from("<IHBB", data, position)
            if number:
                name = data[position + 8 : position + 8 + size]
                assert FORMATS[kind] >> 12 == self.number(self.inode_at(number), 2) >> 12
                names.append((name, number))
            position += length
        assert [name for name, _ in names[:2]] == [b".", b".."] and names[0][1] == ino
        yield from names[2:]

    def attributes(self, inode: int) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        if self.number(inode + 160, 4) == 0xEA020000:
            found |= self.attribute_list(inode + 164, inode + 164)
        block = self.number(inode + 104, 4) * 4096
        if block:
            found |= self.attribute_list(block + 32, block)
        return found

    def attribute_list(self, at: int, base: int) -> dict[bytes, bytes]:
        found = {}
        while self.number(at, 4):
            length, prefix, offset, _, size = struct.unpack("<BBHII", self.bytes[at : at + 12])
            name = self.bytes[at + 16 : at + 16 + length]
            value = self.bytes[base + offset : base + offset + size]
            if prefix in (2, 3):
                found[b"system.posix_acl_" + (b"access", b"default")[prefix - 2]] = self.acl(value)
            else:
                found[PREFIXES[prefix] + name] = value
            at += (16 + length + 3) & -4
        return found

    def acl(self, stored: bytes) -> bytes:
        given, at = struct.pack("<I", 2), 4
        while at < len(stored):
            tag, permissions = struct.unpack_from("<HH", stored, at)
            has_id = tag in (2, 8)
            number = struct.unpack_from("<I", stored, at + 4)[0] if has_id else 0xFFFFFFFF
            given += struct.pack("<HHI", tag, permissions, number)
            at += 8 if has_id else 4
        return given


def differences(wanted: dict[bytes, Seen], found: dict[bytes, Seen]) -> list[str]:
    """A line for each; short, whatever the contents are."""
    lines = [f"{path!r} is missing" for path in wanted.keys() - found.keys()]
    lines += [f"{path!r} is too much" for path in found.keys() - wanted.keys()]
    for path in wanted.keys() & found.keys():
        for name, one, other in zip(Seen._fields, wanted[path], found[path], strict=True):
            if one != other:
                lines.append(f"{path!r}: {name} is {other!r:.200}, not {one!r:.200}")
    return sorted(lines)


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ext4") / "disk"


QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
EVERYTHING = Recipe(
    Kind.DIRECTORY,
    0o1755,
    7,
    8,
    -1,
    {b"user.root": b"yes"},
    children={
        b"lost+found": Recipe(Kind.DIRECTORY, 0o711, 5),
        b"holes": Recipe(Kind.FILE, pieces=[100, b"x", 10000, b"y" * 5000, 1 << 20, b"z", 4096]),
        b"pieces": Recipe(Kind.FILE, pieces=[b"p", 4096] * 800),
        b"capable": Recipe(Kind.FILE, 0o4755, xattrs={b"security.capability": CAPABILITY}),
        b"null": Recipe(Kind.CHAR, device=(1, 3)),
        b"\xff\n'\"": Recipe(Kind.SYMLINK, 0o777, target=b"t" * 60),
    },
)


@given(trees())
@example(EVERYTHING)
@QUICK
def test_what_was_asked_for_is_there(disk: Path, recipe: Recipe) -> None:
    write_recipe(recipe, disk, headroom_bytes=0)
    with Reader(disk) as reader:
        assert differences(expected(recipe), reader.tree()) == []


@given(trees())
@settings(QUICK, max_examples=15)
def test_the_same_tree_is_the_same_disk_whatever_the_order_of_its_names(disk: Path, recipe: Recipe) -> None:
    forwards, root = write_recipe(recipe, disk)
    bytes_forwards = stored_bytes(disk)
    assert write_recipe(recipe, disk, backwards=True)[0] == forwards
    assert stored_bytes(disk) == bytes_forwards
    assert root.ino == 0


def stored_bytes(place: Path) -> bytes:
    """The parts of a sparse file that are not zeros, with their places."""
    found, end = [], 0
    with open(place, "rb", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        while end < size:
            try:
                start = file.seek(end, os.SEEK_DATA)
            except OSError:  # nothing but holes
                break
            end = file.seek(start, os.SEEK_HOLE)
            for at in range(start, end, 4096):
                block = os.pread(file.fileno(), 4096, at)
                if any(block):
                    found.append(b"%d:" % at + block)
    return b"".join([b"%d;" % size, *found])


def test_a_tree_can_be_written_twice(disk: Path) -> None:
    info, root = write_recipe(EVERYTHING, disk)
    once = stored_bytes(disk)
    again = disk.with_name("again")
    with Ext4Writer(again, uuid=UUID, hash_seed=HASH_SEED) as writer:
        for _, recipe in sorted(EVERYTHING.children.items(), key=first):
            if recipe.kind is Kind.FILE:
                write_pieces(recipe.pieces, writer)
        assert writer.finish(root) == info
    assert stored_bytes(again) == once


@pytest.mark.parametrize(("uuid", "hash_seed"), [(bytes(16), HASH_SEED), (UUID, bytes(16))])
def test_uuid_and_hash_seed_are_the_callers(disk: Path, uuid: bytes, hash_seed: bytes) -> None:
    write_recipe(EVERYTHING, disk)
    before = stored_bytes(disk)
    disk.unlink()
    with Ext4Writer(disk, uuid=uuid, hash_seed=hash_seed) as writer:
        writer.finish(make_node(EVERYTHING, writer, {}, False))
    assert stored_bytes(disk) != before
