"""A machine's disk becomes an image that other machines start from.

No program of the host reads the file system on it, which a guest made. What a machine that was killed left in its
journal, the kernels of the machines that start from the image play back, each in a disk of its own.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from banger.errors import Error
from banger.images.records.library import ImageLibrary
from banger.machines.ask.pausing import awake
from banger.machines.copies.capture import working_directory
from banger.machines.keep.states import LIVE
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.model.image import Image, ImageConfig
from banger.model.machine import Machine
from banger.model.operation import Report
from banger.wire.constants import Type

_FREEZE_S = 30.0


async def commit(lives: Lives, images: ImageLibrary, machine: Machine, name: str, report: Report) -> Image:
    """A running machine's file system holds still for a moment, its journal empty. Configuration (command, environment)
    is that of its image. Raises `bad_state`, `image_invalid`, `insufficient_disk`."""
    async with working_directory(lives.holdings, "commit") as directory:
        raw = directory / "disk.ext4"
        report("freeze", f"taking the disk of {machine.name}")
        async with lives.locks[machine.id]:
            live, own = lives.get(machine), lives.holdings.places(machine).directory
            driver = live.driver if live is not None else lives.holdings.driver(machine)
            if live is not None:
                async with awake(lives, machine), _still(live):
                    await live.vm.freeze_disk(directory)
            elif machine.state in LIVE or driver is None or not driver.disks.have(own):
                raise Error(
                    "bad_state",
                    f"machine {machine.name!r} has no disk yet",
                    f"banger vm start {machine.name}",
                )
            report("copy", f"writing the disk of {name}")
            assert driver is not None
            await driver.disks.flatten(directory if live is not None else own, raw)
        base = images.find(machine.spec.image)
        source = f"machine:{machine.name}"
        return await images.register(raw, name, source, base.config if base else ImageConfig())


@contextlib.asynccontextmanager
async def _still(live: LiveMachine) -> AsyncIterator[None]:
    """Everything that was written is on the disk, and nothing is being written."""
    await live.agent().request(Type.FREEZE, timeout_s=_FREEZE_S)
    try:
        yield
    finally:
        await live.agent().request(Type.THAW, timeout_s=_FREEZE_S)
