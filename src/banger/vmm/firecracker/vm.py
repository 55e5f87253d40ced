"""A running Firecracker: what `vmm.base.Vm` asks of it, said in requests of its API."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

from banger.errors import Error
from banger.host.foreign import foreign_size, open_foreign
from banger.host.fs import remove_tree
from banger.host.proc import ProcessRef, exit_of, is_alive, send_signal
from banger.host.sparse import CHUNK, write_sparse
from banger.host.thread import in_thread
from banger.vmm import owners
from banger.vmm.base import RunState, VmPlaces
from banger.vmm.channel import dial_vsock
from banger.vmm.ending import UNKNOWN_END, End, EndKind
from banger.vmm.firecracker import configuration, names, versions
from banger.vmm.firecracker.api import Api
from banger.vmm.firecracker.disks import cannot_write, freeze_disk
from banger.vmm.firecracker.metrics import Metrics
from banger.vmm.frozen import Frozen

# The port that the agent listens on.
AGENT_PORT = 1024
# To write or to load the whole memory of a guest, on a host with other work.
_MEMORY_S = 300.0
_POLL_S = 0.002
_LONGEST_POLL_S = 0.1
# To answer a connection; a guest that is only slow loses some time by what follows, and nothing else.
_DEAF_S = 2.0
_STATES: dict[str, RunState] = {"Running": "running", "Paused": "paused", "Not started": "paused"}


class FirecrackerVm:
    """A started Firecracker. It has no control connection to keep open, except the pipe of what it counts: each request
    has one of its own."""

    def __init__(self, places: VmPlaces, process: ProcessRef) -> None:
        self._places = places
        self._process = process
        self._api = Api(places.name, names.control_socket(places))
        self._metrics: Metrics | None = None
        self._on_disk_failed: Callable[[str], None] | None = None
        self._was_terminated = False
        self._may_be_deaf = False  # after a pause, in this version

    @property
    def process(self) -> ProcessRef:
        return self._process

    async def connect_control(self, timeout_s: float) -> None:
        """Waits until it answers."""
        deadline, pause_s = time.monotonic() + timeout_s, _POLL_S
        while True:
            try:
                said = await self._api.get("/")
                version = versions.read_version(str(said.get("vmm_version")))
                self._may_be_deaf = version is not None and versions.deafens(version)
                if self._metrics is None:
                    self._metrics = Metrics(names.metrics(self._places))
                    if self._on_disk_failed is not None:
                        self._metrics.watch(self._on_disk_failed)
                return
            except Error:
                if not is_alive(self._process) or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_POLL_S)

    async def pause(self) -> None:
        await self._api.patch("/vm", {"state": "Paused"})

    async def resume(self) -> None:
        """Some versions wait after a pause for their guest to confirm a reset that they have not told it of, and
        deliver nothing until then. A capture tells the guest."""
        await self._let_go_on()
        if not (self._may_be_deaf and await self._is_deaf()):
            return
        await self.pause()
        try:
            await self._write_state()
            for path in self._written():
                await in_thread(_empty, path)
        except OSError as exc:
            raise cannot_write(self._places.directory, exc) from exc
        await self._let_go_on()
        if await self._is_deaf():
            raise Error(
                "vmm_failed",
                f"Firecracker of {self._places.name} lost the connection to its guest in a pause",
                f"stop and start the machine: banger vm restart {self._places.name}",
            )

    async def _let_go_on(self) -> None:
        await self._api.patch("/vm", {"state": "Resumed"})

    async def _is_deaf(self) -> bool:
        """Whether the guest does not even refuse a connection."""
        try:
            async with asyncio.timeout(_DEAF_S):
                (await dial_vsock(names.agent_socket(self._places), AGENT_PORT)).close()
        except TimeoutError:
            return True
        except OSError:
            pass
        return False

    async def run_state(self) -> RunState:
        return _STATES.get(str((await self._api.get("/")).get("state")), "stopped")

    async def restore(self) -> None:
        body = configuration.plan_restore(names.STATE, names.MEMORY)
        await self._api.put("/snapshot/load", body, _MEMORY_S)

    async def capture(self, frozen: Frozen) -> None:
        """Firecracker writes to files of its own, which are copied: the directory is not in its jail, and a copy has
        the holes that its file has not."""
        state, memory = self._written()
        await self.pause()
        try:
            await self._write_state()
            await in_thread(_move_contents, state, names.state(frozen.directory))
            await in_thread(_move_contents, memory, names.memory(frozen.directory))
            if frozen.directory == self._places.directory:  # it will neither be captured again nor run on
                await in_thread(_keep_only_frozen, frozen.directory)
        except OSError as exc:
            raise cannot_write(frozen.directory, exc) from exc

    def _written(self) -> tuple[Path, Path]:
        directory = self._places.directory
        return directory / names.WRITTEN_STATE, directory / names.WRITTEN_MEMORY

    async def _write_state(self) -> None:
        body = configuration.plan_capture(names.WRITTEN_STATE, names.WRITTEN_MEMORY)
        await self._api.put("/snapshot/create", body, _MEMORY_S)

    async def freeze_disk(self, directory: Path) -> None:
        """A copy, during which the guest stands still."""
        ran = await self.run_state() == "running"
        if ran:
            await self.pause()
        try:
            await in_thread(freeze_disk, self._places.directory, directory)
        except OSError as exc:
            raise cannot_write(directory, exc) from exc
        finally:
            if ran:
                await self.resume()

    async def grow_disk(self, size_bytes: int) -> None:
        disk = names.disk(self._places.directory)
        try:
            if foreign_size(disk) >= size_bytes:
                return
            _grow(disk, size_bytes)
        except OSError as exc:
            raise cannot_write(disk.parent, exc) from exc
        await self._api.patch("/drives/root", configuration.plan_resized())

    async def limit_io(self, bytes_per_s: int, operations_per_s: int) -> None:
        await self._api.patch("/drives/root", configuration.plan_rate(bytes_per_s, operations_per_s))

    def watch_disk(self, on_full: Callable[[], None], on_failed: Callable[[str], None]) -> None:
        """Firecracker gives its guest an error, also where the host's disk is full. The host learns of the error from
        what Firecracker counts, up to a minute later."""
        self._on_disk_failed = on_failed
        if self._metrics is not None:  # else it is not connected to yet
            self._metrics.watch(on_failed)

    async def attach_volume(self, slot: int, disk: Path, *, read_only: bool) -> None:
        raise Error("unsupported", "firecracker gives a machine no volumes", "use --driver qemu")

    async def open_shares(self) -> socket.socket:
        raise Error(
            "unsupported", "firecracker gives a machine no directories of this host", "use --driver qemu"
        )

    async def open_agent(self) -> socket.socket:
        """Tries again as long as Firecracker lives: it refuses connections until the guest listens, and a guest that
        boots does so late."""
        pause_s = _POLL_S
        while True:
            try:
                return await dial_vsock(names.agent_socket(self._places), AGENT_PORT)
            except OSError:
                if not is_alive(self._process):
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_POLL_S)

    async def agent_port_is_held(self) -> bool:
        return True

    async def ask_guest_to_end(self) -> bool:
        """By Ctrl-Alt-Del: the kernel sends SIGINT to its process 1, and both the agent and systemd then shut down."""
        await self._api.put("/actions", configuration.plan_ctrl_alt_del())
        return True

    async def quit(self) -> None:
        """The guest stands still, so each of its writes is whole and in the host's page cache, where it outlives the
        process. Firecracker has no request to end, and as process 1 of its namespace it is deaf to SIGTERM."""
        await self.pause()
        send_signal(self._process, signal.SIGKILL)

    def terminate(self) -> None:
        """What the guest has written is in the host's page cache already."""
        self._was_terminated = True
        send_signal(self._process, signal.SIGKILL)

    def end(self) -> End:
        """From the exit code, which only the daemon that started the process learns: 0 after a reset by the guest,
        which is how a guest powers off here."""
        code = exit_of(self._process)
        if code == 0:
            return End(EndKind.POWERED_OFF, "reset")
        if self._was_terminated:
            return End(EndKind.SIGNALLED, "terminated")
        if code is None or code < 0:
            return UNKNOWN_END
        return End(EndKind.OTHER, f"exit code {code}")

    async def close(self) -> None:
        if self._metrics is not None:
            self._metrics.close()
            self._metrics = None


def _grow(disk: Path, size_bytes: int) -> None:
    """Raises OSError, also for a link in the place of the disk."""
    fd = open_foreign(disk, os.O_WRONLY)
    try:
        os.ftruncate(fd, size_bytes)
    finally:
        os.close(fd)


def _empty(path: Path) -> None:
    """Blocking. Raises OSError, also for a link in the place of the file."""
    fd = open_foreign(path, os.O_WRONLY)
    try:
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _keep_only_frozen(directory: Path) -> None:
    """Blocking. Raises OSError."""
    owners.take_back(names.disk(directory))
    for path in names.only_while_it_runs(directory):
        remove_tree(path)


def _move_contents(source: Path, target: Path) -> None:
    """Write what is in `source` to a new file without its zeros, and empty `source`, whose place stays. Blocking.
    Raises OSError, also for a link in the place of `source`."""
    fd = open_foreign(source, os.O_RDWR)
    try:
        with open(target, "xb", buffering=0, opener=_private) as file:
            os.ftruncate(file.fileno(), os.fstat(fd).st_size)
            buffer, offset = bytearray(CHUNK), 0
            while size := os.preadv(fd, [buffer], offset):
                write_sparse(file.fileno(), buffer, size, offset)
                offset += size
        os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
