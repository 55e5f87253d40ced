"""The QEMU driver: finds QEMU, starts VMs with it, finds these VMs again."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import os
import re
import resource
import signal
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from banger.errors import Error
from banger.host import cpu, own_sockets
from banger.host.foreign import open_foreign
from banger.host.fs import remove_tree
from banger.host.jail import Bound, Jail
from banger.host.proc import ProcessRef, send_signal, user_of
from banger.host.run import find_tool, run
from banger.host.sparse import copy_file
from banger.host.spawn import spawn_detached
from banger.host.thread import in_thread
from banger.host.unwritable import open_unwritable
from banger.model.sizes import KIB, MIB
from banger.vmm import owners
from banger.vmm.base import (
    CONNECTIONS,
    Capabilities,
    DriverInfo,
    Lack,
    RunState,
    Vm,
    VmConfig,
    VmLimits,
    VmPlaces,
)
from banger.vmm.channel import dial_port
from banger.vmm.disk import DiskKind
from banger.vmm.ending import End, EndKind
from banger.vmm.failures import cannot_write
from banger.vmm.frozen import Frozen
from banger.vmm.link import Link, NoLink, Tap, UserNat
from banger.vmm.qemu import layers, memory, names, preload, trial
from banger.vmm.qemu.argv import (
    TRANSLATED_MIB,
    Descriptors,
    opens_memory_read_only,
    plan_argv,
    translates_anew,
)
from banger.vmm.qemu.disks import QemuDisks
from banger.vmm.qemu.file_bound import allow_files, bound_of_files, longest_file
from banger.vmm.qemu.frozen_files import QemuFrozenFiles
from banger.vmm.qemu.monitor import Monitor
from banger.wire.constants import PORT_NAME

_LOAD_S = 20.0
_LOAD_POLL_S = 0.002
# QEMU's own heap, stacks and buffers, and the page cache of what its guest reads and writes at the moment.
_OWN_MIB = 128
# QEMU's main loop, and threads that wait for the disk.
_OWN_CPUS = 0.25
_OWN_THREADS = 128
# QEMU's sockets, event descriptors and logs, and the files of a disk. Connections may use all of them that are free.
_OWN_FILES = 32 + layers.MAX_LAYERS
# What QEMU's address translation (libslirp) buffers for one connection, in both directions together.
_CONNECTION_BYTES = 256 * KIB
# Address space that is reserved and hardly touched: stacks of threads and coroutines, the C library's arenas.
_UNTOUCHED_BYTES = 1536 * MIB
# What QEMU shows for a port that its guest does not have open.
_PORT_LEFT = re.compile(rf'name = "{re.escape(PORT_NAME)}"\s+port \d+, guest off\b')
_BINARIES = {"amd64": "qemu-system-x86_64"}
# QEMU's words for the reasons of its end.
_ENDS = {
    "": EndKind.UNKNOWN,
    "guest-shutdown": EndKind.POWERED_OFF,
    "guest-reset": EndKind.RESET,
    "guest-panic": EndKind.PANICKED,
    "host-signal": EndKind.SIGNALLED,
}


class QemuVm:
    """A started QEMU. Call `connect_control` before anything else, and `close` at the end.

    `xen-save-devices-state` writes the devices' state: it leaves out the memory, and otherwise has nothing to do with
    Xen. An ordinary incoming migration reads the state. A migration that leaves out the memory would need shared
    memory, which a clone does not have.
    """

    def __init__(self, places: VmPlaces, process: ProcessRef) -> None:
        self._places = places
        self._process = process
        self._monitor = Monitor(places.name)

    @property
    def process(self) -> ProcessRef:
        return self._process

    async def connect_control(self, timeout_s: float) -> None:
        await self._monitor.connect(str(names.control_socket(self._places)), timeout_s)
        on_full = self._monitor.on_disk_full
        if on_full is not None and await self.run_state() == "disk_full":
            on_full()

    async def pause(self) -> None:
        await self._monitor.execute("stop")

    async def resume(self) -> None:
        await self._monitor.execute("cont")

    async def run_state(self) -> RunState:
        status = str((await self._monitor.execute("query-status")).get("status", ""))
        if status == "running":
            return "running"
        if status == "io-error":  # with `werror=enospc`, the default, only a full disk stops a VM
            return "disk_full"
        return "stopped" if status in ("shutdown", "guest-panicked") else "paused"

    async def restore(self) -> None:
        fd = open_foreign(names.devices(self._places.directory))
        try:
            await self._monitor.send_descriptor("devices", fd)
        finally:
            os.close(fd)
        await self._monitor.execute("migrate-incoming", {"uri": "fd:devices"})
        deadline = time.monotonic() + _LOAD_S
        while (await self._monitor.execute("query-status")).get("status") == "inmigrate":
            if time.monotonic() > deadline:
                raise Error("timeout", f"QEMU of {self._places.name} did not load its devices' state")
            await asyncio.sleep(_LOAD_POLL_S)

    async def capture(self, frozen: Frozen) -> None:
        pid, target = self._process.pid, names.memory(frozen.directory)
        try:
            guest = await in_thread(memory.find_mapping, pid)
            if guest.private:
                await in_thread(memory.copy_base, pid, guest, target)
            await self.pause()
            await self._save_devices(names.devices(frozen.directory))
            if guest.private:
                await in_thread(memory.copy_changes, pid, guest, target)
            else:
                await in_thread(memory.copy_base, pid, guest, target)
        except OSError as exc:
            raise cannot_write(frozen.directory, exc) from exc

    async def _save_devices(self, target: Path) -> None:
        """QEMU writes to a descriptor of the daemon, because its jail does not contain the directory."""
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            path = await self._monitor.add_descriptor(fd)
        finally:
            os.close(fd)
        try:
            await self._monitor.execute("xen-save-devices-state", {"filename": path, "live": False})
        finally:
            await self._monitor.remove_descriptor(path)

    async def freeze_disk(self, directory: Path) -> None:
        disk = names.disk(self._places.directory)
        try:
            below = layers.active(disk)
            above = await in_thread(layers.push_down, disk)
            await in_thread(self._hand_over, above)
            try:
                await self._monitor.execute(
                    "blockdev-snapshot-sync",
                    {"device": "root", "snapshot-file": str(above), "format": "qcow2", "mode": "existing"},
                )
            except Error:
                await in_thread(layers.pull_up, disk, below)
                raise
            await in_thread(layers.take_back_chain, below)
            await in_thread(layers.link_chain, below, names.disk(directory))
        except OSError as exc:
            raise cannot_write(directory, exc) from exc

    def _hand_over(self, file: Path) -> None:
        user = user_of(self._process)
        if user is not None:
            owners.give(file, user)

    async def grow_disk(self, size_bytes: int) -> None:
        if layers.read_head(layers.active(names.disk(self._places.directory))).size_bytes < size_bytes:
            allow_files(self._process, longest_file(size_bytes, 0))
            await self._monitor.execute("block_resize", {"device": "root", "size": size_bytes})

    async def limit_io(self, bytes_per_s: int, operations_per_s: int) -> None:
        rates = {"bps": bytes_per_s, "bps_rd": 0, "bps_wr": 0}
        rates |= {"iops": operations_per_s, "iops_rd": 0, "iops_wr": 0}
        await self._monitor.execute("block_set_io_throttle", {"device": "root", **rates})

    def watch_disk(self, on_full: Callable[[], None], on_failed: Callable[[str], None]) -> None:
        self._monitor.on_disk_full = on_full
        self._monitor.on_disk_failed = on_failed

    async def agent_port_is_held(self) -> bool:
        """Reads QEMU's output for people: QEMU sends the event only for devices with an id, and in all VMs frozen so
        far this device has none."""
        tree = await self._monitor.execute("human-monitor-command", {"command-line": "info qtree"})
        return not _PORT_LEFT.search(str(tree))

    async def open_agent(self) -> socket.socket:
        return await dial_port(names.agent_socket(self._places))

    async def open_shares(self) -> socket.socket:
        return await dial_port(names.shares_socket(self._places))

    async def ask_guest_to_end(self) -> bool:
        """The machine has no keyboard, and its kernel no driver of a power button."""
        return False

    async def quit(self) -> None:
        await self._monitor.execute("quit")

    def terminate(self) -> None:
        """On SIGTERM, QEMU flushes its disks and ends."""
        send_signal(self._process, signal.SIGTERM)

    def end(self) -> End:
        return read_end(self._monitor.shutdown_reason)

    async def close(self) -> None:
        await self._monitor.close()


class QemuDriver:
    """Stateless except for what it found out about this host's QEMU."""

    name = "qemu"
    capabilities = Capabilities(
        links=frozenset({NoLink, UserNat, Tap}),
        freezes=True,
        limits_io=True,
        agent_by_vsock=False,
        capture_ends_session=False,
        jailed=True,
        shares=True,
    )
    disks = QemuDisks()
    frozen = QemuFrozenFiles()

    def __init__(self, agent_binary: Path, connections: int = CONNECTIONS) -> None:
        self._agent_binary = agent_binary
        self._connections = connections
        self._info: DriverInfo | None = None
        self._tsc_khz: int | None = None

    async def info(self) -> DriverInfo:
        if self._info is None or self._info.problem:
            self._info = await self._probe()
        return self._info

    async def try_machine(self, accel: str, timeout_s: float) -> str:
        return await trial.try_machine(find_tool(_binary()), accel, timeout_s)

    async def lacks(self) -> list[Lack]:
        return await trial.find_lacks(find_tool(_binary()))

    async def build_of(self, config: VmConfig) -> str:
        neutral = VmPlaces(name="", directory=Path("/"), run_directory=Path("/"))
        plain = dataclasses.replace(
            config,
            places=neutral,
            link=_neutral(config.link),
            vmlinux=Path("/"),
            initramfs=Path("/"),
            modules_disk=Path("/"),
            frozen=Frozen(Path("/")),
        )
        argv = "\0".join(plan_argv("", plain, Path("/"), 0, Descriptors(0, 0, 0, 0)))
        return f"{(await self.info()).build} {hashlib.sha256(argv.encode()).hexdigest()[:16]}"

    def needs(self, config: VmConfig) -> VmLimits:
        translated_mib = TRANSLATED_MIB if config.accel == "tcg" else 0
        return VmLimits(
            memory_bytes=(config.memory_mib + translated_mib + _OWN_MIB) * MIB
            + self._files() * _CONNECTION_BYTES,
            cpus=config.cpus + _OWN_CPUS,
            pids=config.cpus + _OWN_THREADS,
        )

    def _files(self) -> int:
        return _OWN_FILES + self._connections

    def _bounds(self, config: VmConfig, disk: Path) -> dict[int, Bound]:
        """Limits that hold on every host, even without control groups. Without a free descriptor a guest's next
        connection fails; without memory the VMM ends; for a file that is too long, see `file_bound`."""
        longest = longest_file(layers.read_head(disk).size_bytes, config.memory_mib * MIB)
        return {
            resource.RLIMIT_NOFILE: self._files(),
            resource.RLIMIT_DATA: self.needs(config).memory_bytes + _UNTOUCHED_BYTES,
            resource.RLIMIT_FSIZE: bound_of_files(longest, config.user),
        }

    async def prepare(self, config: VmConfig) -> DiskKind | None:
        """Measure the TSC once, and write the overlay of a machine that has no disk yet; a machine keeps its disk
        across starts."""
        if self._tsc_khz is None:
            self._tsc_khz = await measure_tsc_khz(self._agent_binary)
        try:
            self.forget_frozen(config.places)
            return await in_thread(_prepare_files, config)
        except OSError as exc:
            raise cannot_write(config.places.directory, exc) from exc

    def start(self, config: VmConfig) -> Vm:
        binary = find_tool(_binary())
        with contextlib.ExitStack() as stack:
            agent = stack.enter_context(_listen(names.agent_socket(config.places)))
            shares = stack.enter_context(_listen(names.shares_socket(config.places)))
            control = stack.enter_context(_listen(names.control_socket(config.places)))
            fds = Descriptors(agent.fileno(), control.fileno(), shares.fileno())
            if config.frozen is not None:
                fds = fds._replace(memory=_open_memory(config.frozen))
                stack.callback(os.close, fds.memory)
            disk = layers.active(names.disk(config.places.directory))
            read_only = opens_memory_read_only(self._info.version) if self._info else False
            libraries = [preload.library(cpu.architecture())] if config.frozen is not None else []
            jail = prepare_jail(config, disk, libraries)
            if config.user is not None:
                hand_over(config, disk, jail)
            argv = plan_argv(
                binary,
                config,
                disk,
                self._tsc_khz or 0,
                fds,
                opens_read_only=read_only,
                at_fixed_addresses=self._info is not None and not self._info.randomizes(config.accel),
            )
            process = spawn_detached(
                argv,
                marker=config.marker,
                output=config.places.vmm_log,
                cwd=config.places.directory,
                pass_fds=[fd for fd in (*fds, *_descriptors_of(config.link)) if fd >= 0],
                environment={"LD_PRELOAD": str(libraries[0])} if libraries else {},
                entrances=config.entrances,
                bounds=self._bounds(config, disk),
                jail=jail,
            )
        return QemuVm(config.places, process)

    def reattach(self, places: VmPlaces, process: ProcessRef) -> Vm:
        return QemuVm(places, process)

    def forget_frozen(self, places: VmPlaces) -> None:
        """Earlier versions made a link to the memory too."""
        for path in (names.memory(places.directory), names.devices(places.directory)):
            remove_tree(path)

    async def _probe(self) -> DriverInfo:
        try:
            path = find_tool(_binary())
            first = (await run([path, "--version"])).stdout.decode("utf-8", "replace").splitlines()[0]
        except Error as exc:
            return DriverInfo(self.name, "", "", "", (), f"{exc.message}: {exc.hint}")
        version = first.removeprefix("QEMU emulator version ")
        file = os.stat(path)
        build = f"{version} {file.st_size} {file.st_mtime_ns}"
        accels = ("kvm", "tcg") if cpu.check_kvm().usable else ("tcg",)
        return DriverInfo(
            self.name, version.split()[0], build, path, accels, "", translates_anew=translates_anew(version)
        )


