"""The daemon's memory before and after 100,000 requests of many kinds, which clients in a process of their own send on
some connections at once: lists, single records, events, errors, machines that come and go, connections that end.

Memory is the daemon's part of what is in no file (PSS): files of programs count less as soon as another process maps
them, too. "Before" is after a warm-up with the same requests. Before that, machines come and go until SQLite's cache of
2 MB is full, as it is in a daemon that has run for long.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import sys
import time

from banger.places import socket_path
from bench.noise import sample
from bench.place import IMAGE, bare_daemon, call, create_machines, delete_machines, proportional_mb
from bench.table import Row

REQUESTS = 100_000
WARM_UP = 5_000
# Machines that fill the cache: so many at a time, so often.
FILLING = (500, 9)
MACHINES = 20
CLIENTS = 4
PARTS = 10
# A connection is used for so many requests.
_REUSED = 50
_SETTLE_S = 1.0
# Below half a megabyte: a leak of five bytes a request would be more.
_MOST = 1.015


def measure() -> list[Row]:
    with bare_daemon() as daemon:
        for _ in range(FILLING[1]):
            create_machines(FILLING[0])
            delete_machines()
        create_machines(MACHINES)
        _send(WARM_UP)
        before = _settled_mb(daemon)
        begun, after = time.monotonic(), []
        for _ in range(PARTS):
            _send(REQUESTS // PARTS)
            after.append(_settled_mb(daemon))
        took_s = time.monotonic() - begun
    what = f"daemon after {REQUESTS:,} requests"
    return [
        Row(f"daemon after {WARM_UP:,} requests, memory", "MB", sample([before])),
        Row(f"{what}, memory", "MB", sample(after)),
        Row(f"{what}: the last over the first", "x", sample([after[-1] / before]), aim=_MOST),
        Row("requests of many kinds", "/s", sample([REQUESTS / took_s])),
    ]


def _settled_mb(daemon: int) -> float:
    time.sleep(_SETTLE_S)
    return proportional_mb(daemon, "Pss_Anon")


def _send(count: int) -> None:
    call(sys.executable, "-m", "bench.endurance", socket_path(), str(count))


def _work(path: str, client: int, count: int) -> None:
    """The part of one client: so many requests, one after the other."""
    line = _connect(path)
    for number in range(count):
        if number % _REUSED == _REUSED - 1:
            line.close()
            line = _connect(path)
        method, target, body = _request(client, number)
        line.request(method, target, body)
        answer = line.getresponse()
        answer.read()
        if answer.status >= 500:
            raise SystemExit(f"{method} {target}: {answer.status}")
    line.close()


def _request(client: int, number: int) -> tuple[str, str, str | None]:
    """Of 20 requests one makes a machine and one deletes it, three list, two are refused."""
    step, name = number % 20, f"passing-{client}-{number // 20}"
    if step == 0:
        return "POST", "/v1/machines", json.dumps({"image": IMAGE, "name": name, "labels": {"of": "a bench"}})
    if step == 10:
        return "DELETE", f"/v1/machines/{name}", None
    others = {
        3: "/v1/machines",
        6: "/v1/machines/of-nobody",
        9: "/v1/operations",
        12: "/v1/events?after=1000000000",
        15: "/v1/images",
        18: "/v1/machines?unknown=\\",
    }
    return "GET", others.get(step, f"/v1/machines/made-{number % MACHINES}"), None


def _connect(path: str) -> http.client.HTTPConnection:
    line = http.client.HTTPConnection("localhost")
    line.sock = socket.socket(socket.AF_UNIX)
    line.sock.connect(path)
    return line


async def _all(path: str, count: int) -> None:
    await asyncio.gather(*(asyncio.to_thread(_work, path, n, count // CLIENTS) for n in range(CLIENTS)))


if __name__ == "__main__":
    asyncio.run(_all(sys.argv[1], int(sys.argv[2])))
