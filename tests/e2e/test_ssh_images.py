"""SSH with images that have little: a shell of busybox, or no shell at all."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import tarfile
import threading
from collections.abc import Iterator

import pytest

from tests.support.home import Home
from tests.support.openssh import FAILED, Ssh, await_port, connect, free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TOOLS = (
    "sh",
    "cat",
    "id",
    "ls",
    "nc",
    "printf",
    "sha256sum",
    "stat",
    "stty",
    "tar",
    "test",
    "true",
    "uname",
    "wc",
)
USERS = "root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\n"


def find_busybox() -> str:
    found = shutil.which("busybox")
    if found is None:
        pytest.skip("capability missing: busybox (Debian: busybox-static)")
    return found


def pack(directories: tuple[str, ...], files: dict[str, str | bytes], links: dict[str, str]) -> bytes:
    """An image: a file is a path of this host, or its contents."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for directory in directories:
            entry = tarfile.TarInfo(directory)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if directory == "tmp" else 0o755
            entry.uid = entry.gid = 1000 if directory == "home/alice" else 0
            archive.addfile(entry)
        for name, contents in files.items():
            if isinstance(contents, str):
                archive.add(contents, name)
            else:
                entry = tarfile.TarInfo(name)
                entry.size = len(contents)
                archive.addfile(entry, io.BytesIO(contents))
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
    return packed.getvalue()


@contextlib.contextmanager
def machine_of(home: Home, name: str, image: bytes) -> Iterator[str]:
    """A machine of an image that is made for it; how OpenSSH knows it."""
    home.run("image", "import", "-", f"{name}:1", stdin=image, check=True)
    try:
        home.text("run", "-d", "--name", name, f"{name}:1", timeout_s=200)
        yield f"{name}.banger"
    finally:
        home.run("rm", "-f", name)
        home.run("rmi", f"{name}:1")


@pytest.fixture
def greeter() -> Iterator[int]:
    """A port of this host that says one thing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listener.accept()[0] as connection:
                        connection.sendall(b"hello of the host\n")

        threading.Thread(target=serve, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)


def hear(port: int) -> bytes:
    with connect(port) as connection:
        return b"".join(iter(lambda: connection.recv(4096), b""))


def test_an_image_of_busybox_has_all_that_a_large_one_has(
    ssh: Ssh, home: Home, name: str, greeter: int
) -> None:
    links = {f"bin/{tool}": "busybox" for tool in TOOLS}
    directories = ("bin", "dev", "etc", "home", "home/alice", "proc", "root", "sys", "tmp")
    image = pack(directories, {"bin/busybox": find_busybox(), "etc/passwd": USERS.encode()}, links)
    with machine_of(home, name, image) as host:
        assert ssh.text("ssh", f"alice@{host}", "id -u; pwd; uname") == "1000\n/home/alice\nLinux\n"
        data = os.urandom(700_000)
        assert ssh.run("ssh", host, "cat | cat", stdin=data).stdout == data
        (ssh.place / "tree").mkdir()
        (ssh.place / "tree/a").write_bytes(data)
        ssh.run("scp", "-rq", "tree", f"alice@{host}:")
        assert ssh.text("ssh", f"alice@{host}", "stat -c %u tree/a; wc -c < tree/a").split() == [
            "1000",
            "700000",
        ]
        assert ssh.text("ssh", "-tt", host, "stty size").strip()
        strict = ["ssh", "-o", "ExitOnForwardFailure=yes"]
        said = ssh.text(*strict, f"-R7070:localhost:{greeter}", host, "nc 127.0.0.1 7070 < /dev/null")
        assert said == "hello of the host\n"
        assert ssh.text("ssh", host, "echo [$SSH_AUTH_SOCK]") == "[]\n"


def test_an_image_without_a_shell_has_commands_files_and_ports(
    ssh: Ssh, home: Home, name: str, greeter: int
) -> None:
    image = pack(("app", "dev", "proc", "sys", "tmp", "etc"), {"app/cat": find_busybox()}, {})
    with machine_of(home, name, image) as host:
        assert ssh.run("ssh", host, "/app/cat", stdin=b"\0\xff hi").stdout == b"\0\xff hi"
        done = ssh.run("ssh", host, "/app/cat | /app/cat", code=FAILED)
        assert b"has no /bin/sh" in done.stderr
        (ssh.place / "a").write_bytes(os.urandom(300_000))
        ssh.run("scp", "-q", "a", f"{host}:/tmp/a")
        ssh.run("sftp", "-q", "-b", "-", host, stdin=b"rename /tmp/a /tmp/b\nget /tmp/b back\n")
        assert (ssh.place / "back").read_bytes() == (ssh.place / "a").read_bytes()
        # There and back: a port of the machine that leads here, and a port here that leads to it.
        port, there = free_port(), 7071
        forwards = [f"-R{there}:localhost:{greeter}", f"-L{port}:localhost:{there}"]
        with ssh.beside("ssh", "-N", "-o", "ExitOnForwardFailure=yes", *forwards, host):
            await_port(port)
            assert hear(port) == b"hello of the host\n"
