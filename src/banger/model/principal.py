"""Who asks."""

from __future__ import annotations

from msgspec import Struct


class Principal(Struct, frozen=True, kw_only=True):
    """A user of this host: known by the uid of the process at the other end of the socket. `name` is for people, and
    is the number where the host has no name for it."""

    uid: int
    name: str
