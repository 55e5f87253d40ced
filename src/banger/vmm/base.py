"""The contract of a VMM driver, in parts.

| part | where | what |
|---|---|---|
| process and control | `Driver`, `Vm` | start, find again, pause, resume, capture, restore; why it ended (`ending`) |
| disk | `disk.Disks`, `Vm` | made, frozen, grown, flattened, replaced |
| frozen | `frozen.FrozenFiles` | which files a frozen VM consists of |
| link | `link.Link` | the guest's network, as a value of `VmConfig` |
| channel | `Vm.open_agent`, `channel` | the agent's byte stream |
| capabilities | `Capabilities` | what a driver cannot do, nobody asks of it |

A driver starts a VMM as a process that outlives the daemon and finds it again later. What it needs is in a `VmConfig`;
what it gives is a `Vm`. Names and formats of its files, and the words of its control socket, are its own: nobody above
`vmm` knows one.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from banger.host.proc import ProcessRef
from banger.vmm.disk import Disks
from banger.vmm.ending import End
from banger.vmm.frozen import Frozen, FrozenFiles
from banger.vmm.link import Link

# "disk_full": its vCPUs stand still until a write that found no room on the host is tried again.
RunState = Literal["running", "paused", "disk_full", "stopped"]


@dataclass(frozen=True, kw_only=True)
class VmPlaces:
    """Where a VM's own things are: `directory` keeps its files, `run_directory` its sockets."""

    name: str
    directory: Path
    run_directory: Path

    @property
    def console_log(self) -> Path:
        return self.directory / "console.log"

    @property
    def vmm_log(self) -> Path:
        return self.directory / "vmm.log"


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
    `limits` are those that somebody asked for, `entrances` the control groups that it starts in (see `host.cgroup`),
    `user` the number of the user that its VMM runs as, None for ours."""

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
    link: Link
    frozen: Frozen | None = None
    limits: VmLimits = AS_NEEDED
    entrances: tuple[Path, ...] = ()
    user: int | None = None


class Lack(NamedTuple):
    """Something that a program does not have, in words; `is_fatal` if no machine runs without it."""

    words: str
    is_fatal: bool = False


class DriverInfo(NamedTuple):
    """`build` changes with every other build of the program; `problem` says why it cannot be used here, empty when
    it can."""

    name: str
    version: str
    build: str
    path: str
    accels: tuple[str, ...]
    problem: str


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """What a driver can, whatever the host has. `links`: kinds of links; `freezes`: capture and restore, and so
    templates, snapshots and forks; `limits_io`: of a root disk; `agent_by_vsock`: guests need vsock's modules at their
    boot; `jailed`: its VMMs run in a jail."""

    links: frozenset[type[Link]]
    freezes: bool
    limits_io: bool
    agent_by_vsock: bool
    jailed: bool


class Vm(Protocol):
    """A started VM, of which `process` is the process."""

    @property
    def process(self) -> ProcessRef: ...

    async def connect_control(self, timeout_s: float) -> None:
        """Open the control connection. Raises `vmm_failed`."""

    async def pause(self) -> None:
        """Stop the vCPUs. Raises `vmm_failed`, `timeout`."""

    async def resume(self) -> None:
        """Raises `vmm_failed`, `timeout`."""

    async def run_state(self) -> RunState: ...

    async def restore(self) -> None:
        """Of a VM started with `frozen`: load the devices' state. It stays paused. Raises `vmm_failed`."""

    async def capture(self, frozen: Frozen) -> None:
        """Write memory and devices to the directory of `frozen`, an empty one. The vCPUs are stopped by this and stay
        so; what can be copied before is. Raises `vmm_failed`, `insufficient_disk`, `unsupported`."""

    async def freeze_disk(self, directory: Path) -> None:
        """The root disk as it is now becomes that of `directory`; the VM goes on with one of its own. Raises
        `vmm_failed`, `insufficient_disk`, `unsupported`."""

    async def grow_disk(self, size_bytes: int) -> None:
        """Make the root disk at least that large, and tell the guest."""

    async def limit_io(self, bytes_per_s: int, operations_per_s: int) -> None:
        """Of the root disk, reads and writes together; 0: as fast as it goes. Raises `vmm_failed`."""

    def watch_disk(self, on_full: Callable[[], None], on_failed: Callable[[str], None]) -> None:
        """Have `on_full` called whenever its vCPUs were stopped because the host's disk is full; also if they
        are when the control connection is made. And `on_failed`, with the reason, whenever the guest got an error of
        its disk."""

    async def open_agent(self) -> socket.socket:
        """A connection to the agent's end of the byte stream, not blocking, with no byte of it taken. Raises OSError
        while there is none. One at a time: a new one ends what was said on the last."""

    async def agent_port_is_held(self) -> bool:
        """Whether anybody in the guest has the agent's port open; True where the VMM cannot know. Raises `vmm_failed`,
        `timeout`."""

    async def quit(self) -> None:
        """Ask the VMM to end now, its disks flushed. Raises `vmm_failed`, `timeout`."""

    def terminate(self) -> None:
        """The same without its control connection, which may be stuck. Returns at once."""

    def end(self) -> End:
        """Why the guest stopped, as far as the VMM told."""

    async def close(self) -> None:
        """Drop the control connection; the VM goes on."""


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
        """Run a machine of a few instructions. Why that does not work; empty if it did."""

    async def lacks(self) -> list[Lack]:
        """What this build of the program does not have of what machines need. Raises `tool_failed`,
        `tool_missing`, `timeout`."""

    async def build_of(self, config: VmConfig) -> str:
        """The program and how it would be called for such a VM: a frozen one can go on only under the same."""

    def needs(self, config: VmConfig) -> VmLimits:
        """What the VMM takes at most while all is well, the guest's memory included."""

    async def prepare(self, config: VmConfig) -> None:
        """Make the VM's own disk, above the image's or above a frozen VM's, unless it has one, and whatever else it
        starts with. Raises `insufficient_disk`, `vmm_failed`, `frozen_damaged`, `unsupported`."""

    def start(self, config: VmConfig) -> Vm:
        """Start the VMM process. Returns at once; the guest boots. Raises `tool_missing`, `vmm_failed`,
        `frozen_damaged`."""

    def reattach(self, places: VmPlaces, process: ProcessRef) -> Vm:
        """Take over a VMM that an earlier daemon started."""

    def forget_frozen(self, places: VmPlaces) -> None:
        """Remove what a clone has of a frozen VM beside its disk; once its VMM has ended, nobody needs that. Raises
        OSError."""
