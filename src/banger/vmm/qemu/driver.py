"""The QEMU driver: finds QEMU, starts VMs with it, finds them again."""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path

from banger.errors import Error
from banger.host import cpu
from banger.host.proc import ProcessRef
from banger.host.run import find_tool, run
from banger.host.spawn import spawn_detached
from banger.vmm.base import DriverInfo, RunState, Vm, VmConfig, VmPlaces
from banger.vmm.qemu.argv import plan_argv
from banger.vmm.qemu.monitor import Monitor
from banger.vmm.qemu.overlay import write_overlay

_BINARIES = {"amd64": "qemu-system-x86_64"}


class QemuVm:
    """A started QEMU. `connect_control` before anything else; `close` when done with it."""

    def __init__(self, places: VmPlaces, process: ProcessRef) -> None:
        self._places = places
        self._process = process
        self._monitor = Monitor(places.name)

    @property
    def process(self) -> ProcessRef:
        return self._process

    async def connect_control(self, timeout_s: float) -> None:
        await self._monitor.connect(str(self._places.control_socket), timeout_s)

    async def pause(self) -> None:
        await self._monitor.execute("stop")

    async def resume(self) -> None:
        await self._monitor.execute("cont")

    async def run_state(self) -> RunState:
        status = str((await self._monitor.execute("query-status")).get("status", ""))
        if status == "running":
            return "running"
        return "stopped" if status in ("shutdown", "guest-panicked") else "paused"

    async def press_power_button(self) -> None:
        await self._monitor.execute("system_powerdown")

    async def quit(self) -> None:
        await self._monitor.execute("quit")

    def stop_reason(self) -> str:
        return self._monitor.shutdown_reason

    async def close(self) -> None:
        await self._monitor.close()


class QemuDriver:
    """Stateless but for what it has found out about this host's QEMU."""

    name = "qemu"

    def __init__(self, agent_binary: Path) -> None:
        self._agent_binary = agent_binary
        self._info: DriverInfo | None = None
        self._tsc_khz: int | None = None

    async def info(self) -> DriverInfo:
        if self._info is None or self._info.problem:
            self._info = await self._probe()
        return self._info

    async def prepare(self, config: VmConfig) -> None:
        """Measure the TSC once, and write the overlay of a machine that has none yet."""
        if self._tsc_khz is None:
            self._tsc_khz = await measure_tsc_khz(self._agent_binary)
        if not config.places.overlay.exists():  # a machine keeps its disk from start to start
            image_bytes = config.image_disk.stat().st_size
            write_overlay(config.places.overlay, config.image_disk, max(config.disk_bytes, image_bytes))

    def start(self, config: VmConfig) -> Vm:
        binary = find_tool(_binary())
        with contextlib.ExitStack() as stack:
            agent = stack.enter_context(_listen(config.places.agent_socket))
            control = stack.enter_context(_listen(config.places.control_socket))
            fds = (agent.fileno(), control.fileno())
            argv = plan_argv(binary, config, self._tsc_khz or 0, *fds)
            process = spawn_detached(
                argv,
                marker=config.marker,
                output=config.places.vmm_log,
                cwd=config.places.directory,
                pass_fds=fds,
            )
        return QemuVm(config.places, process)

    def reattach(self, places: VmPlaces, process: ProcessRef) -> Vm:
        return QemuVm(places, process)

    async def _probe(self) -> DriverInfo:
        try:
            path = find_tool(_binary())
            first = (await run([path, "--version"])).stdout.decode("utf-8", "replace").splitlines()[0]
        except Error as exc:
            return DriverInfo(self.name, "", "", (), f"{exc.message}: {exc.hint}")
        version = first.removeprefix("QEMU emulator version ").split()[0]
        accels = ("kvm", "tcg") if cpu.check_kvm().usable else ("tcg",)
        return DriverInfo(self.name, version, path, accels, "")


def _binary() -> str:
    architecture = cpu.architecture()
    binary = _BINARIES.get(architecture)
    if binary is None:
        raise Error("unsupported", f"no QEMU microvm for a host of architecture {architecture}")
    return binary


async def measure_tsc_khz(agent_binary: Path) -> int:
    """The host's TSC frequency; 0 where there is none. Some 100 ms, once a daemon."""
    result = await run([str(agent_binary), "--tsc-khz"], timeout_s=10)
    try:
        return int(result.stdout.strip() or b"0")
    except ValueError as exc:
        raise Error("internal", "the agent binary printed no TSC frequency", "run make setup") from exc


def _listen(path: Path) -> socket.socket:
    """A listening Unix socket for QEMU to inherit; only we may connect (its directory is 0700)."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        listener.bind(str(path))
        listener.listen(4)
    except OSError as exc:
        listener.close()
        raise Error("vmm_failed", f"cannot make the socket {path}: {exc.strerror}") from exc
    return listener
