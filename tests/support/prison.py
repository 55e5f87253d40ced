"""A host in small, for programs in a jail: what is theirs, and what is none of their business."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from banger.host import jail
from banger.host.jail import LAYERS, Layers

# Runs as the jailed program would. Prints what came of each attempt: "done", or the name of the error.
PROBE = Path(__file__).parent / "prisoner.py"
# Debian's own: the interpreter of a virtual environment may be where no jail has it, or another user cannot go.
PYTHON = "/usr/bin/python3"
NOBODY = 65534
# The probe knows their numbers on this architecture only.
NEEDLESS_CALLS = (
    ("io_uring_setup", "unshare", "bpf", "userfaultfd", "keyctl") if platform.machine() == "x86_64" else ()
)
EVERYTHING = frozenset(LAYERS)


class World(NamedTuple):
    """`vm` is the directory of the program's VM, all else is none of its business."""

    root: Path
    vm: Path
    frozen: Path
    image: Path
    secret: Path
    api: Path


@contextlib.contextmanager
def open_world() -> Iterator[World]:
    with tempfile.TemporaryDirectory(prefix="bj-") as name:
        root = Path(name)
        made = World(
            root, root / "vm", root / "vm/frozen", root / "image", root / "home/.ssh/id", root / "api"
        )
        root.chmod(0o755)
        for directory in (made.vm, made.secret.parent.parent, made.secret.parent, root / "neighbour"):
            directory.mkdir()
            directory.chmod(0o755)
        for file in (made.frozen, made.image, made.secret, root / "neighbour/disk", root / "store"):
            file.write_text("theirs")
            file.chmod(0o644)  # the jail keeps them, not the mode
        (made.vm / "disk").write_text("mine")
        (root / "open").mkdir()
        (root / "open").chmod(0o777)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(made.api))
            made.api.chmod(0o777)
            listener.listen(8)
            yield made


def attempts_outside(world: World) -> list[list[str]]:
    """What no jailed program may do."""
    return [
        ["read", str(world.secret)],
        ["write", str(world.root / "store")],
        ["read", str(world.root / "neighbour/disk")],
        ["read", "/etc/shadow"],
        ["read", "/proc/1/environ"],
        ["read", "/sys/kernel/uevent_seqnum"],
        ["write", "/usr/bin/banger-was-here"],
        ["write", str(world.root / "open/to-everybody")],
        ["connect", str(world.api)],
        ["signal", str(os.getpid())],
        ["trace", str(os.getpid())],
        ["become", "0"],
        *(["socket", family] for family in ("inet", "inet6", "unix", "netlink", "packet")),
        *(["call", name] for name in NEEDLESS_CALLS),
    ]


def layers_for(user: int, held: frozenset[str] = EVERYTHING) -> Layers:
    """Those of `held` that this host has for this user; skips when one is not there."""
    said = subprocess.run(
        [copy_of_jail(), "--probe"],
        capture_output=True,
        text=True,
        user=user,
        group=user,
        extra_groups=[],
        check=True,
    ).stdout
    found = jail.read_probe(said, root=user == 0)
    wanted = held - ({"user"} if user == 0 else set())
    if missing := {name: why for name, why in found.missing.items() if name in wanted}:
        pytest.skip(f"capability missing: {missing}")
    return Layers(found.held & held, {}, found.landlock)


def copy_of_jail() -> str:
    """The checkout may be where another user cannot go."""
    directory = _copies()
    directory.mkdir(mode=0o755, exist_ok=True)
    directory.chmod(0o755)
    copy = directory / "jail"
    if not copy.exists():
        shutil.copy(jail.program(), copy)
        copy.chmod(0o755)
    return str(copy)


def remove_copies() -> None:
    shutil.rmtree(_copies(), ignore_errors=True)


def _copies() -> Path:
    return Path(tempfile.gettempdir()) / f"bj-{os.getpid()}"
