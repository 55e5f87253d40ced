"""Requests at a fixed rate, from a process of its own: each is sent at its time, whether or not earlier ones have been
answered. What a request took counts from the time at which it was due, so that a stall of the daemon delays all that
fall into it, and is not left out because the client waited, too.

`python -m bench.openloop SOCKET PATH RATE SECONDS` prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field

from banger.places import socket_path
from bench.noise import Sample

AT_ONCE = 100
_BUFFER_BYTES = 4 << 20
_BEGINS_IN_S = 0.2


@dataclass(frozen=True)
class Load:
    """`taken` has the milliseconds of all requests, from when they were due until the last byte of the answer; `late`
    how much later than due they were sent; `failed` counts those without a success."""

    taken: Sample
    late: Sample
    failed: int


@dataclass
class _Heard:
    taken: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    failed: int = 0


class Loader:
    """A running load of the daemon at this socket, in a process of its own."""

    def __init__(self, path: str, rate: int, seconds: float, socket: str = "") -> None:
        numbers = (str(rate), str(seconds))
        argv = (sys.executable, "-m", "bench.openloop", socket or socket_path(), path, *numbers)
        self._process = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)

    @property
    def runs(self) -> bool:
        return self._process.poll() is None

    def result(self) -> Load:
        """Waits until all are answered."""
        said, _ = self._process.communicate()
        if self._process.returncode:
            raise SystemExit(f"bench: the load ended with {self._process.returncode}")
        heard = json.loads(said)
        return Load(Sample(tuple(heard["taken"])), Sample(tuple(heard["late"])), heard["failed"])


class _Line:
    """A connection to the daemon, for one request after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def get(self, path: str) -> int:
        """The status, when the whole answer is here. Its length must be in its head."""
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: banger\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        await self._reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
        return int(head.split()[1])

    def close(self) -> None:
        self._writer.close()


async def _load(socket: str, path: str, rate: int, seconds: float) -> _Heard:
    heard, free = _Heard(), list[_Line]()
    turns, clock = asyncio.Semaphore(AT_ONCE), time.perf_counter

    async def one(due: float) -> None:
        async with turns:
            line = (
                free.pop()
                if free
                else _Line(*await asyncio.open_unix_connection(socket, limit=_BUFFER_BYTES))
            )
            heard.late.append((clock() - due) * 1000)
            try:
                status = await line.get(path)  # not within the addition: others count meanwhile
                heard.failed += status >= 300
                free.append(line)
            except (OSError, EOFError):
                heard.failed += 1
                line.close()
            heard.taken.append((clock() - due) * 1000)

    begun = clock() + _BEGINS_IN_S
    async with asyncio.TaskGroup() as group:
        for number in range(round(rate * seconds)):
            due = begun + number / rate
            await asyncio.sleep(max(0.0, due - clock()))
            group.create_task(one(due))
    for line in free:
        line.close()
    return heard


def main() -> None:
    socket, path, rate, seconds = sys.argv[1:]
    heard = asyncio.run(_load(socket, path, int(rate), float(seconds)))
    print(json.dumps({"taken": heard.taken, "late": heard.late, "failed": heard.failed}))


if __name__ == "__main__":
    main()
