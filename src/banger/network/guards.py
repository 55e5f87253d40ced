"""The two programs of a home that stand between its machines and the network, and outlive the daemon.

The keeper owns a network namespace with a tap for each VM. The relay, outside the namespace, decides for each
connection of a guest whether it may be made, and makes it. Both are started in the background with the first daemon,
found again by later daemons, started again when they are killed, and ended by a daemon that leaves no machine behind.
While one of them is gone, guests reach nothing new. A third process, the holder, keeps the keeper's namespaces in case
all of them are killed together with the daemon.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Protocol

from banger.directories import ensure_private_directory
from banger.errors import Error
from banger.host.background import keep_going
from banger.host.packets import Answer, PacketConnection, Refused, close_all, listen
from banger.host.paths import Paths
from banger.host.proc import ProcessRef, send_signal, wait_gone
from banger.host.spawn import spawn_detached, spawn_unconfined
from banger.host.thread import in_thread
from banger.model.event import Tell, tell_nobody
from banger.network.holder import Holder
from banger.network.keeper import HeldTap, Keeper, read_refusal
from banger.network.programs import NAMES, find_running, program

log = logging.getLogger("banger.network")

_ADMIN_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_ATTEMPTS = 2
_UP_S = 15.0
_END_S = 5.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 30.0
_HOLDER_PAUSE_S = 1.0
_ADOPTIONS, _ADOPTION_PAUSE_S = 3, 0.25
_SAID_BYTES = 2000

# Arguments of a program that starts, and the descriptors in them.
Arguments = tuple[list[str], list[int]]


class Spawn(Protocol):
    """Starts a program that outlives the daemon."""

    def __call__(
        self, argv: Sequence[str], *, marker: str, output: Path, cwd: Path, pass_fds: Sequence[int]
    ) -> ProcessRef: ...


class Guard:
    """One of the programs: its process, and a connection to it. `arguments` are asked for at each start."""

    def __init__(
        self, name: str, socket: Path, log_file: Path, arguments: Callable[[], Arguments], spawn: Spawn
    ) -> None:
        self._spawn = spawn
        self.name = name
        self.socket = socket
        self._log_file = log_file
        self._arguments = arguments
        self.process: ProcessRef | None = None
        self._connection: PacketConnection | None = None

    async def up(self) -> bool:
        """Find the program, or start it; then connect to it. True if it was started. Raises `network_failed`,
        `tool_missing`."""
        self._close()
        self.process = await in_thread(find_running, self.name, self.socket.parent)
        if self.process is not None:
            try:
                await self._connect()
                return False
            except (OSError, TimeoutError, Refused) as exc:
                log.warning("the %s does not answer and is started again: %s", self.name, exc)
                await self.end()
        self.process = await in_thread(self._start)
        try:
            await self._connect()
        except (OSError, TimeoutError, Refused) as exc:
            await self.end()
            raise self._failure(exc) from exc
        return True

    def _failure(self, exc: Exception) -> Error:
        said = self._last_words()
        refusal = read_refusal(said)
        why = refusal.sentence if refusal is not None else said or str(exc)
        hint = refusal.hint if refusal is not None else "banger doctor --check network"
        return Error("network_failed", f"the {self.name} of the guests' network did not start: {why}", hint)

    async def ask(self, request: str, descriptors: Sequence[int] = ()) -> Answer:
        """Raises OSError, TimeoutError, `Refused`."""
        if self._connection is None:
            raise ConnectionResetError(f"the {self.name} is gone")
        return await self._connection.ask(request, descriptors)

    async def end(self) -> None:
        self._close()
        process, self.process = self.process, None
        for signo in (signal.SIGTERM, signal.SIGKILL):
            if process is None or not send_signal(process, signo) or await wait_gone(process, _END_S):
                return

    def let_go(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _connect(self) -> None:
        connection = await PacketConnection.connect(self.socket)
        try:
            await connection.ask("list", timeout_s=_UP_S)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _start(self) -> ProcessRef:
        """Blocking, for some milliseconds."""
        ensure_private_directory(str(self.socket.parent))
        words, descriptors = self._arguments()
        with listen(self.socket) as listener:
            return self._spawn(
                [str(program(self.name)), f"--listen={listener.fileno()}", *words],
                marker=self.name,
                output=self._log_file,
                cwd=self.socket.parent,
                pass_fds=[listener.fileno(), *descriptors],
            )

    def _last_words(self) -> str:
        try:
            with open(self._log_file, "rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - _SAID_BYTES))
                lines = file.read().decode("utf-8", "replace").split("\n")
        except OSError:
            return ""
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


class Guards:
    """Lives as long as the daemon. Until `begin`, and where the host refuses what the keeper needs, there are no taps;
    `ready` says why."""

    def __init__(self, paths: Paths, tell: Tell = tell_nobody) -> None:
        self._tell = tell
        # The keeper needs rights to make namespaces; both give up what they do not need.
        self.keeper = Guard(
            "keeper",
            paths.keeper_socket,
            paths.network / "keeper.log",
            lambda: arguments_of_keeper(self._namespaces),
            spawn_unconfined,
        )
        self.relay = Guard(
            "relay", paths.relay_socket, paths.network / "relay.log", self._arguments_of_relay, spawn_detached
        )
        self.holder = Holder(paths.network)
        self._namespaces: tuple[int, ...] = ()
        self._echoes: tuple[socket.socket, ...] = ()
        self._why = "the daemon has not started keeper and relay"
        self._task: asyncio.Task[None] | None = None
        self._settled = asyncio.Event()
        self._up = asyncio.Event()
        self.on_new_relay: Callable[[], Awaitable[None]] = _nothing
        """Called with a relay that knows no machine, before others use it."""

    def begin(self) -> None:
        self._task = keep_going(self._keep, "keeper and relay")

    async def ready(self) -> str:
        """Wait until keeper and relay are up for the first time; return why they are not, empty if they are."""
        if self._task is not None:
            await self._settled.wait()
        return self._why

    async def ask_keeper(self, request: str, descriptors: Sequence[int] = ()) -> Answer:
        """Raises `network_failed`; `Refused` if the keeper refuses."""
        return await self._ask(self.keeper, request, descriptors)

    async def ask_relay(self, request: str, descriptors: Sequence[int] = ()) -> Answer:
        """Raises `network_failed`; `Refused` if the relay refuses."""
        return await self._ask(self.relay, request, descriptors)

    async def _ask(self, guard: Guard, request: str, descriptors: Sequence[int] = ()) -> Answer:
        """A request that a dying program did not answer is sent to its successor: each request may be repeated."""
        why = self._why
        for _ in range(_ATTEMPTS):
            try:
                async with asyncio.timeout(_UP_S):
                    await self._up.wait()
                return await guard.ask(request, descriptors)
            except (OSError, TimeoutError) as exc:
                why = str(exc) or "no answer"
                await asyncio.sleep(_FIRST_PAUSE_S)
        raise Error(
            "network_failed",
            f"the {guard.name} of the guests' network does not answer: {why}",
            f"see {self.keeper.socket.parent} and the daemon's log",
        )

    async def _keep(self) -> None:
        """Start both, watch both, and start again what ends."""
        try:
            await self._raise()
        except (Error, OSError) as exc:
            self._why = exc.message if isinstance(exc, Error) else str(exc)
            log.warning("machines use the network of their VMMs: %s", self._why)
            return
        finally:
            self._settled.set()
        while True:
            name = await self._until_one_is_gone()
            if name == "holder":  # no machine is without it
                await asyncio.sleep(_HOLDER_PAUSE_S)
                await self.holder.ensure(self._namespaces)
                continue
            self._up.clear()
            log.warning("the %s has ended and is started again", name)
            self._tell(
                "network.restarted",
                "network",
                f"the {name} of the guests' network ended; banger starts it again",
            )
            await self._raise_again()

    async def _raise(self) -> None:
        await self._raise_keeper()
        await self._hold_namespaces()
        await self.holder.ensure(self._namespaces)
        is_new = await self.relay.up()
        self._why = ""
        if is_new:
            await self.on_new_relay()
        self._up.set()

    async def _raise_keeper(self) -> None:
        """A daemon without namespaces uses those of a holder, if a keeper is needed and can enter them. Taps of running
        VMs are in them, so they are not given up at once."""
        held = () if self._namespaces else await self.holder.find()
        if not held:
            await self.keeper.up()
            return
        self._namespaces = held
        for attempt in range(1, _ADOPTIONS + 1):
            try:
                await self.keeper.up()
                return
            except Error as exc:
                log.warning(
                    "no keeper in the namespaces of an earlier one, attempt %d: %s", attempt, exc.message
                )
            await asyncio.sleep(attempt * _ADOPTION_PAUSE_S)
        close_all(held)
        self._namespaces = ()
        await self.holder.end()
        await self.keeper.up()

    async def _raise_again(self) -> None:
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                await self._raise()
                return
            except (Error, OSError, Refused, TimeoutError) as exc:
                log.warning("the guests' network is down: %s", exc)
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    async def _until_one_is_gone(self) -> str:
        processes = (self.keeper.process, self.relay.process, self.holder.process)
        waiting = {
            asyncio.create_task(wait_gone(process), name=name): name
            for name, process in zip(NAMES, processes, strict=True)
            if process is not None
        }
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return " and the ".join(waiting[task] for task in done)
        finally:
            for task in waiting:
                task.cancel()

    async def _hold_namespaces(self) -> None:
        """Hold the keeper's namespaces, in which the taps of running VMs are, for its successor."""
        held = await Keeper(self.keeper.ask).namespaces()
        close_all(self._namespaces)
        self._namespaces = held

    def _arguments_of_relay(self) -> Arguments:
        for echo in self._echoes:  # of a relay that is gone
            echo.close()
        self._echoes = open_echoes()
        numbers = [echo.fileno() for echo in self._echoes]
        # Its working directory has the keeper's socket.
        return [f"--keeper={self.keeper.socket.name}", *(f"--echo={number}" for number in numbers)], numbers

    async def close(self) -> None:
        """Let go of both; end both if no VM has a tap. What is just being started is waited for, so that it is not
        forgotten."""
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_END_S):
                    await self._settled.wait()
                    await (self._up if not self._why else self._settled).wait()
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._up.is_set() and not await self._in_use():
            await self.relay.end()
            await self.keeper.end()
            await self.holder.end()
        self.keeper.let_go()
        self.relay.let_go()
        close_all(self._namespaces)
        self._namespaces = ()
        for echo in self._echoes:
            echo.close()

    async def _in_use(self) -> bool:
        try:
            return bool(await self.taps())
        except (OSError, TimeoutError, Refused):
            return True

    async def taps(self) -> tuple[HeldTap, ...]:
        """The taps that VMs hold. Raises OSError, TimeoutError, `Refused`."""
        return await Keeper(self.keeper.ask).list()


