"""What the keeper is asked for, typed, and why it cannot start; native/network/keeper_requests.c is the other side.

The keeper is the program that owns the network of the guests: a namespace with a tap for each VM. It decides which
addresses a guest has and which other guests it reaches; what leaves the namespace is the relay's business.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from banger.host.packets import Answer, close_all, lines_of

# Sends a request with descriptors, returns its answer; raises `Refused` and what else a connection raises.
Ask = Callable[[str, Sequence[int]], Awaitable[Answer]]

_NONE = "-"
# Why a keeper cannot start, by the code that it ends with: what of this host is missing, and what to do.
_REFUSALS = {
    "user_namespaces_refused": (
        "this host does not let the daemon's user make user namespaces",
        "allow them: sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone,"
        " kernel.apparmor_restrict_unprivileged_userns",
    ),
    "namespaces_refused": (
        "this host does not let the daemon's user enter a network namespace",
        "sysctl user.max_net_namespaces",
    ),
    "settings_refused": (
        "the settings of a network namespace cannot be changed below /proc/sys/net",
        "mount /proc/sys writable",
    ),
    "routes_refused": (
        "the kernel refuses routes and rules of guests",
        "use a kernel with CONFIG_IP_MULTIPLE_TABLES and CONFIG_IPV6_MULTIPLE_TABLES",
    ),
    "tun_refused": (
        "the daemon's user may not use the tun device",
        "modprobe tun, and chmod 0666 /dev/net/tun (Debian's default)",
    ),
    "sockets_refused": (
        "the kernel refuses transparent sockets",
        "use a kernel with IPv4",
    ),
    "filter_refused": (
        "nftables does not load the rules of the guests' network",
        "apt-get install nftables; the kernel needs nft_tproxy, nft_socket and nft_fib_inet",
    ),
}


class Refusal(NamedTuple):
    """Why a keeper did not start. `code`: the same for the same reason, in every version; `reason` and `hint` are for
    people, `detail` is what the kernel said."""

    code: str
    reason: str
    detail: str
    hint: str

    @property
    def sentence(self) -> str:
        return f"{self.reason} ({self.detail})"


class Tap(NamedTuple):
    """The receiver closes the `descriptor`; the tap stays."""

    name: str
    descriptor: int


class HeldTap(NamedTuple):
    """A tap as the keeper knows it. The addresses are those of the guest behind it, None before `bind`."""

    name: str
    key: str
    address: str | None
    address_6: str | None
    networks: frozenset[int]


class Keeper:
    """Requests to a keeper, through `ask`. All may be repeated, also by a caller that did not hear the first answer."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    async def tap(self, key: str) -> Tap:
        """The tap of this key, from now on or already. Refused with `held` if the tap is open in a process that had it
        from an earlier keeper, and with `full`."""
        answer = await self._ask(f"tap {key}", ())
        descriptor, *others = answer.descriptors
        close_all(others)
        return Tap(answer.text.strip(), descriptor)

    async def bind(self, key: str, address: str | None, address_6: str | None) -> None:
        """The guest behind the tap has these addresses, and no others. Refused with `taken` if another tap has one,
        `invalid` if no guest may have one, `unknown`."""
        await self._ask(f"bind {key} {address or _NONE} {address_6 or _NONE}", ())

    async def unbind(self, key: str) -> None:
        await self._ask(f"unbind {key}", ())

    async def join(self, key: str, network: int) -> None:
        """Guests in the same network reach one another. Refused with `unknown`, `full`."""
        await self._ask(f"join {key} {network}", ())

    async def leave(self, key: str, network: int) -> None:
        await self._ask(f"leave {key} {network}", ())

    async def free(self, key: str) -> None:
        """The tap has no address and no network any more, and another key can have it. Its VMM must have ended.
        Refused with `unknown`."""
        await self._ask(f"free {key}", ())

    async def bell(self, key: str) -> int:
        """A descriptor that is readable once another guest sends something to the guest behind the tap. Refused with
        `unknown`, and `invalid` by a keeper of an earlier version."""
        descriptor, *others = (await self._ask(f"bell {key}", ())).descriptors
        close_all(others)
        return descriptor

    async def list(self) -> tuple[HeldTap, ...]:
        held: list[HeldTap] = []
        while page := [*lines_of((await self._ask(f"list {len(held)}", ())).text)]:
            held += [_read_tap(words) for words in page]
        return tuple(held)

    async def namespaces(self) -> tuple[int, int]:
        """Descriptors of the user and the network namespace, for a keeper that is to follow this one."""
        user, network = (await self._ask("namespaces", ())).descriptors
        return user, network


def read_refusal(said: str) -> Refusal | None:
    """The reason in the last line that a keeper wrote; None if the line has none that this version knows."""
    for line in reversed(said.splitlines()):
        words = [word.strip() for word in line.split(":", 2)]
        if len(words) == 3 and words[0] == "keeper" and words[1] in _REFUSALS:
            reason, hint = _REFUSALS[words[1]]
            return Refusal(words[1], reason, words[2], hint)
        if line.strip():
            return None
    return None


def _read_tap(words: Sequence[str]) -> HeldTap:
    name, key, address, address_6, networks = words
    return HeldTap(
        name,
        key,
        None if address == _NONE else address,
        None if address_6 == _NONE else address_6,
        frozenset() if networks == _NONE else frozenset(int(network) for network in networks.split(",")),
    )
