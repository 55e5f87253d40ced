"""Undo host resources from their records alone; go on past a step that fails.

| kind | identity | how |
|---|---|---|
| vmm | pid, start, boot, marker | SIGKILL by pidfd; without a pid, whatever carries the marker |
| cgroup | memory, cpu, pids: paths | kill what is in it, remove the directories |
| sockets | path | remove the directory |
| files | path | remove the directory |

A process of another `boot` of the host has ended with it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

from banger.errors import Error
from banger.host import cpu
from banger.host.cgroup import Group
from banger.host.fs import remove_tree
from banger.host.proc import ProcessRef, find_marked, kill_and_wait
from banger.host.spawn import MARKER
from banger.store.resources import Identity, Resource, ResourceTable

log = logging.getLogger("banger.teardown")

VMM, CGROUP, SOCKETS, FILES = "vmm", "cgroup", "sockets", "files"
RUNTIME = frozenset({VMM, CGROUP, SOCKETS})


def process_of(identity: Identity) -> ProcessRef | None:
    """The process a `vmm` record names, if its pid was written down. After a reboot of the host it is another's."""
    if is_of_earlier_boot(identity):
        return None
    pid, start = identity.get("pid"), identity.get("start")
    return ProcessRef(pid, start) if isinstance(pid, int) and isinstance(start, int) else None


def is_of_earlier_boot(identity: Identity) -> bool:
    return identity.get("boot", cpu.boot_id()) != cpu.boot_id()


@contextlib.contextmanager
def set_aside(resources: ResourceTable, directory: Path) -> Iterator[Path]:
    """What was published has its name no more, at once; the block removes what it is called now. Whoever ends in there
    leaves a record of it. Raises FileNotFoundError when it is not there."""
    aside = directory.with_name(f".removed-{directory.name[:12]}-{os.urandom(4).hex()}")
    noted = resources.note(aside.name.removeprefix("."), FILES, {"path": str(aside)})
    try:
        os.rename(directory, aside)
    except OSError:
        resources.clear(noted)
        raise
    yield aside
    resources.clear(noted)


async def release(resources: ResourceTable, machine: str, kinds: frozenset[str] | None = None) -> list[Error]:
    """Tear down a machine's resources (of some kinds only, if given), the newest first. What could not
    be released keeps its record; the errors are returned."""
    errors = []
    for resource in resources.of_machine(machine):
        if kinds is not None and resource.kind not in kinds:
            continue
        error = await _release_one(resource)
        if error is None:
            resources.clear(resource.id)
        else:
            log.warning("machine=%s %s: %s", machine, resource.kind, error.message)
            errors.append(error)
    return errors


async def _release_one(resource: Resource) -> Error | None:
    releaser = _RELEASERS.get(resource.kind)
    if releaser is None:
        return Error("internal", f"a resource of unknown kind {resource.kind!r}")
    try:
        await releaser(resource.identity)
    except Error as exc:
        return exc
    except OSError as exc:
        return Error("internal", f"{resource.kind}: {exc}")
    return None


async def _release_vmm(identity: Identity) -> None:
    if is_of_earlier_boot(identity):
        return
    known = process_of(identity)
    found = [known] if known else find_marked(MARKER, str(identity.get("marker", "")))
    for process in found:
        if not await kill_and_wait(process):
            raise Error("vmm_failed", f"process {process.pid} does not end, even with SIGKILL")


async def _release_group(identity: Identity) -> None:
    await Group.of_identity(identity).remove()


async def _release_directory(identity: Identity) -> None:
    await asyncio.to_thread(_remove_whole, Path(str(identity["path"])))


def _remove_whole(path: Path) -> None:
    """What is still there keeps its record: its file system may be read-only, or something be mounted in it."""
    remove_tree(path)
    if os.path.lexists(path):
        hint = "see what keeps it: a mount, its rights, a read-only file system"
        raise Error("internal", f"{path} cannot be removed", hint)


_RELEASERS: dict[str, Callable[[Identity], Awaitable[None]]] = {
    VMM: _release_vmm,
    CGROUP: _release_group,
    SOCKETS: _release_directory,
    FILES: _release_directory,
}
