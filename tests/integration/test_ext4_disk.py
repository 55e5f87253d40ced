"""Disks of the ext4 writer, judged by e2fsck and by kernels: this host's through a loop device, a guest's in QEMU."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import random
import re
import stat
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings

from banger.agent.binary import agent_binary
from banger.errors import Error
from banger.host.cpu import architecture
from banger.host.paths import Paths
from banger.host.run import find_tool, have_tool
from banger.images.disks.ext4 import Ext4Writer
from banger.images.disks.tree import Node
from banger.kernels.initramfs import Entry, gather_entries, write_cpio
from banger.kernels.library import KernelLibrary
from banger.model.image import Kernel
from banger.model.sizes import GIB, KIB, MIB, TIB
from banger.tar.kind import Kind
from banger.vmm.qemu.argv import plan_command_line, plan_disk
from banger.vmm.qemu.driver import measure_tsc_khz
from bench.static import compile_static
from tests.integration.test_kernel_and_image import CACHE, FileRecords
from tests.support.reports import silent
from tests.unit.test_images_ext4_trees import (
    EVERYTHING,
    HASH_SEED,
    UUID,
    Recipe,
    Seen,
    differences,
    expected,
    trees,
    write_recipe,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

QUICK = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
HEAD_BYTES = 129 * 4096
_IOC_RESIZE_FS = 0x40086610


@pytest.fixture(scope="module", autouse=True)
def e2fsprogs() -> None:
    missing = [tool for tool in ("e2fsck", "dumpe2fs") if not have_tool(tool)]
    if missing:
        pytest.skip(f"capability missing: {', '.join(missing)}")


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("ext4") / "disk"


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where disks are mounted; skips where that cannot be done."""
    if os.geteuid() != 0:
        pytest.skip("capability missing: mounting a loop device needs root")
    if not Path("/dev/loop-control").exists():
        pytest.skip("capability missing: loop devices: /dev/loop-control does not exist")
    place = tmp_path_factory.mktemp("mount")
    probe = place.with_name("probe")
    write_recipe(Recipe(Kind.DIRECTORY), probe)
    mounted = subprocess.run(["mount", "-o", "loop,ro", probe, place], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"capability missing: loop devices cannot be mounted: {mounted.stderr.strip()}")
    subprocess.run(["umount", place], check=True)
    probe.unlink()
    return place


@contextmanager
def open_mount(disk: Path, place: Path, options: str = "ro") -> Iterator[bytes]:
    subprocess.run(["mount", "-t", "ext4", "-o", f"loop,{options}", disk, place], check=True)
    try:
        yield os.fsencode(place)
    finally:
        subprocess.run(["umount", place], check=True)


def check(disk: Path) -> None:
    done = subprocess.run([find_tool("e2fsck"), "-fn", disk], capture_output=True, timeout=200)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


def kernel_tree(root: bytes) -> dict[bytes, Seen]:
    """What the kernel sees, as the tests of the writer write it down."""
    found, waiting = {}, [b""]
    while waiting:
        path = waiting.pop()
        found[path] = kernel_node(root + path)
        if stat.S_ISDIR(found[path].mode):
            waiting += [path + b"/" + name for name in os.listdir(root + path)]
    return found


def kernel_node(path: bytes) -> Seen:
    info = os.lstat(path)
    is_file, is_link = stat.S_ISREG(info.st_mode), stat.S_ISLNK(info.st_mode)
    is_device = stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode)
    names = os.listxattr(path, follow_symlinks=False)
    return Seen(
        mode=info.st_mode,
        uid=info.st_uid,
        gid=info.st_gid,
        mtime_ns=info.st_mtime_ns,
        links=info.st_nlink,
        size=info.st_size if is_file or is_link else 0,
        content=Path(os.fsdecode(path)).read_bytes() if is_file else b"",
        target=os.readlink(path) if is_link else b"",
        device=(os.major(info.st_rdev), os.minor(info.st_rdev)) if is_device else (0, 0),
        xattrs={os.fsencode(name): os.getxattr(path, name, follow_symlinks=False) for name in names},
    )


# Any tree.


@given(trees())
@example(EVERYTHING)
@QUICK
def test_e2fsck_finds_nothing_in_any_tree(disk: Path, recipe: Recipe) -> None:
    write_recipe(recipe, disk)
    check(disk)


