"""The contract of a VMM driver.

A driver starts a VMM as a process that outlives the daemon and finds it again later. What it needs is in a
`VmConfig`; what it gives is a `Vm`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

from banger.host.proc import ProcessRef

RunState = Literal["running", "paused", "stopped"]


@dataclass(frozen=True, kw_only=True)
class VmPlaces:
    """Where a VM's own things are: `directory` keeps its files, `run_directory` its sockets."""

    name: str
    directory: Path
    run_directory: Path

    @property
    def overlay(self) -> Path:
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


@dataclass(frozen=True, kw_only=True)
class VmConfig:
    """A VM to start. `marker` goes into the VMM's environment; `disk_bytes` is the least size of its
    root disk."""

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


class DriverInfo(NamedTuple):
    """`problem` says why it cannot be used here; empty when it can."""

    name: str
    version: str
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

    async def prepare(self, config: VmConfig) -> None:
        """Make the VM's own disk."""

    def start(self, config: VmConfig) -> Vm:
        """Start the VMM process. Returns at once; the guest boots."""

    def reattach(self, places: VmPlaces, process: ProcessRef) -> Vm:
        """Take over a VMM that an earlier daemon started."""
