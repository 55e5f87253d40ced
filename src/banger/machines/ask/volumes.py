"""Volumes as requests want them: made, copied, listed, deleted, sent and received."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from threading import Event
from typing import NamedTuple

import msgspec

from banger.bundles import transfer
from banger.errors import Error
from banger.host.fs import require_free
from banger.host.thread import in_thread
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.registry import Registry
from banger.machines.life.volumes import ensure_disk, filled, find_writer, holds, users_of
from banger.model.settings import LimitSettings
from banger.model.volume import Volume, VolumeUser
from banger.resources import kinds, teardown
from banger.store.resources import Identity
from banger.volumes.bundle import Manifest, pack, unpack
from banger.volumes.disks import copy_disk, require_disk, used_bytes


class Hands(NamedTuple):
    """What changes a volume."""

    registry: Registry
    holdings: Holdings
    limits: LimitSettings


async def make(hands: Hands, name: str, size_bytes: int, labels: Mapping[str, str], source: str) -> Volume:
    """A new volume, empty or with a copy of what the volume `source` has. Raises `bad_name`, `bad_size`, `name_taken`,
    `volume_not_found`, `in_use`, `insufficient_disk`."""
    volumes = hands.registry.volumes
    if source:
        return await _copy(hands, name, size_bytes, labels, source)
    volume = volumes.plan(name, size_bytes, labels)
    volumes.add(volume)
    try:
        return await ensure_disk(hands.registry, hands.holdings, volume.name, hands.limits.disk_reserve_bytes)
    except BaseException:
        if volumes.has(volume.name) and not users_of(hands.registry, volume.name):
            volumes.remove(volumes.find(volume.name), lambda: None)
        raise


async def _copy(hands: Hands, name: str, size_bytes: int, labels: Mapping[str, str], source: str) -> Volume:
    volumes = hands.registry.volumes
    original = volumes.find(source)
    if size_bytes not in (0, original.size_bytes):
        raise Error("bad_size", "a copy is as large as its original", "leave out --size")
    volume = volumes.plan(name, original.size_bytes, labels)
    async with reading(hands, original) as disk:
        await in_thread(require_free, disk, disk.stat().st_blocks * 512, f"a copy of {source}")

        async def fill(directory: Path) -> None:
            await in_thread(copy_disk, disk, directory)

        async with filled(hands.holdings, volume, fill) as settle:
            made = msgspec.structs.replace(volume, made=True)
            volumes.add(made, settle)
    return made


async def take_in(
    hands: Hands, chunks: AsyncIterator[bytes], name: str, labels: Mapping[str, str] | None = None
) -> Volume:
    """A new volume from an export, under the name in it or under `name`, or from an ext4 disk. Raises `volume_invalid`,
    `bad_name`, `bad_size`, `name_taken`, `insufficient_disk`."""
    volumes = hands.registry.volumes
    draft = volumes.plan(name)
    manifests: list[Manifest] = []

    def plan(manifest: Manifest) -> Volume:
        if not (name or manifest.name):
            raise Error("bad_name", "a disk says no name for the volume", "add --name NAME")
        planned = volumes.plan(name or manifest.name, manifest.size_bytes, labels or manifest.labels)
        return msgspec.structs.replace(planned, id=draft.id, made=True)

    def work(pieces: Iterator[bytes], directory: Path, stop: Event) -> Manifest:
        return unpack(pieces, directory, stop, plan)

    async def fill(directory: Path) -> None:
        manifests.append(await transfer.receive(chunks, lambda pieces, stop: work(pieces, directory, stop)))

    async with filled(hands.holdings, draft, fill) as settle:
        volume = plan(manifests[0])
        volumes.add(volume, settle)
    return volume


async def export(hands: Hands, name: str) -> AsyncIterator[bytes]:
    """The volume in one file. Raises `volume_not_found`, `in_use`, `volume_invalid`."""
    async with reading(hands, hands.registry.volumes.find(name)) as disk:
        volume = hands.registry.volumes.find(name)
        async with contextlib.aclosing(transfer.send(pack(volume, disk.parent))) as stream:
            async for chunk in stream:
                yield chunk


@contextlib.asynccontextmanager
async def reading(hands: Hands, volume: Volume) -> AsyncIterator[Path]:
    """The disk of a volume that no machine writes to, and none can write to within the block. Raises `in_use`."""
    registry, resources = hands.registry, hands.holdings.resources
    made = await ensure_disk(registry, hands.holdings, volume.name, hands.limits.disk_reserve_bytes)
    if writer := find_writer(registry, resources, volume.name):
        raise Error(
            "in_use",
            f"{writer.name} writes to the volume {volume.name}, so its disk cannot be read as a whole",
            f"banger vm stop {writer.name}",
            {"volume": volume.name, "machine": writer.name},
        )
    disk = await in_thread(require_disk, hands.holdings.paths.volumes / made.id, volume.name)
    with _counted(registry, volume.name):
        if find_writer(registry, resources, volume.name):
            raise Error("in_use", f"a machine begins to write to {volume.name}", "try again later")
        yield disk


@contextlib.contextmanager
def _counted(registry: Registry, name: str) -> Iterator[None]:
    reads = registry.volumes.read_here
    reads[name] += 1
    try:
        yield
    finally:
        reads[name] -= 1
        if not reads[name]:
            del reads[name]


async def delete(hands: Hands, name: str) -> None:
    """Raises `volume_not_found`, `in_use`; `not_released` if the volume is gone and its disk is not."""
    registry, resources = hands.registry, hands.holdings.resources
    async with registry.volumes.locks[name]:
        volume = registry.volumes.find(name)
        if users := sorted({machine.name for machine, _ in users_of(registry, name)}):
            raise Error(
                "in_use",
                f"the volume {name} belongs to machines: {' '.join(users)}",
                f"delete them first: banger vm delete {' '.join(users)}",
                {"volume": name, "machines": users},
            )
        if registry.volumes.read_here[name]:
            raise Error("in_use", f"the volume {name} is being exported or copied", "delete it later")
        owner, directory = f"volume-{volume.id}", hands.holdings.paths.volumes / volume.id
        note: Identity = {"path": str(directory)}
        registry.volumes.remove(volume, lambda: resources.note(owner, kinds.FILES.name, note))
        errors = await asyncio.shield(teardown.release(resources, owner))
    if errors:
        raise errors[0]


def unused(registry: Registry) -> list[Volume]:
    """The volumes that no machine mounts, whether it runs or not."""
    return [
        volume
        for volume in registry.volumes.all()
        if not users_of(registry, volume.name) and not registry.volumes.read_here[volume.name]
    ]


async def prune(hands: Hands, *, dry_run: bool) -> list[Volume]:
    """Delete the volumes that no machine mounts. Returns them."""
    volumes = [await describe(hands, volume) for volume in unused(hands.registry)]
    gone = []
    for volume in volumes:
        try:
            if not dry_run:
                await delete(hands, volume.name)
        except Error:  # a machine took it meanwhile, or it is gone
            continue
        gone.append(volume)
    return gone


async def describe(hands: Hands, volume: Volume) -> Volume:
    """A copy of the record, with its users and what it takes."""
    registry, resources = hands.registry, hands.holdings.resources
    users = tuple(
        VolumeUser(
            machine=machine.name,
            target=mount.target,
            read_only=mount.read_only,
            attached=holds(registry, resources, machine),
        )
        for machine, mount in users_of(registry, volume.name)
    )
    taken = await in_thread(used_bytes, hands.holdings.paths.volumes / volume.id)
    return msgspec.structs.replace(volume, users=users, used_bytes=taken)
