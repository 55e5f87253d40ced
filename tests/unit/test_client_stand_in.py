"""A stand-in for the daemon: HTTP and WebSocket on a Unix socket, in a thread, by uvicorn and starlette.

It stands in only where codec, transport and command line are tested on their own; real machines are
tested end to end. Its guest knows `cat`, `echo`, `sleep`, `size`, `size-stdin` and a few more.
"""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from banger.client.transport import dial, request

MACHINE = {
    "id": "m1",
    "name": "dev",
    "state": "running",
    "spec": {"image": "debian", "cpus": 2, "memory_mib": 512, "command": {"argv": ["sh"], "tty": False}},
    "created": "2020-01-01T00:00:00Z",
    "accel": "tcg",
    "address": "10.213.0.16",
    "network": {"ports": [{"bind": "127.0.0.1", "port": 8080, "guest_port": 80, "protocol": "tcp"}]},
    "exit": {"code": 3, "signal": 0, "timed_out": False},
    "a_field_of_the_future": 1,
}
OPERATION = {"id": "op1", "kind": "start", "target": "machine/dev", "state": "running", "begun": "x"}
IMAGE = {
    "name": "debian:12",
    "digest": "sha256:ab",
    "architecture": "amd64",
    "size_bytes": 1 << 30,
    "used_bytes": 1 << 20,
    "source": "built",
    "created": "2020-01-01T00:00:00Z",
}
KERNEL = IMAGE | {"name": "debian-cloud", "release": "6.1.0-cloud", "version": "6.1.2"}
SHAPE = {
    "format": 1,
    "image_digest": "sha256:ab",
    "kernel_digest": "sha256:cd",
    "initramfs": "ef",
    "driver": "qemu",
    "driver_build": "7.2",
    "host_cpu": "EPYC",
    "accel": "tcg",
    "cpus": 2,
    "memory_mib": 512,
    "init": "agent",
    "disk_bytes": 4 << 30,
}
TEMPLATE = {
    "id": "4be1c07d5a7799aa" * 4,
    "image": "debian:12",
    "kernel": "debian-cloud",
    "shape": SHAPE,
    "created": "2020-01-01T00:00:00Z",
    "used": "2020-01-01T00:00:00Z",
    "boot_ms": 1800.0,
    "size_bytes": 90 << 20,
    "ready": 2,
}
SNAPSHOT = {
    "id": "s1",
    "machine": "dev",
    "tag": "one",
    "created": "2020-01-01T00:00:00Z",
    "image": "debian:12",
    "kernel": "debian-cloud",
    "shape": SHAPE,
    "spec": MACHINE["spec"],
    "size_bytes": 120 << 20,
    "digest": "sha256:12",
}
PIECE = 64 * 1024


class Guest:
    """One command on a stream. `said` keeps the control messages of the client."""

    def __init__(self, socket: WebSocket, stand_in: StandIn) -> None:
        self.socket = socket
        self.stand_in = stand_in
        self.consumed = 0
        self.detached = False

    async def say(self, kind: str, **fields: object) -> None:
        await self.socket.send_text(json.dumps({"type": kind, **fields}))

    async def hear(self) -> bytes | None:
        """A piece of stdin; nothing at its end."""
        while True:
            message = await self.socket.receive()
            if message["type"] == "websocket.disconnect":
                self.stand_in.disconnects += 1
                raise WebSocketDisconnect(1006)
            if message.get("bytes") is not None:
                data: bytes = message["bytes"]
                assert data[0] == 0
                self.stand_in.uncredited += len(data) - 1
                assert self.stand_in.uncredited <= 1024 * 1024
                return data[1:]
            said = json.loads(message["text"])
            self.stand_in.said.append(said)
            if said["type"] == "stdin_eof":
                return None
            if said["type"] == "detach":
                self.detached = True
                return None
            if said["type"] == "signal" and said["signal"] != 10:
                raise InterruptedError(said["signal"])
            if said["type"] == "resize":
                await self.write(1, f"{said['rows']}x{said['cols']}\r\n".encode())

    async def write(self, channel: int, data: bytes) -> None:
        for at in range(0, len(data), PIECE):
            await self.socket.send_bytes(bytes((channel,)) + data[at : at + PIECE])

    async def credit(self, size: int) -> None:
        self.consumed += size
        self.stand_in.uncredited -= size
        await self.say("credit", consumed=self.consumed)

    async def run(self, argv: list[str]) -> int:
        name = argv[0] if argv else "cat"
        if name == "echo":
            await self.write(1, " ".join(argv[1:]).encode() + b"\n")
        elif name == "warn":
            await self.write(2, " ".join(argv[1:]).encode() + b"\n")
        elif name == "exit":
            return int(argv[1])
        elif name == "flood":
            await self.write(1, b"x" * int(argv[1]))
        elif name in ("sleep", "wait"):
            await self.write(1, b"up\n" if name == "wait" else b"")
            await self._sleep()
        elif name == "cat":
            await self._cat()
        return 0

    async def _sleep(self) -> None:
        while not self.detached:
            await self.hear()

    async def _cat(self) -> None:
        while (data := await self.hear()) is not None:
            await self.write(1, data)
            await self.credit(len(data))


