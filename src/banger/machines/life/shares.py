"""The directories of the host that a machine has, for as long as its VMM runs.

A server that ends is started again, whichever daemon runs then. Requests of the guest wait for it, and fail after half
a minute. A machine that has directories is not frozen: its copies would have the files open that it has.
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
from banger.model.machine import Machine, MachineSpec
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


def refuse_shared(machine: Machine) -> None:
    """Raises `unsupported` for a machine that has directories, and so cannot be frozen."""
    if machine.spec.mounts:
        raise Error(
            "unsupported",
            f"{machine.name} has directories of this host, so its memory cannot be copied",
            "copy a machine without them; `banger commit` copies the disk alone",
        )


async def share(resources: ResourceTable, live: LiveMachine, user: str) -> None:
    """Give the guest that has just started its directories. `user`: whom the files belong to in it. Raises `bad_mount`,
    and the errors of the agent."""
    machine = live.machine
    mounts = machine.spec.mounts
    if not mounts:
        return
    sources = await in_thread(find_sources, mounts)
    are_files = await in_thread(lambda: [source.is_file() for source in sources])
    try:
        await start_server(resources, machine.id, live.places, live.vm, mounts)
    except OSError as exc:
        raise Error("vmm_failed", f"no stream to {machine.name} for its directories: {exc.strerror}") from exc
    await mount_all(live.agent(), mounts, are_files, user)
    keep_sharing(resources, live)


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
