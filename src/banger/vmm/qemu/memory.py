"""A guest's memory, read from outside while its vCPUs stand still.

Of a VM that was booted it is a memfd, open in QEMU. Of a clone it is a private mapping of the frozen memory: the pages
that the clone has written to are the anonymous ones in /proc/PID/pagemap (the kernel's
Documentation/admin-guide/mm/pagemap.rst), all others are still as in the file.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from banger.errors import Error
from banger.host.proc import PAGE_BYTES
from banger.host.sparse import copy_sparse

_MEMFD = "/memfd:memory-backend-memfd"
_PRESENT, _SWAPPED, _FILE = 1 << 63, 1 << 62, 1 << 61
_ENTRIES_AT_ONCE = 65536
_RUN_BYTES = 1 << 20


class Mapping(NamedTuple):
    """Where a VMM has its guest's memory."""

    start: int
    size_bytes: int


def copy_changes(pid: int, frozen: Path, target: Path) -> int:
    """Bring `target`, a copy of `frozen`, up to what the clone sees now; the bytes that were copied. Blocking."""
    mapping = _find_mapping(pid, frozen)
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
                    raise Error("vmm_failed", f"the memory of process {pid} went away")
                os.pwrite(file.fileno(), data, offset)
                copied += length
    except PermissionError as exc:
        raise _not_allowed(pid) from exc
    return copied


def copy_booted(pid: int, target: Path) -> None:
    """The memory of a VM that was not cloned. Blocking."""
    directory = f"/proc/{pid}/fd"
    try:
        for name in os.listdir(directory):
            if os.readlink(f"{directory}/{name}").startswith(_MEMFD):
                source = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_CLOEXEC)
                break
        else:
            raise Error("unsupported", "this VM keeps its memory where it cannot be read", "start it anew")
    except PermissionError as exc:
        raise _not_allowed(pid) from exc
    try:
        with open(target, "xb", buffering=0) as file:
            copy_sparse(source, file.fileno())
    finally:
        os.close(source)


def _find_mapping(pid: int, frozen: Path) -> Mapping:
    wanted = os.stat(frozen)
    device = f"{os.major(wanted.st_dev):02x}:{os.minor(wanted.st_dev):02x}"
    pattern = re.compile(rf"([0-9a-f]+)-([0-9a-f]+) rw-p 0+ {device} {wanted.st_ino} ")
    with open(f"/proc/{pid}/maps", encoding="utf-8", errors="surrogateescape") as maps:
        for line in maps:
            found = pattern.match(line)
            if found:
                start, end = int(found[1], 16), int(found[2], 16)
                return Mapping(start, end - start)
    raise Error("frozen_damaged", f"process {pid} does not have {frozen} as its memory")


def _changed(pagemap: int, mapping: Mapping) -> Iterator[tuple[int, int]]:
    """Runs of changed pages: offset and length in bytes, at most a mebibyte each."""
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
        f"the memory of process {pid} may not be read by its own user here",
        "start the machine with the daemon that runs now, or set kernel.yama.ptrace_scope to 0",
    )
