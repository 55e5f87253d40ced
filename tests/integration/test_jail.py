"""The jail, with a hostile program in the place of a VMM: what it tries is refused, as root and as an ordinary user,
with all layers and with those that are left when a host refuses the others."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.errors import Error
from banger.host import jail, spawn
from banger.host.jail import LANDLOCK, SECCOMP, Jail, Layers
from banger.host.proc import reap
from tests.support.prison import (
    EVERYTHING,
    NEEDLESS_CALLS,
    NOBODY,
    PROBE,
    PYTHON,
    World,
    attempts_outside,
    copy_of_jail,
    layers_for,
    open_world,
    remove_copies,
)

pytestmark = pytest.mark.integration


@pytest.fixture
def world() -> Iterator[World]:
    with open_world() as made:
        yield made


@pytest.fixture(scope="module", autouse=True)
def without_copies() -> Iterator[None]:
    yield
    remove_copies()


def attempts(world: World) -> list[list[str]]:
    return [
        ["write", str(world.vm / "disk")],
        ["read", str(world.image)],
        ["read", str(world.frozen)],
        ["write", str(world.frozen)],
        ["write", str(world.image)],
        ["run", str(world.vm / "program")],
        ["mount", str(world.vm)],
        ["symlink", str(world.vm / "link")],
        ["mkfifo", str(world.vm / "fifo")],
        ["mkdir", str(world.vm / "directory")],
        *attempts_outside(world),
    ]


# Without the filter of system calls, a program makes sockets that reach nothing.
SOCKETS = {f"socket {family}" for family in ("inet", "inet6", "unix", "netlink")}
CALLS = {f"call {name}" for name in NEEDLESS_CALLS}
# Without Landlock, a VMM that has its directory as an ordinary user makes more in it than files.
MADE = {"run vm/program", "symlink vm/link", "mkfifo vm/fifo", "mkdir vm/directory"}


# What each of them must come to. The first three are what a VMM lives from.
ALLOWED = {"write vm/disk", "read image", "read vm/frozen"}


def imprison(world: World, layers: Layers, user: int, extra: list[list[str]] | None = None) -> dict[str, str]:
    """Runs the probe in a jail of these layers. As root it has a user of its own, as another user it is that user."""
    shutil.copy(PROBE, world.vm / "probe.py")
    shutil.copy("/bin/true", world.vm / "program")
    owner = 0x7000_0001 if user == 0 else user
    for path in (world.vm, world.vm / "disk"):
        os.chown(path, owner, owner)
    confined = Jail(
        read=(world.frozen, world.image, world.vm / "probe.py"),
        write=(world.vm,),
        user=owner if user == 0 else None,
    )
    reading, report = os.pipe()
    command = jail.prepare_command(
        [PYTHON, "-I", "-S", str(world.vm / "probe.py"), json.dumps([*attempts(world), *(extra or [])])],
        confined,
        layers,
        bounds={},
        report=report,
        directory=world.vm,
    )
    command[0] = copy_of_jail()
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        pass_fds=[report],
        user=user,
        group=user,
        extra_groups=[],
    ) as first:
        os.close(report)
        assert first.stdout is not None
        said = first.stdout.read().decode()
        with open(reading, "rb") as reported:
            pid = int(reported.read() or b"0")
    if pid not in (0, first.pid):
        reap(pid)
    lines = said.strip().splitlines()
    assert lines, "the probe printed nothing"
    try:
        found: dict[str, str] = json.loads(lines[-1])
    except ValueError:
        pytest.fail(said)
    return {name.replace(f"{world.root}/", ""): result for name, result in found.items()}


@pytest.mark.skipif(os.geteuid() != 0, reason="capability missing: root, to become several users")
@pytest.mark.parametrize("user", [0, NOBODY])
def test_in_all_layers_a_program_reaches_what_is_its_own_and_nothing_else(world: World, user: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        found = imprison(world, layers_for(user, EVERYTHING), user, [["dial", address], ["list", "/"]])
    assert {name for name, result in found.items() if result == "done"} == ALLOWED
    assert world.image.read_text() == world.frozen.read_text() == "theirs"


@pytest.mark.skipif(os.geteuid() != 0, reason="capability missing: root, to become several users")
@pytest.mark.parametrize("user", [0, NOBODY])
@pytest.mark.parametrize(
    ("held", "left"),
    [
        # Landlock has no rules for sockets that have a path; and frozen files in the VM's own directory are then
        # kept by their owner and mode alone.
        (frozenset({LANDLOCK}), {"write vm/frozen", "connect api", *SOCKETS, *CALLS}),
        (frozenset({LANDLOCK, SECCOMP}), {"write vm/frozen"}),
        (EVERYTHING - {SECCOMP}, SOCKETS | CALLS),
        (EVERYTHING - {LANDLOCK}, MADE),
        (EVERYTHING - {"pid"}, set()),
    ],
)
def test_with_a_layer_less_the_others_still_hold(
    world: World, user: int, held: frozenset[str], left: set[str]
) -> None:
    found = imprison(world, layers_for(user, held), user)
    got_through = {name for name, result in found.items() if result == "done"}
    assert ALLOWED <= got_through <= ALLOWED | left


@pytest.mark.skipif(os.geteuid() != 0, reason="capability missing: root, to become several users")
def test_without_a_layer_the_same_program_gets_through(world: World) -> None:
    """Else the tests above would show nothing."""
    found = imprison(world, Layers(frozenset(), {}), NOBODY)
    reached = {name for name, result in found.items() if result == "done"}
    assert reached - CALLS == ALLOWED | {
        "read home/.ssh/id",
        "read neighbour/disk",
        "read /sys/kernel/uevent_seqnum",
        "write open/to-everybody",
        "connect api",
        *SOCKETS,
        *MADE,
    }


MAKES_SOCKETS = """
import json, socket, sys
def tried(act):
    try:
        act()
        return "done"
    except OSError as exc:
        return type(exc).__name__
