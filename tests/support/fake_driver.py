"""A driver of the contract in banger.vmm.base whose machines are processes of `fake_vmm`, and which fails where a test
wants it to.

Its steps have names, in the order in which they are taken; a fault is planted at one of them, before or after what it
does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path

from banger.errors import Error
from banger.host import own_sockets
from banger.host.proc import ProcessRef, send_signal
from banger.host.sparse import copy_file
from banger.host.spawn import spawn_detached
from banger.model.sizes import MIB
from banger.vmm.base import Capabilities, DriverInfo, Lack, RunState, Vm, VmConfig, VmLimits, VmPlaces
from banger.vmm.channel import dial_vsock
from banger.vmm.disk import DiskKind
from banger.vmm.ending import UNKNOWN_END, End, EndKind
from banger.vmm.frozen import Frozen
from banger.vmm.link import NoLink, UserNat
from tests.support import fake_vmm

DISK, RAM = "disk.raw", "ram"
_ANSWER_S = 30.0


class Kind(Enum):
    """ERROR: the step fails. DEATH: the VMM that was started last is killed. CANCELLED: whoever waits gives up."""

    ERROR = "error"
    DEATH = "death"
    CANCELLED = "cancelled"


class Faults:
    """`steps` are those that were taken since `clear`."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.started: list[ProcessRef] = []
        self._at = -1
        self._kind = Kind.ERROR
        self.happened = False

    def clear(self) -> None:
        self.steps.clear()
        self._at, self.happened = -1, False

    def plant(self, at: int, kind: Kind) -> None:
        """At that step, counted from now on."""
        self.clear()
        self._at, self._kind = at, kind

    @contextlib.contextmanager
    def step(self, name: str, *, may_fail: bool = True) -> Iterator[None]:
        self._take(f"before {name}", may_fail)
        yield
        self._take(f"after {name}", may_fail)

    def _take(self, name: str, may_fail: bool) -> None:
        self.steps.append(name)
        if len(self.steps) - 1 != self._at:
            return
        self.happened = True
        if self._kind is Kind.ERROR:
            if may_fail:
                raise Error("vmm_failed", f"planted {name}")
        elif self._kind is Kind.DEATH:
            for process in self.started[-1:]:
                send_signal(process, signal.SIGKILL)
        else:
            with contextlib.suppress(RuntimeError):  # a thread has no task
                task = asyncio.current_task()
                if task is not None:
                    task.cancel()


