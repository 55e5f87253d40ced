"""bangerd: the one process that serves the API and owns the store.

The CLI starts it if there is none (user mode), or systemd does (`bangerd --system`). Machines outlive it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import fcntl
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from functools import partial

import msgspec
import uvicorn
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from banger import __version__
from banger.agent.binary import agent_binary
from banger.api.verb import COMMAND_LIMIT_BYTES
from banger.catalogs.shelf import Shelf
from banger.client.incumbent import LISTEN_ANEW, LOCK
from banger.client.start import READY_VARIABLE
from banger.directories import check_trusted_directory, ensure_own_directory
from banger.engine.engine import Engine, assemble
from banger.errors import Error
from banger.host import cpu, jail
from banger.host.background import in_background
from banger.host.inheritance import shed
from banger.host.paths import Paths
from banger.host.proc import child_ref
from banger.host.thread import end_all, in_thread, load_modules
from banger.images.fetch.blobs import BlobStore
from banger.images.records.lazy_web import LazyWeb
from banger.images.records.library import ImageLibrary
from banger.kernels.library import KernelLibrary
from banger.machines.keep.events import Journal
from banger.machines.keep.lost_records import FoundVmm, find_vmms
from banger.machines.keep.reconcile import find_leftovers
from banger.machines.keep.unreleased import release_unreleased
from banger.machines.life.adopt import adopt_all, release_ownerless
from banger.machines.life.lives import Lives
from banger.machines.life.restarts import Restarts
from banger.machines.watch.disk_room import DiskRoom
from banger.machines.watch.expiry import Expiry
from banger.machines.watch.healthchecks import Healthchecks
from banger.machines.watch.rounds import Rounds
from banger.metrics.traces import begin_tally
from banger.model.settings import read_settings
from banger.server.app import create_app
from banger.server.assets import Assets
from banger.server.door import DoorProtocol, TcpDoor
from banger.server.gate import Gate
from banger.server.logs import begin_log
from banger.server.protocol import BoundedProtocol
from banger.server.reception import Reception
from banger.server.standstill import watched_as_asked
from banger.store.durability import LogSync
from banger.store.store import Store
from banger.vmm.drivers import find_drivers

log = logging.getLogger("banger.daemon")

_THREADS_END_S = 5.0
# How long a thread may compute in Python before the loop gets its turn. A request takes several turns: with 5 ms each,
# as Python has it, the threads of a pull delay all requests.
_SWITCH_S = 0.0005


def main() -> None:
    arguments = _parse()
    begin_log()
    sys.setswitchinterval(_SWITCH_S)
    mode = "system" if arguments.system else "user"
    try:
        shed(_starter())
        paths = Paths.system() if arguments.system else Paths.user()
        asyncio.run(serve(paths, mode, arguments.listen))
    except Error as exc:
        _tell_starter(b"error " + msgspec.json.encode(exc.as_dict()))
        with contextlib.suppress(OSError):  # the disk of the log may be full
            print(f"bangerd: {exc.message}\nhint: {exc.hint}", file=sys.stderr, flush=True)
        raise SystemExit(exc.exit_code) from exc


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="bangerd", description="The banger daemon.", epilog="example: bangerd --system"
    )
    parser.add_argument(
        "--system", action="store_true", help="serve all users of this host, not only this user"
    )
    parser.add_argument(
        "--listen",
        default="",
        metavar="HOST:PORT",
        help="serve on TCP, too: for tokens and browsers, with TLS unless HOST is a loopback",
    )
    parser.add_argument("--version", action="version", version=__version__)
    return parser.parse_args()


async def serve(paths: Paths, mode: str, listen: str = "") -> None:
    """Serve until told to stop. Raises `daemon_start_failed` if another daemon serves here."""
    os.umask(0o077)
    ensure_own_directory(str(paths.state))
    ensure_own_directory(str(paths.cache))
    check_trusted_directory(str(paths.config))
    reception = Reception(paths)
    asyncio.get_running_loop().add_signal_handler(LISTEN_ANEW, reception.miss)
    with watched_as_asked(), _only_one(paths), contextlib.closing(reception):
        reception.open()
        engine = _open_engine(paths, mode, listen)
        engine.makings.guards.begin()
        engine.passages.begin()
        await in_thread(jail.look)  # before the first machine waits for it
        log_sync = LogSync(engine.store.database)
        try:
            await _serve_until_stopped(engine, reception)
        finally:
            await engine.operations.close()
            await engine.makings.templates.close()
            await engine.makings.pool.close()
            engine.passages.close()
            await engine.makings.guards.close()
            await log_sync.close()
            await in_thread(engine.tally.close)
            await end_all(_THREADS_END_S)
            engine.store.close()


async def _serve_until_stopped(engine: Engine, reception: Reception) -> None:
    loop = asyncio.get_running_loop()
    for signo in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signo, engine.lives.shutdown.set)
    assets = Assets()
    web = engine.makings.settings.web
    place = web.place
    # In a thread: each route is compiled, which takes 50 ms of the loop's time for all.
    app = await in_thread(lambda: create_app(engine, engine.tally))
    gate = Gate(app, engine.access, assets, (*web.hosts, *(place[:1] if place else ())))
    config = _configured(gate, BoundedProtocol)
    door = TcpDoor(_configured(gate, DoorProtocol), assets, web, engine.makings.paths.state / "web")
    engine.access.has_door(door)
    if place is not None:
        await door.open_at(place)
    lives, makings = engine.lives, engine.makings
    await _sweep(makings.images, makings.kernels)
    await engine.shelf.load()
    await release_ownerless(engine.store, engine.registry, makings.paths.state)
    restarts = Restarts(lives, makings, engine.operations)
    disk_room = DiskRoom(lives, makings.settings.limits.disk_reserve_bytes)
    rounds = Rounds(lives)
    healthchecks = Healthchecks(lives)
    expiry = Expiry(lives, engine.journal.try_to_tell)
    running = await find_vmms(engine.registry, lives.holdings)
    adopting = in_background(_take_over(lives, restarts, expiry, running), "adopting machines")
    # Modules that the first stream of an answer needs: loaded in a thread before a client asks.
    in_background(load_modules("anyio._backends._asyncio"), "loading modules")
    gc.freeze()  # what is there for good need not be looked at again: a whole pass would stop the loop for 50 ms
    _tell_starter(b"ready\n")
    _tell_systemd()
    log.info("serving on %s", makings.paths.socket)
    engine.store.damage.listen(partial(engine.journal.try_to_tell, "store.damaged", "store"))
    engine.journal.try_to_tell("daemon.started", "daemon", f"banger {__version__} serves", pid=os.getpid())
    ending = in_background(_close_journal(engine.journal, lives.shutdown), "the last event")
    try:
        await reception.serve(config, lives.shutdown)
    finally:
        await door.close()
        ending.cancel()
        adopting.cancel()
        await asyncio.wait([adopting])
        lives.due.close()
        disk_room.close()
        rounds.close()
        healthchecks.close()
        expiry.close()
        await asyncio.gather(*(live.detach() for live in lives.live.values()))
    log.info("stopped; %d machines keep running", len(lives.live))


def _configured(gate: Gate, protocol: type[BoundedProtocol]) -> uvicorn.Config:
    return uvicorn.Config(
        gate,
        lifespan="off",
        access_log=False,
        log_config=None,
        server_header=False,
        date_header=False,
        headers=[("Banger-Version", __version__)],
        http=protocol,
        ws=WebSocketsSansIOProtocol,  # by name, uvicorn would import it while the loop runs
        ws_per_message_deflate=False,
        ws_max_size=COMMAND_LIMIT_BYTES,
        ws_ping_interval=None,
        proxy_headers=False,  # clients say nothing about where others come from
        timeout_graceful_shutdown=2,
    )


async def _take_over(
    lives: Lives, restarts: Restarts, expiry: Expiry, running: Mapping[str, FoundVmm]
) -> None:
    """Take over from an earlier daemon: machines that still run, machines whose time is over or that restart, and
    leftovers without a record."""
    await adopt_all(lives, running)
    expiry.begin()
    restarts.bring_back()
    await release_unreleased(lives)
    for leftover, _ in await find_leftovers(lives.holdings):
        log.warning("left behind: %s %s; banger system reconcile --remove", leftover.kind, leftover.what)


async def _close_journal(journal: Journal, shutdown: asyncio.Event) -> None:
    """Tell followers of the journal about the end, and close the journal, so that they do not delay it."""
    await shutdown.wait()
    journal.try_to_tell(
        "daemon.stopped", "daemon", "the daemon stops; machines keep running", pid=os.getpid()
    )
    journal.close()


async def _sweep(images: ImageLibrary, kernels: KernelLibrary) -> None:
    """Remove incomplete files of a killed daemon, before a new build can begin."""
    swept = await images.sweep() + await in_thread(kernels.sweep)
    await in_thread(images.blobs().sweep)
    if swept:
        log.info("removed %d unfinished builds", swept)


def _open_engine(paths: Paths, mode: str, listen: str) -> Engine:
    settings = read_settings(paths.config)
    settings.web.listen = listen or settings.web.listen
    store = Store(paths.database)
    shelf = Shelf(paths, LazyWeb(paths.config, BlobStore(paths.oci)))
    vmm = settings.vmm
    agent = agent_binary(cpu.architecture())
    drivers = find_drivers(agent, settings.limits.connections, vmm.programs, vmm.jails)
    tally = begin_tally(settings.traces.endpoint, os.environ, __version__)
    return assemble(paths, mode, settings, store, shelf, drivers, tally)


@contextlib.contextmanager
def _only_one(paths: Paths) -> Iterator[None]:
    """Lock the store, which has one writer, until this process ends. The lock file contains the pid, for a client that
    does not find the socket."""
    fd = os.open(paths.state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        os.close(fd)
        raise Error(
            "daemon_start_failed",
            f"another daemon uses {paths.state}",
            "kill the process that `banger system doctor --check daemon` or ps shows; machines keep running",
        ) from exc
    try:
        ourselves = child_ref(os.getpid())
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d %d\n" % ourselves, 0)
        yield
    finally:
        os.close(fd)


def _tell_starter(word: bytes) -> None:
    """Write `ready`, or the error, to the pipe (BANGER_READY_FD) of the process that started this one."""
    fd = _starter()
    os.environ.pop(READY_VARIABLE, None)
    if fd is not None:
        with contextlib.suppress(OSError):
            os.write(fd, word)
            os.close(fd)


def _starter() -> int | None:
    fd = os.environ.get(READY_VARIABLE, "")
    return int(fd) if fd.isdigit() else None


def _tell_systemd() -> None:
    """Tell systemd. A service manager that does not listen is no reason to end."""
    address = os.environ.pop("NOTIFY_SOCKET", "")
    if address:
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as notify,
        ):
            notify.connect("\0" + address[1:] if address.startswith("@") else address)
            notify.send(b"READY=1")


if __name__ == "__main__":
    main()
