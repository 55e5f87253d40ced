"""A driver with all that its machines need, so that the suite of the contract can boot and clone without an engine."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from banger.agent.binary import agent_binary
from banger.agent.connection import AgentConnection, open_connection
from banger.agent.process import list_execs, start_process
from banger.guests.identity import configure, invent_identity, machine_id_of
from banger.guests.links import link_of_kind
from banger.host import cpu
from banger.host.paths import Paths
from banger.host.proc import ProcessRef, kill_and_wait
from banger.host.vm_users import part_of
from banger.kernels.initramfs import ensure_initramfs
from banger.model.command import Command, Exit
from banger.model.network import LinkKind
from banger.model.sizes import GIB, MIB
from banger.network.user_nat import prepare_user_nat
from banger.store.store import Store
from banger.vmm.base import Driver, Vm, VmConfig, VmPlaces
from banger.vmm.firecracker.driver import FirecrackerDriver
from banger.vmm.frozen import Frozen
from banger.vmm.link import mac_of
from banger.vmm.qemu.driver import QemuDriver
from tests.support.anywhere import PROGRAMS
from tests.support.engine import home_of
from tests.support.fake_driver import FakeDriver
from tests.support.fake_firecracker import INTERPRETER, make_program
from tests.support.home import golden_home

ROOT = Path(__file__).parents[2]
BOOT_S = 120.0


class Rig:
    """From `open_rig` to the end of its block; then no process of its machines is left. `sleeper` is a command that
    does not end by itself, `link` the kind of the machines' link; `problem` says why machines cannot run here."""

    def __init__(
        self,
        driver: Driver,
        directory: Path,
        plain: VmConfig,
        sleeper: list[str],
        link: LinkKind = "nat",
        problem: str = "",
    ) -> None:
        self.driver = driver
        self.directory = directory
        self.plain = plain
        self.sleeper = sleeper
        self.link = link
        self.problem = problem
        self.frozen = Frozen(directory / "frozen")
        self._users = iter(part_of(directory))
        self._processes: list[ProcessRef] = []

    @property
    def has_linux(self) -> bool:
        """Whether its guests are Linux, with the real agent."""
        return len(self.sleeper) > 1

    def places(self, name: str) -> VmPlaces:
        places = VmPlaces(
            name=name,
            directory=self.directory / "machines" / name,
            run_directory=self.directory / "sockets" / name,
        )
        for place in (places.directory, places.run_directory):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)
        return places

    def config(self, name: str, frozen: Frozen | None = None) -> VmConfig:
        return dataclasses.replace(
            self.plain,
            places=self.places(name),
            marker=name,
            frozen=frozen,
            link=link_of_kind(self.link),
            user=next(self._users) if self.driver.capabilities.own_jail else self.plain.user,
        )

    def start(self, config: VmConfig) -> Vm:
        vm = self.driver.start(config)
        self._processes.append(vm.process)
        return vm

    @contextlib.asynccontextmanager
    async def booted(self, name: str) -> AsyncIterator[tuple[Vm, AgentConnection]]:
        """A machine that is somebody."""
        config = self.config(name)
        await self.driver.prepare(config)
        vm = self.start(config)
        connection = await open_connection(vm.open_agent, name, BOOT_S, resync=False)
        await vm.connect_control(BOOT_S)
        async with self._closed(vm, connection):
            identity = invent_identity(
                name, mac_of(config.link), prepare_user_nat(), "agent", machine_id=machine_id_of(name)
            )
            await configure(connection, identity, "agent", config.disk_bytes, BOOT_S)
            yield vm, connection

    @contextlib.asynccontextmanager
    async def cloned(
        self, name: str, frozen: Frozen | None = None
    ) -> AsyncIterator[tuple[Vm, AgentConnection]]:
        """One that goes on from what is frozen: that of the rig, unless another is named."""
        config = self.config(name, frozen or self.frozen)
        await self.driver.prepare(config)
        vm = self.start(config)
        await vm.connect_control(BOOT_S)
        await vm.restore()
        await vm.resume()
        connection = await open_connection(vm.open_agent, name, BOOT_S, resync=True)
        async with self._closed(vm, connection):
            await list_execs(connection)  # whose channels are taken
            yield vm, connection

    @contextlib.asynccontextmanager
    async def session_after_capture(
        self, vm: Vm, connection: AgentConnection
    ) -> AsyncIterator[AgentConnection]:
        """A session with a machine that was captured and resumed: the one it had, unless the driver says otherwise."""
        if not self.driver.capabilities.capture_ends_session:
            yield connection
            return
        connection.close()
        session = await open_connection(vm.open_agent, connection.machine, BOOT_S, resync=True)
        try:
            await list_execs(session)
            yield session
        finally:
            session.close()

    @contextlib.asynccontextmanager
    async def _closed(self, vm: Vm, connection: AgentConnection) -> AsyncIterator[None]:
        try:
            yield
        finally:
            connection.close()
            await vm.close()
            await kill_and_wait(vm.process)

    async def freeze(self, name: str) -> None:
        """What clones begin with: a machine in which a command runs."""
        self.frozen.directory.mkdir()
        async with self.booted(name) as (vm, connection):
            await start_process(connection, Command(argv=self.sleeper), label="sleeper")
            connection.close()
            await vm.capture(self.frozen)
            await vm.freeze_disk(self.frozen.directory)
            await vm.quit()

    async def close(self) -> None:
        for process in self._processes:
            await kill_and_wait(process)


