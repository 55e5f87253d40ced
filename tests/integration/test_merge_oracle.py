"""The same layers, merged by us and extracted one after the other by others, compared name by name.

The others: umoci, and GNU tar with the whiteouts done by hand. And what is merged into an ext4 disk looks the same
when it is mounted. All of it needs root: the others make devices and set owners.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from banger.images.disks.ext4.writer import Ext4Writer
from banger.images.disks.merge import LayerInput, merge_layers
from tests.support.layers import Member, MemorySink, digest, extract, layer_of, seen_in_tree, tar_of
from tests.support.oracle import Tree, differences, seen_in_directory

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CAPABILITY = b"\1\0\0\2\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
TEXT = bytes(range(256)) * 40


@pytest.fixture(autouse=True)
def needs_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("capability missing: root: other engines make devices and set owners")


def need_tool(name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"capability missing: {name}")


def run(*argv: str | Path, data: bytes | None = None) -> None:
    done = subprocess.run(argv, input=data, capture_output=True, check=False)
    assert done.returncode == 0, (argv, done.stderr.decode(errors="replace")[-2000:])


def folder(name: bytes, mode: int = 0o755, mtime: float = 1e9, uid: int = 0) -> Member:
    return Member(name, "dir", mode=mode, mtime=mtime, uid=uid)


def base() -> list[Member]:
    return [
        folder(b"./", 0o755),
        folder(b"bin", 0o755),
        Member(b"bin/tool", data=TEXT, mode=0o4755, uid=0, gid=7, mtime=1_600_000_000.25),
        Member(b"bin/again", "link", target=b"bin/tool"),
        Member(b"bin/alias", "symlink", target=b"tool"),
        Member(b"bin/broken", "symlink", target=b"../no/where\xff", uid=5, mtime=3),
        folder(b"dev", 0o755),
        Member(b"dev/null", "char", device=(1, 3), mode=0o666),
        Member(b"dev/disk", "block", device=(259, 300), mode=0o660, gid=6),
        Member(b"dev/pipe", "fifo", mode=0o600, mtime=-7.5),
        folder(b"etc", 0o755, uid=9),
        Member(b"etc/empty", mtime=1),
        Member(b"etc/early", data=b"before 1970", mtime=-123456.5),
        Member(b"etc/owned", data=b"x", uid=4_000_000_000, gid=4_000_000_001, mode=0o640),
        folder(b"names"),
        *(
            Member(b"names/" + name, data=name)
            for name in (b"new\nline", b"\xff\xfe", b"'\"\\", b"\x01\x7f", b"n" * 255)
        ),
        folder(b"old"),
        folder(b"old/deep"),
        Member(b"old/deep/file", data=b"1"),
        Member(b"old/file", data=b"2"),
        folder(b"opaque", 0o700),
        Member(b"opaque/hidden", data=b"3"),
        Member(b"replaced", data=b"first"),
        Member(b"keeps", "link", target=b"replaced"),
        folder(b"becomes-file"),
        Member(b"becomes-file/x", data=b"4"),
        Member(b"becomes-folder", data=b"5"),
    ]


def upper() -> list[Member]:
    return [
        folder(b"etc", 0o711, 1.2e9),
        Member(b"etc/linked", "link", target=b"etc/owned"),
        folder(b"old", 0o750),
        Member(b"old/.wh.deep"),
        Member(b"old/new", data=b"6"),
        folder(b"opaque", 0o701),
        Member(b"opaque/.wh..wh..opq"),
        Member(b"opaque/shown", data=b"7"),
        Member(b"replaced", data=b"second", mode=0o600),
        Member(b"becomes-file", data=b"8"),
        folder(b"becomes-folder", 0o777),
        Member(b"becomes-folder/y", data=b"9"),
        Member(b".wh.keeps"),
    ]


def top() -> list[Member]:
    return [
        Member(b".wh.replaced"),
        folder(b"old", 0o755),
        Member(b"old/again", "link", target=b"old/new"),
        Member(b"old/new", data=b"newer"),
        Member(b"bin/tool", "symlink", target=b"/elsewhere"),
    ]


def members_in(directory: Path) -> bytes:
    """A layer made by GNU tar: attributes, capabilities, holes in each of its forms, long names."""
    source = directory / "source"
    source.mkdir()
    (source / ("long" * 40)).mkdir()
    plain = source / ("long" * 40) / ("name" * 30)
    plain.write_bytes(TEXT)
    os.setxattr(plain, "user.text", b"with = and\n")
    os.setxattr(plain, "user.bytes", bytes(range(256)))
    os.setxattr(plain, "security.capability", CAPABILITY)
    os.setxattr(source, "user.root", b"1")
    with open(source / "holes", "wb") as file:
        for at in range(20):
            file.seek(at * 300_000)
            file.write(b"data %d" % at)
        file.truncate(9_000_000)
    with open(source / "nothing", "wb") as file:
        file.truncate(70_000)
    return source.name.encode()


GNU_FORMS = [
    ["--format=gnu", "--sparse"],
    ["--format=posix", "--sparse", "--sparse-version=0.0", "--xattrs", "--xattrs-include=*"],
    ["--format=posix", "--sparse", "--sparse-version=0.1", "--xattrs", "--xattrs-include=*"],
    ["--format=posix", "--sparse", "--sparse-version=1.0", "--xattrs", "--xattrs-include=*"],
]


def merged(layers: Sequence[LayerInput]) -> Tree:
    sink = MemorySink()
    return seen_in_tree(merge_layers(layers, sink), sink)


def unpack_with_umoci(layers: Sequence[LayerInput], work: Path) -> Path:
    need_tool("umoci")
    layout = work / "layout"
    write_layout(layers, layout)
    run("umoci", "unpack", "--image", f"{layout}:it", work / "bundle")
    return work / "bundle" / "rootfs"


def write_layout(layers: Sequence[LayerInput], layout: Path) -> None:
    blobs = layout / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(document: object) -> tuple[str, int]:
        data = json.dumps(document).encode()
        (blobs / digest(data).partition(":")[2]).write_bytes(data)
        return digest(data), len(data)

    def descriptor(kind: str, placed: tuple[str, int]) -> dict[str, object]:
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": placed[0], "size": placed[1]}

    listed = []
    for layer in layers:
        shutil.copyfile(layer.path, blobs / layer.digest.partition(":")[2])
        kind = "layer.v1.tar" + ("+gzip" if layer.digest != layer.diff_id else "")
        listed.append(descriptor(kind, (layer.digest, layer.path.stat().st_size)))
    config = put(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created_by": "test"} for _ in layers],
        }
    )
    manifest = put({"schemaVersion": 2, "config": descriptor("config.v1+json", config), "layers": listed})
    entry = descriptor("manifest.v1+json", manifest)
    entry["annotations"] = {"org.opencontainers.image.ref.name": "it"}
    (layout / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (layout / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')


def unpack_with_tar(layers: Sequence[LayerInput], work: Path) -> Path:
    """Whiteouts first, then GNU tar; its own file system has the last word."""
    need_tool("tar")
    root = work / "root"
    root.mkdir(parents=True)
    for layer in layers:
        make_room(os.fsencode(root), layer)
        flags = ["--xattrs", "--xattrs-include=*", "--numeric-owner", "--same-owner", "-p", "--exclude=.wh.*"]
        run("tar", "-C", root, *flags, "-xf", layer.path)
    return root


def make_room(root: bytes, layer: LayerInput) -> None:
    """Remove what the layer hides, and directories where it has something else, which tar would not."""
    with tarfile.open(layer.path, encoding="utf-8", errors="surrogateescape") as tar:
        listed = [(os.fsencode(info.name), info.isdir()) for info in tar]
    for name, _ in listed:
        apply_whiteout(root, name)
    for name, is_directory in listed:
        if os.path.isdir(root + b"/" + name) != is_directory:
            remove(root + b"/" + name)


def apply_whiteout(root: bytes, name: bytes) -> None:
    above, _, last = name.rpartition(b"/")
    directory = root + b"/" + above
    if last == b".wh..wh..opq" and os.path.isdir(directory):
        for child in os.listdir(directory):
            remove(directory + b"/" + child)
    elif last.startswith(b".wh."):
        remove(directory + b"/" + last[4:])


def remove(path: bytes) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


OTHERS = [unpack_with_umoci, unpack_with_tar]
Unpack = Callable[[Sequence[LayerInput], Path], Path]


@pytest.mark.parametrize("how", ["gzip", ""])
@pytest.mark.parametrize("unpack", OTHERS)
def test_an_image_of_everything_is_extracted_alike(unpack: Unpack, how: str, tmp_path: Path) -> None:
    layers = [layer_of(tar_of(members), tmp_path, how) for members in (base(), upper(), top())]
    found = seen_in_directory(unpack(layers, tmp_path / "work"))
    ours = merged(layers)
    # Directories without an entry of their own in the layer: extraction changes their times, the merge does not.
    ignore = {path: frozenset({"mtime_ns"}) for path in (b"", b"bin")}
    assert differences(ours, found, ignore) == []


@pytest.mark.parametrize("form", GNU_FORMS, ids=lambda form: " ".join(form))
@pytest.mark.parametrize("unpack", OTHERS)
def test_what_gnu_tar_makes_is_extracted_alike(unpack: Unpack, form: list[str], tmp_path: Path) -> None:
    need_tool("tar")
    if unpack is unpack_with_umoci and "--format=gnu" in form:
        pytest.skip("capability missing: another umoci: it does not know GNU's own form of sparse files")
    source = tmp_path / "source"
    try:
        members_in(tmp_path)
    except OSError as exc:
        pytest.skip(f"capability missing: a file system with extended attributes and capabilities: {exc}")
    run("tar", "-C", source, *form, "-cf", tmp_path / "layer.tar", ".")
    layers = [layer_of((tmp_path / "layer.tar").read_bytes(), tmp_path)]
    found = seen_in_directory(unpack(layers, tmp_path / "work"))
    # tar leaves a directory that was there as it was.
    ignore = {b"": frozenset({"mtime_ns", "xattrs"})} if unpack is unpack_with_tar else None
    assert differences(merged(layers), found, ignore) == []
    if "--xattrs" in form:
        assert differences(merged(layers), seen_in_directory(source)) == []


def through_links() -> list[list[list[Member]]]:
    """Images whose names go through links, each its layers."""
    tree = [folder(b"d", 0o711), Member(b"d/a", data=b"1"), Member(b"d/b", data=b"2")]
    link = Member(b"l", "symlink", target=b"d")
    inside = [link, Member(b"l/c", data=b"3"), Member(b"l/a", data=b"4"), Member(b"m", "link", target=b"l/b")]
    return [
        [[*tree, *inside]],
        [[*tree, link], inside[1:]],
        [[*tree, link], [Member(b"x", data=b"5")], [Member(b"m", "link", target=b"l/a"), Member(b"l/.wh.a")]],
        [[*tree, link], [Member(b"l/.wh..wh..opq"), Member(b"l/c", data=b"6")]],
        [tree, [link, Member(b"l/.wh.a")]],
        [[*tree, link], [folder(b"l"), Member(b"l/c", data=b"7")]],
        [[*tree, link], [folder(b"l/e", 0o700), Member(b"l/e/f", data=b"8")], [Member(b".wh.l")]],
        [[*tree, Member(b"l", "symlink", target=b"/../../d"), Member(b"l/c", data=b"9")]],
        [[*tree, Member(b"d/l", "symlink", target=b"../../../d"), Member(b"d/l/c", data=b"10")]],
        [[Member(b"l", "symlink", target=b"not/there"), Member(b"l/c", data=b"11")]],
        [[*tree, link, Member(b"k", "symlink", target=b"/l/./../l")], [Member(b"k/c", data=b"12")]],
        [[*tree, link, Member(b"k", "link", target=b"l")], [Member(b"k/c", data=b"13")]],
    ]


@pytest.mark.parametrize("image", through_links())
def test_names_through_links_are_extracted_alike(image: list[list[Member]], tmp_path: Path) -> None:
    layers = [layer_of(tar_of(members), tmp_path) for members in image]
    found = seen_in_directory(unpack_with_umoci(layers, tmp_path / "work"))
    ours = merged(layers)
    times = frozenset({"mtime_ns"})
    ignore = {path: times for path, seen in ours.items() if seen.kind.name == "DIRECTORY"}
    assert differences(ours, found, ignore) == []


def random_image(chance: random.Random) -> list[list[Member]]:
    """Layers whose whiteouts come first and whose directories have entries, so that nobody's taste matters."""
    names = [b"a", b"b", b"c"]
    paths = [*names, *(x + b"/" + y for x in names for y in names), b"a/a/a", b"b/b/b", b"a/b/c"]
    layers: list[list[Member]] = []
    for _ in range(chance.randint(2, 4)):
        layer: list[Member] = []
        layers.append(layer)
        for _ in range(chance.randint(3, 14)):
            member = random_member(chance, chance.choice(paths), len(layers) * 100 + len(layer))
            tried = sorted([*layer, member], key=lambda m: b".wh." not in m.name)
            if any(m.name == member.name for m in layer) or not is_plain([*layers[:-1], tried]):
                continue
            layer[:] = tried
    return layers


