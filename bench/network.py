"""What keeper and relay cost: machines on taps against machines on QEMU's user NAT, in turns, with the policy `host`
on both sides.

Where one side is missing, the rows of the other stand alone. So do those of published ports, which only a machine on a
tap has.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from banger.host.fs import inode_of
from banger.host.paths import Paths
from banger.host.proc import all_marked, working_inode
from banger.host.spawn import MARKER
from banger.network.programs import NAMES
from bench import traffic
from bench.noise import Sample, difference, in_turns, ratio, sample, timed_ms
from bench.place import IMAGE, ask, banger, delete_machines, poll, wait_for_clone
from bench.run import Runs
from bench.sides import NAT, TAP, Side, open_sides
from bench.table import Row

MACHINE, PEER, SNAPSHOT = "network", "peer", "before"
NETWORK = "bench"
POLICY = ("--network", "host")
PORT, SINK_PORT = 8000, 8001
REST_S = 0.2
MB = 1e6


@dataclass(frozen=True)
class Amounts:
    """How much is done. Streams, echoes and restores are repeated `rounds` times on each side."""

    rounds: int = 5
    stream_bytes: int = 24 << 20
    echoes: int = 30
    connections: int = 1000
    at_once: int = 200
    runs: int = 20


def measure(count: int = Amounts.runs) -> list[Row]:
    """`count` warm runs on each side."""
    with open_sides() as sides:
        return compare(sides, Amounts(runs=count))


def compare(sides: Sequence[Side], amounts: Amounts) -> list[Row]:
    with ExitStack() as stack:
        for side in sides:
            stack.enter_context(_machine(side))
        rows = _streams(sides, amounts) + _echoes(sides, amounts)
        for side in sides:
            if side.name == TAP:
                rows += _published(side, amounts) + _between_guests(side, amounts)
        rows += _restores(sides, amounts)
    return rows + _warm_runs(sides, amounts)


@contextmanager
def _machine(side: Side) -> Iterator[None]:
    """One that runs; on a tap, with a server behind a published port."""
    publish = ("-p", f"0:{PORT}") if side.name == TAP else ()
    with side.entered():
        banger("vm", "run", "-d", *POLICY, *publish, "--name", MACHINE, IMAGE, "--", "sleep", "infinity")
    try:
        yield
    finally:
        with side.entered():
            delete_machines()


def _on_each(sides: Sequence[Side], action: Callable[[Side], float], turns: int) -> dict[str, Sample]:
    def on(side: Side) -> float:
        with side.entered():
            return action(side)

    return in_turns({side.name: partial(on, side) for side in sides}, turns)


def _streams(sides: Sequence[Side], amounts: Amounts) -> list[Row]:
    size = amounts.stream_bytes
    return [
        *_stream_rows(
            sides, "sends to", lambda side: traffic.send_s(MACHINE, side.gateway, size), amounts, 1 / 4
        ),
        *_stream_rows(
            sides,
            "receives from",
            lambda side: traffic.receive_s(MACHINE, side.gateway, size),
            amounts,
            1 / 1.5,
        ),
    ]


def _stream_rows(
    sides: Sequence[Side], verb: str, move_s: Callable[[Side], float], amounts: Amounts, aim: float
) -> list[Row]:
    taken = _on_each(sides, move_s, amounts.rounds)
    what = f"network: a guest {verb} the host"
    rows = [
        Row(
            f"{what}, {name}",
            "MB/s",
            sample([amounts.stream_bytes / MB / moved_s for moved_s in times.values]),
        )
        for name, times in taken.items()
    ]
    return rows + _compared(f"{what}, time on a tap over that of user NAT", taken, aim)


def _compared(name: str, taken: dict[str, Sample], aim: float | None = None) -> list[Row]:
    return [Row(name, "x", ratio(taken[TAP], taken[NAT]), aim)] if NAT in taken else []


def _echoes(sides: Sequence[Side], amounts: Amounts) -> list[Row]:
    taken = _on_each(
        sides, lambda side: traffic.echo_ms(MACHINE, side.gateway, amounts.echoes), amounts.rounds
    )
    rows = [Row(f"network: connect and echo, {name}", "ms", times) for name, times in taken.items()]
    return rows + _compared("network: connect and echo, a tap over user NAT", taken)


def _published(side: Side, amounts: Amounts) -> list[Row]:
    with side.entered():
        banger("vm", "exec", "-d", MACHINE, "--", "perl", "-e", traffic.SERVER, str(PORT))
        (port,) = (rule["port"] for rule in ask(f"/v1/machines/{MACHINE}")["network"]["ports"])
        poll("the server in the guest", lambda: traffic.ask(port, 1)[0] == 0)
        failed, one_ms = traffic.ask(port, amounts.connections)
        with traffic.asked_at_once(port, amounts.at_once) as (failed_at_once, all_ms):
            private_mb = {name: _private_mb(pid) for name, pid in _guards().items()}
    each, together = f"{amounts.connections} short connections", f"{amounts.at_once} connections at once"
    return [
        Row(f"published port: of {each}, those that failed", "", sample([failed]), aim=0),
        Row(f"published port: one of {each}", "ms", sample([one_ms])),
        Row(f"published port: of {together}, those that failed", "", sample([failed_at_once]), aim=0),
        Row(f"published port: {together}, all of them", "ms", sample([all_ms])),
        *(
            Row(f"{name}, private memory with {together}", "MB", sample([mb]))
            for name, mb in private_mb.items()
        ),
        Row("keeper and relay, private memory", "MB", sample([sum(private_mb.values())]), aim=8),
    ]


def _between_guests(side: Side, amounts: Amounts) -> list[Row]:
    """On a named network, which only machines on taps have."""
    with side.entered(), _peer() as address:
        sent, echoes = [], []
        for _ in range(amounts.rounds):
            moved_s = traffic.send_to_peer_s(
                MACHINE, side.gateway, (address, SINK_PORT), amounts.stream_bytes
            )
            sent.append(amounts.stream_bytes / MB / moved_s)
            echoes.append(traffic.echo_of_peer_ms(MACHINE, side.gateway, (address, PORT), amounts.echoes))
    return [
        Row("network: a guest sends to another guest", "MB/s", sample(sent)),
        Row("network: connect and echo between guests", "ms", sample(echoes)),
    ]


@contextmanager
def _peer() -> Iterator[str]:
    """The address of another guest on a network with the machine, with its servers."""
    banger("network", "create", NETWORK)
    banger("network", "connect", NETWORK, MACHINE)
    options = ("--network", NETWORK, "--name", PEER)
    banger("vm", "run", "-d", *options, IMAGE, "--", "perl", "-e", traffic.SERVER, str(PORT))
    banger("vm", "exec", "-d", PEER, "--", "perl", "-e", traffic.SINK, str(SINK_PORT))
    try:
        yield str(ask(f"/v1/machines/{PEER}")["address"])
    finally:
        banger("vm", "rm", "-f", PEER)
        banger("network", "disconnect", NETWORK, MACHINE)
        banger("network", "delete", NETWORK)


def _guards() -> dict[str, int]:
    """The programs of the network of the home that is entered, and their processes."""
    place = inode_of(Paths.user().network)
    found = {
        marker: process.pid
        for process, marker in all_marked(MARKER)
        if marker in NAMES and working_inode(process) == place
    }
    if len(found) != len(NAMES):
        raise SystemExit(f"bench: found only {[*found]} of {[*NAMES]}")
    return found


def _private_mb(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024 / MB


def _restores(sides: Sequence[Side], amounts: Amounts) -> list[Row]:
    with ExitStack() as stack:
        for side in sides:
            stack.enter_context(_snapshot(side))
        taken = _on_each(
            sides, lambda _: timed_ms(partial(banger, "vm", "restore", MACHINE, SNAPSHOT)), amounts.rounds
        )
    rows = [Row(f"network: banger vm restore, {name}", "ms", times) for name, times in taken.items()]
    return rows + _added("network: vm restore, what a tap adds to user NAT", taken)


@contextmanager
def _snapshot(side: Side) -> Iterator[None]:
    """Of the machine; one that an earlier bench left is deleted first."""
    with side.entered():
        _delete_snapshots()
        banger("vm", "snapshot", MACHINE, SNAPSHOT)
    try:
        yield
    finally:
        with side.entered():
            _delete_snapshots()


def _delete_snapshots() -> None:
    for found in ask("/v1/snapshots"):
        banger("snapshot", "delete", found["machine"], found["tag"])


def _warm_runs(sides: Sequence[Side], amounts: Amounts) -> list[Row]:
    """Once a clone waits on each side, and neither has anything else to do."""
    runs = {side.name: Runs(*POLICY) for side in sides}

    def run(side: Side) -> float:
        for other in sides:
            with other.entered():
                wait_for_clone()
        time.sleep(REST_S)
        return runs[side.name].whole_ms()

    taken = _on_each(sides, run, amounts.runs)
    rows = [Row(f"network: warm run, a whole process, {name}", "ms", times) for name, times in taken.items()]
    rows += _added("network: warm run, what a tap adds to user NAT", taken, aim=2)
    phases = {name: runs[name].phase_rows(f"network: warm run, {name}", amounts.runs) for name in taken}
    identity = {
        name: row.sample for name, told in phases.items() for row in told if row.name.endswith("identity")
    }
    rows += _added("network: warm run, what a tap adds to the phase identity", identity)
    return rows + [row for told in phases.values() for row in told]


def _added(name: str, taken: dict[str, Sample], aim: float | None = None) -> list[Row]:
    return [Row(name, "ms", difference(taken[TAP], taken[NAT]), aim)] if NAT in taken else []
