"""The ext4 writer's parts: hashes, lists, places, sizes, limits."""

from __future__ import annotations

import os
import random
import struct
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from banger.errors import Error
from banger.host.fs import Spare
from banger.images.disks.ext4 import DiskInfo, Ext4Writer, can_store
from banger.images.disks.ext4.acl import store_acl
from banger.images.disks.ext4.bitmaps import BlockMap
from banger.images.disks.ext4.extents import build_tree, pack_extent, pack_run, unpack_extents
from banger.images.disks.ext4.journal import journal_i_block, plan_journal
from banger.images.disks.ext4.layout import BLOCK, BLOCKS_PER_GROUP, Heads, group_has_head, plan_heads
from banger.images.disks.ext4.namehash import hash_names
from banger.images.disks.ext4.plan import plan_disk
from banger.images.disks.ext4.punch import _write_zeros
from banger.images.disks.ext4.stream import BlockStream
from banger.images.disks.ext4.xattr import INLINE_BYTES, split_attributes
from banger.images.disks.tree import Node, path_of
from banger.model.sizes import GIB, MIB, TIB
from banger.tar.kind import Kind

UUID, HASH_SEED = bytes(range(16)), bytes(range(16, 32))


def directory(**children: Node) -> Node:
    node = Node(Kind.DIRECTORY, 0o755)
    node.children.update({name.encode(): child for name, child in children.items()})
    return node


def finish(place: Path, root: Node, **options: int | None) -> DiskInfo:
    with Ext4Writer(place, uuid=UUID, hash_seed=HASH_SEED) as writer:
        return writer.finish(root, **options)


# Names' hashes. The values are those of `debugfs -R "dx_hash -h half_md4 -s ..."`.


@pytest.mark.parametrize(
    ("name", "major", "minor"),
    [
        (b"a", 0x9375F05E, 0x3714D04B),
        (b"hello.txt", 0xE84F2764, 0xAAC9D184),
        (b"x" * 31, 0xC985E2B6, 0x4B626B8C),
        (b"y" * 32, 0x1B2B918A, 0xA63F57FC),
        (b"z" * 33, 0x61FF9A3A, 0x10C0E813),
        (b"n" * 255, 0x5EDD2BD8, 0x642ABAF8),
    ],
)
def test_a_name_hashes_as_e2fsprogs_says(name: bytes, major: int, minor: int) -> None:
    assert hash_names([name], HASH_SEED) == [major << 32 | minor]


@given(st.lists(st.binary(min_size=1, max_size=255), max_size=40))
def test_names_hash_alike_alone_and_together(names: list[bytes]) -> None:
    together = hash_names(names, HASH_SEED)
    assert together == [hash_names([name], HASH_SEED)[0] for name in names]
    assert not any(value >> 32 & 1 for value in together)


def test_no_seed_is_md4s_own_start() -> None:
    start = struct.pack("<4I", 0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
    assert hash_names([b"name"], bytes(16)) == hash_names([b"name"], start)


# Extended attributes.


@pytest.mark.parametrize(
    ("name", "stored"),
    [
        (b"user.x", True),
        (b"security.capability", True),
        (b"trusted." + b"n" * 255, True),
        (b"trusted." + b"n" * 256, False),
        (b"system.posix_acl_access", True),
        (b"system.posix_acl_default", True),
        (b"system.other", False),
        (b"user.", False),
        (b"user", False),
        (b"com.apple.quarantine", False),
        (b"", False),
    ],
)
def test_which_attributes_have_a_place(name: bytes, stored: bool) -> None:
    assert can_store(name) == stored


def test_small_attributes_are_in_the_inode_and_the_rest_in_the_block() -> None:
    split = split_attributes({b"security.capability": bytes(20), b"user.long": bytes(200), b"user.a": b"1"})
    assert len(split.inline) == INLINE_BYTES
    assert [(a.prefix, a.name) for a in split.rest] == [(1, b"long")]
    assert split_attributes({}).inline == b""


@pytest.mark.parametrize(
    "xattrs",
    [
        {b"user.x": bytes(4096)},
        {b"user.%d" % i: bytes(1000) for i in range(5)},
        {b"other.x": b""},
        {b"system.posix_acl_access": b"not a list"},
    ],
)
def test_attributes_that_do_not_fit_are_refused_by_path(tmp_path: Path, xattrs: dict[bytes, bytes]) -> None:
    root = directory(etc=directory(file=Node(Kind.FILE, 0o644, xattrs=xattrs)))
    with pytest.raises(Error) as caught:
        finish(tmp_path / "disk", root)
    assert caught.value.code == "image_build_failed" and caught.value.details == {"path": "/etc/file"}


ACL_HEAD = struct.pack("<I", 2)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        ACL_HEAD,
        ACL_HEAD + bytes(7),
        ACL_HEAD + struct.pack("<HHI", 3, 7, 0),
        struct.pack("<IHHI", 1, 1, 7, 0),
    ],
)
def test_what_is_no_access_list_is_not_stored(value: bytes) -> None:
    assert store_acl(value) is None