def random_member(chance: random.Random, path: bytes, serial: int) -> Member:
    kind = chance.choice(["file", "file", "dir", "dir", "dir", "link", "symlink", "wh", "opq"])
    above, slash, name = path.rpartition(b"/")
    if kind == "wh":
        return Member(above + slash + b".wh." + name)
    if kind == "opq":
        return Member(above + slash + b".wh..wh..opq")
    target = chance.choice([b"a", b"b", b"c", b"a/a", b"b/b"]) if kind in ("link", "symlink") else b""
    data = b"%d" % serial if kind == "file" else b""
    mode = 0o777 if kind == "symlink" else chance.randrange(0o1000)
    return Member(path, kind, data, target, mode=mode, uid=serial, mtime=serial)


def is_plain(layers: list[list[Member]]) -> bool:
    """Whether it can be extracted in order, all whiteouts hit something, and no directory is only implied."""
    try:
        before = extract(layers[:-1])
        tree = extract(layers)
    except (AssertionError, KeyError):
        return False
    for member in layers[-1]:
        above, _, name = member.name.rpartition(b"/")
        if b".wh." in name and (above not in before or before[above].member.kind != "dir"):
            return False
        if name.startswith(b".wh.") and name[4:] in {m.name.rpartition(b"/")[2] for m in layers[-1]}:
            return False
        if member.kind == "link" and member.target == member.name:
            return False
        if member.kind != "dir" and any(m.name.startswith(member.name + b"/") for m in layers[-1]):
            return False
    return all(thing.number >= 0 for thing in tree.values())


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("unpack", OTHERS)
def test_random_images_are_extracted_alike(unpack: Unpack, seed: int, tmp_path: Path) -> None:
    image = random_image(random.Random(seed))
    layers = [layer_of(tar_of(members), tmp_path) for members in image]
    found = seen_in_directory(unpack(layers, tmp_path / "work"))
    ours = merged(layers)
    times = frozenset({"mtime_ns"})
    ignore = {path: times for path, seen in ours.items() if seen.kind.name == "DIRECTORY"}
    ignore[b""] = frozenset({"mtime_ns", "mode"})
    assert differences(ours, found, ignore) == []


@contextmanager
def mounted(disk: Path, place: Path) -> Iterator[Path]:
    place.mkdir()
    done = subprocess.run(
        ["mount", "-o", "loop,ro", disk, place], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"capability missing: loop mounts of ext4: {done.stderr.strip()}")
    try:
        yield place
    finally:
        run("umount", place)


def test_a_disk_looks_like_its_image(tmp_path: Path) -> None:
    need_tool("e2fsck")
    layers = [layer_of(tar_of(members), tmp_path, "gzip") for members in (base(), upper(), top())]
    disk = tmp_path / "disk"
    with Ext4Writer(disk, uuid=bytes(16), hash_seed=bytes(16)) as writer:
        writer.finish(merge_layers(layers, writer))
    run("e2fsck", "-fn", disk)
    with mounted(disk, tmp_path / "mnt") as place:
        found = seen_in_directory(place, leave_out=frozenset({b"lost+found"}))
    assert differences(merged(layers), found) == []
