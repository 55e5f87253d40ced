"""Snapshots: earlier states of machines, kept under a tag, to restore or to send to another host.

The directory of a snapshot is its only record (see `templates.frozen`); the directory gets its name when it is
complete. It has hard links of its own to all that it needs, so a snapshot outlives its machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterable, AsyncIterator
from pathlib import Path

import msgspec

from banger.errors import Error, NoSuchMachine
from banger.host.fs import disk_usage_bytes, publish, remove_tree
from banger.host.thread import in_thread
from banger.host.times import now
from banger.machines.copies.capture import capture, working_directory
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.registry import Registry
from banger.machines.keep.states import LIVE
from banger.machines.life.lifecycle import create, kill
from banger.machines.life.lives import Lives
from banger.machines.life.makings import Makings
from banger.machines.life.neighbours import refuse_crowd
from banger.machines.life.passage import without_reach
from banger.machines.life.revival import Original, prepare_revival, revive
from banger.model.event import Tell, tell_nobody
from banger.model.machine import Change, Machine, MachineSpec, MachineState
from banger.model.names import check_name
from banger.model.operation import Report
from banger.model.origin import RestoredFromSnapshot
from banger.model.sizes import TIB
from banger.model.template import Snapshot, Tag
from banger.resources import teardown
from banger.templates.bundle import SealedManifest
from banger.templates.bundle_reader import Limits
from banger.templates.bundle_transfer import describe_bundle, read_bundle_stream, unpack_bundle
from banger.templates.frozen import Sums, check_files, read_meta, sum_files, write_meta
from banger.vmm.frozen import Frozen, FrozenFiles

_LARGEST_BYTES = 16 * TIB

Snapshots = list[Snapshot]  # below, `list` is the name of a method


class SnapshotMeta(msgspec.Struct, kw_only=True):
    """`meta.json` of a snapshot. `machine_id` and `address` belong to the machine that was frozen on this host; a
    snapshot from another host has none."""

    snapshot: Snapshot
    sums: Sums
    machine_id: str = ""
    address: str = ""


class SnapshotLibrary:
    """All snapshots. Lives as long as the daemon; used from its event loop."""

    def __init__(self, holdings: Holdings, tell: Tell = tell_nobody) -> None:
        self._holdings = holdings
        self._root = holdings.paths.snapshots
        self._tell_journal = tell
        self._naming = asyncio.Lock()

    async def list(self, machine: str = "") -> Snapshots:
        """Snapshots of one machine, or of all; the oldest first."""
        found = [record for record in await self._all() if machine in ("", record.machine)]
        return sorted(found, key=lambda record: (record.machine, record.created))

    async def find(self, machine: str, tag: str) -> Snapshot:
        """Raises `snapshot_not_found`."""
        for record in await self._all():
            if (record.machine, record.tag) == (machine, tag):
                return record
        raise Error("snapshot_not_found", f"{machine!r} has no snapshot {tag!r}", "banger snapshot list")

    async def refuse_taken(self, machine: str, tag: str) -> None:
        """Raises `name_taken`."""
        if any((record.machine, record.tag) == (machine, tag) for record in await self._all()):
            raise Error(
                "name_taken",
                f"{machine} has a snapshot {tag} already",
                f"choose another tag, or run banger snapshot delete {machine} {tag}",
            )

    async def keep(self, directory: Path, record: Snapshot, machine_id: str = "", address: str = "") -> None:
        """Publish `directory` as a snapshot under the names of `record`. Raises `name_taken` if there is such a
        snapshot meanwhile."""
        names = await in_thread(self._files_of(record).parts, Frozen(directory))
        sums = await in_thread(sum_files, directory, names)
        meta = SnapshotMeta(snapshot=record, sums=sums, machine_id=machine_id, address=address)
        async with self._naming:
            await self.refuse_taken(record.machine, record.tag)
            await in_thread(_write_down, directory, meta, self.directory(record))

    async def follow(self, machine_id: str, was: str, name: str) -> None:
        """The snapshots of a machine get its new name. Raises OSError."""
        async with self._naming:
            await in_thread(_follow, self._root, machine_id, was, name)

    async def delete(self, machine: str, tag: str) -> None:
        """Machines that were restored from the snapshot keep all that they need. Raises `snapshot_not_found`;
        `not_released` if the snapshot has lost its name but its files remain."""
        record = await self.find(machine, tag)
        with teardown.set_aside(self._holdings.resources, self.directory(record)) as aside:
            self.tell("deleted", record, f"the snapshot {tag} of {machine} was deleted")
            await in_thread(remove_tree, aside)

    async def export(self, machine: str, tag: str) -> AsyncIterator[bytes]:
        """The bundle that `take_in` reads, on this or another host. Raises `snapshot_not_found`, `frozen_damaged`."""
        record = await self.find(machine, tag)
        directory = self.directory(record)
        driver = self._holdings.drivers.named(record.shape.driver)
        async with working_directory(self._holdings, "export") as work:
            await driver.frozen.pack(Frozen(directory), work)
            sealed = await describe_bundle(work, record, driver.frozen)
            await in_thread(_note_digest, directory, sealed.digest)
            async with contextlib.aclosing(read_bundle_stream(work, sealed)) as stream:
                async for chunk in stream:
                    yield chunk

    async def take_in(self, chunks: AsyncIterable[bytes], machine: str, tag: str) -> Snapshot:
        """Import a bundle, under the names in it or under `machine` and `tag`. Raises `snapshot_invalid`,
        `insufficient_disk`, `name_taken`."""
        if machine and tag:
            await self.refuse_taken(check_name(machine), _check_tag(tag))
        async with working_directory(self._holdings, "import") as directory:
            sealed = await unpack_bundle(
                chunks,
                directory,
                Limits(total_bytes=_LARGEST_BYTES, disk_bytes=_LARGEST_BYTES),
                lambda sealed: _refuse_strange_members(self._files_of(sealed.manifest.snapshot), sealed),
            )
            brought = sealed.manifest.snapshot
            record = msgspec.structs.replace(
                brought,
                spec=without_reach(brought.spec),
                id=secrets.token_hex(6),
                machine=check_name(machine or brought.machine),
                tag=_check_tag(tag or brought.tag),
                digest=sealed.digest,
                size_bytes=await in_thread(disk_usage_bytes, directory),
            )
            await self.keep(directory, record)
        self.tell("imported", record, f"the snapshot {record.tag} of {record.machine} was imported")
        return record

    def directory(self, record: Snapshot) -> Path:
        return self._root / record.id

    def tell(self, what: str, record: Snapshot, message: str) -> None:
        """Write an event about a change that has happened already, even if there is no space for the event."""
        target = f"snapshot/{record.machine}:{record.tag}"
        self._tell_journal(f"snapshot.{what}", target, message, id=record.id)

    async def _all(self) -> Snapshots:
        return await in_thread(_read_all, self._root)

    def _files_of(self, record: Snapshot) -> FrozenFiles:
        """The files of the driver that made the snapshot. Raises `snapshot_incompatible`: a stranger's bundle may name
        any driver."""
        try:
            return self._holdings.drivers.named(record.shape.driver).frozen
        except Error as exc:
            raise Error(
                "snapshot_incompatible",
                f"{record.machine}:{record.tag} was frozen by {record.shape.driver!r}, which this banger does not "
                "have",
                exc.hint,
            ) from exc


async def snapshot(
    library: SnapshotLibrary, lives: Lives, makings: Makings, machine: Machine, tag: str, report: Report
) -> Snapshot:
    """Keep the present state of a running machine. Raises `name_taken` for a tag in use, and the errors of
    `capture`."""
    live = lives.of(machine)
    await library.refuse_taken(machine.name, tag)
    async with working_directory(lives.holdings, "snapshot") as directory:
        report("freeze", f"freezing {machine.name}")
        shape = await capture(lives, makings, live, directory)
        report("keep", f"checking the snapshot of {machine.name}")
        record = Snapshot(
            id=secrets.token_hex(6),
            machine=machine.name,
            tag=tag,
            created=now(),
            image=machine.spec.image,
            kernel=machine.kernel,
            shape=shape,
            spec=_with_policy(machine),
            size_bytes=await in_thread(disk_usage_bytes, directory),
        )
        await library.keep(directory, record, machine.id, machine.address)
    library.tell("made", record, f"a snapshot of {machine.name} was made: {tag}")
    return record


def _refuse_crowd(registry: Registry, was: Machine) -> None:
    """Raises `network_not_found`, `network_full`."""
    with contextlib.suppress(NoSuchMachine):
        was = msgspec.structs.replace(registry.find(was.name), spec=was.spec)
    refuse_crowd(registry, was)


def _with_policy(machine: Machine) -> MachineSpec:
    """The spec with the policy that the machine's networks gave it: elsewhere, nothing is known of them."""
    if machine.spec.network or not machine.spec.networks:
        return machine.spec
    return msgspec.structs.replace(machine.spec, network=machine.network.policy)


