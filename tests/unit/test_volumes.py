"""Volumes: who may have one, what the VMM and the agent are told, and what is made of a stranger's file."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import io
import os
import tarfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from threading import Event
from typing import Any, cast

import msgspec
import pytest
import zstandard

from banger.bundles.members import MANIFEST
from banger.errors import Error
from banger.host.paths import Paths
from banger.machines.ask import volumes
from banger.machines.ask.volumes import Hands
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.registry import Registry
from banger.machines.life.adopt import release_ownerless
from banger.machines.life.lifecycle import create
from banger.machines.life.passage import without_reach
from banger.machines.life.volumes import (
    check_volumes,
    claim,
    ensure_disk,
    plan_volumes,
    refuse_frozen,
    refuse_volumes,
)
from banger.model.machine import Machine, MachineSpec
from banger.model.mount import Mount
from banger.model.settings import LimitSettings
from banger.model.sizes import GIB, MIB, TIB
from banger.model.volume import VolumeMount, check_volume_name, check_volume_size
from banger.resources import kinds
from banger.store.resources import Identity
from banger.store.store import Store
from banger.vmm.drivers import Drivers
from banger.vmm.qemu.argv import plan_volume_slots, slots_for
from banger.vmm.qemu.volumes import plan_layer, plan_raw
from banger.volumes.bundle import Manifest, find_stretches, pack, parse_manifest, unpack
from banger.volumes.disks import DISK, disk_of
from banger.wire.constants import Tag


class Place:
    """A store and directories, as the daemon has them."""

    def __init__(self, directory: Path) -> None:
        self.paths = Paths(*(directory / name for name in ("state", "cache", "run", "config")))
        self.paths.state.mkdir(exist_ok=True, mode=0o700)
        self.store = Store(self.paths.database)
        self.registry = Registry(self.store)
        self.drivers = Drivers([])
        self.holdings = Holdings(self.paths, self.store.resources, self.drivers)
        self.hands = Hands(self.registry, self.holdings, LimitSettings(disk_reserve="0B"))

    def machine(self, name: str, *mounts: str) -> Machine:
        """Mounts as NAME:TARGET[:ro]."""
        given = [mount.split(":") for mount in mounts]
        wanted = [VolumeMount(volume=v, target=t, read_only=bool(more)) for v, t, *more in given]
        return create(self.registry, self.drivers, MachineSpec(image="x", name=name, volumes=wanted))

    def start(self, machine: Machine) -> None:
        self.registry.move(machine, "start")
        try:
            claim(self.registry, self.store.resources, machine)
        except Error:
            self.registry.move(machine, "fail")
            raise

    def files(self) -> list[str]:
        return (
            sorted(path.name for path in self.paths.volumes.glob("*")) if self.paths.volumes.exists() else []
        )


def in_a_loop(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(**given: Any) -> None:
        asyncio.run(test(**given))

    return run


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    opened = Place(tmp_path)
    yield opened
    opened.store.close()


def code_of(work: Any, *arguments: Any) -> str:
    with pytest.raises(Error) as caught:
        work(*arguments)
    assert caught.value.hint
    return caught.value.code


@pytest.mark.parametrize("name", ["a", "0", "shop_data", "A.b-c_d", "x" * 128])
def test_names_are_those_of_docker(name: str) -> None:
    assert check_volume_name(name) == name
    VolumeMount(volume=name, target="/x")


@pytest.mark.parametrize("name", ["", "-a", ".a", "_a", "a/b", "a b", "a\n", "ä", "x" * 129, "../a", "a\0"])
def test_other_names_are_refused(name: str) -> None:
    assert code_of(check_volume_name, name) == "bad_name"
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"volume": name, "target": "/x"}, VolumeMount)


def test_sizes_are_whole_blocks_within_bounds() -> None:
    assert check_volume_size(0) == 10 * GIB
    assert check_volume_size(16 * MIB) == 16 * MIB
    assert check_volume_size(GIB + 1) == GIB + 4096
    for size in (1, 16 * MIB - 4096, 8 * TIB + 1):
        assert code_of(check_volume_size, size) == "bad_size"


@pytest.mark.parametrize("target", ["/", "//", "/./", "/a/..", "/../a"])
def test_targets_that_cannot_be_mounted_are_refused(target: str) -> None:
    spec = MachineSpec(image="x", volumes=[VolumeMount(volume="a", target=target)])
    assert code_of(check_volumes, spec) == "bad_spec"


def test_a_target_and_a_volume_are_given_once() -> None:
    twice = [VolumeMount(volume="a", target="/a"), VolumeMount(volume="b", target="/a/")]
    assert code_of(check_volumes, MachineSpec(image="x", volumes=twice)) == "bad_spec"
    both = MachineSpec(
        image="x",
        mounts=[Mount(source="/s", target="/a")],
        volumes=[VolumeMount(volume="a", target="/./a")],
    )
    assert code_of(check_volumes, both) == "bad_spec"
    same = [VolumeMount(volume="a", target="/a"), VolumeMount(volume="a", target="/b")]
    assert code_of(check_volumes, MachineSpec(image="x", volumes=same)) == "bad_spec"


def test_a_driver_without_volumes_is_refused_by_name() -> None:
    class Driver:
        name = "other"

        class capabilities:
            volumes = False

    spec = MachineSpec(image="x", volumes=[VolumeMount(volume="a", target="/a")])
    assert code_of(refuse_volumes, spec, cast("Any", Driver())) == "unsupported"
    refuse_volumes(MachineSpec(image="x"), cast("Any", Driver()))


@pytest.mark.parametrize(("volumes", "slots"), [(0, 0), (1, 1), (2, 2), (3, 4), (5, 8), (9, 16), (16, 16)])
def test_a_vm_has_a_power_of_two_of_slots(volumes: int, slots: int) -> None:
    assert slots_for(volumes) == slots
    assert sum(word == "-device" for word in plan_volume_slots(slots)) == slots


def test_a_slot_has_a_serial_that_the_agent_knows() -> None:
    planned = plan_volume_slots(2)
    assert planned[3].endswith("serial=banger-volume0,".rstrip(",")) and "id=volume1" in planned[7]
    assert all(len(f"banger-volume{slot}") <= 20 for slot in range(16))


def test_a_reader_writes_to_a_layer_of_its_own() -> None:
    below, layer = plan_raw("volume0-below", read_only=True), plan_layer("volume0")
    assert below["read-only"] is True and cast("dict[str, object]", below["file"])["read-only"] is True
    assert layer["backing"] == below["node-name"] and "read-only" not in layer
    assert plan_raw("volume0", read_only=False)["read-only"] is False


def test_the_agent_is_told_outer_volumes_first_and_those_in_directories_last(place: Place) -> None:
    machine = place.machine("m", "inner:/srv/a/b", "outer:/srv", "late:/app/node_modules:ro")
    spec = msgspec.structs.replace(machine.spec, mounts=[Mount(source="/s", target="/app/")])
    size = 10 * GIB
    early = [(Tag.VOLUME, b"1 %d 0 /srv" % size), (Tag.VOLUME, b"0 %d 0 /srv/a/b" % size)]
    assert list(plan_volumes(place.registry, spec)) == early
    late = list(plan_volumes(place.registry, spec, late=True))
    assert late == [(Tag.VOLUME, b"2 %d 1 /app/node_modules" % size)]
    quiet = [VolumeMount(volume="outer", target="/x", no_copy=True)]
    told = list(plan_volumes(place.registry, MachineSpec(image="x", volumes=quiet)))
    assert told == [(Tag.VOLUME, b"0 %d 2 /x" % size)]


def test_a_volume_is_recorded_with_the_machine_that_names_it_first(place: Place) -> None:
    place.machine("m", "data:/data")
    (volume,) = place.registry.volumes.all()
    assert (volume.name, volume.made, place.files()) == ("data", False, [])
    assert code_of(place.machine, "m", "other:/data") == "name_taken"
    assert not place.registry.volumes.has("other"), "all of a machine is written, or nothing"
    again = Registry(place.store)
    assert [one.name for one in again.volumes.all()] == ["data"]


def test_one_machine_writes_or_several_read(place: Place) -> None:
    writer, second = place.machine("writer", "data:/data"), place.machine("second", "data:/data")
    readers = [place.machine(f"reader-{i}", "data:/data:ro") for i in range(2)]
    place.start(writer)
    for other in (second, *readers):
        assert code_of(place.start, other) == "in_use"
    place.registry.move(writer, "fail")
    for reader in readers:
        place.start(reader)
    assert code_of(place.start, writer) == "in_use"
    for reader in readers:
        place.registry.move(reader, "fail")
    place.start(second)


def test_of_two_machines_that_start_at_once_one_gets_the_volume(place: Place) -> None:
    one, other = place.machine("one", "data:/data"), place.machine("other", "data:/data")
    for machine in (one, other):
        place.registry.move(machine, "start")
    claim(place.registry, place.store.resources, one)
    assert code_of(claim, place.registry, place.store.resources, other) == "in_use"


def test_a_vmm_that_does_not_end_keeps_its_volumes(place: Place) -> None:
    machine, other = place.machine("machine", "data:/data"), place.machine("other", "data:/data")
    place.start(machine)
    held = place.store.resources.note(machine.id, kinds.VMM.name, {"marker": machine.id})
    place.registry.move(machine, "fail")
    assert code_of(place.start, other) == "in_use"
    place.store.resources.clear(held)
    place.start(other)


def test_claims_outlive_the_daemon(place: Place) -> None:
    machine, other = place.machine("machine", "data:/data"), place.machine("other", "data:/data")
    place.start(machine)
    place.registry = Registry(place.store)
    other = place.registry.find("other")
    assert code_of(place.start, other) == "in_use"


def test_a_machine_with_volumes_is_not_frozen(place: Place) -> None:
    assert code_of(refuse_frozen, place.machine("m", "data:/data:ro")) == "unsupported"
    refuse_frozen(place.machine("n"))


def test_a_strangers_snapshot_brings_neither_directories_nor_volumes() -> None:
    spec = MachineSpec(
        image="x",
        mounts=[Mount(source="/etc", target="/a")],
        volumes=[VolumeMount(volume="data", target="/b")],
    )
    kept = without_reach(spec)
    assert kept.mounts == [] and kept.volumes == []


async def make(place: Place, name: str, size_bytes: int = 32 * MIB, source: str = "") -> Path:
    volume = await volumes.make(place.hands, name, size_bytes, {"team": "shop"}, source)
    assert volume.made
    return place.paths.volumes / volume.id


@in_a_loop
async def test_a_volume_is_made_whole_and_takes_next_to_nothing(place: Place) -> None:
    directory = await make(place, "data", GIB)
    found = disk_of(directory).stat()
    assert found.st_size == GIB and found.st_blocks * 512 < 4 * MIB
    assert place.files() == [directory.name] and place.store.resources.all() == []
    described = await volumes.describe(place.hands, place.registry.volumes.find("data"))
    assert described.used_bytes == found.st_blocks * 512 and described.labels == {"team": "shop"}
    with pytest.raises(Error) as caught:
        await make(place, "data")
    assert caught.value.code == "name_taken"


@in_a_loop
async def test_a_volume_that_cannot_be_made_leaves_nothing(place: Place, monkeypatch: Any) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("banger.machines.life.volumes.write_empty", fail)
    with pytest.raises(Error) as caught:
        await make(place, "data")
    assert caught.value.code == "insufficient_disk"
    assert place.registry.volumes.all() == [] and place.files() == [] and place.store.resources.all() == []


@in_a_loop
async def test_a_daemon_that_is_killed_while_it_makes_a_disk_leaves_nothing(place: Place) -> None:
    """As if it was killed after the directory got its name, and before the record said so."""
    place.machine("m", "data:/data")
    volume = place.registry.volumes.find("data")
    for name in (volume.id, f".new-{volume.id}"):
        path = place.paths.volumes / name
        place.store.resources.note(f"volume-{volume.id}", kinds.FILES.name, {"path": str(path)})
        path.mkdir(parents=True)
        (path / DISK).write_bytes(b"half")
    await release_ownerless(place.store, place.registry, place.paths.state)
    assert place.files() == []
    made = await ensure_disk(place.registry, place.holdings, "data", 0)
    assert made.made and disk_of(place.paths.volumes / made.id).stat().st_size == made.size_bytes


@in_a_loop
async def test_a_volume_in_use_is_not_deleted(place: Place) -> None:
    directory = await make(place, "data")
    machine = place.machine("m", "data:/data")
    with pytest.raises(Error) as caught:
        await volumes.delete(place.hands, "data")
    assert caught.value.code == "in_use" and "m" in caught.value.message
    assert [one.name for one in await volumes.prune(place.hands, dry_run=False)] == []
    place.registry.remove(machine)
    assert [one.name for one in await volumes.prune(place.hands, dry_run=True)] == ["data"]
    assert directory.exists()
    assert [one.name for one in await volumes.prune(place.hands, dry_run=False)] == ["data"]
    assert place.files() == [] and place.registry.volumes.all() == [] and place.store.resources.all() == []


@in_a_loop
async def test_a_deletion_that_the_daemon_did_not_survive_is_completed(place: Place) -> None:
    directory = await make(place, "data")
    volume = place.registry.volumes.find("data")
    note: Identity = {"path": str(directory)}
    place.registry.volumes.remove(
        volume, lambda: place.store.resources.note(f"volume-{volume.id}", kinds.FILES.name, note)
    )
    await release_ownerless(place.store, place.registry, place.paths.state)
    assert place.files() == []


async def sent(place: Place, name: str) -> bytes:
    return b"".join([piece async for piece in volumes.export(place.hands, name)])


async def pieces(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for begin in range(0, len(data), size):
        yield data[begin : begin + size]


@in_a_loop
async def test_a_volume_travels_in_one_file(place: Place) -> None:
    disk = disk_of(await make(place, "data"))
    with open(disk, "r+b") as file:
        file.seek(20 * MIB)
        file.write(b"a guest's")
    bundle = await sent(place, "data")
    assert len(bundle) < MIB
    with pytest.raises(Error) as caught:
        await volumes.take_in(place.hands, pieces(bundle), "")
    assert caught.value.code == "name_taken"
    received = await volumes.take_in(place.hands, pieces(bundle), "again")
    copy = disk_of(place.paths.volumes / received.id)
    assert copy.read_bytes() == disk.read_bytes() and received.labels == {"team": "shop"}
    assert copy.stat().st_blocks * 512 < 4 * MIB
    assert len(place.files()) == 2 and place.store.resources.all() == []


@pytest.mark.parametrize("end", [0, 10, -1])
@in_a_loop
async def test_a_file_that_is_cut_off_leaves_nothing(place: Place, end: int) -> None:
    await make(place, "data")
    bundle = await sent(place, "data")
    with pytest.raises(Error) as caught:
        await volumes.take_in(place.hands, pieces(bundle[:end]), "again")
    assert caught.value.code == "volume_invalid"
    assert len(place.files()) == 1 and place.store.resources.all() == []


@in_a_loop
async def test_a_writer_and_a_reader_of_the_daemon_exclude_one_another(place: Place) -> None:
    await make(place, "data")
    machine = place.machine("m", "data:/data")
    place.start(machine)
    with pytest.raises(Error) as caught:
        await sent(place, "data")
    assert caught.value.code == "in_use"
    place.registry.move(machine, "fail")
    stream = volumes.export(place.hands, "data")
    await anext(stream)
    assert code_of(place.start, machine) == "in_use"
    place.start(place.machine("reader", "data:/data:ro"))
    await cast("Any", stream).aclose()
    place.registry.move(place.registry.find("reader"), "fail")
    place.start(machine)


@in_a_loop
async def test_a_copy_is_apart_from_its_original(place: Place) -> None:
    original = disk_of(await make(place, "data"))
    copy = disk_of(await make(place, "copy", 0, source="data"))
    assert copy.read_bytes() == original.read_bytes()
    with open(copy, "r+b") as file:
        file.write(b"changed")
    assert copy.read_bytes() != original.read_bytes()
    with pytest.raises(Error) as caught:
        await make(place, "third", GIB, source="data")
    assert caught.value.code == "bad_size"


@in_a_loop
async def test_a_disk_that_is_gone_is_not_made_again(place: Place) -> None:
    directory = await make(place, "data")
    os.unlink(disk_of(directory))
    with pytest.raises(Error) as caught:
        await sent(place, "data")
    assert caught.value.code == "volume_invalid"
    assert not disk_of(directory).exists()


@in_a_loop
async def test_an_ext4_disk_is_imported_as_it_is(place: Place) -> None:
    disk = disk_of(await make(place, "data"))
    contents = disk.read_bytes()
    received = await volumes.take_in(place.hands, pieces(contents + b"end", 777_777), "raw")
    copy = disk_of(place.paths.volumes / received.id)
    assert received.size_bytes == len(contents) + 4096
    assert copy.read_bytes() == contents + b"end" + bytes(4093)
    assert copy.stat().st_blocks * 512 < 4 * MIB
    small = await volumes.take_in(place.hands, pieces(contents[:2000]), "small")
    assert small.size_bytes == 16 * MIB
    with pytest.raises(Error) as caught:
        await volumes.take_in(place.hands, pieces(contents[:2000]), "")
    assert caught.value.code == "bad_name"
    with pytest.raises(Error) as caught:
        await volumes.take_in(place.hands, pieces(b"\0" * 10000), "zeros")
    assert caught.value.code == "volume_invalid"
    assert len(place.files()) == 3 and place.store.resources.all() == []


def manifest(**changed: object) -> bytes:
    return msgspec.json.encode({"format": 1, "name": "data", "size_bytes": 32 * MIB, **changed})


def test_a_manifest_is_read() -> None:
    assert parse_manifest(manifest(newer="field")).name == "data"


@pytest.mark.parametrize(
    "data",
    [
        b"", b"[]", b"{", b"\xff", manifest(format=2), manifest(name="x" * 129), manifest(labels={"a": 1}),
        manifest(size_bytes=-1), manifest(size_bytes=0), manifest(size_bytes=17 * MIB + 1),
        manifest(size_bytes=1 << 62), manifest(size_bytes="1"),
    ],
)  # fmt: skip
def test_a_manifest_that_makes_no_sense_is_refused(data: bytes) -> None:
    assert code_of(parse_manifest, data) in ("volume_invalid", "bad_size")


def bundle_of(*members: tuple[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return zstandard.compress(archive.getvalue())


WHOLE = b"\0" * 5000 + b"disk" + b"\0" * (16 * MIB - 5004)
SUM = hashlib.sha256(b"0 %d\n" % len(WHOLE) + WHOLE).hexdigest().encode()
SMALL = manifest(size_bytes=16 * MIB)


def test_a_file_of_plain_tar_is_read(tmp_path: Path) -> None:
    data = bundle_of((MANIFEST, SMALL), (DISK, WHOLE), ("disk.sha256", SUM))
    assert unpack(iter([data]), tmp_path, Event()).name == "data"
    assert disk_of(tmp_path).read_bytes() == WHOLE and disk_of(tmp_path).stat().st_blocks <= 16


@pytest.mark.parametrize(
    "members",
    [
        [], [(DISK, WHOLE)], [(MANIFEST, SMALL)], [(MANIFEST, SMALL), (DISK, WHOLE)],
        [(MANIFEST, SMALL), ("../disk.ext4", WHOLE), ("disk.sha256", SUM)],
        [(MANIFEST, SMALL), (DISK, WHOLE[1:]), ("disk.sha256", SUM)],
        [(MANIFEST, SMALL), (DISK, WHOLE), ("disk.sha256", SUM[::-1])],
        [(MANIFEST, SMALL), (DISK, WHOLE), ("disk.sha256", SUM * 2)],
        [(MANIFEST, SMALL), (DISK, WHOLE), ("disk.sha256", SUM), (DISK, WHOLE)],
        [(MANIFEST, SMALL + b" " * MIB), (DISK, WHOLE), ("disk.sha256", SUM)],
    ],
)  # fmt: skip
def test_a_file_with_other_members_is_refused(tmp_path: Path, members: list[tuple[str, bytes]]) -> None:
    assert code_of(unpack, iter([bundle_of(*members)]), tmp_path, Event()) == "volume_invalid"


def test_a_file_that_is_stopped_is_cancelled(tmp_path: Path) -> None:
    stop = Event()
    stop.set()
    data = bundle_of((MANIFEST, SMALL), (DISK, WHOLE), ("disk.sha256", SUM))
    with pytest.raises(Error) as caught:
        unpack(iter([data]), tmp_path, stop)
    assert caught.value.code == "cancelled"


def test_many_stretches_become_few(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with open(path, "w+b") as file:
        for i in range(64):
            os.pwrite(file.fileno(), b"x", i * 256 * 1024)
        all_of_them = find_stretches(file.fileno())
        few = find_stretches(file.fileno(), 8)
    assert len(all_of_them) == 64 and len(few) <= 8
    assert few[0][0] == 0 and sum(few[-1]) == sum(all_of_them[-1])


@in_a_loop
async def test_a_name_in_a_strangers_file_is_checked(place: Place, tmp_path: Path) -> None:
    await make(place, "data")
    volume = place.registry.volumes.find("data")
    evil = msgspec.structs.replace(volume, name="../../etc")
    bundle = b"".join(pack(evil, place.paths.volumes / volume.id))
    with pytest.raises(Error) as caught:
        await volumes.take_in(place.hands, pieces(bundle), "")
    assert caught.value.code == "bad_name" and len(place.files()) == 1
    directory = tmp_path / "unpacked"
    directory.mkdir()
    found = unpack(iter([bundle]), directory, Event())
    assert isinstance(found, Manifest) and found.name == "../../etc"
