"""What verbs work with: one of each, made when the daemon starts."""

from __future__ import annotations

from dataclasses import dataclass

from banger.access.access import Access
from banger.catalogs.shelf import Shelf
from banger.engine.measuring import Measuring
from banger.guests.taps import GuardedTaps
from banger.host.paths import Paths
from banger.images.records.library import ImageLibrary
from banger.kernels.library import KernelLibrary
from banger.machines.copies.snapshots import SnapshotLibrary
from banger.machines.keep.events import Journal
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.operations import Operations
from banger.machines.keep.registry import Registry
from banger.machines.life.lives import Lives
from banger.machines.life.makings import Makings
from banger.machines.life.neighbours import Neighbours
from banger.machines.life.surroundings import complete_surroundings
from banger.machines.watch.passages import Passages
from banger.metrics.tally import Tally
from banger.model.settings import Settings
from banger.network.guards import Guards
from banger.store.store import Store
from banger.templates.library import TemplateLibrary
from banger.templates.pool import Pool
from banger.templates.trials import Trials
from banger.vmm.drivers import Drivers


@dataclass(frozen=True)
class Engine:
    """Functions of verbs get it, and pass on the parts that each step needs. No room below knows it."""

    mode: str
    store: Store
    journal: Journal
    operations: Operations
    shelf: Shelf
    makings: Makings
    lives: Lives
    snapshots: SnapshotLibrary
    passages: Passages
    neighbours: Neighbours
    access: Access
    tally: Tally

    @property
    def registry(self) -> Registry:
        return self.lives.registry


def assemble(
    paths: Paths,
    mode: str,
    settings: Settings,
    store: Store,
    shelf: Shelf,
    drivers: Drivers,
    tally: Tally | None = None,
) -> Engine:
    """Make all parts and connect them. Nothing starts."""
    tally = tally or Tally()
    journal = Journal(store.events)
    tell = journal.try_to_tell
    images, kernels = ImageLibrary(paths, store.images, shelf), KernelLibrary(paths, store.kernels, shelf)
    guards = Guards(paths, tell)
    taps = GuardedTaps(guards)
    templates = TemplateLibrary(paths, store.resources, images, kernels, drivers, taps)
    images.tell = kernels.tell = templates.tell = store.resources.tell = tell
    pool = Pool(paths, store.resources, templates, settings.pool, taps)
    trials = Trials(paths, store.resources)
    holdings = Holdings(paths, store.resources, drivers)
    lives = Lives(Registry(store, journal.tell), holdings, tell)
    lives.on_begin.append(complete_surroundings(lives.registry, images))
    operations = Operations(store.operations, tell)
    measuring = Measuring(tally)
    lives.registry.on_change.append(measuring.hear_change)
    operations.on_end.append(measuring.hear_end)
    return Engine(
        mode=mode,
        store=store,
        journal=journal,
        operations=operations,
        shelf=shelf,
        makings=Makings(paths, settings, images, kernels, drivers, templates, pool, trials, guards),
        lives=lives,
        passages=Passages(lives, guards),
        neighbours=Neighbours(lives, guards),
        snapshots=SnapshotLibrary(holdings, tell),
        access=Access(store.tokens),
        tally=tally,
    )
