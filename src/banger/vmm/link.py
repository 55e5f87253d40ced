"""A guest's link to a network, as a value that its driver receives."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class NoLink:
    """The guest has no network interface."""


@dataclass(frozen=True)
class UserNat:
    """An interface behind the VMM's own address translation: it needs nothing of the host but connections."""

    mac: str


@dataclass(frozen=True)
class Tap:
    """An interface on a tap device, which is open as `fd` in this process. The opener of the device has recorded it as
    a resource of the machine, and closes it; the driver gives a copy to the VMM."""

    mac: str
    fd: int


Link = NoLink | UserNat | Tap


def mac_of(link: Link) -> str:
    """The MAC address; empty if there is no interface."""
    return "" if isinstance(link, NoLink) else link.mac
