"""Named networks: kept in memory, written to the store, found by name. Records of machines say which are on them."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping

from banger.errors import Error
from banger.host.times import now
from banger.model.event import Tell
from banger.model.names import check_name
from banger.model.network import Network
from banger.store.store import Store

# The numbers that the keeper takes (native/network/keeper_routes.h).
_NUMBERS = range(1, 60_001)


class Networks:
    """The only way to change the record of a network. Lives as long as the daemon."""

    def __init__(self, store: Store, tell: Tell) -> None:
        self._table = store.networks
        self._database = store.database
        self._tell = tell
        self._by_name = {network.name: network for network in self._table.all()}

    def all(self) -> list[Network]:
        return [self._by_name[name] for name in sorted(self._by_name)]

    def get(self, name: str) -> Network | None:
        return self._by_name.get(name)

    def find(self, name: str) -> Network:
        """Raises `network_not_found`."""
        network = self._by_name.get(name)
        if network is None:
            raise Error(
                "network_not_found",
                f"no network named {name!r}",
                f"banger network create {name}; networks without a name are none, internet, lan and host",
            )
        return network

    def add(
        self, name: str, *, internal: bool, joined: Collection[int], labels: Mapping[str, str] | None = None
    ) -> Network:
        """A new network. Its number is by chance, and none of the numbers that taps have `joined`. Raises `bad_name`,
        `name_taken`."""
        if check_name(name) in self._by_name:
            raise Error("name_taken", f"a network named {name!r} exists already", "banger network list")
        taken = {*joined, *(network.number for network in self._by_name.values())}
        free = [number for number in _NUMBERS if number not in taken]
        if not free:
            raise Error("network_full", "there are no more numbers for networks", "banger network prune")
        number = random.choice(free)
        network = Network(
            name=name, number=number, internal=internal, created=now(), labels=dict(labels or {})
        )

        def write() -> None:
            self._table.put(network)
            self._tell("network.created", f"network/{name}", f"the network {name} was created")
            self._database.when_written(lambda: self._by_name.update({name: network}))

        self._database.together(write)
        return network

    def remove(self, network: Network) -> None:
        """Remove a network that has no members."""
        name = network.name

        def write() -> None:
            self._table.delete(name)
            self._tell("network.deleted", f"network/{name}", f"the network {name} was deleted")
            self._database.when_written(follow)

        def follow() -> None:
            self._by_name.pop(name, None)

        self._database.together(write)

    def write_again(self) -> None:
        """Write all records from memory: a damaged store may have lost some of them."""
        for network in self._by_name.values():
            self._table.put(network)
