"""What changed on a machine's disk since it was made from its image, or since a snapshot.

A state that a machine runs from now is listed by that machine's agent; every other state by a throw-away machine.
All disks of one image are that image's disk with changes above, so equal files have equal times of change.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from typing import NamedTuple

from banger.errors import Error
from banger.host.settings import read_settings
from banger.host.thread import in_thread
from banger.images.disks.merge.limits import Limits
from banger.images.fetch.byte_range import ByteRange
from banger.images.fetch.lifeline import on_lifeline
from banger.images.made.listings import compare
from banger.images.records.sources.spool import spool_stream
from banger.machines.ask.files import read_tree
from banger.machines.ask.pausing import awake
from banger.machines.copies.snapshots import SnapshotLibrary
from banger.machines.copies.throw_away import DiskBelow, open_throw_away
from banger.machines.keep.states import LIVE
from banger.machines.life.live import LiveMachine
from banger.machines.life.lives import Lives
from banger.machines.life.makings import Makings
from banger.model.difference import FileChange
from banger.model.image import Image
from banger.model.machine import Machine
from banger.model.template import Snapshot
from banger.vmm.frozen import Frozen

_LONGEST_S = 1800.0
_LARGEST_BYTES = 2 * Limits().metadata_bytes


class Wish(NamedTuple):
    """Tags of snapshots. `older` "": the image; `newer` "": the machine as it is now. `owner`: of the machines that
    read."""

    older: str
    newer: str
    owner: int


async def find_changes(
    library: SnapshotLibrary, lives: Lives, makings: Makings, name: str, machine: Machine | None, wish: Wish
) -> list[FileChange]:
    """`machine` is None for a machine that is gone, of which two snapshots are compared. Raises `snapshot_not_found`,
    `image_not_found`, `bad_state`, `bad_request` for states of different images, and the errors of a start."""
    older = await library.find(name, wish.older) if wish.older else None
    newer = await library.find(name, wish.newer) if wish.newer else None
    reader = _Reader(library, lives, makings, wish.owner)
    digest = _common_digest(machine, older, newer)
    if not digest:
        return []  # the machine has never started
    image = await _image(makings, digest, newer or older, machine)
    with ExitStack() as trees:
        try:
            async with asyncio.timeout(_LONGEST_S):
                if newer is not None:
                    tree = await reader.of_snapshot(image, newer)
                else:
                    assert machine is not None
                    tree = await reader.of_machine(image, machine)
                if tree is None:
                    return []
                trees.enter_context(tree)
                base = await (reader.of_image(image) if older is None else reader.of_snapshot(image, older))
                trees.enter_context(base)
        except TimeoutError as exc:
            raise Error("timeout", f"the files of {name} were not listed within {_LONGEST_S:g} s") from exc
        return await on_lifeline(lambda line: compare(base, tree, line))


def _common_digest(machine: Machine | None, older: Snapshot | None, newer: Snapshot | None) -> str:
    """The digest of the image below all that is compared; "" for a machine without a disk."""
    if newer is not None:
        digest = newer.shape.image_digest
    else:
        assert machine is not None
        digest = "" if machine.wiped else machine.image_digest
    if digest and older is not None and older.shape.image_digest != digest:
        raise Error(
            "bad_request",
            f"the snapshot {older.tag} lies on another image",
            "compare states of one machine that was not made again",
        )
    return digest


async def _image(makings: Makings, digest: str, snapshot: Snapshot | None, machine: Machine | None) -> Image:
    """The image with this disk, whatever its name means now. Raises `image_not_found`."""
    for image in makings.images.list():
        if image.digest == digest:
            return image
    name = machine.spec.image if machine is not None else snapshot.image if snapshot is not None else ""
    image = Image(
        name=name, digest=digest, architecture="", size_bytes=0, used_bytes=0, source="", created=""
    )
    try:
        image.size_bytes = (await in_thread(makings.images.disk(image).stat)).st_size
    except OSError as exc:
        raise Error(
            "image_not_found",
            f"the disk of {name} that the machine was made from is not on this host",
            "pull the same version of the image again",
        ) from exc
    return image


class _Reader:
    """Lists states of disks into files, which the caller closes."""

    def __init__(self, library: SnapshotLibrary, lives: Lives, makings: Makings, owner: int) -> None:
        self._library = library
        self._lives = lives
        self._makings = makings
        self._owner = owner

    async def of_image(self, image: Image) -> ByteRange:
        return await self._in_throw_away(image)

    async def of_snapshot(self, image: Image, record: Snapshot) -> ByteRange:
        driver = self._makings.drivers.named(record.shape.driver)
        return await self._in_throw_away(image, DiskBelow(driver, Frozen(self._library.directory(record))))

    async def of_machine(self, image: Image, machine: Machine) -> ByteRange | None:
        """None if the machine has no disk yet. A machine that does not run cannot start meanwhile."""
        lives = self._lives
        if lives.get(machine) is not None:
            async with awake(lives, machine) as live:
                return await self._list(live)
        async with lives.locks[machine.id]:
            driver, directory = lives.holdings.driver(machine), lives.holdings.places(machine).directory
            if driver is None or not lives.registry.has(machine):
                return None
            if machine.state in LIVE or not driver.disks.have(directory):
                state = machine.state.value
                raise Error(
                    "bad_state", f"machine {machine.name!r} is {state}", "try again", {"state": state}
                )
            return await self._in_throw_away(image, DiskBelow(driver, Frozen(directory)))

    async def _in_throw_away(self, image: Image, below: DiskBelow | None = None) -> ByteRange:
        async with open_throw_away(
            self._lives, self._makings, image, self._owner, _tell_nobody, below
        ) as live:
            return await self._list(live)

    async def _list(self, live: LiveMachine) -> ByteRange:
        keep_free = read_settings(self._makings.paths.config).limits.disk_reserve_bytes
        directory = await in_thread(self._makings.images.blobs().make)
        return await spool_stream(_bounded(live), directory, keep_free)


async def _bounded(live: LiveMachine) -> AsyncIterator[bytes]:
    left = _LARGEST_BYTES
    async for piece in read_tree(live):
        left -= len(piece)
        if left < 0:
            raise Error("agent_error", f"{live.machine.name} has more files than can be compared")
        yield piece


def _tell_nobody(phase: str, message: str = "", done: int = 0, total: int = 0, unit: str = "") -> None:
    """The client gets the changes alone."""