def prepare_jail(config: VmConfig, disk: Path, libraries: Sequence[Path]) -> Jail:
    """What QEMU needs of the host. To write: its directory. To read: the frozen layers of its disk, the image below
    them, kernel and initramfs. Sockets and the frozen memory are descriptors."""
    _, *below = layers.read_places(disk)
    if (
        config.image_digest
        and below
        and below[-1].suffix == ".ext4"
        and below[-1].stem != config.image_digest
    ):
        raise Error("frozen_damaged", f"the disk of {config.places.name} lies on another machine's image")
    return Jail(
        read=(
            config.vmlinux,
            config.initramfs,
            config.modules_disk,
            *below,
            *libraries,
        ),
        write=(config.places.directory,),
        devices=(Path("/dev/kvm"),) if config.accel == "kvm" else (),
        network=isinstance(config.link, UserNat),
        user=config.user,
    )


def hand_over(config: VmConfig, disk: Path, jail: Jail) -> None:
    """Give the files that the VMM writes to its user, and make the files that it reads readable for that user, who
    reaches them only in the jail. The directory stays the daemon's: no VMM can make, rename or remove a file."""
    user, places = config.user, config.places
    assert user is not None
    places.directory.chmod(0o711)
    places.console_log.touch(mode=0o600)
    for path in (disk, places.console_log):
        owners.give(path, user)
    for path in jail.read:
        if path.parent == places.directory:
            owners.take_back(path)  # a template's layer, which another VMM wrote
        else:
            owners.make_readable(path)


