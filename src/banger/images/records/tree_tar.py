"""A tree of files → a tar archive of it, which becomes a disk like an image's only layer.

GNU tar packs it as root of the namespace, in which owners, devices and attributes are right. The archive depends on the
tree alone, so its digest names the contents. The directory itself is left out: its owner and mode are the user's own
matter, and an image's root is root's, 0755. Sockets are left out, holes stay holes.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from banger.errors import Error
from banger.host.fs import free_bytes, require_free
from banger.host.jail import READ_ALL, Jail, bounds_of_helper
from banger.host.run import Result, run
from banger.host.thread import in_thread
from banger.images.disks.importing import DiskPlan, in_counting_thread, write_disk
from banger.images.disks.merge import LayerInput
from banger.images.records.namespace import prepare_as_root
from banger.model.operation import Report
from banger.model.sizes import MIB, format_size

_TIMEOUT_S = 3600
_READ_BYTES = MIB
_LEAST_SPARE_BYTES = 64 * MIB
_LOOK_S = 0.05
# If there is space for a part of a record only, the message has the number of bytes written.
_NO_ROOM = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "Wrote only")
_MAP_BYTES = 32 * MIB  # of the holes of one file
_CHANGED = 1  # tar's exit code if a file changed or disappeared while tar read it


@dataclass(frozen=True)
class PackedTree:
    """`diff_id` is the archive's digest: "sha256:..."."""

    archive: Path
    diff_id: str
    size_bytes: int


async def pack_tree(
    tree: Path, work: Path, ranges: bool, report: Report, keep_free_bytes: int = 0
) -> PackedTree:
    """Make the archive of `tree` in the directory `work`, and leave `keep_free_bytes` of its file system free. Raises
    `image_build_failed` if something in the tree cannot be read or changes meanwhile, `insufficient_disk`."""
    archive = work / "tree.tar"
    try:
        names = await in_thread(os.listdir, os.fsencode(tree))
    except OSError as exc:
        raise _unreadable(tree, str(exc), "") from exc
    packing = run(
        plan_tar(tree, archive),
        before=prepare_as_root([], ranges),
        jail=await in_thread(_prepare_jail, tree, archive),
        env={"LC_ALL": "C", "TAR_OPTIONS": ""},
        stdin=list_names(names),
        timeout_s=_TIMEOUT_S,
        check=False,
    )
    result = await _while_room(packing, tree, work, keep_free_bytes)
    _check(tree, result)
    size = archive.stat().st_size
    digest = await in_counting_thread(lambda count, cancel: _sha256(archive, count, cancel), size, report)
    return PackedTree(archive, f"sha256:{digest}", size)


async def write_tree_disk(packed: PackedTree, disk: DiskPlan, final: Path, report: Report) -> None:
    """Write the disk of a packed tree. Raises `image_build_failed`, `insufficient_disk`; after an error or a
    cancellation, `final` does not exist."""
    await in_thread(require_free, final.parent, packed.size_bytes + _LEAST_SPARE_BYTES, "the root disk")
    layers = [LayerInput(packed.diff_id, packed.diff_id, packed.archive)]
    disk = replace(disk, limits=replace(disk.limits, header_bytes=_MAP_BYTES))
    try:
        await in_counting_thread(
            lambda count, cancel: write_disk(layers, disk, final, count, cancel), packed.size_bytes, report
        )
    except Error as exc:
        if not exc.code.startswith("layer_"):
            raise
        raise Error("image_build_failed", exc.message, exc.hint, exc.details) from exc


async def _while_room(
    packing: Coroutine[None, None, Result], tree: Path, work: Path, keep_free_bytes: int
) -> Result:
    """Run a program, and end it when its file system runs out of space. How much it will write is not known before, and
    other processes write, too."""
    task = asyncio.ensure_future(packing)
    try:
        while not task.done():
            free = await in_thread(free_bytes, work)
            if free < keep_free_bytes:
                what = f"less than {format_size(keep_free_bytes)} would be left in {work.parent}"
                raise _no_room(tree, what)
            await asyncio.wait([task], timeout=_LOOK_S)
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait([task])


def plan_tar(tree: Path, archive: Path) -> list[str]:
    """The argv of tar, which gets the names from `list_names` on standard input."""
    return [
        *("tar", "--format=posix", "--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime"),
        *("--sort=name", "--numeric-owner", "--xattrs", "--xattrs-include=*"),
        # Later formats put tar's process id into the archive.
        *("--sparse", "--sparse-version=0.0"),
        *("-C", str(tree), "-cf", str(archive), "--null", "--verbatim-files-from", "-T", "-"),
    ]


def _prepare_jail(tree: Path, archive: Path) -> Jail | None:
    """Strangers made the tree. None for the root of the host, which holds the rest of what tar needs."""
    archive.touch(mode=0o600)
    if tree == Path("/"):
        return None
    return Jail(read=(tree,), write=(archive,), capabilities=(READ_ALL,), bounds=bounds_of_helper())


def list_names(names: Sequence[bytes]) -> bytes:
    return b"".join(b"./" + name + b"\0" for name in sorted(names))


def _check(tree: Path, result: Result) -> None:
    if result.code == 0:
        return
    stderr = result.stderr[-4000:].decode("utf-8", "replace")
    lines = [line for line in stderr.splitlines() if not line.endswith("socket ignored")]
    what = lines[0] if lines else f"tar ended with exit code {result.code}"
    if any(said in stderr for said in _NO_ROOM):
        raise _no_room(tree, what)
    if result.code == _CHANGED:
        raise Error(
            "image_build_failed",
            f"{tree} changed while it was read: {what}",
            "try again when nothing writes there",
            {"stderr": stderr},
        )
    raise _unreadable(tree, what, stderr)


def _no_room(tree: Path, what: str) -> Error:
    hint = "free space in banger's cache, or move the cache (BANGER_HOME, XDG_CACHE_HOME)"
    return Error("insufficient_disk", f"no space to pack {tree}: {what}", hint)


def _unreadable(tree: Path, what: str, stderr: str) -> Error:
    return Error(
        "image_build_failed", f"cannot read {tree}: {what}", "make every file readable", {"stderr": stderr}
    )


def _sha256(path: Path, count: Callable[[int], None], cancel: Event) -> str:
    """SHA-256 in hex digits. Blocking."""
    digest, buffer = hashlib.sha256(), bytearray(_READ_BYTES)
    with open(path, "rb", buffering=0) as file:
        while (got := file.readinto(buffer)) and not cancel.is_set():
            digest.update(memoryview(buffer)[:got])
            count(got)
    return digest.hexdigest()
