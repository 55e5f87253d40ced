"""Changes of a machine's network, kept for its next starts and told to the relay at once if the machine runs."""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec

from banger.errors import Error
from banger.host.packets import Refused
from banger.machines.life.lives import Lives
from banger.machines.life.makings import Makings
from banger.machines.life.memberships import wanted_policy
from banger.machines.life.passage import check_network, tell_relay
from banger.machines.life.publications import publish, unpublish
from banger.model.machine import Machine, MachineSpec
from banger.model.network import Policy, PublishedPort
from banger.network.ports import bound, read_ports, without_ports
from banger.network.relay import Relay


class Asked(NamedTuple):
    """A policy, empty to leave the policy as it is, and exceptions to add; with `clear` they replace the exceptions
    that the machine has."""

    policy: Policy | Literal[""]
    allow: tuple[str, ...]
    deny: tuple[str, ...]
    clear: bool


async def change(lives: Lives, makings: Makings, machine: Machine, asked: Asked) -> None:
    """Raises `bad_spec`; `bad_state` if a running machine's link cannot carry it; `network_failed`."""
    spec = changed_spec(machine.spec, asked)
    check_network(spec)
    async with lives.locks[machine.id]:
        if lives.get(machine) is None:
            lives.registry.change(machine, spec=spec)
            return
        if machine.network.link != "tap":
            raise _not_now(machine)
        policy = wanted_policy(lives.registry.networks, spec, makings.settings.network.default)
        old_spec, old_network = machine.spec, machine.network
        network = msgspec.structs.replace(old_network, policy=policy)
        lives.registry.change(machine, spec=spec, network=network)
        try:
            await tell_relay(Relay(makings.guards.ask_relay), lives.registry, machine)
        except (Error, Refused) as exc:
            lives.registry.change(machine, spec=old_spec, network=old_network)
            raise Error("network_failed", f"the network of {machine.name} is as it was: {exc}") from exc


def changed_spec(spec: MachineSpec, asked: Asked) -> MachineSpec:
    """The spec with the change; what is allowed now is not denied by the same words any more, and the other way
    round."""
    allow = [] if asked.clear else [rule for rule in spec.allow if rule not in (*asked.allow, *asked.deny)]
    deny = [] if asked.clear else [rule for rule in spec.deny if rule not in (*asked.allow, *asked.deny)]
    return msgspec.structs.replace(
        spec,
        network=asked.policy or spec.network,
        allow=[*allow, *asked.allow],
        deny=[*deny, *asked.deny],
    )


async def add_port(lives: Lives, makings: Makings, machine: Machine, text: str) -> None:
    """Publish, now if the machine runs, and at its next starts. Raises `bad_spec`, `port_in_use`, `bad_state`,
    `network_failed`."""
    spec = msgspec.structs.replace(machine.spec, ports=[*machine.spec.ports, text])
    check_network(spec)
    async with lives.locks[machine.id]:
        if lives.get(machine) is not None:
            if machine.network.link != "tap":
                raise _not_now(machine)
            with bound(read_ports([text])) as opened:
                await publish(makings.guards, lives.registry, machine, opened)
        lives.registry.change(machine, spec=spec)


async def remove_port(lives: Lives, makings: Makings, machine: Machine, text: str) -> None:
    """Close the published ports that `text` means, as it was given or as the list shows them, also at the next starts.
    Raises `bad_spec`, `not_found`, `network_failed`."""
    wanted = read_ports([text])
    async with lives.locks[machine.id]:
        opened = machine.network.ports if lives.get(machine) is not None else ()
        found = [port for port in opened if any(_is(port, one) for one in wanted)]
        kept = [one for one in machine.spec.ports if one != text and read_ports([one]) != wanted]
        if kept == machine.spec.ports:
            kept = without_ports(machine.spec.ports, found or wanted)
        if not found and kept == machine.spec.ports:
            raise Error(
                "not_found", f"{machine.name} does not publish {text}", f"banger vm port list {machine.name}"
            )
        for port in found:
            await unpublish(makings.guards, lives.registry, machine, port)
        lives.registry.change(machine, spec=msgspec.structs.replace(machine.spec, ports=kept))


def _is(port: PublishedPort, wanted: PublishedPort) -> bool:
    """Whether `wanted` means this open port; its number may be 0, for any."""
    same = (port.bind, port.guest_port, port.protocol) == (wanted.bind, wanted.guest_port, wanted.protocol)
    return same and wanted.port in (0, port.port)


def _not_now(machine: Machine) -> Error:
    has = "no network" if machine.network.link == "none" else "only its VMM's own address translation"
    return Error(
        "bad_state",
        f"the network of {machine.name} cannot change while it runs: it has {has}",
        f"stop the machine, change its network, and start it again: banger vm stop {machine.name}",
        {"link": machine.network.link},
    )
