"""QEMU in its jail, asked through its own monitor for what a guest that has taken it over would want."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from banger.host import jail
from tests.support.home import IMAGE, Home

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


def test_qemu_itself_opens_nothing_but_what_is_its_own(own_home: Home, tmp_path: Path) -> None:
    if missing := {name: why for name, why in jail.look().missing.items() if name in ("mount", "landlock")}:
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
    with monitor(own_home, hostile["place"] or hostile["id"]) as execute:
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
        unix = {"type": "unix", "data": {"path": str(api)}}
        backend = {"type": "socket", "data": {"addr": unix, "server": False}}
        refused.append(("chardev-add", {"id": "api", "backend": backend}))
        refused.append(("pmemsave", {"val": 0, "size": 16, "filename": str(tmp_path / "out")}))
        refused.append(("pmemsave", {"val": 0, "size": 16, "filename": str(own_home.state / "banger.db")}))
        answers = {f"{command} {arguments}": execute(command, arguments) for command, arguments in refused}
        assert [asked for asked, answer in answers.items() if "error" not in answer] == []
    assert own_home.text("exec", "hostile", "--", "echo", "alive") == "alive\n"


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
