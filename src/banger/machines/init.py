"""The image's own init: when it is up."""

from __future__ import annotations

import asyncio
import logging

from banger.agent.process import Output
from banger.errors import Error
from banger.machines.live import LiveMachine
from banger.model.command import Command
from banger.wire.constants import STDOUT

log = logging.getLogger("banger.machines")

_INIT_POLL_S = 0.2
_SYSTEMD_NOT_THERE_YET = ("", "offline", "unknown", "initializing", "starting")


async def wait_for_init(live: LiveMachine) -> None:
    """With systemd: until it says that it is up (or degraded), within the boot limit. Others need no waiting."""
    try:
        async with asyncio.timeout(live.machine.spec.boot_timeout_s):
            while await _ask_systemd(live) in _SYSTEMD_NOT_THERE_YET:  # noqa: ASYNC110 (a guest has no event)
                await asyncio.sleep(_INIT_POLL_S)
    except Error as exc:
        if exc.code not in ("command_not_found", "command_not_executable"):
            raise
    except TimeoutError:
        log.warning("machine=%s its init is not ready yet; going on", live.machine.name)


async def _ask_systemd(live: LiveMachine) -> str:
    """What `systemctl is-system-running` says; it waits by itself once systemd answers at all."""
    said = bytearray()

    async def listen(output: Output) -> None:
        if output.stream == STDOUT:
            said.extend(output.data[:100])

    command = Command(argv=["systemctl", "is-system-running", "--wait"])
    asking = await live.start_exec(command, listen)
    await asking.done
    lines = said.decode("utf-8", "replace").splitlines()
    return lines[0] if lines else ""
