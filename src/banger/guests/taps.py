"""Where VMMs get their taps from."""

from __future__ import annotations

from typing import Protocol

from banger.errors import Error
from banger.host.packets import Refused
from banger.network.guards import Guards
from banger.network.keeper import Keeper
from banger.store.resources import Identity


class Taps(Protocol):
    """Where taps come from. `identity_of` is the record of a tap for this owner; `open` returns the descriptor of the
    tap in that record, which the caller closes."""

    def identity_of(self, owner: str) -> Identity: ...

    async def open(self, identity: Identity) -> int: ...


class NoTaps:
    """For VMs without a tap."""

    def identity_of(self, owner: str) -> Identity:
        raise Error("network_failed", f"there is no tap for {owner}")

    async def open(self, identity: Identity) -> int:
        raise Error("network_failed", "there are no taps")


NO_TAPS = NoTaps()


class GuardedTaps:
    """Taps of the keeper."""

    def __init__(self, guards: Guards) -> None:
        self._guards = guards

    def identity_of(self, owner: str) -> Identity:
        return {"socket": str(self._guards.keeper.socket), "key": f"tap-{owner}"}

    async def open(self, identity: Identity) -> int:
        try:
            return (await Keeper(self._guards.ask_keeper).tap(str(identity["key"]))).descriptor
        except Refused as exc:
            raise Error("network_failed", f"the keeper gave no tap: {exc.message}") from exc