@given(trees())
@example(EVERYTHING)
@QUICK
def test_the_kernel_sees_what_was_asked_for(disk: Path, loop: Path, recipe: Recipe) -> None:
    write_recipe(recipe, disk)
    with open_mount(disk, loop) as root:
        assert differences(expected(recipe), kernel_tree(root)) == []


@given(trees())
@example(EVERYTHING)
@settings(QUICK, max_examples=10)
def test_a_disk_can_be_written_to(disk: Path, loop: Path, recipe: Recipe) -> None:
    write_recipe(recipe, disk)
    with open_mount(disk, loop, "rw") as root:
        for number in range(300):
            Path(os.fsdecode(root), f"new {number}").write_bytes(b"new" * number)
        for path in sorted(recipe.children)[:5]:
            if recipe.children[path].kind is not Kind.DIRECTORY:
                os.unlink(root + b"/" + path)
    check(disk)
    with open_mount(disk, loop, "rw") as root:
        assert Path(os.fsdecode(root), "new 299").read_bytes() == b"new" * 299
    check(disk)


# Directories.


def flat(count: int, pattern: str) -> Node:
    """A root with a directory "d" of so many empty files."""
    root, directory = Node(Kind.DIRECTORY, 0o755), Node(Kind.DIRECTORY, 0o755)
    root.children[b"d"] = directory
    for number in range(count):
        directory.children[pattern.format(number).encode("latin-1")] = Node(Kind.FILE, 0o644, uid=number)
    return root


@pytest.mark.parametrize(
    ("count", "pattern"),
    [
        (100_000, "a file with an ordinary name {:06}.py"),
        (12_000, "{:06}" + "\xe9" * 249),
        (339, "{:03}"),
        (340, "{:03}"),
        (341, "{:03}"),
    ],
)
def test_every_name_of_a_directory_is_found(disk: Path, loop: Path, count: int, pattern: str) -> None:
    """The second one needs an index of two levels; the last ones are at the edge of one block."""
    root = flat(count, pattern)
    names = sorted(root.children[b"d"].children)
    write_nodes(root, disk)
    check(disk)
    with open_mount(disk, loop, "rw") as top:
        place = top + b"/d/"
        assert sorted(os.listdir(place)) == names
        for number in random.Random(count).sample(range(count), min(count, 3000)):
            name = pattern.format(number).encode("latin-1")
            assert os.lstat(place + name).st_uid == number
            assert not os.path.lexists(place + name[:-1] + b"?")
        for number in range(500):
            os.rename(place + names[number % count], place + b"new %d" % number)
            names[number % count] = b"new %d" % number
        assert len(os.listdir(place)) == count
    check(disk)


def test_more_subdirectories_than_can_be_counted(disk: Path, loop: Path) -> None:
    for count, links in ((64998, 65000), (64999, 1)):
        root, crowded = Node(Kind.DIRECTORY, 0o755), Node(Kind.DIRECTORY, 0o755)
        root.children[b"crowded"] = crowded
        for number in range(count):
            crowded.children[b"%d" % number] = Node(Kind.DIRECTORY, 0o755)
        write_nodes(root, disk)
        check(disk)
        with open_mount(disk, loop) as top:
            assert os.lstat(top + b"/crowded").st_nlink == links


def test_a_file_with_more_names_than_an_inode_can_have(disk: Path, loop: Path) -> None:
    disk.unlink(missing_ok=True)
    content = random.Random(1).randbytes(MIB + 7)
    with Ext4Writer(disk, uuid=UUID, hash_seed=HASH_SEED) as writer:
        kinds = [Node(Kind.FIFO, 0o600), Node(Kind.SYMLINK, 0o777, target=b"t" * 100), Node(Kind.FILE, 0o640)]
        writer.begin_file()
        writer.append(content)
        writer.skip_hole(5 * MIB)
        writer.append(content)
        kinds[2].size, kinds[2].extents = writer.end_file()
        kinds[2].xattrs = {b"user.a": bytes(500)}
        root = Node(Kind.DIRECTORY, 0o755)
        for kind, node in enumerate(kinds):
            root.children.update((b"%d-%d" % (kind, n), node) for n in range(65_100))
        writer.finish(root)
    check(disk)
    with open_mount(disk, loop) as top:
        names = [name for name in os.listdir(top) if name.startswith(b"2-")]
        inodes = {os.stat(top + b"/" + name).st_ino: name for name in names}
        assert len(names) == 65_100 and len(inodes) == 2
        for name in inodes.values():
            data = Path(os.fsdecode(top + b"/" + name)).read_bytes()
            assert data == content + bytes(5 * MIB) + content
            assert os.getxattr(top + b"/" + name, "user.a") == bytes(500)


