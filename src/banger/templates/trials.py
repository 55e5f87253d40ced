"""Find out, once, whether an accelerator boots a real kernel on this host; write the result down.

/dev/kvm may exist, open, make machines, run a few instructions, and still hang every kernel. So an accelerator counts
only when a kernel and its agent have come up in it. The result holds for one boot of this host, one build of the VMM
and one kernel: `accelerators.json` in the state directory. A user who removes that file gets a new trial.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
from pathlib import Path
from typing import NamedTuple

import msgspec

from banger.errors import BootFailure, VmmFailed
from banger.guests.guest import boot, take_places
from banger.guests.taps import NO_TAPS
from banger.host import cpu
from banger.host.bounded import Bounded
from banger.host.fs import write_file
from banger.host.paths import Paths
from banger.host.thread import in_thread
from banger.resources import teardown
from banger.store.resources import ResourceTable
from banger.vmm.base import AS_NEEDED, Driver, VmConfig, VmPlaces
from banger.vmm.link import NoLink

log = logging.getLogger("banger.templates")

OWNER = "trial-"
# Hardware brings up a kernel and the agent in one second; a busy host gets more than ten times that.
TRIAL_S = 15.0
# Emulation needs nothing of the host, so there is nothing to try and nothing to fall back to.
ALWAYS = "tcg"
_LARGEST_MIB = 512
_REMEMBERED = 256


class Trial(NamedTuple):
    """What was tried. `build`: build of the VMM; `kernel`: digest of the kernel."""

    accel: str
    driver: str
    build: str
    kernel: str


class _Record(msgspec.Struct):
    """`found`: for each trial why the accelerator does not work; empty if it works."""

    boot: str
    found: list[tuple[Trial, str]]


class Trials:
    """Lives as long as the daemon; used from its event loop. One trial at a time: other callers wait."""

    def __init__(self, paths: Paths, resources: ResourceTable) -> None:
        self._paths = paths
        self._resources = resources
        self._found: Bounded[Trial, str] = Bounded(_REMEMBERED)
        for trial, why in read_trials(paths.state).items():
            self._found[trial] = why
        self._trying = asyncio.Lock()

    async def known(self, driver: Driver, accel: str, kernel_digest: str) -> str | None:
        """Why the accelerator does not work, empty if it does; None if it was not tried."""
        return "" if accel == ALWAYS else self._found.get(await _trial_of(driver, accel, kernel_digest))

    def of_build(self, driver: str, build: str, accel: str) -> list[str]:
        """For each kernel that this build of the driver was tried with, why it does not work; empty if it does."""
        wanted = (accel, driver, build)
        return [
            why for trial, why in self._found.items() if (trial.accel, trial.driver, trial.build) == wanted
        ]

    async def why_not(self, driver: Driver, config: VmConfig, kernel_digest: str) -> str:
        """Why a machine of `config` does not come up with its accelerator; empty if a machine did. Tries once, for at
        most `TRIAL_S`. Raises errors that do not concern the accelerator: `insufficient_disk`, `tool_missing`."""
        async with self._trying:
            found = await self.known(driver, config.accel, kernel_digest)
            if found is None:
                found = await self._try(driver, config)
                self._found[await _trial_of(driver, config.accel, kernel_digest)] = found
                await self._write()
                log.info("accelerator %s: %s", config.accel, found or "a machine came up")
            return found

    async def _try(self, driver: Driver, config: VmConfig) -> str:
        token = os.urandom(4).hex()
        owner = OWNER + token
        places = VmPlaces(
            name=f"{config.accel}-trial",
            directory=self._paths.machines / token,
            run_directory=self._paths.sockets / token,
        )
        config = dataclasses.replace(
            config,
            places=places,
            marker=owner,
            memory_mib=min(config.memory_mib, _LARGEST_MIB),
            cpus=1,
            limits=AS_NEEDED,
            frozen=None,
            link=NoLink(),
        )
        try:
            take_places(self._resources, owner, places)
            await driver.prepare(config)
            guest = await boot(self._resources, NO_TAPS, owner, config, driver, TRIAL_S)
            await guest.let_go()
        except (BootFailure, VmmFailed) as exc:
            return exc.message
        finally:
            await asyncio.shield(teardown.release(self._resources, owner))
        return ""

    async def _write(self) -> None:
        """Write the results down. If that fails, the next daemon tries again."""
        data = msgspec.json.encode(_Record(cpu.boot_id(), [*self._found.items()]))
        with contextlib.suppress(OSError):
            await in_thread(write_file, _file(self._paths.state), data)


def read_trials(state: Path) -> dict[Trial, str]:
    """The results since this host booted."""
    try:
        record = msgspec.json.decode(_file(state).read_bytes(), type=_Record)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return {}
    return dict(record.found) if record.boot == cpu.boot_id() else {}


async def _trial_of(driver: Driver, accel: str, kernel_digest: str) -> Trial:
    return Trial(accel, driver.name, (await driver.info()).build, kernel_digest)


def _file(state: Path) -> Path:
    return state / "accelerators.json"
