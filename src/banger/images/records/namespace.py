"""Work that needs root's user ids, but no other right of root.

A tree of files with many owners is built, read and removed as root of a user namespace, in which the caller is root and
the caller's subordinate ids are the other users. Root needs no namespace for that.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pwd
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from banger.errors import Error, ToolFailed
from banger.host.fs import PARTIAL, remove_tree
from banger.host.run import find_tool, have_tool, run
from banger.host.thread import in_thread

log = logging.getLogger("banger.images")

_IDS_NEEDED = 65535


def prepare_as_root(argv: Sequence[str], ranges: bool = True) -> list[str]:
    """The argv to run a program as root of a namespace. `ranges`: with the subordinate ids; without them all other
    owners look alike."""
    if os.geteuid() == 0:
        return list(argv)
    mapping = ["--map-root-user", "--map-auto"] if ranges else ["--map-root-user"]
    return ["unshare", "--user", *mapping, *argv]


def prepare_contained(argv: Sequence[str]) -> list[str]:
    """As `prepare_as_root`, with mounts and processes that end together with the program."""
    mapping = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    return ["unshare", *mapping, "--mount", "--pid", "--fork", "--kill-child", *argv]


def have_ranges() -> bool:
    """Whether the caller may map 65535 further ids; root always may."""
    if os.geteuid() == 0:
        return True
    if not (have_tool("newuidmap") and have_tool("newgidmap")):
        return False
    return all(_has_range(Path(table)) for table in ("/etc/subuid", "/etc/subgid"))


async def require_namespace() -> None:
    """Check that a tree of many owners can be built on this host. Raises `tool_missing`, `image_build_failed`, with a
    hint."""
    find_tool("unshare")
    if not have_ranges():
        find_tool("newuidmap")
        raise Error(
            "tool_missing",
            f"user {_user_name()} has no range of {_IDS_NEEDED} subordinate ids",
            "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " + _user_name(),
        )
    try:
        await run(prepare_contained(["true"]))
    except ToolFailed as exc:
        raise Error(
            "image_build_failed",
            f"this host does not let {_user_name()} create namespaces: {exc.message}",
            "check sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone and "
            "kernel.apparmor_restrict_unprivileged_userns",
            exc.details,
        ) from exc


@asynccontextmanager
async def open_work_directory(parent: Path) -> AsyncIterator[Path]:
    """A directory for a build, which is removed at the end of the block. On the same file system as `parent`, with a
    name that a sweep finds if this process is killed."""
    await in_thread(parent.mkdir, parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}work-", dir=parent))
    try:
        yield work
    finally:
        removal = asyncio.ensure_future(remove_owned_tree(work))
        try:
            await asyncio.shield(removal)
        except asyncio.CancelledError:
            await removal
            raise


async def remove_owned_tree(path: Path) -> bool:
    """Remove a tree with files of any owners. Returns whether it is gone. Processes of a build that was just killed may
    still write for a moment, so removal is tried again. The log names a tree that stays, and a sweep removes it
    later."""
    for _ in range(20):
        if await in_thread(_try_remove, path):
            return True
        argv = prepare_as_root(["rm", "-rf", "--one-file-system", str(path)], have_ranges())
        if (await run(argv, check=False, timeout_s=120)).code == 0:
            return True
        await asyncio.sleep(0.1)
    log.warning("%s cannot be removed; it is tried again at the next start of the daemon", path)
    return False


def _try_remove(path: Path) -> bool:
    try:
        remove_tree(path)
    except OSError:  # it belongs to another user: remove it in a namespace
        return False
    return True


def _has_range(table: Path) -> bool:
    """Whether a file has a range for this user: lines of `name or uid:first:count`."""
    try:
        rows = [line.split(":") for line in table.read_text().splitlines()]
    except OSError:
        return False
    names = {_user_name(), str(os.geteuid())}
    counts = [int(row[2]) for row in rows if len(row) == 3 and row[0] in names and row[2].isdigit()]
    return sum(counts) >= _IDS_NEEDED


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())