listener = socket.socket(socket.AF_UNIX)
print(json.dumps({
    "listen": tried(lambda: (listener.bind(sys.argv[1] + "/api.sock"), listener.listen())),
    "elsewhere": tried(lambda: socket.socket(socket.AF_UNIX).bind(sys.argv[2] + "/api.sock")),
    "connect": tried(lambda: listener.connect(sys.argv[1] + "/api.sock")),
    "internet": tried(lambda: socket.socket(socket.AF_INET)),
    "packets": tried(lambda: socket.socket(socket.AF_PACKET)),
}))
"""


def test_a_program_makes_unix_sockets_in_its_directory_for_them_and_no_others(tmp_path: Path) -> None:
    if missing := {"mount", LANDLOCK, SECCOMP} - jail.look().held:
        pytest.skip(f"capability missing: {missing}")
    sockets, other = tmp_path / "sockets", tmp_path / "other"
    for place in (sockets, other):
        place.mkdir()
    argv = [PYTHON, "-I", "-S", "-c", MAKES_SOCKETS, str(sockets), str(other)]
    confined = Jail(read=(Path(sys.base_prefix),), write=(other,), sockets=(sockets,))
    ref = spawn.spawn_detached(argv, marker="test", output=tmp_path / "out", cwd=sockets, jail=confined)
    _wait_for_end(ref.pid)
    found = json.loads((tmp_path / "out").read_text())
    assert found.pop("listen") == "done"
    assert {*found.values()} == {"PermissionError"}


def test_limits_hold_from_the_first_instruction(tmp_path: Path) -> None:
    import resource

    ref = spawn.spawn_detached(
        ["/bin/sh", "-c", "ulimit -n; ulimit -Hn; ulimit -c"],
        marker="test",
        output=tmp_path / "out",
        cwd=tmp_path,
        bounds={resource.RLIMIT_NOFILE: 77},
    )
    _wait_for_end(ref.pid)
    assert (tmp_path / "out").read_text().split() == ["77", "77", "0"]


def test_a_jail_that_cannot_be_made_runs_nothing_and_says_why(tmp_path: Path) -> None:
    if not jail.look().held & {"mount", LANDLOCK}:
        pytest.skip(f"capability missing: {dict(jail.look().missing)}")
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(Error) as caught:
        spawn.spawn_detached(
            ["/bin/touch", str(tmp_path / "ran")],
            marker="test",
            output=tmp_path / "out",
            cwd=tmp_path,
            jail=Jail(read=(tmp_path / "not-there",), write=(tmp_path,)),
        )
    assert caught.value.code == "jail_failed" and "not-there" in caught.value.message
    assert not (tmp_path / "ran").exists()
    assert set(os.listdir("/proc/self/fd")) == before


def _wait_for_end(pid: int) -> None:
    end = time.monotonic() + 20
    while reap(pid) is None:
        assert time.monotonic() < end, "the program does not end"
        time.sleep(0.01)
