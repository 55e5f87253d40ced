"""The initramfs: the agent as /init, and the modules that let it reach the disks.

    /init             the agent, mode 0755
    /dev/console      char device 5:1, so that the kernel can give /init its standard streams
    /modules/order    module file names, one a line, in load order
    /modules/*.ko

Archives are "newc" cpio (the kernel's Documentation/driver-api/early-userspace/buffer-format.rst),
uncompressed because they are small and unpacking costs boot time, and a function of their contents alone.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from banger.host.fs import write_file
from banger.host.paths import Paths

_LAYOUT = 1


@dataclass(frozen=True)
class Entry:
    """`name` has no leading slash; `mode` carries the file type; `device` is (major, minor)."""

    name: str
    mode: int
    data: bytes = b""
    device: tuple[int, int] = (0, 0)


def ensure_initramfs(paths: Paths, kernel_dir: Path, agent_path: Path, vsock: bool = False) -> Path:
    """The initramfs of a kernel (a directory of the kernel library) and an agent. It is made if it does not exist.

    With `vsock` it also loads the vsock transport. Blocking; takes two stat(2) if the file exists."""
    info = agent_path.stat()
    agent = _agent_digest(str(agent_path), info.st_ino, info.st_size, info.st_mtime_ns)
    text = f"{_LAYOUT}\n{kernel_dir.name}\n{agent}\n{vsock}\n"
    final = paths.initramfs / f"{hashlib.sha256(text.encode()).hexdigest()}.cpio"
    if not final.exists():
        write_file(final, write_cpio(prepare_entries(kernel_dir, agent_path.read_bytes(), vsock)), 0o644)
    return final


def prepare_entries(kernel_dir: Path, agent: bytes, vsock: bool) -> list[Entry]:
    """The entries of the archive, directories before their contents. Reads the kernel's files."""
    order = (kernel_dir / "order").read_text()
    if vsock:
        order += (kernel_dir / "vsock").read_text()
    return gather_entries(kernel_dir, order.split(), agent)


def gather_entries(kernel_dir: Path, modules: Sequence[str], init: bytes) -> list[Entry]:
    """As `prepare_entries`, with these modules, in load order, and any program as /init."""
    return [
        Entry("dev", stat.S_IFDIR | 0o755),
        Entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1)),
        Entry("init", stat.S_IFREG | 0o755, init),
        Entry("modules", stat.S_IFDIR | 0o755),
        Entry("modules/order", stat.S_IFREG | 0o644, "\n".join([*modules, ""]).encode()),
        *(
            Entry(f"modules/{name}", stat.S_IFREG | 0o644, (kernel_dir / "modules" / name).read_bytes())
            for name in modules
        ),
    ]


def write_cpio(entries: Iterable[Entry]) -> bytes:
    """The archive's bytes. Owner 0:0, times 0, inode numbers counted from 1."""
    out = bytearray()
    for inode, entry in enumerate(entries, start=1):
        _append(out, entry, inode)
    _append(out, Entry("TRAILER!!!", 0), 0)
    return bytes(out)


def _append(out: bytearray, entry: Entry, inode: int) -> None:
    name = entry.name.encode() + b"\0"
    links = 2 if stat.S_ISDIR(entry.mode) else 1
    fields = (
        *(inode, entry.mode, 0, 0, links, 0, len(entry.data)),
        *(0, 0, *entry.device, len(name), 0),
    )
    out += b"070701" + b"".join(b"%08X" % field for field in fields) + name
    out += bytes(-len(out) % 4)
    out += entry.data
    out += bytes(-len(out) % 4)


@lru_cache(maxsize=8)
def _agent_digest(path: str, inode: int, size_bytes: int, mtime_ns: int) -> str:
    """The digest of the agent, read once for each state of its file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def forget_unused(paths: Paths, keep: frozenset[Path]) -> int:
    """Remove archives that are not in `keep`. Returns how many were removed; they are cheap to make again. Blocking."""
    found = paths.initramfs.glob("*.cpio") if paths.initramfs.is_dir() else ()
    stale = [path for path in found if path not in keep]
    for path in stale:
        os.unlink(path)
    return len(stale)
