"""The directories of the host that a machine has, for as long as its VMM runs.

A server that ends is started again, whichever daemon runs then. Requests of the guest wait for it, and fail after half
a minute. To a guest that continues from a frozen one, its server is such a second one: what was open is stale.
"""

from __future__ import annotations

import asyncio
import logging
import posixpath
import time

from banger.errors import Error
from banger.guests.shares import find_server, find_sources, mount_all, start_server
from banger.host.background import in_background
from banger.host.proc import wait_gone
from banger.host.thread import in_thread
from banger.machines.life.live import LiveMachine
from banger.model.machine import MachineSpec
from banger.store.resources import ResourceTable
from banger.vmm.base import Driver

log = logging.getLogger("banger.machines")

_PAUSE_S, _LONGEST_PAUSE_S = 0.2, 30.0


def check_mounts(spec: MachineSpec) -> None:
    """Raises `bad_spec` for targets that cannot be mounted."""
    targets = [posixpath.normpath(mount.target) for mount in spec.mounts]
    for mount, target in zip(spec.mounts, targets, strict=True):
        if target in ("/", "//") or ".." in mount.target.split("/"):
            raise Error("bad_spec", f"nothing can be mounted at {mount.target!r}", "name a directory below /")
        if targets.count(target) > 1:
            raise Error("bad_spec", f"two directories have the target {target!r}", "give each its own target")


def refuse_unshared(spec: MachineSpec, driver: Driver) -> None:
    """Raises `unsupported` for a driver that gives guests no directories. Called before anything is started."""
    if spec.mounts and not driver.capabilities.shares:
        raise Error(
            "unsupported",
            f"{driver.name} gives a machine no directories of this host",
            "use another --driver",
        )


async def require_sources(spec: MachineSpec) -> None:
    """Raises `bad_mount` for a source that is not there. Called before a machine's present state is lost."""
    await in_thread(find_sources, spec.mounts)


async def share(resources: ResourceTable, live: LiveMachine, user: str) -> None:
    """Give the guest that has just started its directories. `user`: whom the files belong to in it. Raises `bad_mount`,
    and the errors of the agent."""
    mounts = live.machine.spec.mounts
    if not mounts:
        return
    sources = await in_thread(find_sources, mounts)
    are_files = await in_thread(lambda: [source.is_file() for source in sources])
    await _serve(resources, live)
    await mount_all(live.agent(), mounts, are_files, user)
    keep_sharing(resources, live)


async def share_on(resources: ResourceTable, live: LiveMachine) -> None:
    """Serve the directories of a guest that continues from a frozen one, and has them mounted. Raises `bad_mount`."""
    if live.machine.spec.mounts:
        await _serve(resources, live)
        keep_sharing(resources, live)


async def _serve(resources: ResourceTable, live: LiveMachine) -> None:
    machine = live.machine
    try:
        await start_server(resources, machine.id, live.places, live.vm, machine.spec.mounts)
    except OSError as exc:
        raise Error("vmm_failed", f"no stream to {machine.name} for its directories: {exc.strerror}") from exc


def keep_sharing(resources: ResourceTable, live: LiveMachine) -> None:
    """Start the server again whenever it ends, until the VMM ends or this daemon does."""
    if live.machine.spec.mounts and live.sharing is None and not live.gone.is_set():
        live.sharing = in_background(
            _keep_sharing(resources, live), f"the directories of {live.machine.name}"
        )


async def _keep_sharing(resources: ResourceTable, live: LiveMachine) -> None:
    """A guest can make its server end, so a server that ends soon is not started again at once."""
    pause_s = _PAUSE_S
    while not live.gone.is_set():
        begun = time.monotonic()
        process = find_server(resources, live.machine.id)
        if process is not None:
            await wait_gone(process)
            log.info("machine=%s the server of its directories has ended", live.machine.name)
        await asyncio.sleep(pause_s)
        lived_long = time.monotonic() - begun > _LONGEST_PAUSE_S
        pause_s = _PAUSE_S if lived_long else min(2 * pause_s, _LONGEST_PAUSE_S)
        if live.gone.is_set():
            return
        try:
            await start_server(resources, live.machine.id, live.places, live.vm, live.machine.spec.mounts)
        except (Error, OSError) as exc:
            log.warning("machine=%s its directories are not served: %s", live.machine.name, exc)