def test_an_access_list_loses_the_ids_that_mean_nothing() -> None:
    given = ACL_HEAD + struct.pack("<HHIHHI", 1, 7, 0xFFFFFFFF, 2, 5, 1000)
    assert store_acl(given) == struct.pack("<IHHHHI", 1, 1, 7, 2, 5, 1000)


# Extents and the stream of blocks.


def test_a_long_run_is_cut_into_extents_that_ext4_can_count() -> None:
    runs = unpack_extents(pack_run(10, 1 << 33, 70000))
    assert runs == [(10, 1 << 33, 32768), (32778, (1 << 33) + 32768, 32768), (65546, (1 << 33) + 65536, 4464)]


@pytest.mark.parametrize(
    ("count", "blocks"), [(5, 1), (340, 1), (341, 2), (1360, 4), (1361, 5 + 1), (400_000, 1181)]
)
def test_many_extents_make_a_tree(count: int, blocks: int) -> None:
    extents = b"".join([pack_extent(2 * i, 1, 3 * i + 1) for i in range(count)])
    written: list[bytes] = []

    def put(block: bytes) -> int:
        written.append(block)
        return len(written) - 1

    def read(node: bytes) -> list[tuple[int, int, int]]:
        magic, records, room, depth = struct.unpack_from("<4H", node)
        assert magic == 0xF30A and records <= room
        body = node[12 : 12 + 12 * records]
        if not depth:
            return unpack_extents(body)
        return [leaf for _, place, _, _ in struct.iter_unpack("<IIHH", body) for leaf in read(written[place])]

    i_block, used = build_tree(extents, 0, put)
    assert len(i_block) == 60 and used == blocks == len(written)
    assert read(i_block) == unpack_extents(extents)


PIECES = st.lists(
    st.tuples(st.booleans(), st.one_of(st.integers(0, 9000), st.sampled_from([4096, 300_000, 1 << 20]))),
    max_size=12,
)


@settings(deadline=None)
@given(st.lists(PIECES, max_size=4))
def test_data_is_where_its_extents_say(files: list[list[tuple[bool, int]]]) -> None:
    fd = os.memfd_create("disk")
    try:
        stream = BlockStream(fd, Heads(1), Spare(fd, 0, "it"))
        written: list[tuple[bytes, bytes]] = []
        for number, pieces in enumerate(files, 1):
            content = bytearray()
            stream.begin()
            for is_hole, length in pieces:
                stream.skip(length) if is_hole else stream.append(bytes((number,)) * length)
                content += bytes((0 if is_hole else number,)) * length
            size, extents = stream.end()
            assert size == len(content)
            written += [(bytes(content), extents), (b"whole", stream.add(b"whole"))]
        stream.flush()
        for expected, extents in written:
            assert read_extents(fd, extents, len(expected)) == expected
    finally:
        os.close(fd)


