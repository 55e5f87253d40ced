"""What keeper and relay of one home have, and whether it is what the machines there need: taps with their addresses,
what the relay was told, published ports, and a host that stays closed to guests."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import NamedTuple

from banger.client.sync import Client
from banger.host.packets import PacketConnection
from banger.host.proc import ProcessRef, all_marked, working_directory
from banger.host.spawn import MARKER
from banger.machines.life.passage import key_of
from banger.model.machine import Machine
from banger.network.keeper import HeldTap, Keeper
from banger.network.programs import NAMES
from banger.network.relay import Listed, Relay
from tests.crash.model import ALIVE, Violation

GATEWAY = "10.213.0.1"
_LOST = "no network until it is started again"
# A connection that the relay denies is accepted for a moment, and then reset.
_TRY = "timeout 20 bash -c 'exec 3<>/dev/tcp/{}/{} && cat <&3' 2>/dev/null || true"


class Known(NamedTuple):
    """What the two programs answer."""

    taps: tuple[HeldTap, ...]
    told: Listed


class Network:
    """Until `close`. `_canary` listens at a port of this host, which no guest may reach."""

    def __init__(self, state: Path) -> None:
        self._directory = state / "network"
        self._ports_seen: set[int] = set()
        self._canary: socket.socket | None = None

    def close(self) -> None:
        if self._canary is not None:
            self._canary.close()

    def guards(self) -> dict[str, ProcessRef]:
        place = str(self._directory.resolve())
        return {
            name: process
            for process, name in all_marked(MARKER)
            if name in NAMES and working_directory(process) == place
        }

    def strays(self, machines: list[Machine], keys: Mapping[str, str]) -> list[str]:
        """What is missing or too much. `keys`: of each recorded tap, the owner's id."""
        alive = [one for one in machines if one.state.value in ALIVE and one.network.link == "tap"]
        on_taps = [one for one in alive if not _has_lost_its_network(one)]
        if not on_taps:
            return []
        try:
            known = asyncio.run(self._ask())
        except OSError as exc:
            return [f"keeper or relay is away: {exc}"]
        return [
            *_stray_taps(known.taps, on_taps, keys),
            *_stray_words(known.told, on_taps, {key_of(one) for one in alive}),
            *self._stray_ports(machines),
        ]

    def check_closed(self, client: Client, machine: str) -> None:
        """Raises `Violation` if the guest reaches the host."""
        if self._canary is None:
            self._canary = socket.create_server(("0.0.0.0", 0))
            self._canary.setblocking(False)
        port = self._canary.getsockname()[1]
        client.machines.exec(machine, ["sh", "-c", _TRY.format(GATEWAY, port)], timeout_s=30)
        try:
            self._canary.accept()[0].close()
        except BlockingIOError:
            return
        raise Violation(f"{machine} reaches the host")

    async def _ask(self) -> Known:
        with await PacketConnection.connect(self._directory / "keeper.sock") as keeper:
            taps = await Keeper(keeper.ask).list()
        with await PacketConnection.connect(self._directory / "relay.sock") as relay:
            return Known(taps, await Relay(relay.ask).list())

    def _stray_ports(self, machines: list[Machine]) -> Iterator[str]:
        """Ports of living machines are open, those of others are not."""
        alive = [one for one in machines if one.state.value in ALIVE]
        may_be_open = {port.port: one for one in alive for port in one.network.ports}
        open_ = {number: one.name for number, one in may_be_open.items() if not _has_lost_its_network(one)}
        self._ports_seen |= may_be_open.keys()
        for number in sorted(self._ports_seen):
            with socket.socket() as dialed:
                dialed.settimeout(5)
                # Nothing listens in the guest, so the relay may have reset the connection already.
                is_open = dialed.connect_ex(("127.0.0.1", number)) in (0, errno.ECONNRESET)
            if is_open and number not in may_be_open:
                yield f"the port {number} is open still"
            elif not is_open and number in open_:
                yield f"the port {number} of {open_[number]} is closed"


def _has_lost_its_network(machine: Machine) -> bool:
    """Whether all who had the keeper's namespaces were killed at once: then the machine has no network until it is
    started again, and says so (decision 35)."""
    return any(_LOST in warning for warning in machine.warnings)


def _stray_taps(taps: tuple[HeldTap, ...], machines: list[Machine], keys: Mapping[str, str]) -> Iterator[str]:
    held = {tap.key: tap for tap in taps}
    yield from (
        f"the tap {tap.name} of {key}, without a record" for key, tap in held.items() if key not in keys
    )
    owned = {owner: key for key, owner in keys.items()}
    for one in machines:
        tap = held.get(owned.get(one.id, ""))
        if tap is None:
            yield f"{one.name} has no tap"
        elif tap.address != one.address:
            yield f"{one.name} has the address {one.address}, and its tap {tap.address}"


def _stray_words(told: Listed, machines: list[Machine], alive: Set[str]) -> Iterator[str]:
    yield from (f"the relay knows {key}, which does not run" for key in told.machines if key not in alive)
    for one in machines:
        key = key_of(one)
        if one.address not in told.machines.get(key, ()):
            yield f"the relay does not know {one.name}"
        served = sum(port.key == key for port in told.ports)
        if served != len(one.network.ports):
            yield f"the relay serves {served} ports of {one.name}, which has {len(one.network.ports)}"
