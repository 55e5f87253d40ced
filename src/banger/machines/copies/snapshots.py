"""Snapshots: machines as they were, kept under a tag, gone back to, sent elsewhere.

A snapshot's directory is all there is of it (see `templates.frozen`); it has its name once it is whole. It has links of
its own to all that it needs, so it outlives its machine.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path

import msgspec

from banger.errors import Error
from banger.host.fs import disk_usage_bytes, publish, remove_tree
from banger.host.thread import in_thread
from banger.host.times import now
from banger.machines.copies.capture import capture, working_directory
from banger.machines.keep.states import LIVE
from banger.machines.life.lifecycle import create, kill
from banger.machines.life.revival import Original, plan_revival, revive
from banger.machines.parts import Parts
from banger.model.machine import Change, Machine, MachineState
from banger.model.names import check_name
from banger.model.operation import Report
from banger.model.sizes import TIB
from banger.model.template import Snapshot, Tag
from banger.resources import teardown
from banger.templates.bundle import SealedManifest
from banger.templates.bundle_reader import Limits
from banger.templates.bundle_transfer import describe_bundle, read_bundle_stream, unpack_bundle
from banger.templates.frozen import Sums, check_files, read_meta, sum_files, write_meta
from banger.vmm.frozen import Frozen, FrozenFiles

_LARGEST_BYTES = 16 * TIB


class SnapshotMeta(msgspec.Struct, kw_only=True):
    """`meta.json` of a snapshot. `machine_id` and `address` are the machine's that was frozen here; a snapshot from
    elsewhere has none."""

    snapshot: Snapshot
    sums: Sums
    machine_id: str = ""
    address: str = ""


async def snapshot(parts: Parts, machine: Machine, tag: str, report: Report) -> Snapshot:
    """Keep a running machine as it is now. Raises `name_taken` for a tag that is used, and what `capture` raises."""
    live = parts.live_of(machine)
    await _refuse_taken(parts, machine.name, tag)
    async with working_directory(parts, "snapshot") as directory:
        report("freeze", f"freezing {machine.name}")
        shape = await capture(parts, live, directory)
        report("keep", f"checking the snapshot of {machine.name}")
        record = Snapshot(
            id=secrets.token_hex(6),
            machine=machine.name,
            tag=tag,
            created=now(),
            image=machine.spec.image,
            kernel=machine.kernel,
            shape=shape,
            spec=machine.spec,
            size_bytes=await in_thread(disk_usage_bytes, directory),
        )
        await _publish(parts, directory, record, machine.id, machine.address)
    _tell(parts, "made", record, f"a snapshot of {machine.name} was made: {tag}")
    return record


async def restore(parts: Parts, name: str, tag: str, report: Report, owner: int | None = None) -> Machine:
    """The machine is again what it was: a running one is killed first, one that is gone is made anew. Raises
    `snapshot_not_found`, `frozen_damaged`, and what `revive` raises."""
    record = await find_snapshot(parts, name, tag)
    directory = _directory(parts, record)
    report("check", f"checking {name}:{tag}")
    meta = await in_thread(read_meta, directory, SnapshotMeta)
    await in_thread(check_files, directory, meta.sums)
    await plan_revival(parts, _as_it_was(record), record.shape)  # before anything of today's is lost
    machine = await _end_present(parts, name, report) or _create_again(parts, record, owner)
    as_itself = machine.id == meta.machine_id
    original = Original(f"snapshot {name}:{tag}", Frozen(directory), record.shape)
    await revive(parts, machine, original, report, as_itself=as_itself, become=_what_it_was(machine, record))
    address = meta.address if as_itself else machine.address
    how = "was restored to snapshot" if as_itself else "was made again from snapshot"
    parts.registry.finish([machine], address=address)
    _tell(parts, "restored", record, f"{name} {how} {tag}")
    return machine


async def _end_present(parts: Parts, name: str, report: Report) -> Machine | None:
    """The machine of that name, which does not run any more; None when there is none."""
    try:
        machine = parts.registry.find(name)
    except Error:
        return None
    if machine.state in LIVE:
        report("stop", f"stopping {name}")
        with contextlib.suppress(Error):  # it ended by itself
            await kill(parts, machine)
    return machine if parts.registry.has(machine) else None


def _as_it_was(record: Snapshot) -> Machine:
    return Machine(
        id=record.id,
        name=record.machine,
        state=MachineState.CREATED,
        spec=record.spec,
        created=record.created,
        kernel=record.kernel,
    )


async def list_snapshots(parts: Parts, machine: str = "") -> list[Snapshot]:
    """Of one machine, or all; the oldest first."""
    found = [
        record
        for record in await in_thread(_read_all, parts.paths.snapshots)
        if machine in ("", record.machine)
    ]
    return sorted(found, key=lambda record: (record.machine, record.created))


async def find_snapshot(parts: Parts, machine: str, tag: str) -> Snapshot:
    """Raises `snapshot_not_found`."""
    for record in await in_thread(_read_all, parts.paths.snapshots):
        if (record.machine, record.tag) == (machine, tag):
            return record
    raise Error("snapshot_not_found", f"{machine!r} has no snapshot {tag!r}", "banger snapshot list")


async def delete_snapshot(parts: Parts, machine: str, tag: str) -> None:
    """Machines that were restored from it keep all they need. Raises `snapshot_not_found`; `not_released` where it has
    no name any more, and takes room still."""
    record = await find_snapshot(parts, machine, tag)
    directory = _directory(parts, record)
    with teardown.set_aside(parts.store.resources, directory) as aside:
        _tell(parts, "deleted", record, f"the snapshot {tag} of {machine} was deleted")
        await in_thread(remove_tree, aside)


async def export_snapshot(parts: Parts, machine: str, tag: str) -> AsyncIterator[bytes]:
    """The bundle that `import_snapshot` takes, here or elsewhere. Raises `snapshot_not_found`, `frozen_damaged`."""
    record = await find_snapshot(parts, machine, tag)
    directory = _directory(parts, record)
    driver = parts.drivers.named(record.shape.driver)
    async with working_directory(parts, "export") as work:
        await driver.frozen.pack(Frozen(directory), work)
        sealed = await describe_bundle(work, record, driver.frozen)
        await in_thread(_note_digest, directory, sealed.digest)
        async with contextlib.aclosing(read_bundle_stream(work, sealed)) as stream:
            async for chunk in stream:
                yield chunk


async def import_snapshot(parts: Parts, chunks: AsyncIterable[bytes], machine: str, tag: str) -> Snapshot:
    """Take a bundle; it gets the names it brings, unless others are given. Raises `snapshot_invalid`,
    `insufficient_disk`, `name_taken`."""
    if machine and tag:
        await _refuse_taken(parts, check_name(machine), _check_tag(tag))
    async with working_directory(parts, "import") as directory:
        sealed = await unpack_bundle(
            chunks,
            directory,
            Limits(total_bytes=_LARGEST_BYTES, disk_bytes=_LARGEST_BYTES),
            lambda sealed: _refuse_strange_members(_files_of(parts, sealed.manifest.snapshot), sealed),
        )
        brought = sealed.manifest.snapshot
        record = msgspec.structs.replace(
            brought,
            id=secrets.token_hex(6),
            machine=check_name(machine or brought.machine),
            tag=_check_tag(tag or brought.tag),
            digest=sealed.digest,
            size_bytes=await in_thread(disk_usage_bytes, directory),
        )
        await _publish(parts, directory, record)
    message = f"the snapshot {record.tag} of {record.machine} was imported"
    _tell(parts, "imported", record, message)
    return record


def _tell(parts: Parts, what: str, record: Snapshot, message: str) -> None:
    """It is done already, whether or not there is room to write that down."""
    target = f"snapshot/{record.machine}:{record.tag}"
    parts.journal.try_to_tell(f"snapshot.{what}", target, message, id=record.id)


async def _publish(
    parts: Parts, directory: Path, record: Snapshot, machine_id: str = "", address: str = ""
) -> None:
    """Under names that nobody has taken meanwhile, or raise `name_taken`."""
    names = await in_thread(_files_of(parts, record).parts, Frozen(directory))
    sums = await in_thread(sum_files, directory, names)
    meta = SnapshotMeta(snapshot=record, sums=sums, machine_id=machine_id, address=address)
    async with parts.locks["snapshots"]:
        await _refuse_taken(parts, record.machine, record.tag)
        await in_thread(_write_down, parts, directory, meta)


def _write_down(parts: Parts, directory: Path, meta: SnapshotMeta) -> None:
    """Users' own, and not to be made anew: it is on the disk before it has its name."""
    write_meta(directory, meta)
    publish(directory, _directory(parts, meta.snapshot))


