"""Published ports of machines: opened before anything of a machine starts, handed to the relay when the guest has its
network. The record says which ports are open."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
from collections.abc import Set

import msgspec

from banger.errors import Error
from banger.host.packets import Refused, Unknown
from banger.machines.keep.registry import Registry
from banger.machines.life.passage import key_of
from banger.model.machine import Machine, MachineSpec
from banger.model.network import PublishedPort
from banger.network.guards import Guards
from banger.network.ports import Bound, bound, describe, publish_exposed, read_ports
from banger.network.relay import Port, Relay

log = logging.getLogger("banger.network")


def exposed_ports(spec: MachineSpec, exposed: list[str]) -> list[PublishedPort]:
    """The ports to publish because the image exposes them, beside the ports that the spec names."""
    return publish_exposed(exposed, read_ports(spec.ports)) if spec.publish_all else []


def specs_of_copies(spec: MachineSpec) -> list[str]:
    """The published ports of a copy of a machine that keeps running: the same ports of the guest, on free ports of the
    host."""
    copied = []
    for port in read_ports(spec.ports):
        bind = f"[{port.bind}]" if ":" in port.bind else port.bind
        copied.append(f"{bind}:0:{port.guest_port}/{port.protocol}")
    return copied


async def publish(guards: Guards, registry: Registry, machine: Machine, opened: list[Bound]) -> None:
    """Let the relay serve these ports for the machine from now on, and record them. Raises `network_failed`."""
    for port, socket in opened:
        try:
            await Relay(guards.ask_relay).publish(_told(machine, port), socket.fileno())
        except Refused as exc:
            raise Error("network_failed", f"{describe(port)} is not published: {exc.message}") from exc
    if opened:
        _record(registry, machine, (*machine.network.ports, *(port for port, _ in opened)))


async def unpublish(guards: Guards, registry: Registry, machine: Machine, port: PublishedPort) -> None:
    """Close the port; connections through it go on. Raises `network_failed`."""
    try:
        with contextlib.suppress(Unknown):
            await Relay(guards.ask_relay).unpublish(_id_of(machine, port))
    except Refused as exc:
        raise Error("network_failed", f"{describe(port)} is still published: {exc.message}") from exc
    _record(registry, machine, tuple(other for other in machine.network.ports if other != port))


async def publish_again(relay: Relay, machine: Machine, published: Set[str]) -> list[str]:
    """Open the ports of a running machine that the relay does not have, by its IDs in `published`. Returns which ports
    stay closed, and why."""
    closed = []
    for port in machine.network.ports:
        if _id_of(machine, port) in published:
            continue
        try:
            with bound([port]) as opened:
                await relay.publish(_told(machine, port), opened[0][1].fileno())
        except (Error, Refused) as exc:
            closed.append(f"{describe(port)}: {exc}")
            log.warning(
                "machine=%s the port %s is not published again: %s", machine.name, describe(port), exc
            )
    return closed


def _record(registry: Registry, machine: Machine, ports: tuple[PublishedPort, ...]) -> None:
    registry.change(machine, network=msgspec.structs.replace(machine.network, ports=ports))


def _told(machine: Machine, port: PublishedPort) -> Port:
    return Port(_id_of(machine, port), key_of(machine), port.protocol, port.guest_port)


def _id_of(machine: Machine, port: PublishedPort) -> str:
    """What the relay calls the port."""
    bind = ipaddress.ip_address(port.bind).packed.hex()
    return f"{key_of(machine)}.{port.protocol}.{bind}.{port.port}"