async def restore(
    library: SnapshotLibrary,
    lives: Lives,
    makings: Makings,
    name: str,
    tag: str,
    report: Report,
    owner: int | None = None,
) -> Machine:
    """Put the machine back into the state of the snapshot: kills a running machine first, and makes a machine that is
    gone again. Raises `snapshot_not_found`, `frozen_damaged`, and the errors of `revive`."""
    record = await library.find(name, tag)
    directory = library.directory(record)
    report("check", f"checking {name}:{tag}")
    meta = await in_thread(read_meta, directory, SnapshotMeta)
    await in_thread(check_files, directory, meta.sums)
    was = _as_it_was(record)  # all checks come before the present state is lost
    _refuse_crowd(lives.registry, was)
    await prepare_revival(makings, lives.registry.networks, was, lives.holdings.places(was), record.shape)
    machine = await _end_present(lives, name, report)
    if machine is None:
        spec = msgspec.structs.replace(record.spec, name=record.machine)
        machine = create(lives.registry, makings.drivers, spec, unfinished=True, owner=owner)
    as_itself = machine.id == meta.machine_id
    original = Original(RestoredFromSnapshot(machine=name, tag=tag), Frozen(directory), record.shape)
    become = _what_it_was(machine, record)
    if as_itself and meta.address:
        become["address"] = meta.address
    await revive(lives, makings, machine, original, report, as_itself=as_itself, become=become)
    address = meta.address if as_itself else machine.address
    how = "was restored to snapshot" if as_itself else "was made again from snapshot"
    lives.registry.finish([machine], address=address)
    library.tell("restored", record, f"{name} {how} {tag}")
    return machine


