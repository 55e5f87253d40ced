"""What is in memory is what is in the store, whichever write fails; and whoever tries again gets on."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import itertools
import signal
import sqlite3
import subprocess
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.engine.engine import Engine
from banger.errors import Error
from banger.guests.guest import note_process
from banger.host.bounded import Locks
from banger.host.paths import Paths
from banger.host.proc import ProcessRef, child_ref, send_signal
from banger.host.spawn import MARKER
from banger.machines.ask import pausing
from banger.machines.copies import forks, snapshots
from banger.machines.copies.snapshots import SnapshotLibrary
from banger.machines.keep.events import Journal
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.lost_records import FoundVmm
from banger.machines.keep.operations import Operations
from banger.machines.keep.registry import Registry
from banger.machines.life import adopt, lifecycle
from banger.machines.life.creation import create_once
from banger.machines.life.live import LiveMachine, Reattached
from banger.machines.life.lives import Lives, Start
from banger.machines.life.makings import Makings
from banger.machines.life.restarts import Restarts
from banger.model.command import Exit
from banger.model.image import ImageConfig
from banger.model.machine import Change, Machine, MachineSpec, MachineState
from banger.model.operation import OperationState, Report
from banger.model.origin import ForkedFrom
from banger.model.template import Shape
from banger.resources import kinds, teardown
from banger.store.store import Store
from banger.vmm.base import DriverInfo
from banger.vmm.ending import UNKNOWN_END, End
from tests.support.failing_store import newest_event, plant, written_machines, written_operations
from tests.support.fake_driver import FakeFrozenFiles
from tests.support.reports import silent

S = MachineState
SHAPE = Shape(
    format=1,
    image_digest="0",
    kernel_digest="0",
    initramfs="0",
    driver="none",
    driver_build="0",
    host_cpu="0",
    accel="tcg",
    cpus=1,
    memory_mib=64,
    init="agent",
    disk_bytes=0,
)
FAULTS = {
    "broken once": (sqlite3.SQLITE_IOERR, False),
    "broken for a while": (sqlite3.SQLITE_IOERR, True),
    "full for a while": (sqlite3.SQLITE_FULL, True),  # once is what the room in reserve is for
}


class Vm:
    """A process that does nothing, in the place of a VMM."""

    def __init__(self, marker: str) -> None:
        self.child = subprocess.Popen(["sleep", "600"], env={MARKER: marker})
        self.process: ProcessRef = child_ref(self.child.pid)
        self.paused = False

    async def pause(self) -> None:
        self.paused = True

    async def resume(self) -> None:
        self.paused = False

    async def close(self) -> None:
        self.child.wait()

    async def connect_control(self, timeout_s: float) -> None:
        raise Error("vmm_failed", "it has no control socket")

    async def open_agent(self) -> Any:
        raise Error("agent_lost", "it has no agent")

    async def agent_port_is_held(self) -> bool:
        return True

    async def ask_guest_to_end(self) -> bool:
        return False

    def terminate(self) -> None:
        send_signal(self.process, signal.SIGTERM)

    def end(self) -> End:
        return UNKNOWN_END

    def watch_disk(self, on_full: Callable[[], None], on_failed: Callable[[str], None]) -> None: ...


class Disks:
    async def tidy(self, directory: Path) -> None: ...


class Driver:
    name = "none"

    def __init__(self, vms: dict[str, Vm]) -> None:
        self.vms = vms
        self.disks = Disks()
        self.frozen = FakeFrozenFiles()

    def reattach(self, places: Any, process: ProcessRef) -> Vm:
        return next(vm for vm in self.vms.values() if vm.process == process)

    def forget_frozen(self, places: Any) -> None: ...

    async def info(self) -> DriverInfo:
        return DriverInfo(self.name, "1.0", "1.0", "", (), "")


class House:
    """All that a daemon has of machines, but for VMMs and guests: a launch takes and notes what a real one does."""

    def __init__(self, directory: Path, code: int, started: list[Vm]) -> None:
        self.path = directory / "s.db"
        self.vms: dict[str, Vm] = {}
        self.started = started
        store = Store(self.path)
        self.failing = plant(store, code)
        journal = Journal(store.events)
        driver = Driver(self.vms)

        async def ensure(image: str, report: Report) -> Any:
            return SimpleNamespace(config=ImageConfig())

        fake: Any = SimpleNamespace
        paths = Paths(directory / "state", directory / "cache", directory / "config", directory / "s")
        drivers = fake(named=lambda name: driver, all=lambda: [driver])
        holdings = Holdings(paths, store.resources, drivers)
        self.engine = Engine(
            mode="user",
            store=store,
            journal=journal,
            operations=Operations(store.operations, journal.try_to_tell),
            shelf=fake(),
            makings=Makings(
                paths=paths,
                settings=fake(limits=fake(disk_reserve_bytes=0, memory_reserve_bytes=0)),
                images=fake(ensure=ensure),
                kernels=fake(),
                drivers=drivers,
                templates=fake(),
                pool=fake(drain=None),
                trials=fake(),
                guards=fake(),
                vault=fake(),
            ),
            passages=fake(),
            neighbours=fake(),
            access=fake(),
            tally=fake(),
            lives=Lives(Registry(store, journal.tell), holdings, journal.try_to_tell),
            snapshots=SnapshotLibrary(holdings, journal.try_to_tell),
        )
        paths.snapshots.mkdir(parents=True, exist_ok=True)

    @property
    def lives(self) -> Lives:
        return self.engine.lives

    @property
    def registry(self) -> Registry:
        return self.engine.registry

    async def launch(
        self, registry: Registry, holdings: Holdings, makings: Makings, start: Start, *rest: object
    ) -> LiveMachine:
        machine, resources = start.machine, holdings.resources
        registry.change(machine, driver="none", image_digest="0", address="169.254.1.2")
        places = holdings.places(machine)
        resources.note(machine.id, kinds.FILES.name, {"path": str(places.directory)})
        noted = resources.note(machine.id, kinds.VMM.name, {"marker": machine.id})
        vm = self.vms[machine.id] = Vm(machine.id)
        self.started.append(vm)
        note_process(resources, noted, {"marker": machine.id}, vm.process)
        found: Any = (places, Driver(self.vms), vm)
        live = LiveMachine(machine, Reattached(*found))
        live.adopted.set()
        return live

    async def revive(
        self, lives: Lives, makings: Makings, machine: Machine, *rest: object, **kinds: Any
    ) -> None:
        async with lives.start(machine, silent, origin=ForkedFrom(machine="a")) as start:
            lives.registry.change(machine, **(kinds.get("become") or Change()))
            live = await self.launch(lives.registry, lives.holdings, makings, start)
            lives.begin(live)
            lifecycle.watch_vmm(lives, live)

    def running(self) -> dict[str, FoundVmm]:
        return {i: FoundVmm(vm.process, i) for i, vm in self.vms.items() if vm.child.poll() is None}

    def check(self) -> None:
        """Memory has what the store has."""
        known = {machine.id: machine for machine in self.registry.all()}
        assert known == written_machines(self.path)
        assert self.engine.journal._newest == newest_event(self.path)
        for machine in known.values():
            assert self.registry.find(machine.name) is machine

    async def try_to(self, work: Awaitable[Any]) -> Any:
        """A request that may be refused: named, and with nothing half done in memory."""
        try:
            return await work
        except Error:
            return None
        finally:
            self.check()

    async def clear(self) -> None:
        """The disk has room again: whatever there is can be deleted, and is gone with all it held."""
        self.failing.fails_at = 0
        for machine in self.registry.all():
            await asyncio.wait_for(lifecycle.delete(self.lives, machine, force=True), 10)
        self.check()
        assert self.registry.all() == []
        assert (self.lives.live, self.lives.starting, self.lives.overdue) == ({}, {}, {})
        assert [r for r in self.engine.store.resources.all() if r.kind == kinds.VMM.name] == []
        assert [vm for vm in self.started if vm.child.poll() is None] == []


def spec(**fields: Any) -> MachineSpec:
    return MachineSpec(image="debian", **fields)


async def create(house: House, name: str = "dev", **fields: Any) -> Machine | None:
    async def work() -> Machine:
        return lifecycle.create(house.registry, house.engine.makings.drivers, spec(name=name, **fields))

    made: Machine | None = await house.try_to(work())
    return made


async def a_whole_life(house: House) -> None:
    dev = await create(house)
    if dev is None:
        return
    await house.try_to(lifecycle.start(house.lives, house.engine.makings, dev, silent))
    await house.try_to(pausing.pause(house.lives, dev))
    assert dev.id not in house.vms or house.vms[dev.id].paused == (dev.state is S.PAUSED)
    await house.try_to(pausing.resume(house.lives, dev))
    await house.try_to(lifecycle.stop(house.lives, dev, 0))
    await house.try_to(lifecycle.start(house.lives, house.engine.makings, dev, silent))
    await house.try_to(lifecycle.kill(house.lives, dev))
    await house.try_to(lifecycle.delete(house.lives, dev, force=False))


async def an_end_by_itself(house: House) -> None:
    dev = await create(house, restart="on-failure")
    if dev is None:
        return
    Restarts(house.lives, house.engine.makings, house.engine.operations)
    await house.try_to(lifecycle.start(house.lives, house.engine.makings, dev, silent))
    live = house.lives.live.get(dev.id)
    if live is not None:
        with contextlib.suppress(Error):
            house.registry.change(dev, exit=Exit(code=3))
        send_signal(live.process, 9)
        await live.ended.wait()
        house.check()
    house.lives.due.close()


async def one_that_is_removed_when_it_ends(house: House) -> None:
    dev = await create(house, remove=True)
    if dev is not None:
        await house.try_to(lifecycle.start(house.lives, house.engine.makings, dev, silent))
        if dev.id in house.lives.live:
            await house.try_to(lifecycle.kill(house.lives, dev, by_user=False))


async def a_request_with_a_key(house: House) -> None:
    async def work() -> None:
        create_once(house.registry, house.engine.makings.drivers, house.engine.store.keys, spec(), "k1")

    await house.try_to(work())
    house.failing.fails_at = 0
    await house.try_to(work())
    await house.try_to(work())
    assert len(house.registry.all()) == 1


async def forks_of_it(house: House) -> None:
    dev = await create(house)
    if dev is not None:
        await house.try_to(lifecycle.start(house.lives, house.engine.makings, dev, silent))
        made = await house.try_to(forks.fork(house.lives, house.engine.makings, dev, 2, "", silent))
        finished = [m for m in house.registry.all() if m is not dev and not m.unfinished]
        assert made is None or sorted(m.name for m in finished) == ["dev-1", "dev-2"]
        assert len(finished) in (0, 2)


async def a_snapshot_and_back(house: House) -> None:
    dev = await create(house)
    if dev is not None:
        await house.try_to(lifecycle.start(house.lives, house.engine.makings, dev, silent))
        made = await house.try_to(
            snapshots.snapshot(house.engine.snapshots, house.lives, house.engine.makings, dev, "one", silent)
        )
        assert (made is not None) == bool(await house.engine.snapshots.list())
        if made is not None:
            await house.try_to(
                snapshots.restore(
                    house.engine.snapshots, house.lives, house.engine.makings, "dev", "one", silent
                )
            )
            await house.try_to(house.engine.snapshots.delete("dev", "one"))


async def a_daemon_that_comes_back(house: House) -> None:
    """To a machine that still runs, to one that does not any more, and to one that was to go."""
    at = house.failing.fails_at
    house.failing.fails_at = 0
    for name, fields in (("runs", {}), ("gone", {}), ("goes", {"remove": True})):
        made = await create(house, name, **fields)
        assert made is not None
        await lifecycle.start(house.lives, house.engine.makings, made, silent)
    ids = {machine.name: machine.id for machine in house.registry.all()}
    for live in house.lives.live.values():
        live.watch_task.cancel()
    for name in ("gone", "goes"):
        vm = house.vms.pop(ids[name])
        vm.child.kill()
        vm.child.wait()
    lives = Lives(
        Registry(house.engine.store, house.engine.journal.tell), house.lives.holdings, house.lives.tell
    )
    house.engine = dataclasses.replace(house.engine, lives=lives)
    house.failing.writes, house.failing.fails_at = 0, at
    await adopt.adopt_all(house.lives, house.running())
    house.check()
    runs = house.registry.find("runs")
    assert runs.state is S.RUNNING and runs.id in house.lives.live
    assert house.vms[runs.id].child.poll() is None


SCENES = [
    a_whole_life,
    an_end_by_itself,
    one_that_is_removed_when_it_ends,
    a_request_with_a_key,
    forks_of_it,
    a_snapshot_and_back,
    a_daemon_that_comes_back,
]


@contextlib.contextmanager
def no_process_stays() -> Iterator[list[Vm]]:
    started: list[Vm] = []
    try:
        yield started
    finally:
        for vm in started:
            vm.child.kill()
            vm.child.wait()


@pytest.mark.parametrize(("code", "goes_on"), FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_memory_follows_the_store_whichever_write_fails(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    scene: Callable[[House], Awaitable[None]],
    code: int,
    goes_on: bool,
) -> None:
    async def play(house: House) -> None:
        async def launch(*arguments: Any) -> LiveMachine:
            return await house.launch(*arguments)

        async def revive(*arguments: Any, **kinds: Any) -> None:
            await house.revive(*arguments, **kinds)

        monkeypatch.setattr(lifecycle, "launch", launch)
        monkeypatch.setattr(forks, "revive", revive)
        monkeypatch.setattr(snapshots, "revive", revive)
        await scene(house)
        await house.clear()

    async def freeze(locks: Locks, makings: Makings, live: LiveMachine, directory: Path, **_: Any) -> Shape:
        for name in FakeFrozenFiles().members:
            (directory / name).write_bytes(b"x")
        return SHAPE

    async def nothing(*arguments: Any) -> Any: ...

    monkeypatch.setattr(forks, "capture", freeze)
    monkeypatch.setattr(snapshots, "capture", freeze)
    monkeypatch.setattr(snapshots, "prepare_revival", nothing)
    monkeypatch.setattr(Makings, "make_room", nothing)
    monkeypatch.setattr(lifecycle, "_AGENT_MARGIN_S", 0)
    for number in itertools.count(1):
        directory = tmp_path / str(number)
        directory.mkdir()
        with no_process_stays() as started:
            house = House(directory, code, started)
            house.failing.fails_at, house.failing.goes_on_failing = number, goes_on
            try:
                asyncio.run(play(house))
            finally:
                house.engine.store.close()
            if house.failing.writes < number:
                break
    assert number > 5


def test_a_start_that_is_given_up_is_not_left_half_way_when_it_is_cancelled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play(house: House) -> None:
        undoing, may_end = asyncio.Event(), asyncio.Event()
        release = teardown.release

        async def release_slowly(*arguments: Any) -> list[Error]:
            if not house.vms:  # before the start, what an earlier life has left
                return await release(*arguments)
            undoing.set()
            await may_end.wait()
            return await release(*arguments)

        async def launch(*arguments: Any) -> LiveMachine:
            await house.launch(*arguments)
            raise Error("vmm_failed", "planted")

        monkeypatch.setattr(lifecycle, "launch", launch)
        monkeypatch.setattr(teardown, "release", release_slowly)
        dev = lifecycle.create(house.registry, house.engine.makings.drivers, spec())
        start = asyncio.create_task(lifecycle.start(house.lives, house.engine.makings, dev, silent))
        await undoing.wait()
        for _ in range(2):
            start.cancel()
            await asyncio.sleep(0)
            assert not start.done() and house.lives.locks[dev.id].locked()
        may_end.set()
        with contextlib.suppress(asyncio.CancelledError):
            await start
        assert start.cancelled() and dev.state is S.FAILED
        await house.clear()

    with no_process_stays() as started:
        house = House(tmp_path, sqlite3.SQLITE_IOERR, started)
        try:
            asyncio.run(play(house))
        finally:
            house.engine.store.close()


@pytest.mark.parametrize("number", range(1, 8))
def test_an_operation_is_known_when_it_is_written_and_its_end_is_told(tmp_path: Path, number: int) -> None:
    async def play() -> None:
        store = Store(tmp_path / "s.db")
        operations = Operations(store.operations)
        failing = plant(store, sqlite3.SQLITE_IOERR)
        failing.fails_at = number

        async def work(report: Report) -> str:
            return "done"

        for _ in range(3):
            with contextlib.suppress(Error):
                assert await operations.begin("start", "machine/dev", work).result() == "done"
            known = {operation.id: operation for operation in operations.list()}
            assert known == written_operations(tmp_path / "s.db")
            assert {operation.state for operation in known.values()} <= {OperationState.SUCCEEDED}
        await operations.close()
        store.close()

    asyncio.run(play())


def test_nobody_can_change_a_record_behind_the_stores_back(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    registry = Registry(store)
    dev = Machine(id="0123456789ab", name="dev", state=S.CREATED, spec=spec(), created="now")
    registry.add(dev)
    with pytest.raises(AttributeError):
        dev.state = S.RUNNING  # type: ignore[misc] # what the types forbid is refused when it runs, too
    with pytest.raises(RuntimeError):
        store.database.together(lambda: registry.move(dev, "start"))
    assert dev.state is S.CREATED and store.machines.all() == [dev]
    store.close()
