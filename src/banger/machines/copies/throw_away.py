"""Machines that are started only to read a disk: they run no program of the image and reach nothing. No program of the
host reads a disk (decision 16)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import NamedTuple

from banger.errors import Error
from banger.host.thread import in_thread
from banger.machines.life import lifecycle
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.machines.life.makings import Makings
from banger.model.command import Command
from banger.model.image import Image
from banger.model.machine import MachineSpec
from banger.model.operation import Report
from banger.model.sizes import GIB
from banger.vmm.base import Driver
from banger.vmm.frozen import Frozen

_LEAST_DISK_BYTES = 4 * GIB
_LONGEST_S = 6 * 3600.0


class DiskBelow(NamedTuple):
    """A disk above an image, which nothing writes to while a machine is above it, and the driver that made it."""

    driver: Driver
    files: Frozen


@contextlib.asynccontextmanager
async def open_throw_away(
    lives: Lives, makings: Makings, image: Image, owner: int, report: Report, below: DiskBelow | None = None
) -> AsyncIterator[LiveMachine]:
    """A running machine with the files of the image, whatever its name means meanwhile, or of a disk above it. What it
    writes is lost. It is never finished: if this daemon dies meanwhile, the next one ends it. Raises `bad_state` if the
    disk of the image is gone, and the errors of a start."""
    if not await in_thread(makings.images.disk(image).exists):
        raise Error("bad_state", f"the image {image.name} was deleted meanwhile", "try again")
    spec = MachineSpec(
        image=image.name,
        init="agent",
        network="none",
        cold=True,
        driver=below.driver.name if below is not None else "",
        disk_bytes=max(image.size_bytes, _LEAST_DISK_BYTES),
        ttl_s=_LONGEST_S,
        command=Command(entrypoint=[], argv=[]),
    )
    machine = lifecycle.create(
        lives.registry, makings.drivers, spec, wanted="running", owner=owner, unfinished=True
    )
    try:
        if below is not None:
            places = lives.holdings.take_places(machine)
            await below.driver.disks.replace(places.directory, below.files)
        await lifecycle.start(lives, makings, machine, report, image=image)
        live = lives.of(machine)
        with live.in_use():
            yield live
    finally:
        with contextlib.suppress(Error):
            await asyncio.shield(lifecycle.delete(lives, machine, force=True))