def _prepare_files(config: VmConfig) -> DiskKind | None:
    """Blocking: where the host refuses hard links, this copies a disk."""
    disk = names.disk(config.places.directory)
    had_disk = disk.exists()
    if config.frozen is not None:
        _prepare_clone(config.places, config.frozen)
    elif not had_disk:
        layers.clear(disk)
        size_bytes = max(config.disk_bytes, config.image_disk.stat().st_size)
        layers.create(disk, str(config.image_disk), "raw", size_bytes)
    return None if had_disk else "layer"


def read_end(said: str) -> End:
    """The end of a guest, from the reason that QEMU gave."""
    return End(_ENDS.get(said, EndKind.OTHER), said)


def _prepare_clone(places: VmPlaces, frozen: Frozen) -> None:
    """Give the clone its own copies and links of the frozen VM, except the memory, which QEMU has open: the clone works
    even after the original is removed."""
    copy_file(names.devices(frozen.directory), names.devices(places.directory))
    disk = names.disk(places.directory)
    if not disk.exists():
        layers.clear(disk)
        layers.lay_over(names.disk(frozen.directory), disk, 0)


def _open_memory(frozen: Frozen) -> int:
    """Open the memory for the VMM of a clone. All clones share the file, so no VMM may write to it."""
    path = names.memory(frozen.directory)
    try:
        return open_unwritable(path)
    except OSError as exc:
        raise Error("frozen_damaged", f"{path} cannot be read: {exc.strerror}") from exc


