"""The user on whose behalf the daemon carries out a request."""

from __future__ import annotations

import pwd
from typing import Literal

from msgspec import Struct

Way = Literal["socket", "browser", "token"]
Rights = Literal["read", "write"]


class Principal(Struct, frozen=True, kw_only=True):
    """Who asks. At the daemon's socket: a user of this host, known by the uid of the process at the other end. Over
    TCP: the bearer of a token, or the browser of someone who followed a log-in link; then `uid` is the user of the
    daemon, `label` says which token or browser, `expires` until when (as in RFC 3339, or empty), and
    the daemon opens no paths of the host."""

    uid: int
    way: Way = "socket"
    rights: Rights = "write"
    label: str = ""
    expires: str = ""

    @property
    def is_local(self) -> bool:
        """Whether the user has a process on this host, which reached the socket."""
        return self.way == "socket"

    @property
    def may_write(self) -> bool:
        return self.rights == "write"

    @property
    def short(self) -> str:
        """For logs and records, without asking a directory of users: "uid 1000", "token ci"."""
        return self.label or f"uid {self.uid}"

    @property
    def name(self) -> str:
        """For people; the number where the host has no name for it. Blocking: a directory of users may be elsewhere."""
        if self.label:
            return self.label
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)