class FakeDisks:
    """Copies."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def have(self, directory: Path) -> bool:
        return (directory / DISK).exists()

    def usage_bytes(self, directory: Path) -> int:
        return (directory / DISK).stat().st_blocks * 512

    def discard(self, directory: Path) -> None:
        for path in directory.glob(f"{DISK}*"):
            path.unlink(missing_ok=True)

    async def replace(self, directory: Path, frozen: Frozen) -> DiskKind:
        with self._faults.step("replace"):
            fresh = directory / f"{DISK}.new"
            fresh.unlink(missing_ok=True)
            copy_file(frozen.directory / DISK, fresh)
            fresh.replace(directory / DISK)
            return "copy"

    async def tidy(self, directory: Path) -> None:
        (directory / f"{DISK}.new").unlink(missing_ok=True)

    async def sync(self, directory: Path) -> None:
        with self._faults.step("sync"):
            fd = os.open(directory / DISK, os.O_RDONLY)
            os.fsync(fd)
            os.close(fd)

    async def flatten(self, directory: Path, target: Path) -> None:
        with self._faults.step("flatten"):
            copy_file(directory / DISK, target)


class FakeFrozenFiles:
    members: tuple[str, ...] = (RAM, DISK)

    def parts(self, frozen: Frozen) -> list[str]:
        return [name for name in self.members if (frozen.directory / name).exists()]

    def state_parts(self) -> tuple[str, ...]:
        return (RAM,)

    async def pack(self, frozen: Frozen, directory: Path) -> None:
        for name in self.members:
            copy_file(frozen.directory / name, directory / name)

    def check_member(self, path: Path, disk_limit_bytes: int) -> None:
        if path.name == DISK and path.stat().st_size > disk_limit_bytes:
            raise Error("snapshot_invalid", f"{path.name} is too large")


class FakeVm:
    def __init__(self, places: VmPlaces, process: ProcessRef, faults: Faults) -> None:
        self._places = places
        self._process = process
        self._faults = faults
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._answers: asyncio.Queue[dict[str, object]] = asyncio.Queue()
        self._listening: asyncio.Task[None] | None = None
        self._asking = asyncio.Lock()
        self._end = UNKNOWN_END

    @property
    def process(self) -> ProcessRef:
        return self._process

    async def connect_control(self, timeout_s: float) -> None:
        with self._faults.step("connect_control"):
            try:
                async with asyncio.timeout(timeout_s):
                    connection = await own_sockets.dial(self._places.run_directory / "control")
                    self._reader, self._writer = await asyncio.open_unix_connection(sock=connection)
            except OSError as exc:
                raise Error("vmm_failed", f"no control connection: {exc}") from exc
            self._listening = asyncio.create_task(self._listen(self._reader))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                message = json.loads(line)
                if message.get("event") == "end":
                    kind = message["why"] if message["why"] != "quit" else "unknown"
                    self._end = End(EndKind(kind), message["why"])
                else:
                    self._answers.put_nowait(message)
        self._answers.put_nowait({"error": "it ended"})

    async def ask(self, do: str, **arguments: object) -> dict[str, object]:
        if self._writer is None or self._listening is None or self._listening.done():
            raise Error("vmm_failed", f"no control connection for {do}")
        async with self._asking:
            try:
                self._writer.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
                async with asyncio.timeout(_ANSWER_S):
                    answer = await self._answers.get()
            except OSError as exc:
                raise Error("vmm_failed", f"{do}: {exc}") from exc
        if "error" in answer:
            raise Error("vmm_failed", f"{do}: {answer['error']}")
        return answer

    async def pause(self) -> None:
        with self._faults.step("pause"):
            await self.ask("pause")

    async def resume(self) -> None:
        with self._faults.step("resume"):
            await self.ask("resume")

    async def run_state(self) -> RunState:
        return "running" if (await self.ask("state"))["state"] == "running" else "paused"

    async def restore(self) -> None:
        with self._faults.step("restore"):
            await self.ask("restore", path=str(self._places.directory / RAM))

    async def capture(self, frozen: Frozen) -> None:
        with self._faults.step("capture"):
            await self.ask("capture", path=str(frozen.directory / RAM))

    async def freeze_disk(self, directory: Path) -> None:
        with self._faults.step("freeze_disk"):
            if directory != self._places.directory:
                copy_file(self._places.directory / DISK, directory / DISK)

    async def grow_disk(self, size_bytes: int) -> None:
        with self._faults.step("grow_disk"):
            disk = self._places.directory / DISK
            if disk.stat().st_size < size_bytes:
                os.truncate(disk, size_bytes)

    async def limit_io(self, bytes_per_s: int, operations_per_s: int) -> None:
        raise Error("unsupported", "the fake has no limits")

    def watch_disk(self, on_full: Callable[[], None], on_failed: Callable[[str], None]) -> None:
        pass

    async def attach_volume(self, slot: int, disk: Path, *, read_only: bool) -> None:
        raise Error("unsupported", "a fake VM has no volumes")

    async def open_shares(self) -> socket.socket:
        raise Error("unsupported", "a fake VM has no directories of the host")

    async def open_agent(self) -> socket.socket:
        with contextlib.ExitStack() as on_failure:
            with self._faults.step("open_agent"):
                stream = await dial_vsock(self._places.run_directory / "agent", fake_vmm.PORT)
                on_failure.enter_context(stream)
            on_failure.pop_all()
        return stream

    async def agent_port_is_held(self) -> bool:
        return True

    async def ask_guest_to_end(self) -> bool:
        with self._faults.step("ask_guest_to_end"):
            await self.ask("ask_guest_to_end")
        return True

    async def quit(self) -> None:
        with self._faults.step("quit"):
            await self.ask("quit")

    def terminate(self) -> None:
        with self._faults.step("terminate", may_fail=False):
            send_signal(self._process, signal.SIGTERM)

    def end(self) -> End:
        return self._end

    async def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        if self._listening is not None:
            await asyncio.wait([self._listening], timeout=5)
            self._listening.cancel()
        self._writer = None


class FakeDriver:
    name = "fake"
    capabilities = Capabilities(
        links=frozenset({NoLink, UserNat}),
        freezes=True,
        limits_io=False,
        agent_by_vsock=True,
        capture_ends_session=False,
        jailed=False,
    )

    def __init__(self, faults: Faults | None = None) -> None:
        self.faults = faults or Faults()
        self.disks = FakeDisks(self.faults)
        self.frozen = FakeFrozenFiles()

    async def info(self) -> DriverInfo:
        return DriverInfo(self.name, "1.0", "1.0 build", sys.executable, ("tcg",), "")

    async def try_machine(self, accel: str, timeout_s: float) -> str:
        return ""

    async def lacks(self) -> list[Lack]:
        return []

    async def build_of(self, config: VmConfig) -> str:
        return f"1.0 build {type(config.link).__name__} {config.cpus} {config.memory_mib}"

    def needs(self, config: VmConfig) -> VmLimits:
        return VmLimits(memory_bytes=512 * MIB, cpus=config.cpus, pids=64)

    async def prepare(self, config: VmConfig) -> DiskKind | None:
        with self.faults.step("prepare"):
            directory = config.places.directory
            self.forget_frozen(config.places)
            if config.frozen is not None:
                copy_file(config.frozen.directory / RAM, directory / RAM)
            if self.disks.have(directory):
                return None
            source = config.frozen.directory / DISK if config.frozen else config.image_disk
            copy_file(source, directory / DISK)
            os.truncate(directory / DISK, max(config.disk_bytes, source.stat().st_size))
            return "copy"

    def start(self, config: VmConfig) -> Vm:
        with self.faults.step("start"), contextlib.ExitStack() as stack:
            run = config.places.run_directory
            control = stack.enter_context(own_sockets.listen(run / "control"))
            agent = stack.enter_context(own_sockets.listen(run / "agent"))
            plan = {
                "control": control.fileno(),
                "agent": agent.fileno(),
                "disk": str(config.places.directory / DISK),
                "waits": config.frozen is not None,
            }
            process = spawn_detached(
                [sys.executable, "-S", "-E", fake_vmm.__file__, json.dumps(plan)],
                marker=config.marker,
                output=config.places.vmm_log,
                cwd=config.places.directory,
                pass_fds=[control.fileno(), agent.fileno()],
                entrances=config.entrances,
            )
            self.faults.started.append(process)
        return FakeVm(config.places, process, self.faults)

    def reattach(self, places: VmPlaces, process: ProcessRef) -> Vm:
        return FakeVm(places, process, self.faults)

    def forget_frozen(self, places: VmPlaces) -> None:
        (places.directory / RAM).unlink(missing_ok=True)
