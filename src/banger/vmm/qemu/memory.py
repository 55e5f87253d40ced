"""A guest's memory, read from outside while its vCPUs are stopped.

The memory of a VM that booted is a memfd, open in QEMU. The memory of a clone is a private mapping of the frozen
memory: the pages that the clone has written to are the anonymous pages in /proc/PID/pagemap (the kernel's
Documentation/admin-guide/mm/pagemap.rst); the other pages are as in the file.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from banger.errors import Error
from banger.host.fs import open_plain
from banger.host.proc import PAGE_BYTES
from banger.host.sparse import copy_sparse

_PRESENT, _SWAPPED, _FILE = 1 << 63, 1 << 62, 1 << 61
_ENTRIES_AT_ONCE = 65536
_RUN_BYTES = 1 << 20
_MAPPED = re.compile(
    r"(?P<start>[0-9a-f]+)-(?P<end>[0-9a-f]+) rw-(?P<private>[ps]) 0+ (?P<device>\S+) (?P<inode>\d+) "
)


class Mapping(NamedTuple):
    """The place of a guest's memory in a VMM: its addresses, and its descriptor `fd`. The mapping of a clone is
    private."""

    start: int
    size_bytes: int
    private: bool
    fd: int


def copy_base(pid: int, mapping: Mapping, target: Path) -> None:
    """Copy the file behind the memory to a new file: for a VM that booted all of its memory, for a clone the memory
    that it started with. Blocking."""
    try:
        source = open_plain(f"/proc/{pid}/fd/{mapping.fd}")
    except PermissionError as exc:
        raise _not_allowed(pid) from exc
    try:
        with open(target, "xb", buffering=0) as file:
            copy_sparse(source, file.fileno())
    finally:
        os.close(source)


def copy_changes(pid: int, mapping: Mapping, target: Path) -> int:
    """Write the pages that a clone has changed to `target`, a copy of the file behind its memory; return the number of
    bytes copied. Blocking."""
    copied = 0
    try:
        with (
            open(f"/proc/{pid}/pagemap", "rb", buffering=0) as pagemap,
            open(f"/proc/{pid}/mem", "rb", buffering=0) as memory,
            open(target, "r+b", buffering=0) as file,
        ):
            for offset, length in _changed(pagemap.fileno(), mapping):
                data = os.pread(memory.fileno(), length, mapping.start + offset)
                if len(data) != length:
                    raise Error("vmm_failed", f"the memory of process {pid} is gone")
                os.pwrite(file.fileno(), data, offset)
                copied += length
    except PermissionError as exc:
        raise _not_allowed(pid) from exc
    return copied


def find_mapping(pid: int) -> Mapping:
    """The guest's memory: the one open file that the VMM has mapped as a whole. Raises `unsupported`, `vmm_failed`."""
    try:
        files = _open_files(pid)
        with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as maps:
            for line in maps:
                found = _MAPPED.match(line)
                if found is None:
                    continue
                start, end = int(found["start"], 16), int(found["end"], 16)
                file = files.get((found["device"], int(found["inode"])))
                if file is not None and end - start == file.size_bytes:
                    return Mapping(start, end - start, found["private"] == "p", file.fd)
    except PermissionError as exc:
        raise _not_allowed(pid) from exc
    except FileNotFoundError as exc:
        raise Error("vmm_failed", f"process {pid} has ended") from exc
    raise Error(
        "unsupported",
        "the VMM of this machine keeps its memory where banger cannot read it",
        "stop the machine and start it again",
    )


class _OpenFile(NamedTuple):
    fd: int
    size_bytes: int


def _open_files(pid: int) -> dict[tuple[str, int], _OpenFile]:
    """For each file that a process has open one descriptor, by device and inode in the notation of `maps`."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # the process has closed the descriptor
            file = os.stat(f"/proc/{pid}/fd/{name}")
            if stat.S_ISREG(file.st_mode):
                device = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}"
                found[device, file.st_ino] = _OpenFile(int(name), file.st_size)
    return found


def _changed(pagemap: int, mapping: Mapping) -> Iterator[tuple[int, int]]:
    """Runs of changed pages: offset and length in bytes, at most one MiB each."""
    pages = mapping.size_bytes // PAGE_BYTES
    first = mapping.start // PAGE_BYTES
    for page in range(0, pages, _ENTRIES_AT_ONCE):
        count = min(_ENTRIES_AT_ONCE, pages - page)
        raw = os.pread(pagemap, count * 8, (first + page) * 8)
        if not raw.strip(b"\0"):
            continue
        entries = array("Q", raw)
        changed = [i for i, e in enumerate(entries) if e & (_PRESENT | _SWAPPED) and not e & _FILE]
        yield from _runs(changed, page)


def _runs(changed: list[int], base: int) -> Iterator[tuple[int, int]]:
    longest = _RUN_BYTES // PAGE_BYTES
    begin = 0
    for here in range(1, len(changed) + 1):
        ends = here == len(changed) or changed[here] != changed[here - 1] + 1 or here - begin == longest
        if ends:
            yield (base + changed[begin]) * PAGE_BYTES, (here - begin) * PAGE_BYTES
            begin = here


def _not_allowed(pid: int) -> Error:
    return Error(
        "unsupported",
        f"this host does not let the user read the memory of process {pid}",
        "stop and start the machine with the daemon that runs now, or set kernel.yama.ptrace_scope to 0",
    )
