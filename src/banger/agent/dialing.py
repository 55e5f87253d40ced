"""A connection to a port of a guest that the agent makes, so that it reaches services on the guest's loopback, too."""

from __future__ import annotations

import asyncio

from banger.agent.connection import AgentConnection, AgentRefused
from banger.agent.process import GuestProcess
from banger.errors import Error
from banger.model.command import Exit
from banger.wire.constants import STDOUT, Tag, Type
from banger.wire.frames import Frame

# More than the agent takes for all addresses together.
_DIAL_S = 15.0


class GuestConnection(GuestProcess):
    """From `dial_port` until `close`. stdin is what the service hears, and stdout what it says; `outputs` ends when the
    service has said all, and the other direction continues."""

    def __init__(self, connection: AgentConnection, channel: int) -> None:
        super().__init__(connection, channel)
        self._said_all = False
        self._over = asyncio.Event()

    @property
    def _has_said_all(self) -> bool:
        return self._said_all or self.exit is not None

    def on_frame(self, frame: Frame) -> None:
        if frame.type == Type.EOF and frame.flags == STDOUT:
            self._said_all = True
            self._arrived.set()
            return
        super().on_frame(frame)
        if self.exit is not None:
            self._over.set()

    def on_lost(self, error: Error) -> None:
        super().on_lost(error)
        self._over.set()

    def wait_for_session(self, error: Error) -> bool:
        """It ends with its session, in the guest as well."""
        self.on_lost(error)
        return False

    @property
    def broke_off(self) -> bool:
        """Whether the service ended the connection with a reset."""
        return self.exit is not None and self.exit.code != 0

    async def ended(self) -> Exit:
        """Wait until both directions have ended. An exit code other than 0 means a reset. Raises `agent_lost`."""
        await self._over.wait()
        if self.exit is None:
            self._raise_if_lost()
        assert self.exit is not None
        return self.exit

    def close(self) -> None:
        """Let go of the connection. If it has not ended, the service hears a reset."""
        self.abandon()
        if self.exit is None:
            self._connection.tell(Type.FORGET, [(Tag.EXEC, self.channel)])


async def dial_port(connection: AgentConnection, port: int) -> GuestConnection:
    """Connect to a port of the guest: at its loopback addresses, or else at those of its interfaces. Raises
    `port_refused`, `unsupported` for an agent of an earlier version, `agent_lost`, `agent_silent`."""
    guest = GuestConnection(connection, connection.exec_channel())
    try:
        await connection.request_on(guest.channel, Type.DIAL, [(Tag.DIAL_PORT, port)], _DIAL_S)
    except AgentRefused as exc:
        guest.abandon()
        raise _refusal(exc, connection.machine, port) from exc
    except BaseException:
        guest.close()
        raise
    return guest


def _refusal(refused: AgentRefused, machine: str, port: int) -> Error:
    said = refused.details.get("agent_code")
    if said == "unknown_verb":
        return Error(
            "unsupported",
            f"the agent of {machine} is of an earlier version and cannot connect to ports",
            f"start the machine again: banger vm restart {machine}",
        )
    if said == "refused":
        return Error(
            "port_refused",
            f"nothing in {machine} accepts connections to port {port}",
            f"banger vm port list {machine} shows which ports have a service",
            {"port": port},
        )
    return refused
