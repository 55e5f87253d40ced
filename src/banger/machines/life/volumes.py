"""The volumes of a machine: who may have them, and how a guest gets them.

    record of the machine ── claim ── disk made, if it never was ── attached to the VM ── mounted by the agent

One machine has a volume for writing, or several have it for reading. The claim is what the records say already: a
machine that is live, or that holds anything of a run, has its volumes. So nothing has to be released, and a VMM that
outlives every daemon keeps its claim. The VMM locks each file, too.

The guest's kernel replays journals; nothing on the host reads what a guest wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import posixpath
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from banger.agent.connection import FieldList
from banger.directories import ensure_private_directory
from banger.errors import Error
from banger.host.fs import make_directory, publish
from banger.host.thread import in_thread
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.registry import Registry
from banger.machines.life.live import LiveMachine
from banger.model.machine import Machine, MachineSpec
from banger.model.volume import Volume, VolumeMount
from banger.resources import kinds, teardown
from banger.store.resources import ResourceTable
from banger.vmm.base import Driver, Vm
from banger.volumes.disks import cannot_make, disk_of, require_disk, write_empty
from banger.wire.constants import Tag, Type

_MOUNT_S = 60.0
_READ_ONLY, _NO_COPY = 1, 2


def check_volumes(spec: MachineSpec) -> None:
    """Raises `bad_spec` for volumes that cannot be mounted as the spec says."""
    taken = [posixpath.normpath(mount.target) for mount in spec.mounts]
    names: set[str] = set()
    for volume in spec.volumes:
        target = posixpath.normpath(volume.target)
        if target in ("/", "//") or ".." in volume.target.split("/"):
            raise Error(
                "bad_spec", f"nothing can be mounted at {volume.target!r}", "name a directory below /"
            )
        if target in taken:
            raise Error("bad_spec", f"two things have the target {target!r}", "give each its own target")
        if volume.volume in names:
            raise Error(
                "bad_spec",
                f"the volume {volume.volume} is given twice",
                "mount it once, and link to it in the machine",
            )
        taken.append(target)
        names.add(volume.volume)


def refuse_volumes(spec: MachineSpec, driver: Driver) -> None:
    """Raises `unsupported` for a driver that gives guests no volumes. Called before anything is started."""
    if spec.volumes and not driver.capabilities.volumes:
        raise Error("unsupported", f"{driver.name} gives a machine no volumes", "use another --driver")


def refuse_frozen(machine: Machine) -> None:
    """Raises `unsupported` for a machine that has volumes, and so cannot be frozen: its copies would write to the disks
    that it has."""
    if machine.spec.volumes:
        name = machine.spec.volumes[0].volume
        raise Error(
            "unsupported",
            f"{machine.name} has the volume {name}, so its memory cannot be copied",
            f"`banger commit` copies its root disk; `banger volume create --from {name}` copies the volume "
            "of a machine that is stopped",
        )


def claim(registry: Registry, resources: ResourceTable, machine: Machine) -> None:
    """Take the volumes for a machine that starts. Never waits. Raises `in_use`, `volume_not_found`."""
    for mount in machine.spec.volumes:
        registry.volumes.find(mount.volume)
        if not mount.read_only and registry.volumes.read_here[mount.volume]:
            raise Error(
                "in_use", f"the volume {mount.volume} is being exported or copied", "start the machine later"
            )
        for other, has in users_of(registry, mount.volume):
            alone = not (mount.read_only and has.read_only)
            if alone and other.id != machine.id and holds(registry, resources, other):
                raise _in_use(mount, other, has)
    if machine.spec.volumes:
        registry.volumes.claimed.add(machine.id)


def users_of(registry: Registry, name: str) -> list[tuple[Machine, VolumeMount]]:
    """The machines that mount the volume, also if they do not run, and how."""
    return [
        (machine, mount)
        for machine in registry.all()
        for mount in machine.spec.volumes
        if mount.volume == name
    ]


def holds(registry: Registry, resources: ResourceTable, machine: Machine) -> bool:
    """Whether the machine may have its volumes open now."""
    return machine.id in registry.volumes.claimed or any(
        held.kind in kinds.RUNTIME for held in resources.of_machine(machine.id)
    )


def find_writer(registry: Registry, resources: ResourceTable, name: str) -> Machine | None:
    """The machine that may write to the volume now."""
    users = users_of(registry, name)
    return next((one for one, how in users if not how.read_only and holds(registry, resources, one)), None)


def _in_use(mount: VolumeMount, other: Machine, has: VolumeMount) -> Error:
    how = "has it for reading" if has.read_only else "writes to it"
    hint = f"banger vm stop {other.name}"
    if has.read_only or mount.read_only:
        hint += "; several machines can have a volume if none of them writes: NAME:TARGET:ro"
    return Error(
        "in_use",
        f"the volume {mount.volume} is in use: {other.name} {how}",
        hint,
        {"volume": mount.volume, "machine": other.name},
    )


async def ensure_disks(
    registry: Registry, holdings: Holdings, spec: MachineSpec, keep_free_bytes: int
) -> None:
    """Make the disks that were never made. Raises `insufficient_disk`, `volume_invalid`."""
    for mount in spec.volumes:
        volume = await ensure_disk(registry, holdings, mount.volume, keep_free_bytes)
        await in_thread(require_disk, holdings.paths.volumes / volume.id, volume.name)


async def ensure_disk(registry: Registry, holdings: Holdings, name: str, keep_free_bytes: int) -> Volume:
    """The volume, with a disk. Raises `insufficient_disk`, `volume_not_found`."""
    volumes = registry.volumes
    async with volumes.locks[name]:
        volume = volumes.find(name)
        if volume.made:
            return volume

        async def write(directory: Path) -> None:
            await in_thread(write_empty, directory, volume.id, volume.size_bytes, keep_free_bytes)

        async with filled(holdings, volume, write) as settle:
            return volumes.note_made(volume, settle)


@contextlib.asynccontextmanager
async def filled(
    holdings: Holdings, volume: Volume, fill: Callable[[Path], Awaitable[None]]
) -> AsyncIterator[Callable[[], None]]:
    """The directory of a volume, made by `fill`, whole and synced. The block writes the volume's record, and in the
    same transaction calls what it gets: before that, the next daemon removes the directory. Raises the errors
    of `fill`; `insufficient_disk`."""
    resources, owner = holdings.resources, f"volume-{volume.id}"
    final = holdings.paths.volumes / volume.id
    partial = holdings.paths.volumes / f".new-{volume.id}"
    resources.note(owner, kinds.FILES.name, {"path": str(partial)})
    noted = resources.note(owner, kinds.FILES.name, {"path": str(final)})
    try:
        await in_thread(make_directory, holdings.paths.volumes, 0o700)
        ensure_private_directory(str(partial))
        await fill(partial)
        await in_thread(publish, partial, final)
        yield lambda: resources.clear(noted)
    except OSError as exc:
        raise cannot_make(final, exc) from exc
    finally:
        await asyncio.shield(teardown.release(resources, owner))


async def attach(vm: Vm, registry: Registry, holdings: Holdings, spec: MachineSpec) -> None:
    """Give the VM its volumes, whose claims it has. Raises `vmm_failed`, `in_use`."""
    for slot, mount in enumerate(spec.volumes):
        directory = holdings.paths.volumes / registry.volumes.find(mount.volume).id
        await vm.attach_volume(slot, disk_of(directory), read_only=mount.read_only)


def plan_volumes(registry: Registry, spec: MachineSpec, *, late: bool = False) -> FieldList:
    """What the agent is told. `late`: of the volumes that lie in a directory of the host, which is mounted first."""
    shared = [posixpath.normpath(mount.target) + "/" for mount in spec.mounts]
    slots = {mount: slot for slot, mount in enumerate(spec.volumes)}
    for mount in sorted(slots, key=lambda one: posixpath.normpath(one.target).count("/")):
        target = posixpath.normpath(mount.target)
        if target.startswith(tuple(shared)) == late:
            size_bytes = registry.volumes.find(mount.volume).size_bytes
            flags = _READ_ONLY * mount.read_only | _NO_COPY * mount.no_copy
            yield Tag.VOLUME, b"%d %d %d %b" % (slots[mount], size_bytes, flags, os.fsencode(target))


async def mount_late(registry: Registry, live: LiveMachine) -> None:
    """Let the agent mount the volumes that lie in directories of the host. Raises the errors of the agent."""
    if fields := list(plan_volumes(registry, live.machine.spec, late=True)):
        await live.agent().request(Type.VOLUMES, fields, _MOUNT_S)