def _note_digest(directory: Path, digest: str) -> None:
    meta = read_meta(directory, SnapshotMeta)
    meta.snapshot.digest = digest
    write_meta(directory, meta)


def _refuse_strange_members(files: FrozenFiles, sealed: SealedManifest) -> FrozenFiles:
    if {file.name for file in sealed.files} != set(files.members):
        raise Error(
            "snapshot_invalid", f"a snapshot consists of {', '.join(files.members)}, but this one does not"
        )
    return files


def _files_of(parts: Parts, record: Snapshot) -> FrozenFiles:
    """Of the driver that made it. Raises `snapshot_incompatible`: a stranger's may name any."""
    try:
        return parts.drivers.named(record.shape.driver).frozen
    except Error as exc:
        raise Error(
            "snapshot_incompatible",
            f"{record.machine}:{record.tag} was frozen by {record.shape.driver!r}, which this banger does not have",
            exc.hint,
        ) from exc


def _create_again(parts: Parts, record: Snapshot, owner: int | None) -> Machine:
    spec = msgspec.structs.replace(record.spec, name=record.machine)
    return create(parts, spec, unfinished=True, owner=owner)


def _what_it_was(machine: Machine, record: Snapshot) -> Change:
    return {
        "spec": msgspec.structs.replace(record.spec, name=machine.spec.name),
        "image_digest": record.shape.image_digest,
        "kernel": record.kernel,
        "kernel_digest": record.shape.kernel_digest,
    }


async def _refuse_taken(parts: Parts, machine: str, tag: str) -> None:
    known = await in_thread(_read_all, parts.paths.snapshots)
    if any((record.machine, record.tag) == (machine, tag) for record in known):
        raise Error(
            "name_taken",
            f"{machine} has a snapshot {tag} already",
            f"choose another tag, or run banger snapshot delete {machine} {tag}",
        )


def _check_tag(tag: str) -> str:
    try:
        return msgspec.convert(tag, Tag)
    except msgspec.ValidationError as exc:
        raise Error(
            "bad_name", f"{tag!r} is not a tag", "use up to 64 letters, digits, '.', '_' and '-'"
        ) from exc


def _read_all(root: Path) -> list[Snapshot]:
    """Blocking."""
    found = []
    for directory in root.iterdir() if root.is_dir() else ():
        if not directory.name.startswith("."):
            with contextlib.suppress(Error):  # what it was is lost; people may look at what is left
                found.append(read_meta(directory, SnapshotMeta).snapshot)
    return found


def _directory(parts: Parts, record: Snapshot) -> Path:
    return parts.paths.snapshots / record.id
