"""A kernel and an image from the real archive, by the real tools, judged with e2fsprogs.

Both are pulled once into the directory BANGER_TEST_CACHE names (default: build/test-cache), which later runs
use again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Generic, TypeVar

import msgspec
import pytest

from banger.errors import Error
from banger.host.apt import AptTree
from banger.host.paths import Paths
from banger.host.run import find_tool, have_tool
from banger.images.records.library import ImageLibrary
from banger.images.records.namespace import have_ranges
from banger.kernels.initramfs import ensure_initramfs
from banger.kernels.library import KernelLibrary
from banger.model.image import Image, Kernel
from banger.model.sizes import MIB
from tests.support.pace import allowed_s
from tests.support.paths import paths_below
from tests.support.reports import silent

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

CACHE = Path(os.environ.get("BANGER_TEST_CACHE") or Path(__file__).parents[2] / "build/test-cache")
TOOLS = (
    "apt-get",
    "dpkg-deb",
    "depmod",
    "mke2fs",
    "e2fsck",
    "debugfs",
    "dumpe2fs",
    "mmdebstrap",
    "tar",
    "unshare",
)
PHYS32_ENTRY = 18
R = TypeVar("R", Image, Kernel)


class FileRecords(Generic[R]):
    """Records in a JSON file, so that the next run knows what this one pulled."""

    def __init__(self, path: Path, kind: type[R]) -> None:
        self._path = path
        self._kind: type[R] = kind

    def _load(self) -> dict[str, R]:
        if not self._path.exists():
            return {}
        records: dict[str, object] = msgspec.json.decode(self._path.read_bytes())
        return {name: msgspec.convert(record, self._kind) for name, record in records.items()}

    def put(self, record: R) -> None:
        self._path.write_bytes(msgspec.json.encode({**self._load(), record.name: record}))

    def get(self, name: str) -> R | None:
        return self._load().get(name)

    def all(self) -> list[R]:
        return list(self._load().values())

    def delete(self, name: str) -> bool:
        kept = self._load()
        gone = kept.pop(name, None) is not None
        self._path.write_bytes(msgspec.json.encode(kept))
        return gone


@pytest.fixture(scope="module")
def paths() -> Iterator[Paths]:
    """The shared cache, ours alone until the module is done."""
    missing = [tool for tool in TOOLS if not have_tool(tool)]
    if missing:
        pytest.skip(f"capability missing: {', '.join(missing)}")
    if not have_ranges():
        pytest.skip("capability missing: this user has no subordinate ids")
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        paths = Paths(CACHE / "state", CACHE, CACHE / "run", CACHE / "config")
        try:
            asyncio.run(AptTree(paths.apt / "bookworm", "bookworm").update(silent))
        except Error as error:
            if error.code != "download_failed":
                raise
            pytest.skip(f"capability missing: Debian archive: {error.message}")
        yield paths


@pytest.fixture(scope="module")
def kernels(paths: Paths) -> KernelLibrary:
    return KernelLibrary(paths, FileRecords(CACHE / "kernels.json", Kernel))


@pytest.fixture(scope="module")
def kernel(kernels: KernelLibrary) -> Kernel:
    return asyncio.run(kernels.pull("debian-cloud", silent))


@pytest.fixture(scope="module")
def images(paths: Paths) -> ImageLibrary:
    return ImageLibrary(paths, FileRecords(CACHE / "images.json", Image))


@pytest.fixture(scope="module")
def image(images: ImageLibrary) -> Image:
    return asyncio.run(images.pull("debian-bookworm", silent))


def output(*argv: str) -> str:
    done = subprocess.run([find_tool(argv[0]), *argv[1:]], capture_output=True, check=True, timeout=120)
    return done.stdout.decode(errors="replace")


def stat_in(disk: Path, path: str) -> str:
    return output("debugfs", "-R", f"stat {path}", str(disk))


def mode_and_owner(disk: Path, path: str) -> tuple[str, int, int]:
    text = stat_in(disk, path)
    mode = re.search(r"Mode:\s+(\d+)", text)
    owner = re.search(r"User:\s+(\d+)\s+Group:\s+(\d+)", text)
    assert mode and owner, f"{path}: {text}"
    return mode[1], int(owner[1]), int(owner[2])


def notes(elf: bytes) -> Iterator[tuple[bytes, int, bytes]]:
    """Owner, type and description of each note of a 64-bit ELF file's PT_NOTE segments."""
    (table,) = struct.unpack_from("<Q", elf, 32)
    entry_size, count = struct.unpack_from("<HH", elf, 54)
    for number in range(count):
        kind, _, offset, _, _, size = struct.unpack_from("<IIQQQQ", elf, table + number * entry_size)
        position, end = offset, offset + size
        while kind == 4 and position + 12 <= end:
            name_size, data_size, note = struct.unpack_from("<III", elf, position)
            data = position + 12 + (name_size + 3 & ~3)
            yield (
                elf[position + 12 : position + 12 + name_size].rstrip(b"\0"),
                note,
                elf[data : data + data_size],
            )
            position = data + (data_size + 3 & ~3)


