"""A Firecracker without a machine in it: the command line, the API and the vsock of a version that a test chooses, with
the guest of `fake_vmm`. It keeps states as Firecracker does, and refuses what Firecracker refuses, by name.

The driver runs it in its jail like any program, so it is one file: `make_program` packs it with what it needs.

    firecracker --version
    firecracker --id ID --api-sock PATH --level LEVEL [--metrics-path PATH] [--config-file PATH]

Each change of the root disk to a file that is not there counts as one failed access to the disk.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import selectors
import socket
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from banger.wire.frames import FrameReader
from tests.support.fake_vmm import Guest

# Of the system, because the jail has what is in /usr.
INTERPRETER = Path("/usr/bin/python3")
_PORT = 1024
_MIB = 1 << 20
# Of each request: the fields that there are, and the version that brought the field, if not the oldest.
_OLDEST = (1, 8, 0)
FIELDS: dict[str, dict[str, tuple[int, int, int]]] = {
    "PATCH /vm": {"state": _OLDEST},
    "PATCH /drives/root": dict.fromkeys(("drive_id", "path_on_host", "rate_limiter"), _OLDEST),
    "PUT /actions": {"action_type": _OLDEST},
    "PUT /snapshot/create": dict.fromkeys(("snapshot_type", "snapshot_path", "mem_file_path"), _OLDEST),
    "PUT /snapshot/load": {
        **dict.fromkeys(("snapshot_path", "mem_backend", "mem_file_path", "resume_vm"), _OLDEST),
        "network_overrides": (1, 12, 0),
        "vsock_override": (1, 16, 0),
        "clock_realtime": (1, 16, 0),
    },
}


class Fault(Exception):
    """What the answer says."""


class Firecracker:
    def __init__(self, version: str, api: str, without: Sequence[str] = ()) -> None:
        self.version = version
        self.without = without
        self.state = "Not started"
        self.guest = Guest()
        self.is_deaf = self.knows_of_reset = False
        self.config: dict[str, Any] = {}
        self.selector = selectors.DefaultSelector()
        self.agent: socket.socket | None = None
        self.metrics: int | None = None
        self.failed = 0
        self._watch(_listen(api), self._accept_request)

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select():
                with contextlib.suppress(ConnectionError):
                    key.data(key.fileobj)

    def boot(self, config: dict[str, Any]) -> None:
        source = config["boot-source"]
        for path in (source["kernel_image_path"], source["initrd_path"]):
            os.close(os.open(path, os.O_RDONLY))
        self._have(config)
        self.state = "Running"

    def _have(self, config: dict[str, Any]) -> None:
        """Disks and vsock, as a configuration or a state has them."""
        for drive in config["drives"]:
            os.close(os.open(drive["path_on_host"], os.O_RDONLY if drive["is_read_only"] else os.O_RDWR))
        self.config = config
        self._watch(_listen(config["vsock"]["uds_path"]), self._accept_agent)

    def _watch(self, connection: socket.socket, act: Any) -> None:
        self.selector.register(connection, selectors.EVENT_READ, act)

    def _drop(self, connection: socket.socket | None) -> None:
        if connection is not None:
            with contextlib.suppress(KeyError):
                self.selector.unregister(connection)
            connection.close()
        if connection is self.agent:
            self.agent = None

    # the agent

    def _accept_agent(self, listener: socket.socket) -> None:
        self._drop(self.agent)
        self.agent, _ = listener.accept()
        self._reader, self._asked = FrameReader(), b""
        self._listen_to_agent()

    def _listen_to_agent(self) -> None:
        """A guest that stands still hears nothing."""
        if self.agent is not None and self.state == "Running" and self.agent not in self.selector.get_map():
            self._watch(self.agent, self._carry)

    def _carry(self, connection: socket.socket) -> None:
        data = connection.recv(65536)
        if not data:
            self._drop(connection)
            return
        if self.is_deaf:
            return
        if not self._asked.endswith(b"\n"):
            line, newline, data = (self._asked + data).partition(b"\n")
            self._asked = line + newline
            if newline and line != b"CONNECT %d" % _PORT:
                self._drop(connection)
                return
            if newline:
                connection.sendall(b"OK 1073741824\n")
        for frame in self._reader.feed(data):
            for answer in self.guest.answer(frame):
                connection.sendall(answer)
            if self.guest.goes_down:
                os._exit(0)

    # the API

    def _accept_request(self, listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            head, _, body = connection.recv(65536).partition(b"\r\n\r\n")
            method, path, _ = head.split(b"\r\n")[0].decode().split(" ")
            try:
                answer = self._do(f"{method} {path}", json.loads(body) if body else {})
                status = 200 if answer else 204
            except (Fault, OSError, KeyError, ValueError) as exc:
                status, answer = 400, {"fault_message": str(exc)}
            said = json.dumps(answer).encode() if answer else b""
            connection.sendall(b"HTTP/1.1 %d \r\nContent-Length: %d\r\n\r\n" % (status, len(said)) + said)
            if self.guest.goes_down:
                os._exit(0)

    def _do(self, request: str, body: dict[str, Any]) -> dict[str, Any]:
        if request == "GET /":
            return {"id": "banger", "state": self.state, "vmm_version": self.version}
        if request not in FIELDS or request in self.without:
            raise Fault(f"Invalid request method and/or path: {request}.")
        known = [name for name, since in FIELDS[request].items() if since <= _numbers(self.version)]
        known = [name for name in known if f"{request} {name}" not in self.without]
        for name in body:
            if name not in known:
                raise Fault(f"unknown field `{name}`, expected one of {known}")
        if request != "PUT /snapshot/load" and self.state == "Not started":
            raise Fault("The requested operation is not supported before starting the microVM.")
        actions = {
            "PATCH /vm": self._change_state,
            "PATCH /drives/root": self._change_drive,
            "PUT /snapshot/create": self._create,
            "PUT /snapshot/load": self._load,
            "PUT /actions": self._act,
        }
        actions[request](body)
        return {}

    def _change_state(self, body: dict[str, Any]) -> None:
        self.state = {"Paused": "Paused", "Resumed": "Running"}[body["state"]]
        if self.state == "Running":
            self.is_deaf = (1, 16, 0) <= _numbers(self.version) < (1, 17, 0) and not self.knows_of_reset
            self.knows_of_reset = False
            self._listen_to_agent()
        elif self.agent is not None and self.agent in self.selector.get_map():
            self.selector.unregister(self.agent)

    def _change_drive(self, body: dict[str, Any]) -> None:
        try:
            os.stat(body.get("path_on_host", "."))
        except OSError:
            self.failed += 1
            raise

    def _act(self, body: dict[str, Any]) -> None:
        if body["action_type"] == "SendCtrlAltDel":
            self.guest.goes_down = "powered_off"
            return
        if self.metrics is not None:
            line = {"block_root": {"invalid_reqs_count": self.failed}, "net": {}}
            os.write(self.metrics, json.dumps(line).encode() + b"\n")
        self.failed = 0

    def _create(self, body: dict[str, Any]) -> None:
        if self.state != "Paused":
            raise Fault("Cannot save a microVM that is not paused.")
        told = [self.guest.boot, self.guest.told, self.guest.execs]
        with open(body["mem_file_path"], "wb") as memory:
            memory.write(json.dumps(told).encode() + b"\n")
            memory.truncate(self.config["machine-config"]["mem_size_mib"] * _MIB)
        Path(body["snapshot_path"]).write_text(json.dumps(self.config))
        self._drop(self.agent)
        self.knows_of_reset = "the end of deafness" not in self.without

    def _load(self, body: dict[str, Any]) -> None:
        if self.state != "Not started":
            raise Fault("Loading a microVM snapshot not allowed after configuring boot-specific resources.")
        with open(body["mem_backend"]["backend_path"], "rb") as memory:
            self.guest.boot, self.guest.told, execs = json.loads(memory.readline())
        self.guest.execs = {int(number): tuple(known) for number, known in execs.items()}
        self._have(json.loads(Path(body["snapshot_path"]).read_text()))
        self.state = "Running" if body.get("resume_vm") else "Paused"
        self.knows_of_reset = True


def _listen(path: str) -> socket.socket:
    """Fails where a socket is already."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(8)
    return listener


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def main(version: str, without: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", action="version", version=f"Firecracker v{version}")
    for option in ("--id", "--api-sock", "--level", "--config-file", "--metrics-path"):
        parser.add_argument(option)
    options = parser.parse_args()
    firecracker = Firecracker(version, options.api_sock, without)
    if options.metrics_path:
        firecracker.metrics = os.open(options.metrics_path, os.O_RDWR | os.O_NONBLOCK)
    if options.config_file:
        try:
            firecracker.boot(json.loads(Path(options.config_file).read_text()))
        except (OSError, KeyError) as exc:
            sys.exit(f"Error: {exc}")
    firecracker.serve()


def make_program(directory: Path, version: str, without: Sequence[str] = ()) -> Path:
    """The program of that version, as one file that an interpreter of the system runs. `without`: requests that it does
    not have ("PUT /snapshot/load"), fields ("PUT /snapshot/load resume_vm"), "the end of deafness" by a capture."""
    root = Path(__file__).parents[2]
    program = directory / f"firecracker-{version}"
    wanted = [root / "src/banger/errors.py", *(root / "src/banger/wire").glob("*.py")]
    with open(program, "wb") as file:
        file.write(f"#!{INTERPRETER} -IS\n".encode())
        with zipfile.ZipFile(file, "w") as archive:
            for package in ("banger", "tests", "tests/support"):
                archive.writestr(f"{package}/__init__.py", "")
            for path in wanted:
                archive.write(path, path.relative_to(root / "src"))
            for name in ("fake_firecracker.py", "fake_vmm.py"):
                archive.write(root / "tests/support" / name, f"tests/support/{name}")
            archive.writestr(
                "__main__.py",
                f"from tests.support.fake_firecracker import main\nmain({version!r}, {tuple(without)!r})\n",
            )
    program.chmod(0o755)
    return program
