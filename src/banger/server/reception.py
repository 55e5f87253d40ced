"""The place where the API is reached: a socket in the run directory, and the daemon's pid beside it.

Other programs clean up that directory (at the end of a login session, or in /tmp) while the daemon lives on. A client
that misses the socket sends a signal, and the daemon makes the socket again. Existing connections continue.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import stat
from collections.abc import Iterator

import uvicorn

from banger.directories import ensure_private_directory
from banger.errors import Error
from banger.host.paths import Paths

log = logging.getLogger("banger.daemon")


class Reception:
    """From `open` to `close`; serves in between."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._listener: socket.socket | None = None
        self._identity = (0, 0)
        self._missed = asyncio.Event()

    def open(self) -> None:
        """Make the socket. This is the only daemon, so an old socket is removed. Raises `daemon_unreachable`,
        `daemon_start_failed`."""
        ensure_private_directory(str(self._paths.run))
        path = str(self._paths.socket)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            with _held(str(self._paths.run)) as directory:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
                listener.bind(path)
                os.chmod(path, 0o600)
                self._identity = _identity_in(directory, self._paths.socket.name)
            listener.listen(512)
            listener.setblocking(False)
            self._paths.daemon_pid.write_text(f"{os.getpid()}\n", encoding="ascii")
        except OSError as exc:
            listener.close()
            raise Error("daemon_start_failed", f"cannot listen on {path}: {exc.strerror or exc}") from exc
        self._listener = listener

    def miss(self) -> None:
        """A client does not find the socket."""
        self._missed.set()

    async def serve(self, config: uvicorn.Config, stop: asyncio.Event) -> None:
        """Serve until `stop` is set."""
        servers: list[asyncio.Task[None]] = []
        stopping = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                if self._listener is not None:
                    server = ApiServer(config, stop).serve(sockets=[self._listener])
                    servers.append(asyncio.create_task(server, name="api"))
                    self._listener = None
                missing = asyncio.create_task(self._missed.wait())
                await asyncio.wait([stopping, missing, *servers], return_when=asyncio.FIRST_COMPLETED)
                missing.cancel()
                if any(server.done() for server in servers):
                    break
                if self._missed.is_set() and not stop.is_set():
                    self._missed.clear()
                    self._open_anew()
        finally:
            stopping.cancel()
            stop.set()
            await asyncio.gather(*servers)

    def close(self) -> None:
        """Remove the socket, unless it belongs to another daemon by now, or is gone."""
        if self._listener is not None:
            self._listener.close()
        with contextlib.suppress(OSError):
            if self._is_there():
                os.unlink(self._paths.socket)
                self._paths.daemon_pid.unlink(missing_ok=True)

    def _open_anew(self) -> None:
        if self._is_there():
            return
        try:
            self.open()
        except (Error, OSError) as exc:
            log.warning("cannot be reached: %s", exc)
        else:
            log.info("serving on %s again: another process had removed the socket", self._paths.socket)

    def _is_there(self) -> bool:
        try:
            info = os.lstat(self._paths.socket)
        except OSError:
            return False
        return (info.st_dev, info.st_ino) == self._identity


class ApiServer(uvicorn.Server):
    """uvicorn without its ten wake-ups per second: it sleeps until it is stopped."""

    def __init__(self, config: uvicorn.Config, stop: asyncio.Event) -> None:
        super().__init__(config)
        self._stop = stop

    async def main_loop(self) -> None:
        # uvicorn does this at its first wake-up.
        self.server_state.default_headers = list(self.config.encoded_headers)
        await self._stop.wait()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the daemon has handlers of its own


@contextlib.contextmanager
def _held(path: str) -> Iterator[int]:
    """A descriptor of the directory, which stays the same even if the path leads elsewhere later."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _identity_in(directory: int, name: str) -> tuple[int, int]:
    """The identity of the socket that this process made in the directory. Raises OSError if the path led elsewhere."""
    place = os.fstat(directory)
    info = os.stat(name, dir_fd=directory, follow_symlinks=False)
    if place.st_uid != os.geteuid() or place.st_mode & 0o077 or not stat.S_ISSOCK(info.st_mode):
        raise OSError("its directory was replaced")
    return (info.st_dev, info.st_ino)