async def _end_present(lives: Lives, name: str, report: Report) -> Machine | None:
    """End the machine of that name; None if there is none."""
    try:
        machine = lives.registry.find(name)
    except Error:
        return None
    if machine.state in LIVE:
        report("stop", f"stopping {name}")
        with contextlib.suppress(Error):  # the machine ended by itself
            await kill(lives, machine)
    return machine if lives.registry.has(machine) else None


def _as_it_was(record: Snapshot) -> Machine:
    return Machine(
        id=record.id,
        name=record.machine,
        state=MachineState.CREATED,
        spec=record.spec,
        created=record.created,
        kernel=record.kernel,
    )


def _what_it_was(machine: Machine, record: Snapshot) -> Change:
    is_same_image = machine.image_digest == record.shape.image_digest
    return {
        "spec": msgspec.structs.replace(record.spec, name=machine.spec.name),
        "surroundings": machine.surroundings if is_same_image else None,
        "stop_signal": machine.stop_signal if is_same_image else "",
        "image_digest": record.shape.image_digest,
        "kernel": record.kernel,
        "kernel_digest": record.shape.kernel_digest,
    }


def _write_down(directory: Path, meta: SnapshotMeta, name: Path) -> None:
    """Sync the files before the directory gets its name: users' data, which banger cannot make again."""
    write_meta(directory, meta)
    publish(directory, name)


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


def _check_tag(tag: str) -> str:
    try:
        return msgspec.convert(tag, Tag)
    except msgspec.ValidationError as exc:
        raise Error(
            "bad_name", f"{tag!r} is not a tag", "use up to 64 letters, digits, '.', '_' and '-'"
        ) from exc


def _follow(root: Path, machine_id: str, was: str, name: str) -> None:
    """Blocking. Snapshots of an earlier machine that had the same name keep it."""
    for record in _read_all(root):
        meta = read_meta(root / record.id, SnapshotMeta)
        if meta.machine_id == machine_id and record.machine == was:
            meta.snapshot.machine = name
            write_meta(root / record.id, meta)


def _read_all(root: Path) -> Snapshots:
    """Blocking."""
    found = []
    for directory in root.iterdir() if root.is_dir() else ():
        if not directory.name.startswith("."):
            with contextlib.suppress(Error):  # no `meta.json`; people may inspect the files
                found.append(read_meta(directory, SnapshotMeta).snapshot)
    return found
