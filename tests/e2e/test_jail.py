"""QEMU in its jail, asked through its own monitor for what a guest that has taken it over would want."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from banger.host import jail, own_sockets
from tests.support.home import IMAGE, Home
from tests.support.pace import allowed_s

pytestmark = [pytest.mark.e2e]


@contextmanager
def monitor(home: Home, machine: str) -> Iterator[Any]:
    """QMP of a machine that no daemon is connected to: commands in, answers out."""
    path = home.state / "sockets" / machine / "qmp.sock"
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    with closing(socket.socket(socket.AF_UNIX)) as connection:
        connection.settimeout(20)
        connection.connect(f"/proc/self/fd/{directory}/{path.name}")
        os.close(directory)
        lines = connection.makefile("r")

        def execute(command: str, arguments: dict[str, object] | None = None) -> dict[str, Any]:
            connection.sendall(json.dumps({"execute": command, "arguments": arguments or {}}).encode())
            while True:
                answer: dict[str, Any] = json.loads(next(lines))
                if answer.keys() & {"return", "error"}:
                    return answer

        assert "QMP" in json.loads(next(lines))
        assert "return" in execute("qmp_capabilities")
        yield execute


def opening(path: Path, *, writes: bool) -> dict[str, object]:
    name = f"n{abs(hash((path, writes)))}"
    return {
        "driver": "file",
        "node-name": name,
        "filename": str(path),
        "read-only": not writes,
        "locking": "off",
    }


def attempts_by_other_commands(
    api: Path, secret: Path, outside: Path, state: Path
) -> list[tuple[str, dict[str, object]]]:
    """Each of QEMU's commands that opens a file, makes a file or a socket, or starts a program."""

    def through_socket(address: dict[str, object], *, server: bool) -> dict[str, object]:
        return {"type": "socket", "data": {"addr": address, "server": server, "wait": False}}

    def address(kind: str, **data: str) -> dict[str, object]:
        return {"type": kind, "data": data}

    api_address = address("unix", path=str(api))
    loopback = address("inet", host="127.0.0.1", port="22")
    backends: list[dict[str, object]] = [
        through_socket(api_address, server=False),
        through_socket(address("unix", path=str(outside / "made.sock")), server=True),
        through_socket(loopback, server=False),
        through_socket(address("inet", host="127.0.0.1", port="0"), server=True),
        through_socket(address("inet", host="::1", port="0"), server=True),
        {"type": "udp", "data": {"remote": loopback}},
        {"type": "file", "data": {"in": str(secret), "out": str(outside / "out")}},
        {"type": "file", "data": {"out": str(state / "banger.db"), "append": True}},
        {"type": "pipe", "data": {"device": str(outside / "pipe")}},
        {"type": "serial", "data": {"device": "/dev/tty"}},
    ]
    asked: list[tuple[str, dict[str, object]]] = [
        ("chardev-add", {"id": f"c{number}", "backend": backend}) for number, backend in enumerate(backends)
    ]
    for target in (outside / "out", state / "banger.db", Path("/tmp/out"), Path("/usr/out")):
        asked += [
            ("pmemsave", {"val": 0, "size": 16, "filename": str(target)}),
            ("memsave", {"val": 0, "size": 16, "filename": str(target)}),
            ("dump-guest-memory", {"paging": False, "protocol": f"file:{target}"}),
            ("screendump", {"filename": str(target)}),
            ("xen-save-devices-state", {"filename": str(target), "live": False}),
            ("drive-backup", {"device": "root", "target": str(target), "sync": "none", "format": "raw"}),
            ("drive-mirror", {"device": "root", "target": str(target), "sync": "none", "format": "raw"}),
            ("blockdev-snapshot-sync", {"device": "root", "snapshot-file": str(target)}),
        ]
    asked += [
        ("xen-load-devices-state", {"filename": str(secret)}),
        ("netdev_add", {"type": "tap", "id": "n2", "script": "/bin/sh"}),
        ("netdev_add", {"type": "socket", "id": "n4", "connect": "127.0.0.1:22"}),
        ("netdev_add", {"type": "socket", "id": "n5", "listen": "127.0.0.1:0"}),
        (
            "object-add",
            {"qom-type": "memory-backend-file", "id": "o1", "mem-path": str(secret), "size": 4096},
        ),
        ("object-add", {"qom-type": "rng-random", "id": "o2", "filename": str(secret)}),
        ("object-add", {"qom-type": "secret", "id": "o3", "file": str(secret)}),
        (
            "object-add",
            {"qom-type": "filter-dump", "id": "o4", "netdev": "net0", "file": str(outside / "out")},
        ),
        ("nbd-server-start", {"addr": {"type": "unix", "data": {"path": str(outside / "nbd.sock")}}}),
        ("nbd-server-start", {"addr": {"type": "inet", "data": {"host": "127.0.0.1", "port": "0"}}}),
    ]
    return asked


@contextmanager
def listening(path: Path) -> Iterator[socket.socket]:
    """In the place of a daemon that is stopped."""
    with own_sockets.listen(path) as listener:
        path.chmod(0o666)
        yield listener
    path.unlink()


def has_failed(execute: Any, target: str) -> bool:
    """Whether QEMU cannot write its guest to the target."""
    if "error" in execute("migrate", {"uri": target}):
        return True
    deadline = time.monotonic() + allowed_s(30)
    while time.monotonic() < deadline:
        status = execute("query-migrate")["return"].get("status")
        if status in ("failed", "completed"):
            return bool(status == "failed")
        time.sleep(0.05)
    raise AssertionError(f"the migration to {target} does not end")