def test_vmlinux_is_what_a_vmm_starts(kernels: KernelLibrary, kernel: Kernel) -> None:
    elf = kernels.vmlinux(kernel).read_bytes()
    assert elf[:6] == b"\x7fELF\x02\x01" and struct.unpack_from("<H", elf, 18)[0] == 62
    entries = [data for owner, note, data in notes(elf) if (owner, note) == (b"Xen", PHYS32_ENTRY)]
    assert len(entries) == 1
    assert int.from_bytes(entries[0], "little") >= 0x100000


def test_the_modules_disk_is_sound_and_tight(kernels: KernelLibrary, kernel: Kernel) -> None:
    disk = kernels.modules_disk(kernel)
    output("e2fsck", "-fn", str(disk))
    header = output("dumpe2fs", "-h", str(disk))
    assert "read-only" in header and "has_journal" not in header
    (blocks,), (free,) = (re.findall(rf"{key}:\s+(\d+)", header) for key in ("Block count", "Free blocks"))
    assert int(free) < int(blocks) * 0.06
    assert disk.stat().st_mode & 0o222 == 0


def test_everything_on_the_modules_disk_is_roots(kernels: KernelLibrary, kernel: Kernel) -> None:
    disk = kernels.modules_disk(kernel)
    for path in ("", "/modules.dep", "/kernel/drivers/virtio/virtio.ko"):
        assert mode_and_owner(disk, f"/{kernel.release}{path}")[1:] == (0, 0)
    assert mode_and_owner(disk, "/")[1:] == (0, 0)


def test_the_boot_modules_come_in_an_order_that_works(kernels: KernelLibrary, kernel: Kernel) -> None:
    directory = kernels.directory(kernel)
    order = (directory / "order").read_text().split()
    assert order == [
        *("virtio_ring.ko", "virtio.ko", "virtio_mmio.ko", "virtio_blk.ko", "failover.ko", "net_failover.ko"),
        *("virtio_net.ko", "virtio_console.ko", "virtio-rng.ko"),
    ]
    vsock = (directory / "vsock").read_text().split()
    assert vsock[0] == "vsock.ko"
    for name in order + vsock:
        assert (directory / "modules" / name).read_bytes()[:4] == b"\x7fELF"
    kept = msgspec.json.decode((directory / "kernel.json").read_bytes(), type=Kernel)
    assert kept == msgspec.structs.replace(
        kernel, catalog=""
    )  # which catalog named it is the store's to know


def test_an_initramfs_is_made_from_it(kernels: KernelLibrary, kernel: Kernel, tmp_path: Path) -> None:
    paths = paths_below(tmp_path)
    archive = ensure_initramfs(paths, kernels.directory(kernel), Path(find_tool("true")))
    assert archive.stat().st_size < 2 * MIB


def test_a_second_kernel_pull_does_nothing(kernels: KernelLibrary, kernel: Kernel) -> None:
    before = kernels.vmlinux(kernel).stat()
    begun = time.monotonic()
    assert asyncio.run(kernels.pull("debian-cloud-bookworm", silent)) == kernel
    assert time.monotonic() - begun < allowed_s(10)
    assert kernels.vmlinux(kernel).stat() == before


