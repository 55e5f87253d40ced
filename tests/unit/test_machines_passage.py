"""Which network a machine gets on a host, and what the relay is told of it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from banger.errors import Error
from banger.machines.life.passage import (
    Passage,
    check_network,
    choose_network,
    describe_to_relay,
    link_in_use,
    prepare_passage,
    with_usual_network,
)
from banger.model.ending import PauseCause
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.model.network import LinkKind, MachineNetwork, Membership, Network, Policy
from banger.model.settings import NetworkSettings
from banger.vmm.link import NoLink, Tap, UserNat, kind_of

fake: Any = SimpleNamespace
EVERY = frozenset({NoLink, UserNat, Tap})
NAT_ONLY = frozenset({NoLink, UserNat})


def passage(
    spec: MachineSpec,
    *,
    no_taps: str = "",
    links: frozenset[type] = EVERY,
    default: Policy = "internet",
    frozen: LinkKind = "",
) -> Passage:
    async def ready() -> str:
        return no_taps

    makings = fake(settings=fake(network=NetworkSettings(default=default)), guards=fake(ready=ready))
    driver = fake(capabilities=fake(links=links))
    known = {
        "inner": Network(name="inner", number=1, internal=True),
        "outer": Network(name="outer", number=2),
    }
    networks = fake(find=known.__getitem__)
    return asyncio.run(prepare_passage(makings, networks, driver, spec, frozen))


def spec(**fields: Any) -> MachineSpec:
    return MachineSpec(image="x", **fields)


@pytest.mark.parametrize(
    ("asked", "default", "kind", "policy"),
    [
        ("", "internet", "tap", "internet"),
        ("", "lan", "tap", "lan"),
        ("host", "internet", "tap", "host"),
        ("none", "internet", "none", "none"),
        ("", "none", "none", "none"),
    ],
)
def test_a_machine_gets_the_policy_that_it_asks_for(
    asked: Policy, default: Policy, kind: str, policy: Policy
) -> None:
    got = passage(spec(network=asked), default=default)
    assert (kind_of(got.link), got.policy, got.warnings) == (kind, policy, ())


@pytest.mark.parametrize("where", [{"no_taps": "user namespaces are refused"}, {"links": NAT_ONLY}])
def test_without_taps_the_default_falls_back_with_a_warning(where: dict[str, Any]) -> None:
    got = passage(spec(), **where)
    assert (kind_of(got.link), got.policy) == ("nat", "host")
    assert "no tap" in got.warnings[0] and where.get("no_taps", "") in got.warnings[0]
    assert passage(spec(network="host"), **where).warnings == ()


@pytest.mark.parametrize(
    "fields",
    [
        {"network": "internet"},
        {"network": "lan"},
        {"allow": ["192.0.2.1"]},
        {"network": "host", "deny": ["192.0.2.1"]},
        {"dns": ["192.0.2.1"]},
        {"hosts": ["db:192.0.2.1"]},
        {"ports": ["80:80"]},
        {"publish_all": True},
        {"networks": [Membership(network="inner")]},
        {"network": "none", "networks": [Membership(network="outer")]},
    ],
)
def test_without_taps_a_wish_that_cannot_be_enforced_is_refused_by_name(fields: dict[str, Any]) -> None:
    with pytest.raises(Error) as caught:
        passage(spec(**fields), no_taps="no /dev/net/tun")
    assert caught.value.code == "network_unenforceable"
    assert caught.value.message.startswith("--") and "no /dev/net/tun" in caught.value.message


@pytest.mark.parametrize(
    ("network", "joined", "policy"),
    [
        ("", ["inner"], "none"),
        ("", ["outer"], "internet"),
        ("", ["inner", "outer"], "internet"),
        ("lan", ["inner"], "lan"),
        ("none", ["outer"], "none"),
    ],
)
def test_a_machine_on_internal_networks_alone_reaches_nothing_else(
    network: Policy, joined: list[str], policy: Policy
) -> None:
    got = passage(
        spec(network=network, networks=[Membership(network=name) for name in joined]), default="host"
    )
    assert (kind_of(got.link), got.policy) == ("tap", policy)


def test_a_machine_without_a_network_publishes_nothing() -> None:
    with pytest.raises(Error) as caught:
        passage(spec(network="none", ports=["80:80"]))
    assert caught.value.code == "bad_spec"


def test_a_frozen_machine_continues_on_a_link_of_its_kind_or_not_at_all() -> None:
    assert kind_of(passage(spec(), frozen="tap").link) == "tap"
    assert kind_of(passage(spec(network="host"), frozen="nat").link) == "nat"
    with pytest.raises(Error) as caught:
        passage(spec(), frozen="tap", no_taps="no /dev/net/tun")
    assert caught.value.code == "snapshot_incompatible"
    for policy in ("", "internet"):  # what was frozen on the VMM's own NAT cannot have a policy
        with pytest.raises(Error) as caught:
            passage(spec(network=policy), frozen="nat")
        assert caught.value.code == "snapshot_incompatible"
    closed = passage(spec(network="none"), frozen="tap")  # it was closed while it ran
    assert (kind_of(closed.link), closed.policy) == ("tap", "none")


def test_a_snapshot_from_elsewhere_opens_nothing_here() -> None:
    opened = spec(
        network="host", allow=["host.banger.internal"], deny=["*"], ports=["0.0.0.0:22:22"], hosts=["db:192.0.2.7"],
        dns=["192.0.2.7"], publish_all=True, networks=[Membership(network="shop")],
    )  # fmt: skip
    assert with_usual_network(opened) == spec(deny=["*"])
    assert with_usual_network(spec(network="none")) == spec(network="none")


def test_nothing_but_what_a_rule_allows_needs_a_tap() -> None:
    cases: list[tuple[Policy | Literal[""], Policy]] = [("none", "internet"), ("", "none")]
    for wanted, default in cases:
        found = passage(spec(network=wanted, allow=["1.2.3.4:443"], ports=["80:80"]), default=default)
        assert (kind_of(found.link), found.policy) == ("tap", "none")
    with pytest.raises(Error) as caught:
        passage(spec(network="none", allow=["1.2.3.4"]), no_taps="no device")
    assert caught.value.code == "network_unenforceable" and "--allow" in caught.value.message


def test_the_spec_of_a_snapshot_is_checked_before_the_relay_hears_of_it() -> None:
    with pytest.raises(Error) as caught:
        passage(spec(hosts=["db\nbase host:192.0.2.7"]), frozen="tap")
    assert caught.value.code == "bad_spec"


def test_the_link_of_an_earlier_versions_record_follows_from_its_spec() -> None:
    assert link_in_use("", spec(network="host")) == "nat"
    assert link_in_use("", spec(network="none")) == "none"
    assert link_in_use("tap", spec()) == "tap"


def machine(**fields: Any) -> Machine:
    plain: dict[str, Any] = {"id": "0123", "name": "dev", "state": MachineState.RUNNING, "created": ""}
    return Machine(**plain | {"spec": spec()} | fields)


def test_an_address_is_kept_for_life_and_no_other_machine_has_it() -> None:
    registry = fake(all=lambda: [machine(id="other", address="10.213.0.99")])
    first = choose_network(registry, machine(), Tap("")).host_address
    assert first != "10.213.0.99"
    assert choose_network(registry, machine(address=first), Tap("")).host_address == first
    assert choose_network(registry, machine(address="10.0.2.15"), Tap("")).host_address != "10.0.2.15"


def test_a_machine_takes_the_address_that_its_guest_has_already() -> None:
    registry = fake(all=lambda: [machine(id="other", address="10.213.0.99")])
    assert choose_network(registry, machine(), Tap(""), "10.213.0.98").host_address == "10.213.0.98"
    assert choose_network(registry, machine(), Tap(""), "10.213.0.99").host_address != "10.213.0.99"
    assert choose_network(registry, machine(), UserNat(""), "10.0.2.77").host_address == "10.0.2.77"
    kept = machine(address="10.213.0.97")
    assert choose_network(registry, kept, Tap(""), "10.213.0.98").host_address == "10.213.0.97"


def test_the_relay_is_told_policy_addresses_names_and_sleep() -> None:
    told = describe_to_relay(
        machine(
            address="10.213.0.16",
            network=MachineNetwork(link="tap", policy="lan", address_6="fd62:616e:6765::10"),
            pause_cause=PauseCause.IDLE,
            spec=spec(
                allow=["example.com:443"], deny=["10.0.0.0/8"], dns=["192.0.2.53"], hosts=["db:192.0.2.7"],
                hostname="front",
            ),
        ),
        {"other": ("10.213.0.17",), "db": ("10.213.0.17",)},
    ).packet().splitlines()  # fmt: skip
    assert told[0] == "machine vm-0123"
    assert {
        "base lan",
        "allow example.com 443",
        "deny 10.0.0.0/8",
        "address 10.213.0.16 fd62:616e:6765::10",
        "dns 192.0.2.53",
        "name db 192.0.2.7",
        "name front 10.213.0.16 fd62:616e:6765::10",
        "name other 10.213.0.17",
        "asleep yes",
    } <= set(told)
    assert sum(line.startswith("name db ") for line in told) == 1  # what the user said counts


def test_a_policy_of_a_record_that_names_none_opens_nothing() -> None:
    assert (
        "base internal"
        in describe_to_relay(machine(network=MachineNetwork(link="tap")), {}).packet().splitlines()
    )
    nothing = MachineNetwork(link="tap", policy="none")
    assert "base internal" in describe_to_relay(machine(network=nothing), {}).packet().splitlines()


@pytest.mark.parametrize(
    "fields",
    [
        {"dns": ["example.com"]},
        {"dns": ["192.0.2.1\nbase host"]},
        {"hosts": ["db"]},
        {"hosts": ["db:x"]},
        {"hosts": [":192.0.2.1"]},
        {"hosts": ["a b:192.0.2.1"]},
        {"hosts": ["a\nbase host:192.0.2.1"]},
        {"hostname": "a b"},
        {"hostname": "-x"},
        {"hostname": "x\n"},
        {"allow": ["a b"]},
        {"allow": ["127.0.0.1"]},
        {"deny": ["x\nbase host"]},
        {"ports": ["80"]},
    ],
)
def test_an_option_that_means_nothing_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(Error) as caught:
        check_network(spec(**fields))
    assert caught.value.code == "bad_spec"