def read_extents(fd: int, extents: bytes, size: int) -> bytes:
    content = bytearray(-(-size // BLOCK) * BLOCK)
    for logical, physical, count in unpack_extents(extents):
        data = os.pread(fd, count * BLOCK, physical * BLOCK)
        content[logical * BLOCK : logical * BLOCK + len(data)] = data
    return bytes(content[:size])


def test_heads_are_left_out_of_a_large_file(tmp_path: Path) -> None:
    with open(tmp_path / "disk", "w+b") as file:
        stream = BlockStream(file.fileno(), Heads(3), Spare(file.fileno(), 0, "it"))
        before = stream.add(b"x" * BLOCK)
        stream.begin()
        for number in range(130):
            stream.append(bytes((number + 1,)) * MIB)
        size, extents = stream.end()
        assert unpack_extents(before) == [(0, 4, 1)] and size == 130 * MIB
        assert unpack_extents(extents) == [(0, 5, 32763), (32763, 32772, 517)]
        assert stream.next_block == 32772 + 517
        os.pwrite(file.fileno(), b"", 0)
        assert os.pread(file.fileno(), 1, 32772 * BLOCK) == bytes((32763 * BLOCK // MIB + 1,))


def test_a_file_can_be_16_tib_and_no_larger(tmp_path: Path) -> None:
    with Ext4Writer(tmp_path / "disk", uuid=UUID, hash_seed=HASH_SEED) as writer:
        writer.begin_file()
        writer.skip_hole(16 * TIB - BLOCK)
        assert writer.end_file() == (16 * TIB - BLOCK, b"")
        writer.begin_file()
        with pytest.raises(Error, match="larger than ext4 can hold"):
            writer.skip_hole(16 * TIB)
            writer.end_file()


def test_files_come_one_after_another(tmp_path: Path) -> None:
    with Ext4Writer(tmp_path / "disk", uuid=UUID, hash_seed=HASH_SEED) as writer:
        writer.begin_file()
        with pytest.raises(ValueError, match="already"):
            writer.begin_file()
        with pytest.raises(ValueError, match="already"):
            writer.add_file(b"x")


# Places and sizes.


def test_heads_are_where_sparse_super_has_them() -> None:
    assert [g for g in range(130) if group_has_head(g)] == [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]


@pytest.mark.parametrize(
    ("size", "blocks"), [(0, 1), (8 * GIB, 1), (8 * GIB + 1, 2), (TIB, 128), (100 * TIB, 1024)]
)
def test_heads_are_as_large_as_the_disk_may_grow(size: int, blocks: int) -> None:
    assert plan_heads(size).table_blocks == blocks


@given(
    streamed=st.integers(200, 3_000_000),
    inodes=st.integers(12, 3_000_000),
    extra=st.integers(0, 4_000_000),
)
def test_a_planned_disk_holds_everything_and_nothing_overlaps(streamed: int, inodes: int, extra: int) -> None:
    heads = plan_heads(TIB)
    streamed = heads.skip(streamed)
    plan = plan_disk(streamed, streamed, inodes, heads, None, extra * BLOCK)
    assert plan.fits and plan.inodes >= inodes and plan.blocks >= streamed + extra // 2
    assert plan.inodes_per_group % 16 == 0 and plan.inodes_per_group <= 32768
    runs = sorted([*plan.runs(), *((g * BLOCKS_PER_GROUP, heads.blocks) for g in plan.head_groups)])
    assert all(start + count <= following for (start, count), (following, _) in pairwise(runs))
    assert all(start >= streamed or start % BLOCKS_PER_GROUP == 0 for start, _ in runs)
    last = plan.blocks - (plan.groups - 1) * BLOCKS_PER_GROUP
    assert last > heads.blocks_in(plan.groups - 1)


@given(streamed=st.integers(200, 500_000), inodes=st.integers(12, 500_000))
@example(streamed=337_038, inodes=194_190)
def test_the_least_size_fits_and_a_block_less_does_not(streamed: int, inodes: int) -> None:
    heads = plan_heads(TIB)
    streamed = heads.skip(streamed)
    with pytest.raises(Error) as caught:
        plan_disk(streamed, streamed, inodes, heads, BLOCK, None)
    assert caught.value.code == "bad_size"
    least = caught.value.details["least_bytes"]
    assert isinstance(least, int) and f"{least} bytes" in caught.value.message
    assert plan_disk(streamed, streamed, inodes, heads, least, None).blocks * BLOCK == least
    with pytest.raises(Error, match=f"at least {least}"):
        plan_disk(streamed, streamed, inodes, heads, least - 1, None)


def test_an_explicit_size_is_the_size_of_the_file(tmp_path: Path) -> None:
    info = finish(tmp_path / "disk", directory(), size_bytes=3 * GIB + 512)
    assert info.size_bytes == (tmp_path / "disk").stat().st_size == 3 * GIB + 512
    assert (tmp_path / "disk").stat().st_blocks * 512 < MIB


def test_a_disk_too_large_to_be_described_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Error, match="larger than it was laid out") as caught:
        finish(tmp_path / "disk", directory(), size_bytes=2 * TIB)
    assert caught.value.code == "bad_size"


@pytest.mark.parametrize("size", [-1, 0, 1, 4095, 4096, MIB])
def test_a_size_that_nothing_fits_into_is_refused(tmp_path: Path, size: int) -> None:
    with pytest.raises(Error, match="is too small for this image") as caught:
        finish(tmp_path / "disk", directory(), size_bytes=size)
    least = caught.value.details["least_bytes"]
    assert isinstance(least, int) and 4 * MIB < least < 8 * MIB
    assert finish(tmp_path / "again", directory(), size_bytes=least).size_bytes == least


def test_more_head_room_than_any_disk_has_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Error, match="largest disk"):
        finish(tmp_path / "disk", directory(), headroom_bytes=1 << 60)


@pytest.mark.parametrize(
    ("size", "journal"), [(64 * MIB, 4 * MIB), (128 * MIB, 16 * MIB), (GIB, 32 * MIB), (TIB, 256 * MIB)]
)
def test_the_journal_grows_with_the_disk(size: int, journal: int) -> None:
    assert plan_journal(size // BLOCK) * BLOCK == journal


@settings(deadline=None)
@given(st.integers(200, 40_000_000))
def test_the_largest_journal_is_in_its_inode_wherever_it_is(start: int) -> None:
    heads = plan_heads(TIB)
    plan = plan_disk(heads.skip(start), start, 12, heads, 256 * GIB, None)
    assert plan.journal_blocks == 65536 and len(journal_i_block(plan.journal)) == 60


# Bitmaps.


def test_a_bitmap_says_what_is_used_heads_included() -> None:
    used = BlockMap(BLOCKS_PER_GROUP + 20, Heads(3))
    used.mark(5, 1)
    used.mark_extents(pack_extent(0, 2, BLOCKS_PER_GROUP + 6))
    assert used.bitmap(0, BLOCKS_PER_GROUP)[:2] == bytes((0b00101111, 0))
    second = used.bitmap(1, 16)
    assert second[:3] == bytes((0b11001111, 0, 0xFF)) and second.endswith(b"\xff")
    assert (used.used(0), used.used(1), used.marked) == (5, 6, 3)
    assert list(used.free_runs(0, 8)) == [(4, 1), (6, 2)]


def test_two_files_cannot_share_a_block(tmp_path: Path) -> None:
    with Ext4Writer(tmp_path / "disk", uuid=UUID, hash_seed=HASH_SEED) as writer:
        extents = writer.add_file(b"x")
        root = directory(**{name: Node(Kind.FILE, 0o644, size=1, extents=extents) for name in "ab"})
        with pytest.raises(ValueError, match="two files"):
            writer.finish(root)


# What no tree may hold.


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"a\0b", b"n" * 256])
def test_a_name_that_no_file_can_have_is_refused(tmp_path: Path, name: bytes) -> None:
    root = directory(sub=directory())
    root.children[b"sub"].children[name] = Node(Kind.FILE, 0o644)
    with pytest.raises(Error, match="/sub holds a name") as caught:
        finish(tmp_path / "disk", root)
    assert caught.value.code == "image_build_failed" and root.ino == 0


@pytest.mark.parametrize("target", [b"", b"t" * 4096, b"a\0b"])
def test_a_link_that_leads_nowhere_is_refused(tmp_path: Path, target: bytes) -> None:
    with pytest.raises(Error, match="/link is a symbolic link"):
        finish(tmp_path / "disk", directory(link=Node(Kind.SYMLINK, 0o777, target=target)))


@pytest.mark.parametrize("device", [(4096, 0), (0, 1 << 20), (-1, 0)])
def test_a_device_that_cannot_be_is_refused(tmp_path: Path, device: tuple[int, int]) -> None:
    with pytest.raises(Error, match="/tty is a device"):
        finish(tmp_path / "disk", directory(tty=Node(Kind.CHAR, 0o600, device=device)))


@pytest.mark.parametrize(("uid", "gid"), [(1 << 32, 0), (0, -1)])
def test_an_owner_that_cannot_be_is_refused(tmp_path: Path, uid: int, gid: int) -> None:
    with pytest.raises(Error, match="/file has impossible owners"):
        finish(tmp_path / "disk", directory(file=Node(Kind.FILE, 0o600, uid, gid)))


def test_a_directory_is_in_one_place(tmp_path: Path) -> None:
    shared = directory()
    with pytest.raises(Error, match="is a directory in two places"):
        finish(tmp_path / "disk", directory(one=shared, two=shared))
    shared.children[b"self"] = shared
    with pytest.raises(Error, match="is a directory in two places"):
        finish(tmp_path / "again", directory(one=shared))


def test_the_root_is_a_directory(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a directory"):
        finish(tmp_path / "disk", Node(Kind.FILE, 0o644))


def test_a_file_with_more_names_than_an_inode_can_have_is_there_more_than_once(tmp_path: Path) -> None:
    file, root = Node(Kind.FILE, 0o644), directory()
    root.children.update((b"%d" % i, file) for i in range(65000))
    assert finish(tmp_path / "disk", root).inodes_used == 12
    root.children.update((b"more %d" % i, file) for i in range(65001))
    assert finish(tmp_path / "again", root).inodes_used == 14
    assert len({id(node) for node in root.children.values() if node.kind is Kind.FILE}) == 3


def test_an_access_list_of_nothing_is_none(tmp_path: Path) -> None:
    for value in (b"", ACL_HEAD):
        names = (b"system.posix_acl_access", b"system.posix_acl_default")
        split = split_attributes(dict.fromkeys(names, value) | {b"user.a": b"1"})
        assert split == split_attributes({b"user.a": b"1"})


@pytest.mark.parametrize("seed", range(20))
def test_blocks_of_zeros_are_holes_however_they_come(seed: int, tmp_path: Path) -> None:
    """In pieces of any size; what is written is what is not zeros, each block once."""
    chance = random.Random(seed)
    content = b"".join(
        chance.choice([bytes(BLOCK), b"x" * BLOCK, b"\0" * 99 + b"y" * (BLOCK - 99)]) for _ in range(400)
    )
    content += bytes(chance.choice([0, 100])) + b"z" * chance.choice([0, 0, 7])
    full = [content[at : at + BLOCK] for at in range(0, len(content), BLOCK)]
    expected = sum(any(block) for block in full)
    with open(tmp_path / "disk", "w+b") as file:
        stream = BlockStream(file.fileno(), Heads(3), Spare(file.fileno(), 0, "it"))
        first = stream.next_block
        whole = stream.add(content)
        assert stream.next_block == first + expected
        stream.begin()
        at = 0
        while at < len(content):
            size = chance.choice([1, 511, BLOCK, 5000, 70_000, 300_000])
            stream.append(content[at : at + size])
            at += size
        assert stream.end()[0] == len(content)
        assert stream.next_block == first + 2 * expected
        copy = stream.add_copy(len(content), whole)
        assert stream.next_block == first + 3 * expected
        stream.flush()
        for extents in (whole, copy):
            found = bytearray(len(full) * BLOCK)
            for logical, physical, count in unpack_extents(extents):
                found[logical * BLOCK : (logical + count) * BLOCK] = os.pread(
                    file.fileno(), count * BLOCK, physical * BLOCK
                )
            assert found.rstrip(b"\0") == content.rstrip(b"\0")


# The file.


def test_what_the_tree_no_longer_names_is_gone(tmp_path: Path) -> None:
    place, secret = tmp_path / "disk", os.urandom(MIB)
    with Ext4Writer(place, uuid=UUID, hash_seed=HASH_SEED) as writer:
        kept = Node(Kind.FILE, 0o644, size=3, extents=writer.add_file(b"one"))
        writer.add_file(secret)
        last = Node(Kind.FILE, 0o644, size=5, extents=writer.add_file(b"three"))
        info = writer.finish(directory(kept=kept, last=last))
    assert secret[:4096] not in place.read_bytes()
    with Ext4Writer(tmp_path / "without", uuid=UUID, hash_seed=HASH_SEED) as writer:
        nodes = [Node(Kind.FILE, 0o644, size=len(d), extents=writer.add_file(d)) for d in (b"one", b"three")]
        assert writer.finish(directory(kept=nodes[0], last=nodes[1])).used_bytes == info.used_bytes


def test_zeros_are_written_where_holes_cannot_be_punched(tmp_path: Path) -> None:
    with open(tmp_path / "disk", "w+b", buffering=0) as file:
        file.write(b"x" * 3 * MIB)
        _write_zeros(file.fileno(), 100, 2 * MIB + 5)
    assert (tmp_path / "disk").read_bytes() == b"x" * 100 + bytes(2 * MIB + 5) + b"x" * (MIB - 105)


def test_a_descriptor_stays_the_callers(tmp_path: Path) -> None:
    with open(tmp_path / "disk", "w+b") as file:
        with Ext4Writer(file.fileno(), uuid=UUID, hash_seed=HASH_SEED) as writer:
            writer.finish(directory())
        assert os.pread(file.fileno(), 2, 1080) == b"\x53\xef"


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "disk").touch()
    with pytest.raises(FileExistsError):
        Ext4Writer(tmp_path / "disk", uuid=UUID, hash_seed=HASH_SEED)


def test_a_full_disk_has_a_name() -> None:
    with open("/dev/full", "wb", buffering=0) as full:
        writer = Ext4Writer(full.fileno(), uuid=UUID, hash_seed=HASH_SEED)
        writer.begin_file()
        with pytest.raises(Error) as caught:
            writer.append(b"x" * 2 * MIB)
    assert caught.value.code == "insufficient_disk"


def test_a_path_is_found_for_people() -> None:
    node = Node(Kind.FILE, 0o644)
    root = directory(a=directory(b=node))
    assert (path_of(root, node), path_of(root, root)) == ("/a/b", "/")
    assert path_of(root, Node(Kind.FILE, 0)) == "?"
