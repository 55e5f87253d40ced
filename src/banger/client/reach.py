"""How a client of the SDK, blocking or not, reaches its daemon."""

from __future__ import annotations

import socket

from banger.client.start import dial_or_start
from banger.client.transport import dial
from banger.client.way import Way, choose_way


class Reach:
    """Lives as long as its client; `Client` says what its arguments mean. Holds no connection."""

    def __init__(
        self,
        socket_path: str,
        start: bool,
        timeout_s: float | None,
        host: str | Way,
        token: str,
        ca_file: str,
    ) -> None:
        self.socket_path, self._way = choose_way(socket_path, host, token, ca_file)
        self._start = start
        self._timeout_s = timeout_s

    def dial(self) -> socket.socket:
        """A new connection to the daemon: through a door, or on its socket, behind which a daemon may be started.
        Blocking."""
        if self._way is not None:
            return self._way.dial()
        return dial_or_start(self.socket_path) if self._start else dial(self.socket_path)