def test_the_root_disk_is_sound_small_and_can_grow(images: ImageLibrary, image: Image) -> None:
    disk = images.disk(image)
    output("e2fsck", "-fn", str(disk))
    header = output("dumpe2fs", "-h", str(disk))
    assert "metadata_csum" in header and "resize_inode" in header
    assert re.search(r"Reserved block count:\s+0\n", header)
    # 64 descriptors of 64 bytes in a block, each for a group of 128 MiB: 8 GiB a block, one of which is in use.
    reserved = re.search(r"Reserved GDT blocks:\s+(\d+)", header)
    assert reserved and (1 + int(reserved[1])) * 8 >= 1024
    assert image.size_bytes == disk.stat().st_size and image.size_bytes % (4 * MIB) == 0
    assert image.used_bytes < 450 * MIB
    assert disk.stat().st_mode & 0o222 == 0


@pytest.mark.parametrize(
    ("path", "mode", "user"),
    [
        ("/", "0755", 0),
        ("/usr/bin/su", "04755", 0),
        ("/etc/passwd", "0644", 0),
        ("/etc/shadow", "0640", 0),
        ("/tmp", "01777", 0),
        ("/root", "0700", 0),
        ("/usr/sbin/init", "0777", 0),
        ("/usr/sbin/unix_chkpwd", "02755", 0),
    ],
)
def test_modes_and_owners_are_kept(
    images: ImageLibrary, image: Image, path: str, mode: str, user: int
) -> None:
    found = mode_and_owner(images.disk(image), path)
    assert found[:2] == (mode, user)


def test_groups_and_attributes_are_kept(images: ImageLibrary, image: Image) -> None:
    disk = images.disk(image)
    assert mode_and_owner(disk, "/etc/shadow")[2] == 42
    assert "security.capability" in stat_in(disk, "/usr/bin/ping")


def test_nothing_of_the_host_or_of_one_machine_is_in_it(images: ImageLibrary, image: Image) -> None:
    disk = images.disk(image)
    for path in ("/etc/machine-id", "/etc/resolv.conf"):
        assert re.search(r"Size: 0\n", stat_in(disk, path))
    assert output("debugfs", "-R", "cat /etc/hostname", str(disk)) == "debian\n"
    assert re.search(r"^root:!", output("debugfs", "-R", "cat /etc/shadow", str(disk)), re.MULTILINE)
    for directory in (
        "/etc/apt/apt.conf.d",
        "/etc/dpkg/dpkg.cfg.d",
        "/var/lib/apt/lists",
        "/var/cache/apt/archives",
    ):
        listing = output("debugfs", "-R", f"ls -p {directory}", str(disk))
        assert "mmdebstrap" not in listing and "Packages" not in listing and ".deb" not in listing
    assert "Suites: bookworm-security" in output(
        "debugfs", "-R", "cat /etc/apt/sources.list.d/debian.sources", str(disk)
    )


def test_a_second_image_pull_does_nothing(images: ImageLibrary, image: Image) -> None:
    before = images.disk(image).stat()
    begun = time.monotonic()
    assert asyncio.run(images.pull("debian", silent)) == image
    assert time.monotonic() - begun < allowed_s(10)
    assert images.disk(image).stat() == before


def processes_that_mention(text: str) -> list[str]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            except OSError:
                continue
            if text in command:
                found.append(command)
    return found


@pytest.mark.parametrize("cancelled_in", ["download", "unpack"])
def test_a_cancelled_build_leaves_nothing_behind(paths: Paths, tmp_path: Path, cancelled_in: str) -> None:
    own = paths_below(tmp_path)
    own.cache.mkdir()
    own.apt.symlink_to(paths.apt)
    library = ImageLibrary(own, FileRecords(tmp_path / "images.json", Image))

    async def main() -> None:
        reached = asyncio.Event()

        def note(
            phase: str, message: str = "", done: int = 0, total: int = 0, unit: str = "", layers: object = ()
        ) -> None:
            if phase == cancelled_in and done >= 10:
                reached.set()

        task = asyncio.create_task(library.pull("debian", note))
        waiter = asyncio.create_task(reached.wait())
        await asyncio.wait({task, waiter}, return_when=asyncio.FIRST_COMPLETED)
        assert processes_that_mention(str(own.images))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert list(own.images.iterdir()) == []
    assert processes_that_mention(str(own.images)) == []
    assert str(own.images) not in Path("/proc/self/mountinfo").read_text()