async def _nothing() -> None:
    """No machine needs a new relay."""


def may_ask_for_echoes() -> bool:
    """Whether the host allows this user sockets for echo requests (ping): its `net.ipv4.ping_group_range` has a group
    of this process."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close()
    except OSError:
        return False
    return True


def open_echoes() -> tuple[socket.socket, ...]:
    """Raw sockets that the relay needs to answer pings of guests; none if it needs none, or if only root may have them.
    The relay itself has no rights to make them."""
    if may_ask_for_echoes():
        return ()
    opened: list[socket.socket] = []
    for family, protocol in (
        (socket.AF_INET, socket.IPPROTO_ICMP),
        (socket.AF_INET6, socket.IPPROTO_ICMPV6),
    ):
        with contextlib.suppress(OSError):
            opened.append(socket.socket(family, socket.SOCK_RAW, protocol))
    return tuple(opened)


def arguments_of_keeper(namespaces: Sequence[int] = ()) -> Arguments:
    """For a keeper with namespaces of its own, or with those of its predecessor. Raises `tool_missing`."""
    nft = shutil.which("nft", path=_ADMIN_PATH)
    if nft is None:
        raise Error("tool_missing", "nft is not installed", "install the package nftables")
    adopt = [f"--adopt={namespaces[0]},{namespaces[1]}"] if namespaces else []
    return [f"--nft={nft}", *adopt], list(namespaces)


async def try_taps(directory: Path) -> Error | None:
    """Why this host gives a keeper no taps; None if a keeper with its files in `directory` got one."""
    keeper = Guard(
        "keeper", directory / "keeper.sock", directory / "keeper.log", arguments_of_keeper, spawn_unconfined
    )
    try:
        await keeper.up()
        close_all((await keeper.ask("tap trial")).descriptors)
    except Error as exc:
        return exc
    except (OSError, TimeoutError, Refused) as exc:
        return Error("network_failed", str(exc) or "the keeper does not answer", "see the keeper's log")
    finally:
        await keeper.end()
    return None
