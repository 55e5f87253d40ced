"""A banger of the bench's own: its own directories and daemon, as an ordinary user would have them."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from banger.host.proc import ref_of

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "bench"
HOME = BUILD / "home"
IMAGE = "debian-bookworm"
# A config.toml.
NO_POOL = "[pool]\nper_template = 0\n"
_LIMIT_S = 120
BANGER = str(Path(sys.executable).parent / "banger")

os.environ["BANGER_HOME"] = str(HOME)
# What a user's shell does not set changes what a start costs.
for variable in ("PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PYTHONPATH", "BANGER_SOCKET"):
    os.environ.pop(variable, None)


def call(*argv: str, within: Path | None = None) -> None:
    """Run a program; what it prints matters only when it fails."""
    done = subprocess.run(
        argv, stdin=subprocess.DEVNULL, cwd=within, capture_output=True, text=True, check=False
    )
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
def own_daemon(settings: str = "") -> Iterator[None]:
    """A daemon with `settings` as its config.toml, started by the first command; image, kernel and template are at
    hand, and the pool is at rest. At the end its machines are deleted and it is stopped. One that an earlier bench
    left is stopped first."""
    _configure(settings)
    banger("vm", "run", "--rm", IMAGE, "--", "true")
    try:
        delete_machines()
        if settings != NO_POOL:
            wait_for_clone()
        yield
    finally:
        stop_daemon()


@contextmanager
def bare_daemon() -> Iterator[int]:
    """As `own_daemon`, without an image at hand: for machines that are created and never started. Answers the daemon's
    pid."""
    _configure(NO_POOL)
    banger("system", "start")
    try:
        delete_machines()
        yield int(ask("/v1/system")["daemon_pid"])
    finally:
        stop_daemon()


def _configure(settings: str) -> None:
    """The next daemon of the home has these settings."""
    BUILD.mkdir(parents=True, exist_ok=True)
    stop_daemon()
    config = HOME / "config/config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(settings)


def stop_daemon() -> None:
    """Having deleted its machines; nothing where none runs."""
    try:
        pid = int(ask("/v1/system")["daemon_pid"])
    except (FileNotFoundError, ConnectionRefusedError):
        return
    delete_machines()
    ask("/v1/system/shutdown", "POST")
    poll("the daemon to end", lambda: ref_of(pid) is None)


def create_machines(count: int, prefix: str = "made") -> list[str]:
    """Their names. They have never run, and take no more than their records."""
    from banger.client.sync import Client

    names = [f"{prefix}-{number}" for number in range(count)]
    with Client() as client:
        for name in names:
            client.machines.create(IMAGE, name=name)
    return names


def proportional_mb(pid: int, kind: str = "Pss") -> float:
    """Memory of a process; pages that it shares with others count in equal parts. `kind` as in proc(5)."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(text.partition(f"\n{kind}:")[2].split()[0]) / 1024


def delete_machines(keep: str = "") -> None:
    """All but the one called `keep`, as many at a time as there are processors."""
    names = [machine["name"] for machine in ask("/v1/machines")]
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(_delete_machine, [name for name in names if name != keep]))


def wait_for_clone(init: str = "agent") -> None:
    """Until one of our image waits in the pool, which then has nothing to do. Machines with `init` have run before."""
    poll(f"a waiting clone with {init} as init", lambda: _has_clone(init))


def _has_clone(init: str) -> bool:
    templates = [template for template in ask("/v1/templates") if template["image"] == IMAGE]
    return any(template["ready"] for template in templates if template["shape"]["init"] == init)


def poll(what: str, there: Callable[[], bool]) -> None:
    """Until it is so. Ends the bench when that takes too long."""
    until = time.monotonic() + _LIMIT_S
    while not there():
        if time.monotonic() > until:
            raise SystemExit(f"bench: waited {_LIMIT_S} s in vain for {what}")
        time.sleep(0.05)


def _delete_machine(name: str) -> None:
    ask(f"/v1/machines/{name}?force=true", "DELETE")


@contextmanager
def machine(name: str) -> Iterator[str]:
    """A running machine for the time of a `with`."""
    banger("vm", "run", "-d", "--name", name, IMAGE, "--", "sleep", "infinity")
    try:
        yield name
    finally:
        _delete_machine(name)