def test_blocks_of_zeros_are_holes(disk: Path, loop: Path) -> None:
    chance = random.Random(2)
    blocks = [bytes(4096), bytes(4095) + b"x", b"y" * 4096]
    content = [b"".join(chance.choices(blocks, [4, 1, 1], k=n % 50)) + bytes(n % 3) for n in range(1, 400)]
    disk.unlink(missing_ok=True)
    with Ext4Writer(disk, uuid=UUID, hash_seed=HASH_SEED) as writer:
        root = Node(Kind.DIRECTORY, 0o755)
        for number, data in enumerate(content):
            extents = writer.add_file(data)
            root.children[b"%d" % number] = Node(Kind.FILE, 0o644, size=len(data), extents=extents)
        writer.finish(root)
    check(disk)
    with open_mount(disk, loop, "rw") as top:
        for number, data in enumerate(content):
            with open(top + b"/%d" % number, "r+b") as file:
                assert file.read() == data
                file.seek(0)
                file.write(b"z" * len(data))
    check(disk)


def write_nodes(root: Node, disk: Path, **options: int | None) -> None:
    disk.unlink(missing_ok=True)
    with Ext4Writer(disk, uuid=UUID, hash_seed=HASH_SEED) as writer:
        writer.finish(root, **options)


# Files.


def test_a_sparse_file_of_5_gib(disk: Path, loop: Path) -> None:
    disk.unlink(missing_ok=True)
    with Ext4Writer(disk, uuid=UUID, hash_seed=HASH_SEED) as writer:
        node = Node(Kind.FILE, 0o644)
        writer.begin_file()
        writer.append(b"begin")
        writer.skip_hole(5 * GIB - 8)
        writer.append(b"end")
        node.size, node.extents = writer.end_file()
        root = Node(Kind.DIRECTORY, 0o755)
        root.children[b"sparse"] = node
        info = writer.finish(root)
    assert info.used_bytes < 16 * MIB
    check(disk)
    with open_mount(disk, loop) as top, open(top + b"/sparse", "rb") as file:
        assert os.fstat(file.fileno()).st_size == 5 * GIB
        assert os.fstat(file.fileno()).st_blocks == 16
        assert os.lseek(file.fileno(), 4096, os.SEEK_DATA) == 5 * GIB - 4096
        assert os.pread(file.fileno(), 8, 0) == b"begin\0\0\0"
        assert os.pread(file.fileno(), 9, 5 * GIB - 5) == b"\0\0end"


