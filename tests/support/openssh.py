"""Programs of OpenSSH, as users have them after `banger ssh-config --install`."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import Home, wait_until

PATIENCE_S = 60
FAILED = 255


class Ssh:
    """Programs of OpenSSH with the configuration that `ssh-config --install` made, as if it were the user's own."""

    def __init__(self, home: Home, place: Path) -> None:
        self.home, self.place = home, place
        self.config = place / "config"
        home.text("ssh-config", "--install", "--file", str(self.config))
        programs = place / "bin"
        programs.mkdir()
        for name in ("ssh", "scp", "sftp"):
            self._wrap(programs / name, f'exec {shutil.which(name)} -F {self.config} "$@"')
        banger = shlex.join(home.argv())
        to_own = f'[ "$1" = ssh-config ] && shift && exec {banger} ssh-config --file {self.config} "$@"'
        self._wrap(programs / "banger", f'{to_own}\nexec {banger} "$@"')
        self.env = {**home.env, "PATH": f"{programs}:{os.environ['PATH']}"}
        del self.env["COLUMNS"]

    @staticmethod
    def _wrap(path: Path, line: str) -> None:
        path.write_text(f"#!/bin/sh\n{line}\n")
        path.chmod(0o755)

    def run(self, *words: str, stdin: bytes = b"", code: int = 0) -> subprocess.CompletedProcess[bytes]:
        done = subprocess.run(
            words, input=stdin, env=self.env, cwd=self.place, capture_output=True, timeout=PATIENCE_S * 2
        )
        assert done.returncode == code, (done.stdout[-2000:], done.stderr.decode(errors="replace"))
        return done

    def text(self, *words: str, stdin: bytes = b"") -> str:
        return self.run(*words, stdin=stdin).stdout.decode()

    @contextlib.contextmanager
    def beside(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """A program that runs until the end of the block. It is killed: ssh may miss a signal that it handles. Its
        proxy holds stderr, and must end by itself."""
        program = subprocess.Popen(
            words,
            env=self.env,
            cwd=self.place,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            yield program
        finally:
            program.kill()
            if program.stdin is not None and program.stdin.closed:
                program.stdin = None
            program.communicate(timeout=PATIENCE_S)


def have_openssh() -> None:
    """Skips a test where a client is missing."""
    for name in ("ssh", "scp", "sftp"):
        if shutil.which(name) is None:
            pytest.skip(f"capability missing: {name} (Debian: openssh-client)")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)


def await_port(port: int) -> None:
    def is_open() -> bool:
        try:
            connect(port).close()
        except OSError:
            return False
        return True

    wait_until(is_open, PATIENCE_S, "ssh listens")


def ask(connection: socket.socket, data: bytes) -> bytes:
    with connection:
        connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def carry_program(ssh: Ssh, host: str, name: str, *aliases: str) -> None:
    """Give the machine a program of this host, with the libraries that it needs, whatever both are made of."""
    program = shutil.which(name)
    if program is None:
        pytest.skip(f"capability missing: {name} (Debian: {name})")
    listed = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    libraries = re.findall(r"(/\S+) \(0x", listed)
    loader = next(path for path in libraries if "/ld-" in path)
    ssh.run("ssh", host, f"mkdir -p /opt/{name}")
    ssh.run("scp", "-q", program, *libraries, f"{host}:/opt/{name}/")
    start = f"/opt/{name}/{os.path.basename(loader)} --library-path /opt/{name}"
    for alias in (name, *aliases):
        verb = alias.removeprefix(f"{name}-") if alias != name else ""
        line = f'#!/bin/sh\nexec {start} /opt/{name}/{name} {verb} "$@"\n'
        ssh.run("ssh", host, f"cat > /usr/bin/{alias}; chmod +x /usr/bin/{alias}", stdin=line.encode())
