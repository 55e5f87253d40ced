"""Doing as root what needs root's ids and nothing else of root's.

A tree of files with many owners is built, read and removed as root of a user namespace, in which the caller is
root and the caller's subordinate ids are the others. Root itself needs no namespace for that.
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

from banger.errors import Error
from banger.host.fs import PARTIAL, remove_tree
from banger.host.run import find_tool, have_tool, run
from banger.host.thread import in_thread

log = logging.getLogger("banger.images")

_IDS_NEEDED = 65535


def plan_as_root(argv: Sequence[str], ranges: bool = True) -> list[str]:
    """`ranges` asks for the subordinate ids too; without them every other owner is nobody."""
    if os.geteuid() == 0:
        return list(argv)
    mapping = ["--map-root-user", "--map-auto"] if ranges else ["--map-root-user"]
    return ["unshare", "--user", *mapping, *argv]


def plan_contained(argv: Sequence[str]) -> list[str]:
    """As root, with mounts and processes that end with the program, however it ends."""
    mapping = [] if os.geteuid() == 0 else ["--user", "--map-root-user", "--map-auto"]
    return ["unshare", *mapping, "--mount", "--pid", "--fork", "--kill-child", *argv]


def have_ranges() -> bool:
    """Whether the caller may map 65535 further ids; always so for root."""
    if os.geteuid() == 0:
        return True
    if not (have_tool("newuidmap") and have_tool("newgidmap")):
        return False
    return all(_has_range(Path(table)) for table in ("/etc/subuid", "/etc/subgid"))


async def require_namespace() -> None:
    """That building a tree of many owners can work here. Raises `tool_missing`, `image_build_failed`, with what
    to do about it."""
    find_tool("unshare")
    if not have_ranges():
        find_tool("newuidmap")
        raise Error(
            "tool_missing",
            f"user {_user_name()} has no range of {_IDS_NEEDED} subordinate ids",
            "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 " + _user_name(),
        )
    try:
        await run(plan_contained(["true"]))
    except Error as exc:
        if exc.code != "tool_failed":
            raise
        raise Error(
            "image_build_failed",
            f"this host does not let {_user_name()} create namespaces: {exc.message}",
            "check sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone and "
            "kernel.apparmor_restrict_unprivileged_userns",
            exc.details,
        ) from exc


@asynccontextmanager
async def open_work_directory(parent: Path) -> AsyncIterator[Path]:
    """A directory for a build, gone when the block has ended in whatever way. On the same file system as `parent`,
    and named so that a sweep finds it should we be killed."""
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
    """Remove a tree whatever owners it has; whether it is gone. What a build that was just killed had running may still
    write for a moment, so it tries more than once. One that stays is said in the log, and swept later."""
    for _ in range(20):
        if await in_thread(_try_remove, path):
            return True
        argv = plan_as_root(["rm", "-rf", "--one-file-system", str(path)], have_ranges())
        if (await run(argv, check=False, timeout_s=120)).code == 0:
            return True
        await asyncio.sleep(0.1)
    log.warning("%s cannot be removed; it is tried again at the next start of the daemon", path)
    return False


def _try_remove(path: Path) -> bool:
    try:
        remove_tree(path)
    except OSError:  # another user's: there is another way
        return False
    return True


def _has_range(table: Path) -> bool:
    """`name or uid:first:count`, one range a line."""
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
