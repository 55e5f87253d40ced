"""The contract of a VMM driver, in parts.

| part | where | what |
|---|---|---|
| process and control | `Driver`, `Vm` | start, find again, pause, resume, capture, restore; why it ended (`ending`) |
| disk | `disk.Disks`, `Vm` | made, frozen, grown, flattened, replaced |
| frozen | `frozen.FrozenFiles` | which files a frozen VM consists of |
| link | `link.Link` | the guest's network, as a value of `VmConfig` |
| channel | `Vm.open_agent`, `Vm.open_shares`, `channel` | the agent's byte stream, and that of directories |
| capabilities | `Capabilities` | what a driver can do; callers do not ask a driver for anything else |

A driver starts a VMM as a process that outlives the daemon, and finds that process again later. It takes a `VmConfig`
and gives a `Vm`. Names and formats of its files, and the protocol of its control socket, are private to the driver: no
code above `vmm` knows them.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from banger.host.proc import ProcessRef
from banger.vmm.disk import DiskKind, Disks
from banger.vmm.ending import End
from banger.vmm.frozen import Frozen, FrozenFiles
from banger.vmm.link import Link

# "disk_full": the vCPUs are stopped because the host had no space for a write; the VMM tries the write again when they
# continue.
RunState = Literal["running", "paused", "disk_full", "stopped"]


@dataclass(frozen=True, kw_only=True)
class VmPlaces:
    """The places of a VM: `directory` has its files, `run_directory` its sockets."""

    name: str
    directory: Path
    run_directory: Path

    @property
    def console_log(self) -> Path:
        return self.directory / "console.log"

    @property
    def vmm_log(self) -> Path:
        return self.directory / "vmm.log"


# Most connections that a guest has open through its VMM's address translation, unless configured.
CONNECTIONS = 256


class VmLimits(NamedTuple):
    """Limits of a VMM's process on the host: bytes of memory, number of processors, number of threads; bytes per second
    and operations per second of its root disk, reads and writes together. 0: what such a VM needs."""

    memory_bytes: int = 0
    cpus: float = 0
    pids: int = 0
    io_bytes: int = 0
    io_operations: int = 0


AS_NEEDED = VmLimits()


@dataclass(frozen=True, kw_only=True)
class VmConfig:
    """A VM to start. `marker` goes into the VMM's environment; `disk_bytes` is the least size of its root disk. With
    `frozen` the VM starts as a paused clone of that frozen VM, whose disk lies above `image_disk` already.
    `image_digest`: of the image that its disk lies on, "" if that is not known or if there is no disk yet. `limits`:
    limits that the user asked for; `entrances`: control groups that the VMM starts in (see `host.cgroup`); `user`:
    number of the user that the VMM runs as, None for the daemon's user."""

    places: VmPlaces
    marker: str
    vmlinux: Path
    initramfs: Path
    modules_disk: Path
    image_disk: Path
    disk_bytes: int
    image_digest: str = ""
    cpus: int
    memory_mib: int
    accel: str
    link: Link
    frozen: Frozen | None = None
    limits: VmLimits = AS_NEEDED
    entrances: tuple[Path, ...] = ()
    user: int | None = None


class Lack(NamedTuple):
    """A feature that a program lacks, in words; `is_fatal` if no machine runs without it."""

    words: str
    is_fatal: bool = False


