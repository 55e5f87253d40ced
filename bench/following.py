"""Followers of the daemon's events in a process of their own: `python -m bench.following SOCKET COUNT read`. It says
`ready`, then a line for each created machine of which all have heard, and when its input ends, how much they heard in
all. With `idle` in place of `read` the followers ask for all events and read none.
"""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import subprocess
import sys
import time
from dataclasses import dataclass
from types import TracebackType
from typing import IO

from banger.places import socket_path

_LIMIT_S = 20.0
_SETTLE_S = 0.5


@dataclass(frozen=True)
class Arrival:
    """Milliseconds from before the request that caused an event, until the first follower and until the last has it."""

    first_ms: float
    last_ms: float


class Followers:
    """Connected from the beginning of a `with` to its end."""

    def __init__(self, count: int, *, read: bool = True) -> None:
        self.count = count
        self._read = read

    def __enter__(self) -> Followers:
        words = (socket_path(), str(self.count), "read" if self._read else "idle")
        argv = (sys.executable, "-m", "bench.following", *words)
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        if self._line() != "ready":
            raise SystemExit("bench: the followers do not begin")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._pipe(self._process.stdin).close()
        self._process.wait(_LIMIT_S)

    def arrival(self, begun: float) -> Arrival | None:
        """When the next event that all hear came; None if it does not come. `begun` is of the monotonic clock."""
        words = (self._line() or "").split()
        return Arrival(*((float(word) - begun) * 1000 for word in words)) if len(words) == 2 else None

    def _line(self) -> str | None:
        out = self._pipe(self._process.stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            return out.readline().strip() if selector.select(_LIMIT_S) else None

    @staticmethod
    def _pipe(pipe: IO[str] | None) -> IO[str]:
        assert pipe is not None
        return pipe


class _Crowd:
    """What all followers heard: for each line how many have it, and since when the first has."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.ready = asyncio.Event()
        self._ready = 0
        self._heard: dict[bytes, tuple[int, float]] = {}

    def join(self) -> None:
        self._ready += 1
        if self._ready == self.count:
            self.ready.set()

    def hear(self, line: bytes, now: float) -> None:
        if b'"machine.created"' not in line:
            return
        count, first = self._heard.get(line, (0, now))
        self._heard[line] = (count + 1, first)
        if count + 1 == self.count:
            del self._heard[line]
            print(f"{first} {now}", flush=True)


class _Follower(asyncio.Protocol):
    def __init__(self, crowd: _Crowd, read: bool) -> None:
        self._crowd, self._read = crowd, read
        self._rest = b""
        self._joined = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        after = "" if self._read else "&after=0"
        transport.write(f"GET /v1/events?follow=true{after} HTTP/1.1\r\nHost: banger\r\n\r\n".encode())
        if not self._read:
            transport.pause_reading()
            self._crowd.join()

    def data_received(self, data: bytes) -> None:
        now = time.monotonic()
        if not self._joined:
            self._joined = True
            self._crowd.join()
        # Lines of the chunks are among the lines of the answer, and begin otherwise.
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line.startswith(b"{"):
                self._crowd.hear(line, now)


async def _follow(socket: str, count: int, read: bool) -> None:
    crowd, loop = _Crowd(count), asyncio.get_running_loop()
    made = [await loop.create_unix_connection(lambda: _Follower(crowd, read), socket) for _ in range(count)]
    await crowd.ready.wait()
    await asyncio.sleep(_SETTLE_S)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for transport, _ in made:
        transport.abort()


if __name__ == "__main__":
    asyncio.run(_follow(sys.argv[1], int(sys.argv[2]), sys.argv[3] == "read"))
