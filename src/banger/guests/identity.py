"""Who a guest is, told to its agent before any process of its user runs."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from dataclasses import dataclass

from banger.agent.connection import AgentConnection, FieldList
from banger.network.user_nat import GuestNetwork, prepare_user_nat
from banger.wire.constants import Tag, Type
from banger.wire.fields import Fields

# Above this the clock is set once more: the first time, a clone's processor had all of its code to translate.
_CLOCK_OFF_NS = 15_000_000


@dataclass(frozen=True, kw_only=True)
class Identity:
    """`mac` empty: it has no link to any network; `machine_id` empty: it keeps the one that it has; `boot_id` empty:
    the kernel has not made one up yet, and will; `resets_tcp`: connections of whoever this was before are not its
    own."""

    hostname: str
    machine_id: str
    mac: str
    network: GuestNetwork
    boot_id: str = ""
    resets_tcp: bool = False


def invent_identity(
    hostname: str,
    mac: str,
    taken: frozenset[str],
    init: str,
    *,
    machine_id: str,
    has_ids: bool = False,
    lived: bool = False,
) -> Identity:
    """A new one, with an address that is not in `taken`. `has_ids`: its guest has them already, and an init and its
    journal, which would have to be told of others, go by them. `lived`: it is for a guest that was somebody else. An
    init of the image's own has asked the kernel for a boot id before anything is frozen."""
    another_boot = lived or (init == "image" and not has_ids)
    return Identity(
        hostname=hostname,
        machine_id="" if has_ids else machine_id,
        mac=mac,
        network=prepare_user_nat(taken),
        boot_id=str(uuid.uuid4()) if another_boot else "",
        resets_tcp=lived,
    )


def machine_id_of(place: str) -> str:
    """The machine-id of what has its files in the directory of that name, the same each time that it starts: a guest's
    journal and leases go by it. Children and other copies have places of their own."""
    return hashlib.sha256(f"machine-id of {place}".encode()).hexdigest()[:32]


def prepare_configure(
    identity: Identity, init: str, disk_bytes: int, *, will_be_frozen: bool = False
) -> FieldList:
    """CONFIGURE's fields. Pure but for clock and randomness. What will be frozen takes its time to get ready."""
    network = identity.network
    yield Tag.CLOCK_NS, time.time_ns()
    yield Tag.ENTROPY, os.urandom(64)
    yield Tag.HOSTNAME, identity.hostname
    if identity.machine_id:
        yield Tag.MACHINE_ID, identity.machine_id
    if identity.mac:
        yield Tag.MAC, identity.mac
        yield Tag.ADDRESS, network.address
        yield Tag.GATEWAY, network.gateway
        yield Tag.DNS, network.dns
        yield Tag.MTU, network.mtu
        yield Tag.IPV6, int(network.ipv6)
    yield Tag.INIT, init
    yield Tag.GROW, 1
    yield Tag.DISK_BYTES, disk_bytes
    if will_be_frozen:
        yield Tag.AWAIT_LINK, 1
    if identity.boot_id:
        yield Tag.BOOT_ID, identity.boot_id
    if identity.resets_tcp:
        yield Tag.RESET_TCP, 1


async def configure(
    connection: AgentConnection,
    identity: Identity,
    init: str,
    disk_bytes: int,
    limit_s: float,
    *,
    will_be_frozen: bool = False,
) -> Fields:
    """Make the guest who it is; the agent's answer, with its phases."""
    fields = prepare_configure(identity, init, disk_bytes, will_be_frozen=will_be_frozen)
    answer = await connection.request(Type.CONFIGURE, fields, limit_s)
    if abs(answer.int_(Tag.CLOCK_NS) - time.time_ns()) > _CLOCK_OFF_NS:
        await refresh(connection, entropy=False)
    return answer


async def refresh(connection: AgentConnection, *, entropy: bool) -> None:
    """For a guest that stood still: the right time; with `entropy` also what nobody else has drawn from."""
    fields = [(Tag.CLOCK_NS, time.time_ns())]
    if entropy:
        await connection.request(Type.REFRESH, [*fields, (Tag.ENTROPY, os.urandom(64))])
    else:
        await connection.request(Type.REFRESH, fields)