async def run(connection: AgentConnection, *argv: str) -> Exit:
    process = await start_process(connection, Command(argv=list(argv)))
    async for _ in process.outputs():
        pass
    await process.forget()
    assert process.exit is not None
    return process.exit


def _fake_rig(directory: Path) -> Rig:
    paths = home_of(directory)
    store = Store(paths.database)
    try:
        return _rig(FakeDriver(), directory, paths, store, 2 * MIB, ["sleep"])
    finally:
        store.close()


def _qemu_rig(directory: Path) -> Rig:
    golden = golden_home()
    paths = Paths(golden.state, golden.directory / "cache", directory / "run", directory / "config")
    shutil.copyfile(paths.database, directory / "banger.db")
    store = Store(directory / "banger.db")
    try:
        return _rig(
            QemuDriver(agent_binary(cpu.architecture())), directory, paths, store, GIB, ["sleep", "1000"]
        )
    finally:
        store.close()


def _firecracker_rig(directory: Path) -> Rig:
    """With a guest that is no operating system, so that it runs also where KVM has no help of the processor."""
    rig = _bare_firecracker_rig(directory, PROGRAMS / "firecracker")
    rig.problem = asyncio.run(rig.driver.try_machine("kvm", BOOT_S))
    return rig


def _jailer_rig(directory: Path) -> Rig:
    rig = _bare_firecracker_rig(directory, PROGRAMS / "firecracker", str(PROGRAMS / "jailer"))
    rig.problem = asyncio.run(rig.driver.info()).problem or asyncio.run(rig.driver.try_machine("kvm", BOOT_S))
    return rig


def _newer_firecracker_rig(directory: Path) -> Rig:
    """A stand-in for a version that is not here."""
    rig = _bare_firecracker_rig(directory, make_program(directory, "1.17.0"))
    rig.problem = "" if INTERPRETER.exists() else f"{INTERPRETER} is not there"
    assert rig.problem or not asyncio.run(rig.driver.info()).problem
    return rig


def _bare_firecracker_rig(directory: Path, program: Path, jailer: str = "") -> Rig:
    for name, size_bytes in (("initramfs", 4096), ("modules", 4096), ("image", MIB)):
        (directory / name).write_bytes(bytes(size_bytes))
    plain = VmConfig(
        places=VmPlaces(name="", directory=directory, run_directory=directory),
        marker="",
        vmlinux=ROOT / "build/firecracker-guest/freestanding",
        initramfs=directory / "initramfs",
        modules_disk=directory / "modules",
        image_disk=directory / "image",
        disk_bytes=2 * MIB,
        cpus=1,
        memory_mib=64,
        accel="kvm",
        link=link_of_kind("none"),
    )
    return Rig(FirecrackerDriver(str(program), jailer), directory, plain, ["sleep"], "none")


def _firecracker_linux_rig(directory: Path) -> Rig:
    golden = golden_home()
    paths = Paths(golden.state, golden.directory / "cache", directory / "run", directory / "config")
    shutil.copyfile(paths.database, directory / "banger.db")
    store = Store(directory / "banger.db")
    driver = FirecrackerDriver(str(PROGRAMS / "firecracker"))
    try:
        rig = _rig(driver, directory, paths, store, GIB, ["sleep", "1000"])
    finally:
        store.close()
    rig.plain = dataclasses.replace(rig.plain, accel="kvm", link=link_of_kind("none"))
    rig.link, rig.problem = "none", cpu.check_kvm().reason
    return rig


def _rig(
    driver: Driver, directory: Path, paths: Paths, store: Store, disk_bytes: int, sleeper: list[str]
) -> Rig:
    kernel, image = store.kernels.all()[0], store.images.all()[0]
    files = paths.kernels / kernel.digest
    agent = agent_binary(cpu.architecture())
    plain = VmConfig(
        places=VmPlaces(name="", directory=directory, run_directory=directory),
        marker="",
        vmlinux=files / "vmlinux",
        initramfs=ensure_initramfs(paths, files, agent, driver.capabilities.agent_by_vsock),
        modules_disk=files / "modules.ext4",
        image_disk=(paths.images / f"{image.digest}.ext4").resolve(),
        disk_bytes=disk_bytes,
        cpus=1,
        memory_mib=256,
        accel="tcg",
        link=link_of_kind("nat"),
    )
    return Rig(driver, directory, plain, sleeper)


RIGS = {
    "fake": _fake_rig,
    "qemu": _qemu_rig,
    "firecracker": _firecracker_rig,
    "firecracker in its jailer": _jailer_rig,
    "firecracker with Linux": _firecracker_linux_rig,
    "stand-in for a newer firecracker": _newer_firecracker_rig,
}


@contextmanager
def open_rig(name: str) -> Iterator[Rig]:
    """Raises `tool_missing` where this host does not have that VMM."""
    directory = Path(tempfile.mkdtemp(prefix="rig-", dir="/tmp"))
    try:
        yield RIGS[name](directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)
