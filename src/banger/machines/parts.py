"""What the verbs of this room work with: one of each, made when the daemon starts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from banger.catalogs.shelf import Shelf
from banger.errors import Error
from banger.host.bounded import Locks
from banger.host.paths import Paths
from banger.host.settings import Settings
from banger.images.records.library import ImageLibrary
from banger.kernels.library import KernelLibrary
from banger.machines.keep.events import Journal
from banger.machines.keep.operations import Operations
from banger.machines.keep.registry import Registry
from banger.machines.life.live import LiveMachine
from banger.model.machine import Machine
from banger.store.store import Store
from banger.templates.library import TemplateLibrary
from banger.templates.pool import Pool
from banger.templates.trials import Trials
from banger.vmm.drivers import Drivers


@dataclass
class Parts:
    paths: Paths
    mode: str
    settings: Settings
    store: Store
    journal: Journal
    shelf: Shelf
    images: ImageLibrary
    kernels: KernelLibrary
    drivers: Drivers
    templates: TemplateLibrary
    pool: Pool
    trials: Trials
    operations: Operations
    registry: Registry
    live: dict[str, LiveMachine] = field(default_factory=dict)
    starting: dict[str, asyncio.Task[object]] = field(default_factory=dict)
    # How to settle the end of a machine that could not be written down.
    overdue: dict[str, Callable[[], Awaitable[None]]] = field(default_factory=dict)
    locks: Locks = field(default_factory=Locks)  # by the ids of machines
    on_ended: Callable[[Machine, bool], None] = lambda machine, failed: (
        None
    )  # restarts; True: it was a failure
    forget_restart: Callable[[Machine], bool] = lambda machine: False  # whether one was due
    # Who looks after machines, from when they are live.
    on_live: list[Callable[[LiveMachine], None]] = field(default_factory=list)
    shutdown: asyncio.Event = field(default_factory=asyncio.Event)

    def live_of(self, machine: Machine) -> LiveMachine:
        """The running machine; raises `bad_state` for one that does not run."""
        live = self.live.get(machine.id)
        if live is None:
            raise Error(
                "bad_state",
                f"machine {machine.name!r} is {machine.state.value}, not running",
                f"banger vm start {machine.name}",
                {"state": machine.state.value},
            )
        return live


def assemble(
    paths: Paths, mode: str, settings: Settings, store: Store, shelf: Shelf, drivers: Drivers
) -> Parts:
    """All of them, knowing one another; nothing is begun."""
    journal = Journal(store.events)
    images, kernels = ImageLibrary(paths, store.images, shelf), KernelLibrary(paths, store.kernels, shelf)
    templates = TemplateLibrary(paths, store.resources, images, kernels, drivers)
    images.tell = kernels.tell = templates.tell = store.resources.tell = journal.try_to_tell
    return Parts(
        paths=paths,
        mode=mode,
        settings=settings,
        store=store,
        journal=journal,
        shelf=shelf,
        images=images,
        kernels=kernels,
        drivers=drivers,
        templates=templates,
        pool=Pool(paths, store.resources, templates, settings.pool),
        trials=Trials(paths, store.resources),
        operations=Operations(store.operations, journal.try_to_tell),
        registry=Registry(store, journal.tell),
    )