def plant(tree: Path) -> Path:
    """One of each thing that a directory may hold and a user may make."""
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/hello").write_bytes(b"\x7fELF")
    (tree / "bin/hello").chmod(0o4755)
    os.link(tree / "bin/hello", tree / "bin/world")
    (tree / "link").symlink_to("bin/hello")
    os.mkfifo(tree / "pipe")
    os.close(os.open(os.fsencode(tree) + b"/\xff\n-", os.O_CREAT | os.O_WRONLY))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tree / "socket"))
    with contextlib.suppress(OSError):
        os.setxattr(tree / "bin/hello", "user.note", b"kept")
    for above, folders, files in os.walk(os.fsencode(tree)):
        for name in (*folders, *files):
            os.utime(os.path.join(above, name), ns=(0, -1_500_000_000), follow_symlinks=False)
    return tree


@pytest.fixture
def own_library(tmp_path: Path) -> ImageLibrary:
    own = paths_below(tmp_path)
    return ImageLibrary(own, FileRecords(tmp_path / "images.json", Image))


def test_a_directory_becomes_a_disk(own_library: ImageLibrary, tmp_path: Path) -> None:
    tree = plant(tmp_path / "tiny")
    tree.chmod(0o700)
    image = asyncio.run(own_library.pull(f"rootfs:{tree}", silent))
    disk = own_library.disk(image)
    output("e2fsck", "-fn", str(disk))
    assert image.name == "tiny" and mode_and_owner(disk, "/") == ("0755", 0, 0)
    assert mode_and_owner(disk, "/bin/hello") == ("04755", 0, 0)
    hello = stat_in(disk, "/bin/hello")
    assert "Links: 2" in hello and "Wed Dec 31 23:59:58 1969" in hello
    assert ("user.note" in hello) == ("user.note" in os.listxattr(tree / "bin/hello"))
    assert "Type: FIFO" in stat_in(disk, "/pipe")
    assert "bin/hello" in stat_in(disk, "/link")
    listing = output("debugfs", "-R", "ls -p /", str(disk))
    assert "socket" not in listing and "pipe" in listing
    assert image.used_bytes < 24 * MIB
    assert [path.name for path in own_library.disk(image).parent.iterdir()] == [disk.name]


def test_the_same_tree_elsewhere_is_the_same_disk(own_library: ImageLibrary, tmp_path: Path) -> None:
    trees = [plant(tmp_path / name) for name in ("one", "two")]
    one, two = (asyncio.run(own_library.pull(f"rootfs:{tree}", silent)) for tree in trees)
    assert one.digest == two.digest
    (trees[1] / "bin/hello").write_bytes(b"\x7fELG")
    os.utime(trees[1] / "bin/hello", ns=(0, -1_500_000_000))
    assert asyncio.run(own_library.pull(f"rootfs:{trees[1]}", silent)).digest != one.digest


@pytest.mark.parametrize("cancelled_in", ["packing", "writing"])
def test_a_cancelled_pull_of_a_directory_leaves_nothing(
    own_library: ImageLibrary, tmp_path: Path, cancelled_in: str
) -> None:
    """Cancelled while tar runs, or once bytes are counted."""
    tree = plant(tmp_path / "tree")
    with open(tree / "large", "wb") as file:
        for _ in range(512):
            file.write(b"\xe9" * MIB)  # a hole would be passed over

    async def main() -> None:
        reached = asyncio.Event()

        def note(
            phase: str, message: str = "", done: int = 0, total: int = 0, unit: str = "", layers: object = ()
        ) -> None:
            if done or cancelled_in == "packing":
                reached.set()

        task = asyncio.create_task(own_library.pull(f"rootfs:{tree}", note))
        await reached.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    images = tmp_path / "cache/images"
    assert list(images.iterdir()) == []
    assert processes_that_mention(str(images)) == []
