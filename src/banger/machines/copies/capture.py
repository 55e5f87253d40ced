"""Freeze a running machine: write memory, devices and disk to a directory; then the machine continues."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

from banger.directories import ensure_private_directory
from banger.errors import Error
from banger.guests.links import link_of_kind
from banger.host.fs import require_free
from banger.host.thread import in_thread
from banger.machines.keep.holdings import Holdings
from banger.machines.life.launch import guest_init
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.machines.life.makings import Makings
from banger.machines.life.passage import link_in_use
from banger.machines.life.secrets import refuse_secret_memory
from banger.machines.life.sessions import catch_up
from banger.machines.life.volumes import refuse_frozen
from banger.model.machine import MachineState
from banger.model.sizes import MIB
from banger.model.template import Shape
from banger.resources import kinds, teardown
from banger.templates.shape import prepare_machine_shape
from banger.vmm.base import Driver
from banger.vmm.frozen import Frozen


@contextlib.asynccontextmanager
async def working_directory(holdings: Holdings, purpose: str) -> AsyncIterator[Path]:
    """A private directory below the snapshots. The end of the block removes it, unless it was renamed; if the daemon
    dies, the next daemon removes it."""
    token = os.urandom(4).hex()
    directory = holdings.paths.snapshots / f".{purpose}-{token}"
    owner = f"{purpose}-{token}"
    holdings.resources.note(owner, kinds.FILES.name, {"path": str(directory)})
    try:
        ensure_private_directory(str(directory))
        yield directory
    finally:
        await asyncio.shield(teardown.release(holdings.resources, owner))


async def capture(
    lives: Lives, makings: Makings, live: LiveMachine, directory: Path, *, with_secrets: bool = False
) -> Shape:
    """Freeze `live` into `directory`; its vCPUs are stopped for a part of that time only. A machine that has secrets is
    frozen only `with_secrets`. Raises `bad_state`, `vmm_failed`, `insufficient_disk`, `unsupported`."""
    machine = live.machine
    refuse_secret_memory(machine, asked=with_secrets)
    refuse_frozen(machine)
    await live.adopted.wait()
    async with lives.locks[machine.id], live.pausing:  # no task may resume it before all is written
        if machine.state not in (MachineState.RUNNING, MachineState.PAUSED):
            raise Error(
                "bad_state",
                f"machine {machine.name!r} is {machine.state.value}",
                f"banger vm start {machine.name}",
            )
        await in_thread(
            require_free, directory, 64 * MIB + machine.spec.memory_mib * MIB // 4, f"freezing {machine.name}"
        )
        _require_freezing(live.driver)
        shape = await _shape(makings, live)
        try:
            if live.driver.capabilities.capture_ends_session:
                await live.part(Error("agent_lost", f"a capture of {machine.name} ended the session"))
            await live.vm.capture(Frozen(directory))
            await live.vm.freeze_disk(directory)
        finally:
            if machine.state is MachineState.RUNNING:
                await live.vm.resume()
                await catch_up(lives, live)
    return shape


def _require_freezing(driver: Driver) -> None:
    if not driver.capabilities.freezes:
        raise Error(
            "unsupported", f"{driver.name} cannot freeze a machine", "run the machine with another --driver"
        )


async def _shape(makings: Makings, live: LiveMachine) -> Shape:
    machine = live.machine
    kernel = makings.kernels.get_version(machine.kernel, machine.kernel_digest)
    link = link_of_kind(link_in_use(machine.network.link, machine.spec))
    config = await makings.config(machine, live.places, kernel, live.driver, machine.accel, link)
    return await prepare_machine_shape(
        machine.image_digest, kernel, config, live.driver, guest_init(machine.spec)
    )
