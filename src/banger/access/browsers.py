"""Log-in links, and the sessions of browsers that followed one. Both are in memory, and end with the daemon."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass

from banger.access.secret import digest_of, new_secret
from banger.model.principal import Principal
from banger.places import PAGE_NAME

LINK_S = 120.0
SESSION_S = 12 * 3600.0
LINKS_MAX = 64
SESSIONS_MAX = 256


@dataclass(frozen=True)
class Login:
    """One browser's session. `expires` is a time of the clock that `Browsers` got. `token` is the name of the token
    that it began with, or empty."""

    principal: Principal
    expires: float
    token: str = ""


def link_at(url: str, secret: str) -> str:
    """The address that logs a browser in at the daemon that listens at `url`."""
    place = url.replace("http://127.0.0.1:", f"http://{PAGE_NAME}:", 1)
    # What comes after # is for the page alone: browsers do not send it, and no log has it.
    return f"{place}/login#{secret}"


class Browsers:
    """The newest links and sessions; the oldest end when there are too many."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._links: dict[str, float] = {}
        self._logins: dict[str, Login] = {}

    def make_link(self) -> tuple[str, float]:
        """The secret of a new link, and when the link expires."""
        secret, expires = new_secret(), self._clock() + LINK_S
        self._links[digest_of(secret)] = expires
        while len(self._links) > LINKS_MAX:
            self._links.pop(next(iter(self._links)))
        return secret, expires

    def follow_link(self, secret: str) -> bool:
        """Whether the link was valid. It is worth nothing from now on."""
        expires = self._links.pop(digest_of(secret), 0.0)
        return expires > self._clock()

    def log_in(self, principal: Principal | None = None, token: str = "") -> str:
        """Begin a session; the answer is the secret of its cookie."""
        who = principal or Principal(uid=os.geteuid(), way="browser", label="browser")
        secret = new_secret()
        self._logins[digest_of(secret)] = Login(who, self._clock() + SESSION_S, token)
        while len(self._logins) > SESSIONS_MAX:
            self._logins.pop(next(iter(self._logins)))
        return secret

    def find(self, secret: str) -> Login | None:
        """The session of a cookie, if it is valid."""
        digest = digest_of(secret)
        login = self._logins.get(digest)
        if login is not None and login.expires <= self._clock():
            del self._logins[digest]
            return None
        return login

    def log_out(self, secret: str) -> None:
        self._logins.pop(digest_of(secret), None)

    def end_all(self) -> None:
        """End all sessions, and make all links worthless."""
        self._links.clear()
        self._logins.clear()
