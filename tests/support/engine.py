"""The engine without a daemon, with one driver, over a directory of the test's own.

Its image and its kernel are files of a few bytes: for drivers whose guests look at neither.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from banger.catalogs.shelf import Shelf
from banger.engine.engine import assemble
from banger.host.paths import Paths
from banger.machines.keep.lost_records import find_vmms
from banger.machines.keep.reconcile import find_leftovers
from banger.machines.life.adopt import adopt_all, release_ownerless
from banger.machines.life.lifecycle import create, delete, start
from banger.model.command import Command
from banger.model.image import Image, Kernel
from banger.model.machine import Machine, MachineSpec
from banger.model.settings import LimitSettings, PoolSettings, Settings
from banger.model.sizes import MIB
from banger.store.store import Store
from banger.vmm.base import Driver
from banger.vmm.drivers import Drivers
from tests.support.paths import paths_below
from tests.support.reports import silent

IMAGE, KERNEL = "tiny", "tiny-kernel"


def home_of(directory: Path) -> Paths:
    """Places with an image and a kernel in them, and a store that knows them."""
    paths = paths_below(directory)
    image = Image(
        name=IMAGE,
        digest="1" * 64,
        architecture="amd64",
        size_bytes=MIB,
        used_bytes=0,
        source="a test",
        created="2026-01-01T00:00:00Z",
    )
    kernel = Kernel(
        name=KERNEL,
        digest="2" * 64,
        architecture="amd64",
        release="0",
        version="0",
        size_bytes=0,
        source="a test",
        created="2026-01-01T00:00:00Z",
    )
    paths.images.mkdir(parents=True)
    with open(paths.images / f"{image.digest}.ext4", "wb") as disk:
        disk.truncate(image.size_bytes)
    modules = paths.kernels / kernel.digest / "modules"
    modules.mkdir(parents=True)
    for name in ("vmlinux", "order", "vsock", "modules.ext4"):
        (modules.parent / name).touch()
    store = Store(paths.database)
    store.images.put(image)
    store.kernels.put(kernel)
    store.close()
    return paths


class Engine:
    """From `open_engine` to the end of its block, as a daemon lives: machines go on after it."""

    def __init__(self, paths: Paths, driver: Driver, *, templates: bool) -> None:
        limits = LimitSettings(
            memory_reserve="1MiB", disk_reserve="1MiB"
        )  # of this host it needs next to nothing
        settings = Settings(pool=PoolSettings(per_template=0), limits=limits)
        settings.templates.enabled = templates
        store = Store(paths.database)
        self.paths = paths
        engine = assemble(paths, "user", settings, store, Shelf(paths), Drivers([driver]))
        self.store, self.makings, self.snapshots = store, engine.makings, engine.snapshots
        self.lives, self.registry = engine.lives, engine.registry

    def create(self, name: str, *argv: str, **fields: object) -> Machine:
        spec = MachineSpec(image=IMAGE, name=name, kernel=KERNEL, memory_mib=64, disk_bytes=MIB)
        spec.command = Command(argv=list(argv)) if argv else None
        for field, value in fields.items():
            setattr(spec, field, value)
        return create(self.registry, self.makings.drivers, spec)

    async def run(self, name: str, *argv: str, **fields: object) -> Machine:
        machine = self.create(name, *(argv or ("sleep",)), **fields)
        await start(self.lives, self.makings, machine, silent)
        return machine

    async def take_over(self) -> None:
        """As a daemon does when it starts."""
        await release_ownerless(self.store, self.registry, self.paths.state)
        await adopt_all(self.lives, await find_vmms(self.registry, self.lives.holdings))

    async def remove_machines(self) -> None:
        for machine in self.registry.all():
            await delete(self.lives, machine, force=True)

    async def leftovers(self) -> list[str]:
        """What is on the host without a record."""
        return [f"{found.kind} {found.what}" for found, _ in await find_leftovers(self.lives.holdings)]

    def held(self, *kinds: str) -> list[str]:
        """What there are records of, of those kinds or all."""
        every = self.store.resources.all()
        return [f"{each.kind} of {each.machine}" for each in every if not kinds or each.kind in kinds]

    def ownerless(self) -> list[str]:
        """What there are records of, of no machine."""
        known = {machine.id for machine in self.registry.all()}
        every = self.store.resources.all()
        return [f"{each.kind} of {each.machine}" for each in every if each.machine not in known]

    async def close(self) -> None:
        await self.makings.templates.close()
        await self.makings.pool.close()
        await asyncio.gather(*(live.detach() for live in self.lives.live.values()))
        self.store.close()


@contextlib.asynccontextmanager
async def open_engine(paths: Paths, driver: Driver, *, templates: bool = False) -> AsyncIterator[Engine]:
    engine = Engine(paths, driver, templates=templates)
    try:
        yield engine
    finally:
        await engine.close()
