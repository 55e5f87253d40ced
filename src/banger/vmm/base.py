"""The contract of a VMM driver.

A driver starts a VMM as a process that outlives the daemon and finds it again later. What it needs is in a
`VmConfig`; what it gives is a `Vm`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from banger.host.proc import ProcessRef

# "disk_full": its vCPUs stand still until a write that found no room on the host is tried again.
RunState = Literal["running", "paused", "disk_full", "stopped"]


@dataclass(frozen=True, kw_only=True)
class VmPlaces:
    """Where a VM's own things are: `directory` keeps its files, `run_directory` its sockets."""

    name: str
    directory: Path
    run_directory: Path

    @property
    def overlay(self) -> Path:
        """The root disk."""
        return self.directory / "root.qcow2"

    @property
    def console_log(self) -> Path:
        return self.directory / "console.log"

    @property
    def vmm_log(self) -> Path:
        return self.directory / "vmm.log"

    @property
    def agent_socket(self) -> Path:
        return self.run_directory / "agent.sock"

    @property
    def control_socket(self) -> Path:
        return self.run_directory / "qmp.sock"


@dataclass(frozen=True)
class FrozenFiles:
    """A frozen VM: its memory (sparse), the state of its devices, its root disk. None of them is ever written to
    again; clones map the memory privately and lay an overlay over the disk."""

    directory: Path

    @property
    def memory(self) -> Path:
        return self.directory / "memory"

    @property
    def devices(self) -> Path:
        return self.directory / "devices"

    @property
    def disk(self) -> Path:
        return self.directory / "root.qcow2"


# Of a guest through its VMM's address translation, open at a time, where nobody configured another number.
CONNECTIONS = 256


class VmLimits(NamedTuple):
    """Of a VMM's process on the host: memory, processors' worth of time, threads; bytes and operations a second of its
    root disk, reads and writes together. 0: what such a VM needs."""

    memory_bytes: int = 0
    cpus: float = 0
    pids: int = 0
    io_bytes: int = 0
    io_operations: int = 0


AS_NEEDED = VmLimits()


@dataclass(frozen=True, kw_only=True)
class VmConfig:
    """A VM to start. `marker` goes into the VMM's environment; `disk_bytes` is the least size of its
    root disk. With `frozen` it begins as a clone of that, paused, and its `image_disk` lies below already.
    `limits` are those that somebody asked for, `entrances` the control groups that it starts in (see `host.cgroup`)."""

    places: VmPlaces
    marker: str
    vmlinux: Path
    initramfs: Path
    modules_disk: Path
    image_disk: Path
    disk_bytes: int
    cpus: int
    memory_mib: int
    accel: str
    mac: str
    frozen: FrozenFiles | None = None
    limits: VmLimits = AS_NEEDED
    entrances: tuple[Path, ...] = ()


def forget_frozen(places: VmPlaces) -> None:
    """A clone's own copy of the devices' state, and the memory that earlier versions linked to; once its VMM has ended
    nobody needs them."""
    files = FrozenFiles(places.directory)
    for path in (files.memory, files.devices):
        path.unlink(missing_ok=True)


class DriverInfo(NamedTuple):
    """`build` changes with every other build of the program; `problem` says why it cannot be used here, empty when
    it can."""

    name: str
    version: str
    build: str
    path: str
    accels: tuple[str, ...]
    problem: str


class Vm(Protocol):
    """A started VM. Its process is `process`; the agent's byte stream is at `agent_socket`."""

    @property
    def process(self) -> ProcessRef: ...

    async def connect_control(self, timeout_s: float) -> None:
        """Open the control connection. Raises `vmm_failed`."""

    async def pause(self) -> None:
        """Stop the vCPUs."""

    async def resume(self) -> None: ...

    async def run_state(self) -> RunState: ...

    async def restore(self) -> None:
        """Of a VM started with `frozen`: load the devices' state. It stays paused. Raises `vmm_failed`."""

    async def capture(self, files: FrozenFiles) -> None:
        """Write memory and devices to `files`, an empty directory. The vCPUs are stopped by this and stay
        so; what can be copied before is. Raises `vmm_failed`, `insufficient_disk`, `unsupported`."""

    async def freeze_disk(self, disk: Path) -> None:
        """The root disk as it is now becomes `disk`, with links to what lies below it in the same directory; the
        VM goes on above it. Takes no copy."""

    async def grow_disk(self, size_bytes: int) -> None:
        """Make the root disk at least that large, and tell the guest."""

    async def limit_io(self, bytes_per_s: int, operations_per_s: int) -> None:
        """Of the root disk, reads and writes together; 0: as fast as it goes. Raises `vmm_failed`."""

    def watch_disk_full(self, on_full: Callable[[], None]) -> None:
        """Have `on_full` called whenever its vCPUs were stopped because the host's disk is full; also if they
        are when the control connection is made."""

    async def agent_port_is_held(self) -> bool:
        """Whether anybody in the guest has the agent's port open. Raises `vmm_failed`, `timeout`."""

    async def press_power_button(self) -> None:
        """Ask the guest by ACPI to power off; it may ignore it."""

    async def quit(self) -> None:
        """Ask the VMM to end now, its disks flushed."""

    def stop_reason(self) -> str:
        """What the VMM said of why the guest stopped ("guest-shutdown", ...); empty if unknown."""

    async def close(self) -> None:
        """Drop the control connection; the VM goes on."""


class Driver(Protocol):
    name: str

    async def info(self) -> DriverInfo: ...

    async def try_machine(self, accel: str, timeout_s: float) -> str:
        """Run a machine of a few instructions. Why that does not work; empty if it did."""

    async def lacks(self) -> list[str]:
        """What this build of the program does not have of what machines need, a line each. Raises `tool_failed`,
        `tool_missing`, `timeout`."""

    async def build_of(self, config: VmConfig) -> str:
        """The program and how it would be called for such a VM: a frozen one can go on only under the same."""

    def needs(self, config: VmConfig) -> VmLimits:
        """What the VMM takes at most while all is well, the guest's memory included."""

    async def prepare(self, config: VmConfig) -> None:
        """Make the VM's own disk, above the image's or above a frozen VM's."""

    def start(self, config: VmConfig) -> Vm:
        """Start the VMM process. Returns at once; the guest boots."""

    async def replace_disk(self, places: VmPlaces, frozen: FrozenFiles) -> None:
        """The disk of a VM that does not run gives way to a new one above what is frozen. All or nothing."""

    async def sync_disk(self, places: VmPlaces) -> None:
        """After it returns, whatever the guest syncs survives a power failure of the host. Raises `frozen_damaged`,
        `vmm_failed`, `insufficient_disk`."""

    async def tidy_disk(self, places: VmPlaces) -> None:
        """Remove what a change of the disk that was cut off left. Raises `frozen_damaged`, OSError."""

    async def flatten_disk(self, disk: Path, target: Path, *, raw: bool) -> None:
        """Write a disk with all that lies below it to one file: raw, or as the driver keeps its disks. Raises
        `tool_failed`, `insufficient_disk`."""

    def reattach(self, places: VmPlaces, process: ProcessRef) -> Vm:
        """Take over a VMM that an earlier daemon started."""
