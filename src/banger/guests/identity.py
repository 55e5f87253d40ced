"""The identity of a guest, given to its agent before any process of a user runs."""

from __future__ import annotations

import hashlib
import os
import time
import uuid
from dataclasses import dataclass

from banger.agent.connection import AgentConnection, FieldList
from banger.network.user_nat import GuestNetwork
from banger.wire.constants import Tag, Type
from banger.wire.fields import Fields

# Above this difference the clock is set a second time: during the first time, a clone's processor had to translate all
# of the code.
_CLOCK_OFF_NS = 15_000_000


@dataclass(frozen=True, kw_only=True)
class Identity:
    """`mac` empty: the guest has no network interface; `machine_id` empty: the guest keeps its machine id; `boot_id`
    empty: the guest's kernel will make up its own; `resets_tcp`: the guest drops TCP connections, which belong to the
    machine that it is a copy of."""

    hostname: str
    machine_id: str
    mac: str
    network: GuestNetwork
    boot_id: str = ""
    resets_tcp: bool = False


def invent_identity(
    hostname: str,
    mac: str,
    network: GuestNetwork,
    init: str,
    *,
    machine_id: str,
    has_ids: bool = False,
    lived: bool = False,
) -> Identity:
    """A new identity. `has_ids`: the guest has its machine id already, and its
    init and journal use that, so it does not change. `lived`: the guest is a copy of a machine that had another
    identity. An init of the image itself asks the kernel for a boot id before the guest is frozen, so a clone of such a
    guest needs another one."""
    another_boot = lived or (init == "image" and not has_ids)
    return Identity(
        hostname=hostname,
        machine_id="" if has_ids else machine_id,
        mac=mac,
        network=network,
        boot_id=str(uuid.uuid4()) if another_boot else "",
        resets_tcp=lived,
    )


def machine_id_of(place: str) -> str:
    """The machine id of the machine whose files are in the directory named `place`. It is the same at each start,
    because a guest's journal and DHCP leases depend on it. Forks and other copies have directories, and so machine ids,
    of their own."""
    return hashlib.sha256(f"machine-id of {place}".encode()).hexdigest()[:32]


def prepare_configure(
    identity: Identity, init: str, disk_bytes: int, *, will_be_frozen: bool = False
) -> FieldList:
    """The fields of a CONFIGURE request. Pure but for clock and randomness. With `will_be_frozen` the agent waits until
    the network link is ready."""
    network = identity.network
    yield Tag.CLOCK_NS, time.time_ns()
    yield Tag.ENTROPY, os.urandom(64)
    yield Tag.HOSTNAME, identity.hostname
    if identity.machine_id:
        yield Tag.MACHINE_ID, identity.machine_id
    if identity.mac:
        yield Tag.MAC, identity.mac
        for address in network.addresses:
            yield Tag.ADDRESS, address
        for gateway in network.gateways:
            yield Tag.GATEWAY, gateway
        for server in network.dns:
            yield Tag.DNS, server
        yield Tag.MTU, network.mtu
        yield Tag.IPV6, int(network.asks_router)
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
    more: FieldList = (),
) -> Fields:
    """Give the guest its identity, and `more` that it needs before its first program; return the agent's answer, which
    has the times of its phases."""
    fields = prepare_configure(identity, init, disk_bytes, will_be_frozen=will_be_frozen)
    answer = await connection.request(Type.CONFIGURE, [*fields, *more], limit_s)
    if abs(answer.int_(Tag.CLOCK_NS) - time.time_ns()) > _CLOCK_OFF_NS:
        await refresh(connection, entropy=False)
    return answer


async def refresh(connection: AgentConnection, *, entropy: bool) -> None:
    """For a guest whose vCPUs were stopped: set its clock; with `entropy` also give it random bytes that no other guest
    gets."""
    fields = [(Tag.CLOCK_NS, time.time_ns())]
    if entropy:
        await connection.request(Type.REFRESH, [*fields, (Tag.ENTROPY, os.urandom(64))])
    else:
        await connection.request(Type.REFRESH, fields)
