"""A server of SSH on stdin and stdout, for the ProxyCommand of OpenSSH. It listens nowhere, and has the rights of the
user who runs it, as each client of the daemon has."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Iterator

import asyncssh
from asyncssh.stream import SSHTCPStreamSession, SSHUNIXStreamSession

from banger.client.aio import AsyncClient
from banger.client.aio_vm import AsyncVm
from banger.errors import Error
from banger.model.machine import MachineState
from banger.model.shown import printable
from banger.ssh.channel import Channel, make_channel
from banger.ssh.config import DOMAIN, host_name
from banger.ssh.forwarding import carrying
from banger.ssh.guest import Guest
from banger.ssh.identity import Identity, ensure_identity, private_text
from banger.ssh.listener import Listener
from banger.ssh.reverse import listen_at_path, listen_at_port, listen_for_agent
from banger.ssh.session import FAILED, Session

_PIECE = 256 * 1024
_FLUSH_S = 5.0
_AT_REST = (MachineState.CREATED, MachineState.STOPPED, MachineState.FAILED)


def serve(name: str) -> int:
    """Serve one client to its end. `name` is the machine's, as OpenSSH was given it. Returns the exit code. Raises
    what has to do with the machine, before the first byte."""
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    return asyncio.run(_serve(name.removesuffix(DOMAIN)))


async def _serve(name: str) -> int:
    identity = ensure_identity()
    client = AsyncClient()
    vm = await client.machine(name)
    await _ensure_running(vm)
    names = {host_name(name).lower(), host_name(vm.name)}
    identity.note_host(names, vm.id, [one.id for one in await client.machines.list()])
    ours, theirs = socket.socketpair()
    flusher = _join(ours)
    # OpenSSH's client, and the terminal, send these to us, too. Its end is the end of our stdin.
    for number in (signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    reception = Reception(client, vm, identity)
    try:
        connection = await asyncssh.run_server(
            theirs,
            server_factory=lambda: reception,
            server_host_keys=[asyncssh.import_private_key(private_text(identity.host_key(vm.id)))],
            encoding=None,
            allow_scp=False,
            agent_forwarding=False,
            x11_forwarding=False,
            line_editor=False,
            password_auth=False,
            kbdint_auth=False,
            gss_host=None,
            login_timeout=0,
            config=[],
        )
        await connection.wait_closed()
        await reception.over()
    except (OSError, asyncssh.Error):
        return FAILED  # the client says what was wrong
    finally:
        theirs.close()
        flusher.join(_FLUSH_S)
        ours.close()
    return 0


async def _ensure_running(vm: AsyncVm) -> None:
    """Start a machine that does not run; a machine that sleeps wakes when it is asked for something."""
    if vm.state in _AT_REST:
        print(f"banger: starting {printable(vm.name)}", file=sys.stderr, flush=True)
        await vm.ensure_started()
    elif vm.record.idle:
        print(f"banger: waking {printable(vm.name)}", file=sys.stderr, flush=True)


def _join(end: socket.socket) -> threading.Thread:
    """Carry bytes between our standard files, which may be pipes, and a socket: a thread for each direction, which
    waits where the other side does not take them. Returns the thread that ends when all is written."""

    def take_in() -> None:
        with contextlib.suppress(OSError):
            while data := os.read(0, _PIECE):
                end.sendall(data)
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_WR)

    def put_out() -> None:
        with contextlib.suppress(OSError):
            while data := end.recv(_PIECE):
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(1, rest) :]
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RD)

    threading.Thread(target=take_in, daemon=True).start()
    flusher = threading.Thread(target=put_out, daemon=True)
    flusher.start()
    return flusher


class Reception(asyncssh.SSHServer):
    """Lets the key of this installation in, and no other. What it does not name here is refused: nothing of this host
    is opened for a client. What a client forwards to itself listens in the machine."""

    def __init__(self, client: AsyncClient, vm: AsyncVm, identity: Identity) -> None:
        self._client, self._vm = client, vm
        self._key = asyncssh.import_public_key(identity.read_user_key())
        self._guest = Guest(client, vm, "")
        self._sessions: list[Session] = []

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn

    def begin_auth(self, username: str) -> bool:
        self._guest = Guest(self._client, self._vm, username)
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return key.public_data == self._key.public_data

    def session_requested(self) -> tuple[Channel, Session]:
        session = Session(self._guest, self._listen_for_agent)
        self._sessions = [*(one for one in self._sessions if not one.is_over), session]
        return make_channel(self._connection), session

    async def over(self) -> None:
        """Wait until all sessions are over, after the connection is."""
        for session in self._sessions:
            await session.over()

    async def _listen_for_agent(self) -> Listener:
        return await listen_for_agent(self._connection, self._guest)

    def server_requested(self, listen_host: str, listen_port: int) -> Awaitable[Listener | bool]:
        return listen_at_port(self._connection, self._guest, listen_host, listen_port)

    def unix_server_requested(self, listen_path: str) -> Awaitable[Listener | bool]:
        return listen_at_path(self._connection, self._guest, listen_path)

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Awaitable[asyncssh.SSHTCPSession[bytes]]:
        return self._connect(dest_host, dest_port)

    async def _connect(self, host: str, port: int) -> asyncssh.SSHTCPSession[bytes]:
        with _told_to_client():
            return SSHTCPStreamSession[bytes](carrying(*await self._guest.connect(host, port)))

    def unix_connection_requested(self, dest_path: str) -> Awaitable[asyncssh.SSHUNIXSession[bytes]]:
        return self._connect_to_socket(dest_path)

    async def _connect_to_socket(self, path: str) -> asyncssh.SSHUNIXSession[bytes]:
        with _told_to_client():
            return SSHUNIXStreamSession[bytes](carrying(*await self._guest.connect_to_socket(path)))


@contextlib.contextmanager
def _told_to_client() -> Iterator[None]:
    """An error is why a channel is not opened."""
    try:
        yield
    except Error as exc:
        said = f"{exc.message}: {exc.hint}" if exc.hint else exc.message
        raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, printable(said)) from exc
