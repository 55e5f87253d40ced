"""Access over TCP, as the engine has it: who may come in, and the door through which they come."""

from __future__ import annotations

from typing import Protocol

from banger.access.browsers import Browsers
from banger.access.tokens import Tokens, label_of_token
from banger.access.tries import Tries
from banger.access.visits import Visits
from banger.errors import Error
from banger.store.tokens import TokenTable


class Door(Protocol):
    """The listener on TCP, which the server owns."""

    async def open(self, port: int | None) -> str:
        """Listen, if the door is not open yet, and return the address as a URL. Raises `listen_failed`, `in_use`."""

    async def close(self) -> None:
        """Stop listening, and end all connections."""

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, or empty."""

    @property
    def has_page(self) -> bool:
        """Whether the web page was built."""


class Access:
    """Lives as long as the daemon. `door` is there once the server runs."""

    def __init__(self, tokens: TokenTable) -> None:
        self.tokens = Tokens(tokens)
        self.browsers = Browsers()
        self.tries = Tries()
        self.visits = Visits()
        self._door: Door | None = None

    def has_door(self, door: Door) -> None:
        self._door = door

    def revoke(self, name: str) -> None:
        """Revoke a token, and end what is under way for its bearers. Raises `token_not_found`."""
        self.tokens.revoke(name)
        self.visits.end(label_of_token(name))

    @property
    def door(self) -> Door:
        """Raises `listen_failed` where nothing serves."""
        if self._door is None:
            raise Error("listen_failed", "this daemon serves on no address", "try again in a moment")
        return self._door
