"""What a guest's link is told."""

from __future__ import annotations

import pytest

from banger.network.user_nat import is_of_the_world, prepare_user_nat


@pytest.mark.parametrize("address", ["2a00:1450::1", "2000::1", "3fff:ffff::", "2001:db8::7%eth0"])
def test_an_address_of_the_world_can_be_answered_to(address: str) -> None:
    assert is_of_the_world(address)


@pytest.mark.parametrize(
    "address", ["fd00::2", "fc00::1", "fe80::1%eth0", "fec0::15", "::1", "::", "::ffff:192.0.2.1"]
)
def test_a_private_or_local_address_is_no_way_into_the_world(address: str) -> None:
    assert not is_of_the_world(address)


def test_addresses_differ_while_there_are_some_left() -> None:
    every = frozenset(f"10.0.2.{last}" for last in range(16, 255))
    assert prepare_user_nat(every - {"10.0.2.77"}).host_address == "10.0.2.77"
    assert prepare_user_nat(every).host_address in every