class StandIn:
    """What the server was asked and how it answers. `version` is its Banger-Version."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.version = "0.1.0"
        self.said: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []
        self.calls: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        self.uncredited = 0
        self.disconnects = 0
        self.progress: list[dict[str, Any]] = []
        self.progress_delay_s = 0.0
        self.followed = 0  # how often an operation was watched
        self.answers: dict[tuple[str, str], Any] = {
            ("GET", "/v1/system"): {"version": "0.1.0", "pid": 1, "drivers": ["qemu"]},
            ("POST", "/v1/system/shutdown"): None,
            ("GET", "/v1/machines"): [MACHINE],
            ("POST", "/v1/machines"): MACHINE,
            ("GET", "/v1/machines/dev"): MACHINE,
            ("DELETE", "/v1/machines/dev"): None,
            ("POST", "/v1/machines/dev/start"): OPERATION,
            ("POST", "/v1/machines/dev/stop"): OPERATION,
            ("POST", "/v1/machines/dev/restart"): OPERATION,
            ("POST", "/v1/machines/dev/kill"): None,
            ("POST", "/v1/machines/dev/pause"): MACHINE,
            ("POST", "/v1/machines/dev/resume"): MACHINE,
            ("POST", "/v1/machines/dev/snapshot"): OPERATION,
            ("POST", "/v1/machines/dev/restore"): OPERATION,
            ("POST", "/v1/machines/dev/fork"): OPERATION,
            ("POST", "/v1/machines/dev/commit"): OPERATION,
            ("GET", "/v1/machines/dev/wait"): MACHINE,
            ("GET", "/v1/machines/dev/health"): {
                "agent": {"ok": True, "message": "1.0"},
                "init": {"ok": True, "message": "agent"},
                "clock": {"ok": True, "message": "right"},
                "vmm": {"ok": False, "message": "\x1b[31mgone"},
            },
            ("GET", "/v1/machines/dev/ping"): {"round_trips_ms": [1.0, 3.0, 2.0]},
            ("GET", "/v1/machines/dev/stats"): {"guest": {"load": 1}, "vmm": {"rss": 2}},
            ("GET", "/v1/machines/dev/ports"): [
                {"protocol": "tcp", "address": "0.0.0.0", "port": 80, "pid": 7, "process": "ngi\x1b[2Jnx"}
            ],
            ("GET", "/v1/machines/dev/execs"): [{"id": 4, "argv": ["sh"]}],
            ("POST", "/v1/machines/dev/execs"): {"id": 4, "argv": ["sh"]},
            ("GET", "/v1/machines/dev/logs"): b"line one\nline two\n",
            ("GET", "/v1/operations"): [OPERATION],
            ("GET", "/v1/operations/op1"): OPERATION,
            ("POST", "/v1/operations/op1/cancel"): OPERATION | {"state": "cancelled"},
            ("GET", "/v1/images"): [IMAGE],
            ("GET", "/v1/images/debian:12"): IMAGE,
            ("DELETE", "/v1/images/debian:12"): None,
            ("POST", "/v1/images/pull"): OPERATION,
            ("GET", "/v1/kernels"): [KERNEL],
            ("GET", "/v1/kernels/debian-cloud"): KERNEL,
            ("DELETE", "/v1/kernels/debian-cloud"): None,
            ("POST", "/v1/kernels/pull"): OPERATION,
            ("GET", "/v1/templates"): [TEMPLATE],
            ("GET", "/v1/templates/4be1"): TEMPLATE,
            ("DELETE", "/v1/templates/4be1"): None,
            ("POST", "/v1/templates/prune"): {"count": 2, "freed_bytes": 3 << 29, "directory": "/t"},
            ("GET", "/v1/snapshots"): [SNAPSHOT],
            ("GET", "/v1/snapshots/dev/one"): SNAPSHOT,
            ("DELETE", "/v1/snapshots/dev/one"): None,
            ("GET", "/v1/snapshots/dev/one/export"): b"frozen" * 100_000,
            ("PUT", "/v1/snapshots/import"): SNAPSHOT,
        }
        self.ended_operation: dict[str, Any] = OPERATION | {"state": "succeeded", "result": "debian:12"}

    def app(self) -> Starlette:
        methods = ["GET", "POST", "PUT", "DELETE"]
        return Starlette(
            routes=[
                WebSocketRoute("/v1/run", self._stream),
                WebSocketRoute("/v1/machines/{name}/exec", self._stream),
                WebSocketRoute("/v1/machines/{name}/attach", self._stream),
                Route("/v1/operations/{id}/events", self._events),
                Route("/{path:path}", self._answer, methods=methods),
            ]
        )

    async def _answer(self, asked: Request) -> Response:
        self.calls.append((asked.method, asked.url.path + (f"?{asked.url.query}" if asked.url.query else "")))
        headers = {"Banger-Version": self.version}
        answer = self.answers.get((asked.method, asked.url.path), KeyError)
        if callable(answer) and answer is not KeyError:
            made: Response = await answer(asked)
            return made
        self.bodies.append(await asked.body())
        if answer is KeyError:
            error = {"code": "machine_not_found", "message": f"nothing at {asked.url.path}", "hint": "look"}
            return JSONResponse({"error": error}, 404, headers)
        if answer is None:
            return Response(status_code=204, headers=headers)
        if isinstance(answer, bytes):
            return Response(answer, headers=headers)
        return JSONResponse(answer, headers=headers)

    async def _events(self, asked: Request) -> Response:
        self.followed += 1

        async def lines() -> Any:
            for step in self.progress:
                yield json.dumps(step).encode() + b"\n"
                await asyncio.sleep(self.progress_delay_s)
            yield json.dumps({"operation": self.ended_operation}).encode() + b"\n"

        return StreamingResponse(lines(), headers={"Banger-Version": self.version})

    async def _stream(self, socket: WebSocket) -> None:
        await socket.accept(headers=[(b"banger-version", self.version.encode())])
        try:
            await self._converse(socket)
            await socket.close()
        except WebSocketDisconnect:
            self.disconnects += 1

    async def _converse(self, socket: WebSocket) -> None:
        asked = json.loads(await socket.receive_text())
        self.requests.append(asked)
        guest = Guest(socket, self)
        self.uncredited = 0
        spec = asked.get("spec", {})
        for step in self.progress:
            await guest.say("progress", **step)
            await asyncio.sleep(self.progress_delay_s)
        if spec:
            await guest.say("machine", machine=MACHINE)
        if asked.get("detach"):
            await guest.say("detached", machine="dev")
            return
        command = asked.get("command") or spec.get("command") or {}
        argv = command.get("argv", [])
        if argv[:1] == ["missing"]:
            error = {"code": "command_not_found", "message": "there is no missing", "hint": ""}
            await guest.say("error", error=error)
            return
        if argv[:1] == ["never-started"]:
            await guest.hear()
        if argv[:1] == ["hang-up"]:
            return
        await guest.say("started", exec=1, pid=100)
        try:
            code = await guest.run(argv)
        except InterruptedError as exc:
            await guest.say("exit", code=128 + exc.args[0], signal=exc.args[0], timed_out=False)
            return
        if guest.detached:
            await guest.say("detached", machine="dev")
            return
        await guest.say("exit", code=code, signal=0, timed_out=False, timings_ms={"run": 1.5, "total": 9.0})


@contextmanager
def running(directory: Path) -> Iterator[StandIn]:
    """A stand-in that listens on `directory`/banger.sock."""
    stand_in = StandIn(directory / "banger.sock")
    config = uvicorn.Config(
        stand_in.app(),
        uds=str(stand_in.path),
        log_level="error",
        lifespan="off",
        ws="websockets-sansio",
        ws_max_queue=4,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            threading.Event().wait(0.01)
        yield stand_in
    finally:
        server.should_exit = True
        thread.join(10)


def test_the_stand_in_answers(tmp_path: Path) -> None:
    with running(tmp_path) as stand_in:
        answer = request(dial(str(stand_in.path)), "GET", "/v1/system")
        assert answer.status == 200
        assert json.loads(answer.read())["pid"] == 1
