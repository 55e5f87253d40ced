"""A VMM that has no machine in it: a process whose guest is a few lines of Python that speak the agent protocol.

It is the other shape of a VMM than QEMU: the agent is behind a line that asks for a port, the control socket speaks
lines of JSON, the disk is a copy. What its guest is told it keeps in its "memory", so that a test sees what a restored
one knows. Commands of its guest: `true`, `exit N`, `sleep` (until a signal), `deaf` (as `sleep`; its guest does not go
down either, whoever asks), `poweroff`.

    python fake_vmm.py '{"control": FD, "agent": FD, "disk": PATH, "waits": bool}'
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import sys
import time
from pathlib import Path
from struct import pack
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2] / "src"))

from banger.wire.constants import VERSION, Tag, Type
from banger.wire.fields import Fields, Value, encode_fields
from banger.wire.frames import Frame, FrameReader, encode_frame

PORT = 1024
FieldList = list[tuple[int, Value]]


class Guest:
    """What is in the memory: `told` of CONFIGURE, and execs by channel with the code that they ended with, or None."""

    def __init__(self) -> None:
        self.boot = os.urandom(16).hex()
        self.told: dict[str, str] = {}
        self.execs: dict[int, tuple[str, int | None, int]] = {}
        self.goes_down = ""
        self.is_deaf = False

    def answer(self, frame: Frame) -> list[bytes]:
        """Frames that follow from one."""
        fields, channel = Fields(frame.payload), frame.channel
        if frame.type == Type.HELLO:
            return [encode_frame(Type.WELCOME, 0, encode_fields(self._welcome(fields)))]
        if frame.type in (Type.DATA, Type.EOF, Type.CREDIT, Type.MORE):
            return []
        if frame.type == Type.SHUTDOWN and self.is_deaf:
            return [encode_frame(Type.FAIL, channel, encode_fields([(Tag.CODE, "busy")]))]
        if frame.type == Type.EXEC and channel in self.execs:
            return [encode_frame(Type.FAIL, channel, encode_fields([(Tag.CODE, "bad_request")]))]
        said, after = self._do(frame.type, channel, fields)
        return [encode_frame(Type.OK, channel, encode_fields(said)), *after]

    def _do(self, verb: int, channel: int, fields: Fields) -> tuple[FieldList, list[bytes]]:
        if verb == Type.CONFIGURE:
            self.told = {"hostname": fields.str_(Tag.HOSTNAME), "mac": fields.str_(Tag.MAC)}
            return [(Tag.CLOCK_NS, time.time_ns())], []
        if verb == Type.EXEC:
            return self._begin(channel, [raw.decode() for raw in fields.all_bytes(Tag.ARGV)], fields)
        if verb == Type.SIGNAL:
            target, signo = fields.int_(Tag.EXEC), fields.int_(Tag.SIGNAL)
            return [], [self._end(target, 0, signo)]
        if verb == Type.EXECS:
            return [field for number in self.execs for field in self._known(number)], []
        if verb == Type.ATTACH:
            _, code, signo = self.execs[fields.int_(Tag.EXEC)]
            return [], [] if code is None else [_exit(fields.int_(Tag.EXEC), code, signo)]
        if verb == Type.FORGET:
            self.execs.pop(fields.int_(Tag.EXEC), None)
        if verb == Type.SHUTDOWN:
            self.goes_down = "powered_off"
        return [], []

    def _begin(self, channel: int, argv: list[str], fields: Fields) -> tuple[FieldList, list[bytes]]:
        self.execs[channel] = fields.str_(Tag.LABEL), None, 0
        self.is_deaf = self.is_deaf or argv[0] == "deaf"
        ended = {"sleep": [], "deaf": [], "exit": [int(argv[-1]) if argv[1:] else 0]}.get(argv[0], [0])
        if argv[0] == "poweroff":
            self.goes_down = "powered_off"
        return [(Tag.PID, 100 + channel)], [self._end(channel, code, 0) for code in ended]

    def _end(self, channel: int, code: int, signo: int) -> bytes:
        label, _, _ = self.execs[channel]
        self.execs[channel] = label, code, signo
        return _exit(channel, code, signo)

    def _known(self, channel: int) -> FieldList:
        label, code, signo = self.execs[channel]
        found: FieldList = [(Tag.EXEC, channel), (Tag.PID, 100 + channel), (Tag.LABEL, label)]
        found += [(Tag.RUNNING, int(code is None)), *((Tag.OFFSET, 0) for _ in range(3))]
        return found if code is None else [*found, (Tag.EXIT_CODE, code), (Tag.EXIT_SIGNAL, signo)]

    def _welcome(self, hello: Fields) -> FieldList:
        return [
            (Tag.NONCE, hello.bytes_(Tag.NONCE)),
            (Tag.VERSION, VERSION),
            (Tag.AGENT, "fake"),
            (Tag.BOOT, bytes.fromhex(self.boot)),
            (Tag.STATE, "running"),
            (Tag.KERNEL, "0"),
            (Tag.UPTIME_MS, 1),
        ]


def _exit(channel: int, code: int, signo: int) -> bytes:
    return encode_frame(Type.EXIT, channel, encode_fields([(Tag.EXIT_CODE, code), (Tag.EXIT_SIGNAL, signo)]))


class Vmm:
    """From its start to the end of its process."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.guest = Guest()
        self.disk = plan["disk"]
        self.runs = not plan["waits"]
        self.selector = selectors.DefaultSelector()
        self.control: socket.socket | None = None
        self.agent: socket.socket | None = None
        for name, accept in (("control", self._accept_control), ("agent", self._accept_agent)):
            listener = socket.socket(fileno=plan[name])
            self.selector.register(listener, selectors.EVENT_READ, (accept, listener))
        signal.signal(signal.SIGTERM, lambda *_: self.end("signalled"))

    def serve(self) -> None:
        while True:
            for key, _ in self.selector.select():
                act, connection = key.data
                try:
                    act(connection)
                except ConnectionError:  # its peer is gone: no VMM ends by that
                    self._drop(connection)

    def end(self, why: str) -> None:
        """Disks flushed."""
        fd = os.open(self.disk, os.O_RDONLY)
        os.fsync(fd)
        self._tell({"event": "end", "why": why})
        os._exit(0)

    def _accept_control(self, listener: socket.socket) -> None:
        self._drop(self.control)
        self.control, _ = listener.accept()
        self._buffer = b""
        self.selector.register(self.control, selectors.EVENT_READ, (self._hear, self.control))

    def _accept_agent(self, listener: socket.socket) -> None:
        self._drop(self.agent)
        self.agent, _ = listener.accept()
        self._reader, self._asked = FrameReader(), b""
        if self.runs:
            self.selector.register(self.agent, selectors.EVENT_READ, (self._carry, self.agent))

    def _drop(self, connection: socket.socket | None) -> None:
        if connection is not None:
            if connection in self.selector.get_map():
                self.selector.unregister(connection)
            connection.close()
        self.control = None if connection is self.control else self.control
        self.agent = None if connection is self.agent else self.agent

    def _hear(self, connection: socket.socket) -> None:
        data = connection.recv(65536)
        if not data:
            self._drop(connection)
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            try:
                answer = getattr(self, "do_" + command.pop("do"))(**command) or {}
            except Exception as exc:
                answer = {"error": f"{type(exc).__name__}: {exc}"}
            self._tell(answer)

    def _tell(self, message: dict[str, Any]) -> None:
        if self.control is not None:
            with contextlib.suppress(ConnectionError):
                self.control.sendall(json.dumps(message).encode() + b"\n")

    def _carry(self, connection: socket.socket) -> None:
        data = connection.recv(65536)
        if not data:
            self._drop(connection)
            return
        if not self._asked.endswith(b"\n"):
            line, newline, data = (self._asked + data).partition(b"\n")
            self._asked = line + newline
            if newline:
                connection.sendall(b"OK 1\n" if line == b"CONNECT %d" % PORT else b"NO\n")
        for frame in self._reader.feed(data):
            for answer in self.guest.answer(frame):
                connection.sendall(answer)
            if self.guest.goes_down:
                self.end(self.guest.goes_down)

    def do_state(self) -> dict[str, Any]:
        return {"state": "running" if self.runs else "paused"}

    def do_told(self) -> dict[str, Any]:
        return {"told": self.guest.told}

    def do_pause(self) -> None:
        if self.runs and self.agent is not None:
            self.selector.unregister(self.agent)
        self.runs = False

    def do_resume(self) -> None:
        if not self.runs and self.agent is not None:
            self.selector.register(self.agent, selectors.EVENT_READ, (self._carry, self.agent))
        self.runs = True

    def do_capture(self, path: str) -> None:
        self.do_pause()
        Path(path).write_text(json.dumps([self.guest.boot, self.guest.told, self.guest.execs]))

    def do_restore(self, path: str) -> None:
        self.guest.boot, self.guest.told, execs = json.loads(Path(path).read_text())
        self.guest.execs = {int(number): tuple(known) for number, known in execs.items()}

    def do_ask_guest_to_end(self) -> None:
        if not self.guest.is_deaf:
            self._tell({})
            self.end("powered_off")

    def do_quit(self) -> None:
        self._tell({})
        self.end("quit")


# A file system of nothing has some bytes that a test may write, and look for.
def written(disk: Path, place: int) -> int:
    """The number that is at a place of a disk."""
    with open(disk, "rb") as file:
        return int.from_bytes(os.pread(file.fileno(), 8, place * 8), "little")


def write(disk: Path, place: int, number: int) -> None:
    with open(disk, "r+b") as file:
        os.pwrite(file.fileno(), pack("<Q", number), place * 8)


if __name__ == "__main__":
    Vmm(json.loads(sys.argv[1])).serve()
