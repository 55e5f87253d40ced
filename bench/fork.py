"""A running machine of 512 MiB forked into ten, until all of them have answered; and how long it stood still for that.

A guest's clock stands still with it, so a loop in the guest writes a byte every 5 ms and the host's clock says when
each came. The largest gap without a fork shows what of it is the way from there to here. That loop goes on in the
children, so it has rounds of its own.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise

from banger.client.sync import Client
from bench.noise import sample
from bench.place import BANGER, ask, banger, delete_machines, machine, own_daemon
from bench.table import Row

ROUNDS = 5
PARENT = "parent"
_TICKS = 'syswrite STDOUT, "." while select(undef, undef, undef, 0.005) == 0'


def measure(count: int = 10) -> list[Row]:
    answered, commands, calm, gaps = [], [], [], []
    with own_daemon(), machine(PARENT):
        for _ in range(ROUNDS):
            ping_s, command_s = _fork_s(count)
            answered.append(ping_s)
            commands.append(command_s)
        for _ in range(ROUNDS):
            with open_ticks() as ticks:
                begun = time.perf_counter()
                time.sleep(1)
                calm.append(ticks.largest_gap_ms(begun))
                begun = time.perf_counter()
                banger("vm", "fork", "--count", str(count), PARENT)
                gaps.append(ticks.largest_gap_ms(begun))
            delete_machines(keep=PARENT)
    return [
        Row(f"vm fork --count {count}, until all have answered a ping", "s", sample(answered), aim=1),
        Row(f"vm fork --count {count}, until all have run a command", "s", sample(commands)),
        Row("parent: the largest gap of its output in a second without a fork", "ms", sample(calm)),
        Row("parent: the largest gap of its output while it is forked", "ms", sample(gaps)),
    ]


def _fork_s(count: int) -> tuple[float, float]:
    """From the start of the process to the last answer to a ping, and to the last exit of a command."""
    begun = time.perf_counter()
    banger("vm", "fork", "--count", str(count), PARENT)
    children = [f"{PARENT}-{number + 1}" for number in range(count)]
    for child in children:
        ask(f"/v1/machines/{child}/ping?count=1")
    ping_s = time.perf_counter() - begun
    client = Client()
    with ThreadPoolExecutor(count) as threads:
        for run in threads.map(lambda child: client.machines.exec(child, ["true"]), children):
            run.check()
    command_s = time.perf_counter() - begun
    delete_machines(keep=PARENT)
    return ping_s, command_s


class Ticks:
    """When output came, by the host's clock."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._times: list[float] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def largest_gap_ms(self, since: float) -> float:
        """From then until the next byte that comes after now."""
        seen = len(self._times)
        while len(self._times) == seen and self._reader.is_alive():
            time.sleep(0.001)
        times = [since, *(moment for moment in self._times if moment > since)]
        if len(times) < 10:
            raise SystemExit("bench: the loop in the parent does not write")
        return max(after - before for before, after in pairwise(times)) * 1000

    def wait(self) -> None:
        """Until they come steadily."""
        while len(self._times) < 50 and self._reader.is_alive():
            time.sleep(0.01)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._reader.join()

    def _read(self) -> None:
        assert self._process.stdout
        while os.read(self._process.stdout.fileno(), 65536):
            self._times.append(time.perf_counter())


@contextmanager
def open_ticks() -> Iterator[Ticks]:
    """Of the parent; begins when they come."""
    argv = [BANGER, "vm", "exec", PARENT, "--", "perl", "-e", _TICKS]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        ticks = Ticks(process)
        try:
            ticks.wait()
            yield ticks
        finally:
            ticks.close()