class DriverInfo(NamedTuple):
    """`build` differs for each build of the program; `problem` says why the program cannot be used on this host, empty
    if it can. `lacks`: features that this build lacks, as far as that is known without a start of a machine.
    `pause_ends_session`: the connection to the agent may not outlive a pause, and is to be ended before. `jail`: the
    VMM's own jail that its machines run in, empty for ours alone. `translates_anew`: without KVM, this build translates
    each program anew wherever a random address puts it, which makes programs start several times slower."""

    name: str
    version: str
    build: str
    path: str
    accels: tuple[str, ...]
    problem: str
    lacks: tuple[Lack, ...] = ()
    pause_ends_session: bool = False
    translates_anew: bool = False

    def randomizes(self, accel: str, wish: Literal["auto", "on", "off"] = "auto") -> bool:
        """Whether programs of a guest with this accelerator get random addresses."""
        return wish == "on" or (wish == "auto" and not (accel == "tcg" and self.translates_anew))

    jail: str = ""

    @property
    def lacks_in_words(self) -> tuple[str, ...]:
        return tuple(lack.words for lack in self.lacks)


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a driver can do, whatever the host offers. `links`: kinds of links; `freezes`: capture and restore, and so
    templates, snapshots and forks; `limits_io`: limits for a root disk; `agent_by_vsock`: guests need the modules of
    vsock when they boot; `capture_ends_session`: a capture ends the connection to the agent, which must be opened again
    after the VM was resumed; `jailed`: its VMMs run in a jail; `kvm_only`: it runs no machine in software emulation;
    `own_jail`: the VMM's own jail that its machines run in, empty for ours alone, and `jail_without`: the layers of
    ours that they do without for that, each with the reason; `shares`: guests can have directories of the host."""

    links: frozenset[type[Link]]
    freezes: bool
    limits_io: bool
    agent_by_vsock: bool
    capture_ends_session: bool
    jailed: bool
    kvm_only: bool = False
    own_jail: str = ""
    jail_without: Mapping[str, str] = field(default_factory=dict)
    shares: bool = False


class Vm(Protocol):
    """A started VM; `process` is its VMM."""

    @property
    def process(self) -> ProcessRef: ...

    async def connect_control(self, timeout_s: float) -> None:
        """Open the control connection. Raises `vmm_failed`."""

    async def pause(self) -> None:
        """Stop the vCPUs. Raises `vmm_failed`, `timeout`."""

    async def resume(self) -> None:
        """Let the vCPUs run. Raises `vmm_failed`, `timeout`."""

    async def run_state(self) -> RunState: ...

    async def restore(self) -> None:
        """Load the state of the devices into a VM that was started with `frozen`. The VM stays paused. Raises
        `vmm_failed`."""

    async def capture(self, frozen: Frozen) -> None:
        """Write memory and devices to the directory of `frozen`, which is empty. Stops the vCPUs, which then stay
        stopped; copies as much as possible before that. Raises `vmm_failed`, `insufficient_disk`, `unsupported`."""

    async def freeze_disk(self, directory: Path) -> None:
        """Make the present root disk the disk of `directory`, frozen; the VM continues on a new disk above it. Raises
        `vmm_failed`, `insufficient_disk`, `unsupported`."""

    async def grow_disk(self, size_bytes: int) -> None:
        """Make the root disk at least `size_bytes` large, and tell the guest."""

    async def limit_io(self, bytes_per_s: int, operations_per_s: int) -> None:
        """Limit the root disk, reads and writes together; 0: no limit. Raises `vmm_failed`."""

    def watch_disk(self, on_full: Callable[[], None], on_failed: Callable[[str], None]) -> None:
        """Call `on_full` each time the VMM stops the vCPUs because the host's disk is full, and once if they are
        stopped for that when the control connection is made. Call `on_failed`, with the reason, each time the guest
        gets an error of its disk."""

    async def open_agent(self) -> socket.socket:
        """A connection to the agent's byte stream: non-blocking, no byte read yet. Raises OSError while the guest does
        not offer one. One at a time: a new connection ends the previous one."""

    async def open_shares(self) -> socket.socket:
        """A connection to the stream by which the guest asks for files of the host. One at a time, as the agent's.
        Raises OSError, `unsupported`."""

    async def agent_port_is_held(self) -> bool:
        """Whether a process in the guest has the agent's port open; True if the VMM cannot know. Raises `vmm_failed`,
        `timeout`."""

    async def ask_guest_to_end(self) -> bool:
        """Ask the guest's kernel to shut down, without the agent. False if the VMM cannot ask. Raises `vmm_failed`,
        `timeout`."""

    async def quit(self) -> None:
        """Ask the VMM to flush its disks and end now. Raises `vmm_failed`, `timeout`."""

    def terminate(self) -> None:
        """As `quit`, but without the control connection, which may hang. Returns at once."""

    def end(self) -> End:
        """Why the guest stopped, as far as the VMM reported it."""

    async def close(self) -> None:
        """Close the control connection; the VM continues."""


class Driver(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def capabilities(self) -> Capabilities: ...

    @property
    def disks(self) -> Disks: ...

    @property
    def frozen(self) -> FrozenFiles: ...

    async def info(self) -> DriverInfo: ...

    async def try_machine(self, accel: str, timeout_s: float) -> str:
        """Run a machine of a few instructions. Returns why that does not work; empty if it does."""

    async def lacks(self) -> list[Lack]:
        """Which features that machines need this build of the program lacks. Raises `tool_failed`, `tool_missing`,
        `timeout`."""

    async def build_of(self, config: VmConfig) -> str:
        """The program, and its arguments for such a VM: a frozen VM can continue only under the same."""

    def needs(self, config: VmConfig) -> VmLimits:
        """The most that the VMM takes in normal operation, the guest's memory included."""

    async def prepare(self, config: VmConfig) -> DiskKind | None:
        """Make the VM's own disk above the image's disk or the frozen VM's disk, unless the VM has a disk, and all else
        that the VM starts with. Returns how the disk was made, None if there was one. Raises `insufficient_disk`,
        `vmm_failed`, `frozen_damaged`, `unsupported`."""

    def start(self, config: VmConfig) -> Vm:
        """Start the VMM process. Returns at once; the guest boots. Raises `tool_missing`, `vmm_failed`,
        `frozen_damaged`."""

    def reattach(self, places: VmPlaces, process: ProcessRef) -> Vm:
        """Take over a VMM that an earlier daemon started."""

    def forget_frozen(self, places: VmPlaces) -> None:
        """Remove all files of a frozen VM that a clone has, except its disk: once the clone's VMM has ended, they are
        not needed. Raises OSError."""