def test_a_file_of_thousands_of_extents(disk: Path, loop: Path) -> None:
    content = [b"%d" % number * 900 for number in range(6000)]
    recipe = Recipe(Kind.DIRECTORY, children={b"many": Recipe(Kind.FILE)})
    recipe.children[b"many"].pieces = [piece for data in content for piece in (data, 8192)]
    write_recipe(recipe, disk)
    check(disk)
    with open_mount(disk, loop, "rw") as root:
        assert differences(expected(recipe), kernel_tree(root)) == []
        os.truncate(root + b"/many", 10_000_000)
        with open(root + b"/many", "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, 20_000_000)
    check(disk)


def test_data_goes_around_the_heads_of_groups(disk: Path, loop: Path) -> None:
    """Groups 1 and 3 begin with copies of the superblock, in the middle of this file."""
    disk.unlink(missing_ok=True)
    digest, block = hashlib.sha256(), random.Random(1).randbytes(MIB)
    with Ext4Writer(disk, uuid=UUID, hash_seed=HASH_SEED) as writer:
        writer.begin_file()
        for number in range(400):
            piece = struct.pack("<Q", number) + block[: -8 - number]
            digest.update(piece)
            writer.append(piece)
        node = Node(Kind.FILE, 0o644)
        node.size, node.extents = writer.end_file()
        root = Node(Kind.DIRECTORY, 0o755)
        root.children[b"large"] = node
        writer.finish(root)
    check(disk)
    with open_mount(disk, loop) as top, open(top + b"/large", "rb") as file:
        assert hashlib.file_digest(file, "sha256").digest() == digest.digest()


def test_replaced_data_leaves_free_space(disk: Path) -> None:
    disk.unlink(missing_ok=True)
    with Ext4Writer(disk, uuid=UUID, hash_seed=HASH_SEED) as writer:
        root = Node(Kind.DIRECTORY, 0o755)
        for number in range(2000):
            extents = writer.add_file(b"x" * 5000)
            if number % 3:
                root.children[b"%d" % number] = Node(Kind.FILE, 0o644, size=5000, extents=extents)
        writer.finish(root)
    check(disk)
    assert disk.stat().st_blocks * 512 < 2000 * 8 * KIB


# Sizes.


@pytest.mark.parametrize(
    "size",
    [
        16 * MIB,
        128 * MIB,
        128 * MIB + 4096,
        128 * MIB + HEAD_BYTES + 49 * 4096,
        128 * MIB + HEAD_BYTES + 50 * 4096,
        256 * MIB + 49 * 4096,
        256 * MIB + 50 * 4096,
        GIB + 12345,
        100 * GIB,
        TIB,
    ],
)
def test_a_disk_of_any_size_is_clean(disk: Path, size: int) -> None:
    write_recipe(EVERYTHING, disk, size_bytes=size)
    check(disk)
    assert disk.stat().st_size == size and disk.stat().st_blocks * 512 < 40 * MIB


def test_the_least_size_is_enough(disk: Path) -> None:
    with pytest.raises(Error) as caught:
        write_recipe(EVERYTHING, disk, size_bytes=MIB)
    least = caught.value.details["least_bytes"]
    assert isinstance(least, int)
    write_recipe(EVERYTHING, disk, size_bytes=least)
    check(disk)


def test_identity_is_the_callers(disk: Path) -> None:
    write_recipe(EVERYTHING, disk)
    told = subprocess.run(["dumpe2fs", "-h", disk], capture_output=True, text=True, check=True).stdout
    assert "00010203-0405-0607-0809-0a0b0c0d0e0f" in told and "10111213-1415-1617-1819-1a1b1c1d1e1f" in told


def test_many_nodes_take_little_memory(disk: Path) -> None:
    disk.unlink(missing_ok=True)
    program = """
        import re, resource, sys
        from banger.images.disks.ext4 import Ext4Writer
        from banger.images.disks.tree import Node
        from banger.tar.kind import Kind

        def resident():
            return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize()

        root = Node(Kind.DIRECTORY, 0o755)
        with Ext4Writer(int(sys.argv[1]), uuid=bytes(16), hash_seed=bytes(16)) as writer:
            before = resident()
            for number in range(200_000):
                if number % 100 == 0:
                    directory = root.children[b"%d" % number] = Node(Kind.DIRECTORY, 0o755)
                extents = writer.add_file(b"x")
                directory.children[b"file %d" % number] = Node(Kind.FILE, 0o644, 0, 0, number, 1, extents)
            tree = resident()
            writer.finish(root)
        # What getrusage says began with whoever started us.
        peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
        print(tree - before, peak - tree)
    """
    with open(disk, "w+b") as file:
        argv = [sys.executable, "-c", textwrap.dedent(program), str(file.fileno())]
        done = subprocess.run(argv, pass_fds=[file.fileno()], capture_output=True, text=True, check=True)
    nodes, more = map(int, done.stdout.split())
    disk.unlink()
    assert nodes < 100 * MIB and more < 32 * MIB


# Growing while mounted.


def test_a_mounted_disk_grows_here(disk: Path, loop: Path) -> None:
    if not has_capability(24):
        pytest.skip("capability missing: CAP_SYS_RESOURCE, to grow a mounted file system")
    write_recipe(EVERYTHING, disk)
    os.truncate(disk, 40 * GIB)
    with open_mount(disk, loop, "rw") as root:
        fd = os.open(root, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, _IOC_RESIZE_FS, struct.pack("Q", 40 * GIB // 4096))
            assert os.fstatvfs(fd).f_blocks * 4096 > 39 * GIB
        finally:
            os.close(fd)
    check(disk)


def has_capability(number: int) -> bool:
    effective = re.search(r"CapEff:\s+([0-9a-f]+)", Path("/proc/self/status").read_text())
    return effective is not None and bool(int(effective[1], 16) >> number & 1)


GUEST = r"""
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

static void end(const char *word)
{
    perror(word);
    fflush(stdout);
    reboot(RB_AUTOBOOT);
    for (;;)
        pause();
}

int main(void)
{
    static char data[1 << 20];
    char name[128], path[256];
    FILE *order = fopen("/modules/order", "re");
    while (order && fgets(name, sizeof name, order)) {
        name[strcspn(name, "\n")] = 0;
        snprintf(path, sizeof path, "/modules/%s", name);
        int module = open(path, O_RDONLY | O_CLOEXEC);
        if (module < 0 || syscall(SYS_finit_module, module, "", 0) != 0)
            end(path);
    }
    mkdir("/mnt", 0755);
    uint64_t size = 0;
    int device = -1;
    if (mount("dev", "/dev", "devtmpfs", 0, "") != 0 || (device = open("/dev/vda", O_RDONLY)) < 0
        || ioctl(device, _IOR(0x12, 114, size_t), &size) != 0 || close(device) != 0)
        end("/dev/vda");
    if (mount("/dev/vda", "/mnt", "ext4", 0, "") != 0)
        end("mount");
    int root = open("/mnt", O_RDONLY);
    uint64_t blocks = size / 4096;
    if (ioctl(root, _IOW('f', 16, uint64_t), &blocks) != 0 || close(root) != 0)
        end("grow");
    int file = open("/mnt/written", O_CREAT | O_WRONLY, 0644);
    for (int i = 0; i < 8; i++)
        if (write(file, data, sizeof data) != (ssize_t)sizeof data)
            end("write");
    close(file);
    struct statvfs info;
    if (statvfs("/mnt", &info) != 0 || umount("/mnt") != 0)
        end("umount");
    printf("grown to %llu blocks\n", (unsigned long long)info.f_blocks);
    end("done");
}
"""


@pytest.fixture(scope="module")
def guest(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """QEMU's command line but for the disk: a guest that grows its disk, writes to it and ends."""
    if not have_tool("qemu-system-x86_64") or architecture() != "amd64":
        pytest.skip("capability missing: qemu-system-x86_64 for this machine")
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        paths = Paths(CACHE / "state", CACHE, CACHE / "run", CACHE / "config")
        library = KernelLibrary(paths, FileRecords(CACHE / "kernels.json", Kernel))
        try:
            kernel = asyncio.run(library.ensure("debian-cloud", silent))
        except Error as error:
            pytest.skip(f"capability missing: kernel: {error.message}")
    place = tmp_path_factory.mktemp("guest")
    (place / "init.c").write_text(GUEST)
    compile_static(place / "init.c", place / "init")
    (place / "initramfs").write_bytes(write_cpio(plan_guest(library.directory(kernel), place / "init")))
    tsc_khz = asyncio.run(measure_tsc_khz(agent_binary(architecture())))
    return [
        *(
            "qemu-system-x86_64",
            "-M",
            "microvm,acpi=on,pit=off,pic=off,rtc=on,usb=off,auto-kernel-cmdline=off",
        ),
        *("-accel", "tcg,thread=multi", "-cpu", "max", "-m", "512", "-nodefaults", "-no-user-config"),
        *("-no-reboot", "-display", "none", "-serial", "stdio"),
        *("-kernel", str(library.vmlinux(kernel)), "-initrd", str(place / "initramfs")),
        *("-append", plan_command_line(tsc_khz)),
    ]


def plan_guest(kernel: Path, init: Path) -> list[Entry]:
    wanted = {"virtio_ring.ko", "virtio.ko", "virtio_mmio.ko", "virtio_blk.ko"}
    names = [name for name in (kernel / "order").read_text().split() if name in wanted]
    return gather_entries(kernel, names, init.read_bytes())


@pytest.mark.parametrize("size", [20 * GIB, TIB, 2 * TIB])
def test_a_guest_grows_its_root(disk: Path, guest: list[str], size: int) -> None:
    """Beyond what was kept for it the kernel turns to meta_bg by itself."""
    write_recipe(EVERYTHING, disk)
    os.truncate(disk, size)
    argv = [*guest, *plan_disk("root", str(disk), "raw", read_only=False)]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=200)
    grown = re.search(r"grown to (\d+) blocks", done.stdout)
    assert grown, done.stdout[-2000:] + done.stderr
    assert int(grown[1]) * 4096 > size * 0.97
    check(disk)
