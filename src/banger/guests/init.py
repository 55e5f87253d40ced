"""The image's own init: wait until it is up."""

from __future__ import annotations

import asyncio
import logging

from banger.agent.connection import AgentConnection, CommandUnusable
from banger.agent.process import start_process
from banger.model.command import Command
from banger.wire.constants import STDOUT

log = logging.getLogger("banger.templates")

_INIT_POLL_S = 0.2
_SYSTEMD_NOT_THERE_YET = ("", "offline", "unknown", "initializing", "starting")


async def wait_for_init(connection: AgentConnection, limit_s: float) -> bool:
    """Wait until systemd reports that it is up (or degraded), at most `limit_s`. Returns whether it did. Other inits
    need no waiting: the answer is True at once."""
    try:
        async with asyncio.timeout(limit_s):
            while await _ask_systemd(connection) in _SYSTEMD_NOT_THERE_YET:  # noqa: ASYNC110 (a guest has no event)
                await asyncio.sleep(_INIT_POLL_S)
    except CommandUnusable:
        pass
    except TimeoutError:
        log.warning("machine=%s its init is not ready yet", connection.machine)
        return False
    return True


async def _ask_systemd(connection: AgentConnection) -> str:
    """The answer of `systemctl is-system-running`. Once systemd answers at all, the command itself waits."""
    said = bytearray()
    command = Command(argv=["systemctl", "is-system-running", "--wait"])
    asking = await start_process(connection, command)
    async for output in asking.outputs():
        if output.stream == STDOUT:
            said.extend(output.data[:100])
    await asking.forget()
    lines = said.decode("utf-8", "replace").splitlines()
    return lines[0] if lines else ""