def _neutral(link: Link) -> Link:
    """The same kind of link without addresses: a clone may have another link of the same kind."""
    if isinstance(link, NoLink):
        return link
    return UserNat("") if isinstance(link, UserNat) else Tap("")


def _descriptors_of(link: Link) -> tuple[int, ...]:
    return (link.fd,) if isinstance(link, Tap) else ()


def _binary() -> str:
    architecture = cpu.architecture()
    binary = _BINARIES.get(architecture)
    if binary is None:
        raise Error("unsupported", f"no QEMU microvm for a host of architecture {architecture}")
    return binary


async def measure_tsc_khz(agent_binary: Path) -> int:
    """The host's TSC frequency; 0 if there is no TSC. Takes some 100 ms, once per daemon."""
    result = await run([str(agent_binary), "--tsc-khz"], timeout_s=10)
    try:
        return int(result.stdout.strip() or b"0")
    except ValueError as exc:
        raise Error("internal", "the agent binary printed no TSC frequency", "run make setup") from exc


def _listen(path: Path) -> socket.socket:
    """A listening Unix socket for QEMU to inherit. Only the daemon's user can connect: the directory is 0700."""
    try:
        return own_sockets.listen(path)
    except OSError as exc:
        raise Error("vmm_failed", f"cannot make the socket {path}: {exc.strerror}") from exc
