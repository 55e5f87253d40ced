"""What changed on a machine's disk since it was made from its image.

The agent of a running machine lists what is there now; the image, and the disk of a machine that does not run, are
listed in a throw-away machine. A machine's disk is its image's disk with changes above, so equal files have equal times
of change.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

from banger.errors import Error
from banger.host.thread import in_thread
from banger.images.disks.merge.limits import Limits
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import on_lifeline
from banger.images.made.listings import compare
from banger.images.records.sources.spool import spool_stream
from banger.machines.ask.files import read_tree
from banger.machines.ask.pausing import awake
from banger.machines.copies.throw_away import DiskBelow, open_throw_away
from banger.machines.keep.states import LIVE
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.machines.life.makings import Makings
from banger.model.difference import FileChange
from banger.model.image import Image
from banger.model.machine import Machine
from banger.model.operation import report_to_nobody
from banger.model.settings import read_settings
from banger.vmm.frozen import Frozen

_LONGEST_S = 1800.0
_LARGEST_BYTES = 2 * Limits().metadata_bytes


async def find_changes(lives: Lives, makings: Makings, machine: Machine, owner: int) -> list[FileChange]:
    """`owner`: of the machines that read. Raises `image_not_found`, `bad_state`, `timeout`, and the errors of a
    start."""
    if machine.wiped or not machine.image_digest:
        return []  # it has no disk yet
    image = await _image(makings, machine)
    with ExitStack() as trees:
        try:
            async with asyncio.timeout(_LONGEST_S):
                tree = trees.enter_context(await _list_machine(lives, makings, machine, image, owner))
                base = trees.enter_context(await _list_disk(lives, makings, image, owner))
        except TimeoutError as exc:
            message = f"the files of {machine.name} were not listed within {_LONGEST_S:g} s"
            raise Error("timeout", message) from exc
        return await on_lifeline(lambda line: compare(base, tree, line))


async def _image(makings: Makings, machine: Machine) -> Image:
    """The image that the machine was made from, whatever has its name now. Raises `image_not_found`."""
    for image in makings.images.list():
        if image.digest == machine.image_digest:
            return image
    image = Image(
        name=machine.spec.image,
        digest=machine.image_digest,
        architecture="",
        size_bytes=0,
        used_bytes=0,
        source="",
        created="",
    )
    try:
        image.size_bytes = (await in_thread(makings.images.disk(image).stat)).st_size
    except OSError as exc:
        raise Error(
            "image_not_found",
            f"the disk of {image.name} that {machine.name} was made from is not on this host",
            "pull the same version of the image again",
        ) from exc
    return image


async def _list_machine(
    lives: Lives, makings: Makings, machine: Machine, image: Image, owner: int
) -> ByteRange:
    """A machine that does not run cannot start meanwhile."""
    if lives.get(machine) is not None:
        async with awake(lives, machine) as live:
            return await _list(makings, live)
    async with lives.locks[machine.id]:
        driver, directory = lives.holdings.driver(machine), lives.holdings.places(machine).directory
        if machine.state in LIVE or driver is None or not driver.disks.have(directory):
            state = machine.state.value
            hint = "try again when it runs, or when it has stopped"
            raise Error(
                "bad_state",
                f"machine {machine.name!r} is {state}, without a disk to read",
                hint,
                {"state": state},
            )
        return await _list_disk(lives, makings, image, owner, DiskBelow(driver, Frozen(directory)))


async def _list_disk(
    lives: Lives, makings: Makings, image: Image, owner: int, below: DiskBelow | None = None
) -> ByteRange:
    async with open_throw_away(lives, makings, image, owner, report_to_nobody, below) as live:
        return await _list(makings, live)


async def _list(makings: Makings, live: LiveMachine) -> ByteRange:
    keep_free = read_settings(makings.paths.config).limits.disk_reserve_bytes
    directory = await in_thread(makings.images.blobs().make)
    return await spool_stream(_bounded(live), directory, keep_free)


async def _bounded(live: LiveMachine) -> AsyncIterator[bytes]:
    left = _LARGEST_BYTES
    async for piece in read_tree(live):
        left -= len(piece)
        if left < 0:
            raise Error("agent_error", f"{live.machine.name} has more files than can be compared")
        yield piece
