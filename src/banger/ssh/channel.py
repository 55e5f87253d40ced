"""The channel of a session, with two things that the library has no public way for: a command of any bytes, and a wish
for an agent without a socket of this host. `tests/unit/test_ssh.py` holds that the library still has these two."""

from __future__ import annotations

import asyncio

import asyncssh
from asyncssh.packet import SSHPacket

_WINDOW_BYTES = 2 * 1024 * 1024
_PACKET_BYTES = 32 * 1024


class Channel(asyncssh.SSHServerChannel[bytes]):
    """Lives as long as its session."""

    wants_agent = False
    """The client has asked for its agent in this session."""

    def _process_exec_request(self, packet: SSHPacket) -> bool:
        command = packet.get_string()
        packet.check_end()
        return self._start_session(command=command.decode("utf-8", "surrogateescape"))

    def _process_auth_agent_req_at_openssh_dot_com_request(self, packet: SSHPacket) -> bool:  # type: ignore[override]
        packet.check_end()
        self.wants_agent = True
        return True


def make_channel(connection: asyncssh.SSHServerConnection) -> Channel:
    """A channel that takes terminals, and edits no lines."""
    return Channel(
        connection,
        asyncio.get_running_loop(),
        allow_pty=True,
        line_editor=False,
        line_echo=False,
        line_history=0,
        max_line_length=0,
        encoding=None,
        errors="strict",
        window=_WINDOW_BYTES,
        max_pktsize=_PACKET_BYTES,
    )
