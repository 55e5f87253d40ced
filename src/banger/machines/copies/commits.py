"""Make an image of a machine's disk, from which other machines start.

No program of the host reads the file system on the disk, because a guest made it. If the machine was killed, its file
system has a journal to replay; the kernel of each machine that starts from the image replays it, on its own disk.
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
from banger.model.image import Image
from banger.model.machine import Machine
from banger.model.operation import Report
from banger.wire.constants import Type

_FREEZE_S = 30.0


async def commit(lives: Lives, images: ImageLibrary, machine: Machine, name: str, report: Report) -> Image:
    """Make an image of the machine's disk. The file system of a running machine is frozen for a moment, with an empty
    journal. The configuration (command, environment) is that of the machine's image. Raises `bad_state`,
    `image_invalid`, `insufficient_disk`."""
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
        if base is None:
            return await images.register(raw, name, source)
        below = base.base or (base.digest if base.layers else "")
        return await images.register(raw, name, source, base.config, below)


@contextlib.asynccontextmanager
async def _still(live: LiveMachine) -> AsyncIterator[None]:
    """Within the block all written data is on the guest's disk, and no process writes."""
    await live.agent().request(Type.FREEZE, timeout_s=_FREEZE_S)
    try:
        yield
    finally:
        await live.agent().request(Type.THAW, timeout_s=_FREEZE_S)
