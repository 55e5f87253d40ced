"""Undo host resources from their records alone; go on past a step that fails.

| kind | identity | how |
|---|---|---|
| vmm | pid, start, boot, marker | SIGKILL by pidfd; without a pid, whatever carries the marker |
| cgroup | memory, cpu, pids: paths | kill what is in it, remove the directories |
| sockets | path | remove the directory |
| files | path | remove the directory |

A process of another `boot` of the host has ended with it.

What cannot be released keeps its record, which says why as long as this daemon lives; whoever reads it tries again.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path

from banger.errors import Error
from banger.host import cpu
from banger.host.cgroup import Group
from banger.host.fs import remove_whole
from banger.host.proc import ProcessRef, find_marked, kill_and_wait
from banger.host.spawn import MARKER
from banger.host.thread import in_thread
from banger.store.resources import Identity, Resource, ResourceTable

log = logging.getLogger("banger.teardown")

_AGAIN = "see what keeps it (a mount, its rights, a read-only disk), then: banger system reconcile"

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
    leaves a record of it, and so does an error in there. Raises FileNotFoundError when it is not there."""
    aside = directory.with_name(f".removed-{directory.name[:12]}-{os.urandom(4).hex()}")
    noted = resources.note(aside.name.removeprefix("."), FILES, {"path": str(aside)})
    try:
        os.rename(directory, aside)
    except OSError:
        resources.clear(noted)
        raise
    try:
        yield aside
    except OSError as exc:
        error = Error("not_released", f"{aside} cannot be removed: {exc.strerror or exc}", _AGAIN)
        resources.keep(noted, error)
        raise error from exc
    resources.clear(noted)


async def release(resources: ResourceTable, machine: str, kinds: frozenset[str] | None = None) -> list[Error]:
    """Tear down a machine's resources (of some kinds only, if given), the newest first. What could not
    be released keeps its record; the errors are returned."""
    held = resources.of_machine(machine)
    return await release_each(resources, [r for r in held if kinds is None or r.kind in kinds])


async def release_each(resources: ResourceTable, held: Iterable[Resource]) -> list[Error]:
    """As `release`, of those that are given."""
    errors = []
    for resource in held:
        error = await _release_one(resource)
        if error is None:
            resources.clear(resource.id)
        else:
            log.warning("machine=%s %s: %s", resource.machine, resource.kind, error.message)
            resources.keep(resource.id, error)
            errors.append(error)
    return errors


def describe(resource: Resource) -> str:
    """What it is, for people."""
    if resource.kind == VMM:
        process = process_of(resource.identity)
        return f"process {process.pid}" if process else f"process of {resource.identity.get('marker', '')}"
    if resource.kind == CGROUP:
        return "control group " + ", ".join(map(str, Group.of_identity(resource.identity).paths))
    return f"directory {resource.identity.get('path', '')}"


async def _release_one(resource: Resource) -> Error | None:
    releaser = _RELEASERS.get(resource.kind)
    if releaser is None:
        return Error("internal", f"a resource of unknown kind {resource.kind!r}")
    try:
        await releaser(resource.identity)
    except Error as exc:
        return exc
    except OSError as exc:
        return Error("not_released", f"{describe(resource)} cannot be removed: {exc.strerror or exc}", _AGAIN)
    return None


async def _release_vmm(identity: Identity) -> None:
    if is_of_earlier_boot(identity):
        return
    known = process_of(identity)
    found = [known] if known else await in_thread(find_marked, MARKER, str(identity.get("marker", "")))
    for process in found:
        if not await kill_and_wait(process):
            raise Error("not_released", f"process {process.pid} does not end, even with SIGKILL", _AGAIN)


async def _release_group(identity: Identity) -> None:
    await Group.of_identity(identity).remove()


async def _release_directory(identity: Identity) -> None:
    await in_thread(remove_whole, Path(str(identity["path"])), _AGAIN)


_RELEASERS: dict[str, Callable[[Identity], Awaitable[None]]] = {
    VMM: _release_vmm,
    CGROUP: _release_group,
    SOCKETS: _release_directory,
    FILES: _release_directory,
}
