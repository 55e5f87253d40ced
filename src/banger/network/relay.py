"""What the relay is asked for and what it tells, typed; native/network/relay_requests.c is the other side.

The relay is the program outside the guests' network that makes a guest's connections, if the policy of its machine
allows them, and brings connections to published ports into guests. A relay that was told nothing denies everything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from banger.host.packets import Answer, lines_of

Protocol = Literal["tcp", "udp"]
Attempt = Literal["tcp", "udp", "icmp"]
# Sends a request with descriptors, returns its answer; raises `Refused` and what else a connection raises.
Ask = Callable[[str, Sequence[int]], Awaitable[Answer]]

_DENIED_WORDS = 7


@dataclass(frozen=True, kw_only=True)
class MachineTold:
    """A machine, as the relay is told of it. `policy`: lines that policy.c reads, such as `base internet`; `names`:
    what the resolver answers itself; `dns`: name servers to ask instead of the host's; a machine that is `asleep` is
    knocked at when a connection to a published port of it comes, and the connection waits."""

    key: str
    addresses: tuple[str, ...] = ()
    policy: tuple[str, ...] = ()
    names: tuple[tuple[str, tuple[str, ...]], ...] = ()
    dns: tuple[str, ...] = ()
    asleep: bool = False

    def packet(self) -> str:
        lines = [f"machine {self.key}", *self.policy, f"asleep {'yes' if self.asleep else 'no'}"]
        if self.addresses:
            lines.append(" ".join(("address", *self.addresses)))
        if self.dns:
            lines.append(" ".join(("dns", *self.dns)))
        lines += [" ".join(("name", name, *addresses)) for name, addresses in self.names]
        return "\n".join(lines)


class Port(NamedTuple):
    """A published port, by the ID that it was published with."""

    id: str
    key: str
    protocol: Protocol
    guest_port: int


class Listed(NamedTuple):
    """What a relay knows: the addresses of each machine, by its key, and the published ports."""

    machines: dict[str, tuple[str, ...]]
    ports: tuple[Port, ...]


class Counters(NamedTuple):
    """Of one machine, since the relay was first told of it. `flows` are those of now, `opened` all that began. The
    policy `denied`, limits `refused`. `sent` and `received`: bytes, as the guest sees it."""

    denied: int
    flows: int
    sent: int
    received: int
    opened: int
    refused: int


@dataclass(frozen=True)
class Denied:
    """A guest tried to reach something that its policy denies, `count` times since the last such event; what follows
    is of the last time. `rule` is what denied it: a line of the policy, or a closed range. `port` is 0 for `icmp`."""

    key: str
    protocol: Attempt
    address: str
    port: int
    rule: str
    count: int


@dataclass(frozen=True)
class Reach:
    """A client of a published port whom the guest refused at its address; a service may listen on the guest's loopback.
    The client's connection comes with the packet."""

    key: str
    guest_port: int


@dataclass(frozen=True)
class Knock:
    """A connection came for a machine that is asleep."""

    key: str


class Relay:
    """Requests to a relay, through `ask`."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def tell(self, machine: MachineTold) -> None:
        """In place of what the relay was told of this machine before. Flows that the policy does not allow any more
        end; counters and published ports stay."""
        await self._ask(machine.packet(), ())

    async def forget(self, key: str) -> None:
        """All flows and published ports of the machine end."""
        await self._ask(f"forget {key}", ())

    async def publish(self, port: Port, descriptor: int) -> None:
        """`descriptor`: a socket of this host, for TCP a listening one; the relay gets a copy."""
        await self._ask(
            f"publish {port.id} {port.key} {port.protocol} {port.guest_port}",
            (descriptor,),
        )

    async def unpublish(self, port_id: str) -> None:
        """Connections that are there go on."""
        await self._ask(f"unpublish {port_id}", ())

    async def counters(self, key: str) -> Counters:
        answer = await self._ask(f"counters {key}", ())
        said = dict(word.split("=", 1) for word in answer.text.split())
        return Counters(*(int(said[name]) for name in Counters._fields))

    async def list(self) -> Listed:
        machines: dict[str, tuple[str, ...]] = {}
        ports: list[Port] = []
        while lines := [*lines_of((await self._ask(f"list {len(machines) + len(ports)}", ())).text)]:
            for kind, name, *rest in lines:
                if kind == "machine":
                    machines[name] = tuple(rest)
                else:
                    key, protocol, guest_port = rest
                    ports.append(Port(name, key, _protocol(protocol), int(guest_port)))
        return Listed(machines, tuple(ports))


def read_event(packet: str) -> Denied | Knock | Reach | None:
    """A packet of a connection that asked for `events`. None: an event that this version does not know."""
    words = packet.split()
    if len(words) == 2 and words[0] == "knock":
        return Knock(words[1])
    if len(words) == 3 and words[0] == "reach" and words[2].isdecimal():
        return Reach(words[1], int(words[2]))
    if len(words) < _DENIED_WORDS or words[0] != "denied":
        return None
    _, key, protocol, address, port, *rule, count = words
    if protocol not in ("tcp", "udp", "icmp") or not (port.isdecimal() and count.isdecimal()):
        return None
    attempt: Attempt = "icmp" if protocol == "icmp" else _protocol(protocol)
    return Denied(key, attempt, address, int(port), " ".join(rule), int(count))


def _protocol(word: str) -> Protocol:
    return "udp" if word == "udp" else "tcp"