def test_qemu_itself_opens_nothing_but_what_is_its_own(own_home: Home, tmp_path: Path) -> None:
    wanted = ("mount", "landlock", "seccomp")
    if missing := {name: why for name, why in jail.look().missing.items() if name in wanted}:
        pytest.skip(f"capability missing: {missing}")
    secret = tmp_path / ".ssh" / "id_ed25519"
    secret.parent.mkdir()
    secret.write_text("a key")
    secret.chmod(0o644)
    own_home.text("run", "-d", "--name", "hostile", IMAGE)
    own_home.text("run", "-d", "--name", "neighbour", IMAGE)
    hostile, neighbour = (own_home.json("vm", "show", name) for name in ("hostile", "neighbour"))
    machines = own_home.state / "machines"
    own, theirs = (machines / (machine["place"] or machine["id"]) for machine in (hostile, neighbour))
    template = next((own_home.state / "templates").glob("[0-9a-f]*/layer-*"))
    image = next((own_home.directory / "cache" / "images").glob("*.ext4"))
    api = own_home.directory / "run" / "banger.sock"
    own_home.text("system", "stop")
    place = hostile["place"] or hostile["id"]
    with monitor(own_home, place) as execute, listening(api) as listener:
        assert "return" in execute(
            "blockdev-add", opening(own / os.readlink(own / "root.qcow2"), writes=False)
        )
        frozen = next(file for file in own.glob("layer-*") if file.name != os.readlink(own / "root.qcow2"))
        refused = [
            ("blockdev-add", opening(path, writes=writes))
            for path, writes in [
                (secret, False),
                (Path("/etc/shadow"), False),
                (Path("/etc/passwd"), False),
                (own_home.state / "banger.db", False),
                (own_home.state / "banger.db", True),
                (theirs / os.readlink(theirs / "root.qcow2"), False),
                (template, False),
                (template, True),
                (frozen, True),
                (image, True),
            ]
        ]
        refused += attempts_by_other_commands(api, secret, tmp_path, own_home.state)
        answers = {f"{command} {arguments}": execute(command, arguments) for command, arguments in refused}
        assert [asked for asked, answer in answers.items() if "error" not in answer] == []
        assert "return" in execute("query-status")
        for target in (f"unix:{api}", "tcp:127.0.0.1:22", f"file:{tmp_path}/out"):
            assert has_failed(execute, target), target
        # These two are made without a socket, which they want later.
        stream = {"type": "stream", "id": "n6", "addr": {"type": "unix", "path": str(api)}, "server": False}
        for made_later in ({"type": "user", "id": "n7"}, stream):
            execute("netdev_add", made_later)
        execute("query-status")
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert own_home.text("exec", "hostile", "--", "echo", "alive") == "alive\n"
    own_home.text("system", "stop")
    # The filter ends a VMM that wants to start a program.
    for command, arguments in (
        ("migrate", {"uri": f"exec:cp /etc/passwd {tmp_path}/out"}),
        ("netdev_add", {"type": "bridge", "id": "n3"}),
    ):
        with contextlib.suppress(OSError, StopIteration), monitor(own_home, place) as execute:
            assert "error" in execute(command, dict(arguments)) or has_failed(execute, arguments["uri"])
    assert secret.read_text() == "a key"
    assert list(tmp_path.iterdir()) == [secret.parent]


def test_the_record_says_what_the_kernel_says(home: Home, name: str) -> None:
    home.text("run", "-d", "--confine", "strict", "--name", name, IMAGE)
    shown = home.json("vm", "show", name)
    status = dict(
        line.split(":", 1) for line in Path(f"/proc/{shown['pid']}/status").read_text().splitlines()
    )
    assert {status[f"Cap{kind}"].strip() for kind in ("Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert status["NoNewPrivs"].strip() == "1"
    layers = shown["confinement"]["layers"]
    for layer, kind in {"mount": "mnt", "pid": "pid", "ipc": "ipc", "uts": "uts", "net": "net"}.items():
        own = os.readlink(f"/proc/{shown['pid']}/ns/{kind}") != os.readlink(f"/proc/self/ns/{kind}")
        assert own == (layer in layers)
        assert own or layer in shown["confinement"]["missing"]
    if os.geteuid() == 0:
        assert "0" not in status["Uid"].split() and "user" in layers
    home.text("vm", "delete", "-f", name)


def test_without_a_network_neither_the_guest_nor_its_vmm_has_one(home: Home, name: str) -> None:
    home.text("run", "-d", "--network", "none", "--name", name, IMAGE)
    home.text("vm", "fork", name, "--count", "1")
    copies = (name, f"{name}-1")
    for machine in copies:
        assert home.text("exec", machine, "--", "ls", "/sys/class/net") == "lo\n"
        shown = home.json("vm", "show", machine)
        assert shown["address"] == ""
        assert "net" in shown["confinement"]["layers"] or shown["confinement"]["missing"]
        if "net" in shown["confinement"]["layers"]:
            devices = Path(f"/proc/{shown['pid']}/net/dev").read_text().splitlines()[2:]
            assert [line.split(":")[0].strip() for line in devices] == ["lo"]
    home.text("vm", "stop", name)
    home.text("vm", "start", name)
    assert home.text("exec", name, "--", "ls", "/sys/class/net") == "lo\n"
    home.text("vm", "delete", "-f", *copies)
