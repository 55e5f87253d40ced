"""Commands whose session has ended while their guest stood still: they go on in the next session, and their readers and
writers notice no more than a delay."""

from __future__ import annotations

import asyncio

from banger.agent.connection import AgentConnection
from banger.agent.process import GuestProcess, KnownExec
from banger.errors import AgentSilent, Error


class Parted:
    """From the end of a session, which this object makes, to `go_on` or `give_up`."""

    def __init__(self, connection: AgentConnection, error: Error) -> None:
        """Requests without an answer get the error, and so do connections to ports of the guest."""
        owners = connection.part(error)
        self._waiting = [
            owner for owner in owners if isinstance(owner, GuestProcess) and owner.wait_for_session(error)
        ]

    async def go_on(
        self, connection: AgentConnection, known: list[KnownExec], timeout_s: float
    ) -> list[KnownExec]:
        """Continue in this session, whose agent knows these commands. Returns the rest of the commands. A command that
        cannot continue ends with an error. Raises `agent_lost`, `agent_silent`: then `give_up` is to follow."""
        entries = {entry.channel: entry for entry in known}
        try:
            async with asyncio.timeout(timeout_s):
                for process in self._waiting:
                    await _go_on(process, connection, entries.pop(process.channel, None))
        except TimeoutError as exc:
            raise AgentSilent(
                "agent_silent", f"the agent of {connection.machine} does not take its commands' input"
            ) from exc
        self._waiting = []
        return list(entries.values())

    def give_up(self, error: Error) -> None:
        """No session follows."""
        for process in self._waiting:
            process.on_lost(error)
        self._waiting = []


async def _go_on(process: GuestProcess, connection: AgentConnection, entry: KnownExec | None) -> None:
    try:
        await process.go_on(connection, entry)
    except AgentSilent:
        raise
    except Error as exc:
        if connection.lost is not None:
            raise
        process.abandon()
        process.on_lost(exc)
