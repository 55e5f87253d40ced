"""What this build of Firecracker refuses by name, asked of a process of it that has no machine.

A request that a build does not have, and a field that it does not know, it refuses as such. Every other refusal says
that the request is known: for a process without a machine, and for files that do not exist, it is the right answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from pathlib import Path
from typing import NamedTuple

from banger.errors import Error
from banger.host.run import run
from banger.vmm.base import Lack
from banger.vmm.firecracker import configuration
from banger.vmm.firecracker.api import Api, Body, Refused

log = logging.getLogger("banger.firecracker")

_PROBE_S = 5.0
_POLL_S = 0.002
_SOCKET = "api.sock"
# In Firecracker's words.
_UNKNOWN = ("unknown field", "Invalid request method and/or path")
_NO_COPIES = "no templates, snapshots and forks"


class Needed(NamedTuple):
    """A request that the driver makes, and what machines lack without it."""

    method: str
    path: str
    body: Body
    lost: str
    is_of_copies: bool = False


# The load comes last: Firecracker may end after it.
NEEDED = (
    Needed("PATCH", "/vm", {"state": "Paused"}, f"no pause, {_NO_COPIES}", True),
    Needed("PATCH", "/drives/root", configuration.plan_rate(0, 0), "no limits of disks"),
    Needed("PATCH", "/drives/root", configuration.plan_resized(), "no disks that grow"),
    Needed("PUT", "/snapshot/create", configuration.plan_capture("state", "memory"), _NO_COPIES, True),
    Needed("PUT", "/snapshot/load", configuration.plan_restore("state", "memory"), _NO_COPIES, True),
)


class Unknown(NamedTuple):
    """A request that a build refused by name, and its words."""

    needed: Needed
    words: str

    @property
    def lack(self) -> Lack:
        return Lack(f"it refuses {self.needed.method} {self.needed.path} ({self.words}): {self.needed.lost}")


async def find_unknown(program: str) -> list[Unknown]:
    """Empty also if the process does not answer: then its version alone counts."""
    with tempfile.TemporaryDirectory(prefix="banger-probe-") as directory:
        argv = [program, "--id", "probe", "--api-sock", _SOCKET, "--level", "Error"]
        running = asyncio.create_task(run(argv, cwd=directory, check=False, timeout_s=_PROBE_S))
        try:
            async with asyncio.timeout(_PROBE_S):
                return await _ask(Api("a probe", Path(directory) / _SOCKET), running)
        except (Error, TimeoutError) as exc:
            log.warning("%s does not say what it knows: %s", program, exc)
            return []
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError, Error):
                await running


async def _ask(api: Api, running: asyncio.Task[object]) -> list[Unknown]:
    while True:
        try:
            await api.get("/")
            break
        except Error:
            if running.done():
                raise
        await asyncio.sleep(_POLL_S)
    found = []
    for needed in NEEDED:
        send = api.put if needed.method == "PUT" else api.patch
        try:
            await send(needed.path, needed.body)
        except Refused as exc:
            if any(words in exc.words for words in _UNKNOWN):
                found.append(Unknown(needed, exc.words))
    return found
