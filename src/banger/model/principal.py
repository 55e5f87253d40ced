"""The user on whose behalf the daemon carries out a request."""

from __future__ import annotations

import pwd

from msgspec import Struct


class Principal(Struct, frozen=True, kw_only=True):
    """A user of this host, known by the uid of the process at the other end of the socket. `name` is for people; it is
    the number if the host has no name for the user."""

    uid: int

    @property
    def name(self) -> str:
        """For people; the number where the host has no name for it. Blocking: a directory of users may be elsewhere."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)
