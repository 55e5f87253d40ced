"""A banger of the bench's own: its own directories and daemon, as an ordinary user would have them."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
HOME = BUILD / "home"
IMAGE = "debian-bookworm"
BANGER = str(Path(sys.executable).parent / "banger")

os.environ["BANGER_HOME"] = str(HOME)
# What a user's shell does not set changes what a start costs.
for variable in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH", "BANGER_SOCKET"):
    os.environ.pop(variable, None)


def call(*argv: str) -> None:
    """Run a program; what it prints matters only when it fails."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"bench: {' '.join(argv)} ended with {done.returncode}: {done.stderr[-2000:]}")


def banger(*arguments: str) -> None:
    call(BANGER, *arguments)


def ask(path: str, method: str = "GET") -> Any:
    """One request to the daemon, the answer decoded."""
    from banger.places import socket_path

    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(socket_path())
    try:
        connection.request(method, path)
        response = connection.getresponse()
        body = response.read()
    finally:
        connection.close()
    if response.status >= 400:
        raise SystemExit(f"bench: {method} {path}: {body.decode()}")
    return json.loads(body) if body else None


@contextmanager
def own_daemon() -> Iterator[None]:
    """A daemon with image and kernel at hand, started by the first command; stopped at the end."""
    BUILD.mkdir(parents=True, exist_ok=True)
    banger("vm", "run", "--rm", IMAGE, "--", "true")
    try:
        yield
    finally:
        ask("/v1/system/shutdown", "POST")


@contextmanager
def machine(name: str) -> Iterator[str]:
    """A running machine for the time of a `with`."""
    banger("vm", "run", "-d", "--name", name, IMAGE, "--", "sleep", "infinity")
    try:
        yield name
    finally:
        ask(f"/v1/machines/{name}?force=true", "DELETE")
