"""A guest's link to a network, as its driver is told of it: planned once, then a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NoLink:
    """The guest has no network interface."""


@dataclass(frozen=True)
class UserNat:
    """An interface behind the VMM's own address translation: it takes nothing of the host but connections."""

    mac: str


@dataclass(frozen=True)
class Tap:
    """An interface on a tap device, which is open as `fd` in this process. Whoever opened it has recorded it as a
    resource of the machine, and closes it; the driver gives the VMM a copy."""

    mac: str
    fd: int


Link = NoLink | UserNat | Tap


def mac_of(link: Link) -> str:
    """Empty where there is no interface."""
    return "" if isinstance(link, NoLink) else link.mac
