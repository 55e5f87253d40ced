"""Addresses of guests on taps."""

from __future__ import annotations

import ipaddress

import pytest

from banger.network.addresses import (
    GATEWAY_4,
    GUESTS_4,
    GUESTS_6,
    address_6_of,
    choose_address,
    is_guest,
    prepare_tap_network,
)


def test_a_new_address_is_in_the_network_and_free() -> None:
    taken: set[str] = set()
    for _ in range(200):
        taken.add(choose_address(taken))
    assert len(taken) == 200
    assert all(is_guest(address) for address in taken)
    assert str(GATEWAY_4) not in taken


def test_the_last_free_address_is_found() -> None:
    every = {str(GUESTS_4[number]) for number in range(16, GUESTS_4.num_addresses - 1)}
    assert choose_address(every - {"10.213.77.7"}) == "10.213.77.7"


def test_a_guest_has_the_same_number_in_both_families() -> None:
    assert address_6_of("10.213.0.5") == "fd62:616e:6765::5"
    assert address_6_of("10.213.1.2") == "fd62:616e:6765::102"
    assert ipaddress.IPv6Address(address_6_of(str(GUESTS_4[-1]))) in GUESTS_6


@pytest.mark.parametrize("address", ["", "10.0.2.15", "10.214.0.1", "fd62:616e:6765::5", "x"])
def test_an_address_of_another_network_is_not_kept(address: str) -> None:
    assert not is_guest(address)


def test_all_that_a_guest_sends_passes_the_gateway() -> None:
    network = prepare_tap_network("10.213.0.5", ipv6=True)
    assert network.addresses == ("10.213.0.5/32", "fd62:616e:6765::5/128")
    assert network.gateways == ("10.213.0.1", "fe80::1") and network.dns == ("10.213.0.1",)
    assert not network.asks_router and network.host_address == "10.213.0.5"


def test_without_ipv6_in_the_world_a_guest_has_no_default_route_there() -> None:
    assert prepare_tap_network("10.213.0.5", ipv6=False).gateways == ("10.213.0.1",)
