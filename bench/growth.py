"""What one list, one creation and one deletion take with 10, 100 and 500 machines, one after the other on one
connection. The machines are created, not running."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from bench.noise import Sample, ratio, sample, timed_ms
from bench.place import IMAGE, bare_daemon, create_machines, delete_machines
from bench.table import Row

SIZES = (10, 100, 500)
ROUNDS = 3
OPERATIONS = 40
VERBS = ("list", "create", "delete")
# What is done to one machine should not depend on how many others there are.
_MOST = 1.5


def measure() -> list[Row]:
    taken: dict[tuple[str, int], list[float]] = {(verb, size): [] for verb in VERBS for size in SIZES}
    with bare_daemon(), _line() as line:
        for _ in range(ROUNDS):
            there = 0
            for size in SIZES:
                create_machines(size - there, prefix=f"up-to-{size}")
                there = size
                for verb, values in _turn(line).items():
                    taken[verb, size].append(sample(values).median)
            delete_machines()
    found = {key: Sample(tuple(values)) for key, values in taken.items()}
    rows = [Row(f"{verb}, with {size} machines", "ms", found[verb, size]) for verb in VERBS for size in SIZES]
    few, many = SIZES[0], SIZES[-1]
    return rows + [
        Row(
            f"{verb}: with {many} machines over {few}",
            "x",
            ratio(found[verb, many], found[verb, few]),
            aim=None if verb == "list" else _MOST,
        )
        for verb in VERBS
    ]


def _turn(line: http.client.HTTPConnection) -> dict[str, list[float]]:
    """Some operations of each kind; one machine comes and goes."""
    taken: dict[str, list[float]] = {verb: [] for verb in VERBS}
    spec = json.dumps({"image": IMAGE, "name": "one-more"})
    for _ in range(OPERATIONS):
        taken["list"].append(timed_ms(partial(_ask, line, "GET", "/v1/machines")))
        taken["create"].append(timed_ms(partial(_ask, line, "POST", "/v1/machines", spec)))
        taken["delete"].append(timed_ms(partial(_ask, line, "DELETE", "/v1/machines/one-more")))
    return taken


def _ask(line: http.client.HTTPConnection, method: str, path: str, body: str | None = None) -> None:
    line.request(method, path, body)
    answer = line.getresponse()
    said = answer.read()
    if answer.status >= 300:
        raise SystemExit(f"bench: {method} {path}: {said.decode()}")


@contextmanager
def _line() -> Iterator[http.client.HTTPConnection]:
    """A connection that stays."""
    from banger.places import socket_path

    line = http.client.HTTPConnection("localhost")
    line.sock = socket.socket(socket.AF_UNIX)
    line.sock.connect(socket_path())
    try:
        yield line
    finally:
        line.close()
