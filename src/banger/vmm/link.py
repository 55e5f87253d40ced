"""A guest's link to a network, as a value that its driver receives."""

from __future__ import annotations

from dataclasses import dataclass

from banger.model.network import LinkKind


@dataclass(frozen=True)
class NoLink:
    """The guest has no network interface."""


@dataclass(frozen=True)
class UserNat:
    """An interface behind the VMM's own address translation: it needs nothing of the host but connections."""

    mac: str


@dataclass(frozen=True)
class Tap:
    """An interface on a tap device. When the driver starts the VMM, the device is open as `fd` in this process; a plan
    has -1. The opener of the device has recorded it as a resource of the VMM's owner, and closes it; the driver gives a
    copy to the VMM."""

    mac: str
    fd: int = -1


Link = NoLink | UserNat | Tap
# The kinds of links, as records name them.
LINKS: dict[LinkKind, type[Link]] = {"none": NoLink, "nat": UserNat, "tap": Tap}


def kind_of(link: Link) -> LinkKind:
    """The kind of the link, as records name it."""
    return next(kind for kind, type_ in LINKS.items() if isinstance(link, type_))


def mac_of(link: Link) -> str:
    """The MAC address; empty if there is no interface."""
    return "" if isinstance(link, NoLink) else link.mac
