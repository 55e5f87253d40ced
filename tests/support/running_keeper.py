"""A keeper for tests: the real program in a directory of its own, and its requests in words."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from banger.host.packets import Refused, close_all, listen

TUN = Path("/dev/net/tun")
PROGRAM = Path(__file__).parents[2] / "src/banger/network/bin" / f"keeper-{platform.machine()}"
_ADMIN_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_WAIT_S = 20.0
_PACKET = 1 << 18


class CannotStart(Exception):
    """The keeper ended with this code and these last words."""

    def __init__(self, code: int, said: str) -> None:
        super().__init__(f"exit code {code}: {said}")
        self.code = code
        self.said = said


class RunningKeeper:
    """From its start until `close`. `user`: number of the user that it runs as; `namespaces`: those to adopt."""

    def __init__(
        self,
        directory: Path,
        *options: str,
        program: Path = PROGRAM,
        user: int | None = None,
        namespaces: Sequence[int] = (),
    ) -> None:
        self.socket = directory / "keeper.sock"
        self._log = directory / "keeper.log"
        nft = shutil.which("nft", path=_ADMIN_PATH) or "/usr/sbin/nft"
        adopt = [f"--adopt={','.join(map(str, namespaces))}"] if namespaces else []
        with listen(self.socket) as listener, open(self._log, "wb") as log:
            self.process = subprocess.Popen(
                [program, f"--listen={listener.fileno()}", f"--nft={nft}", *adopt, *options],
                pass_fds=[listener.fileno(), *namespaces],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=directory,
                env={"PATH": _ADMIN_PATH},
                start_new_session=True,
                user=user,
                group=user,
                extra_groups=None if user is None else [],
            )
        self._user = user
        self._connection: socket.socket | None = None
        try:
            if user is not None:
                os.chown(self.socket, user, user)
            self.ask("list")
        except OSError as exc:
            self._let_go()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_WAIT_S)
            self.close()
            raise CannotStart(self.process.returncode, self.said()) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def said(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        connection.settimeout(_WAIT_S)
        try:
            with acting_as(self._user):
                connection.connect(str(self.socket))
        except OSError:
            connection.close()
            raise
        return connection

    def ask(self, request: str) -> tuple[str, tuple[int, ...]]:
        """The text of the answer after "ok", and its descriptors. Raises `Refused`; OSError when the keeper is gone."""
        if self._connection is None:
            self._connection = self.connect()
        self._connection.send(request.encode())
        return receive(self._connection)

    def sockets(self, request: str) -> list[socket.socket]:
        """The sockets of an answer, with a time-out."""
        _, descriptors = self.ask(request)
        made = [socket.socket(fileno=fd) for fd in descriptors]
        for one in made:
            one.settimeout(_WAIT_S)
        return made

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(_WAIT_S)
        self._let_go()

    def close(self) -> None:
        self._let_go()
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(_WAIT_S)

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


@contextlib.contextmanager
def acting_as(user: int | None) -> Iterator[None]:
    """As this user for other processes and for files, if it is not None; only root can."""
    if user is None:
        yield
        return
    os.setegid(user)
    os.seteuid(user)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def receive(connection: socket.socket) -> tuple[str, tuple[int, ...]]:
    """An answer: the text after "ok". Raises `Refused`, and ConnectionResetError at the end."""
    packet, descriptors, _, _ = socket.recv_fds(connection, _PACKET, 64)
    if not packet:
        raise ConnectionResetError("the keeper ended")
    verdict, _, rest = packet.decode().partition(" ")
    if verdict == "ok":
        return rest, tuple(descriptors)
    close_all(descriptors)
    code, _, message = rest.partition(" ")
    raise Refused(code, message)
