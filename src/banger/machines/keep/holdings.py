"""What machines hold on this host: places, disks, and every resource that a record leads to."""

from __future__ import annotations

import contextlib
import logging

from banger.errors import Error
from banger.guests.guest import take_places
from banger.host.paths import Paths
from banger.model.machine import Machine
from banger.resources import kinds, teardown
from banger.store.resources import ResourceTable
from banger.vmm.base import Driver, VmPlaces
from banger.vmm.drivers import Drivers

log = logging.getLogger("banger.machines")


class Holdings:
    """Lives as long as the daemon. Knows no machine but the one that it is asked about."""

    def __init__(self, paths: Paths, resources: ResourceTable, drivers: Drivers) -> None:
        self.paths = paths
        self.resources = resources
        self.drivers = drivers

    def places(self, machine: Machine) -> VmPlaces:
        """One that was a clone in waiting stays where it waited: a VMM knows its files by their names. One that an
        earlier version started has its sockets where that one kept them."""
        place = machine.place or machine.id
        earlier = self.paths.earlier_sockets / place
        return VmPlaces(
            name=machine.name,
            directory=self.paths.machines / place,
            run_directory=earlier if earlier.is_dir() else self.paths.sockets / place,
        )

    def take_places(self, machine: Machine) -> VmPlaces:
        """The machine's directories, which are there from now on."""
        places = self.places(machine)
        take_places(self.resources, machine.id, places)
        return places

    def driver(self, machine: Machine) -> Driver | None:
        """The one that the machine was started with; None before its first start. Raises `driver_not_found`."""
        return self.drivers.named(machine.driver) if machine.driver else None

    async def require_released(self, machine: Machine) -> None:
        """Before it starts: whatever an earlier life holds still, a VMM or a control group, stands in the way of the
        next. Raises `not_released`."""
        errors = await teardown.release(self.resources, machine.id, kinds.RUNTIME)
        if errors:
            message = f"{machine.name} cannot start before the remains of its last run are gone"
            raise Error("not_released", f"{message}: {errors[0].message}", errors[0].hint)

    async def release_runtime(self, machine: Machine) -> None:
        """Its VMM has ended, or is to end: of what the VMM held and was cloned from, the machine needs the disk alone.
        What could not be released keeps its record."""
        await teardown.release(self.resources, machine.id, kinds.RUNTIME)
        self._forget_frozen(machine)

    async def release(self, machine: Machine) -> None:
        """All that it holds. Raises why something of that could not be released."""
        errors = await teardown.release(self.resources, machine.id)
        if errors:
            raise errors[0]

    async def tidy_disk(self, machine: Machine) -> None:
        """The last daemon may have ended while it froze the disk, or replaced it."""
        try:
            driver = self.driver(machine)
            if driver is not None:
                await driver.disks.tidy(self.places(machine).directory)
        except (Error, OSError) as exc:
            log.warning("machine=%s its disk is not tidied: %s", machine.name, exc)

    def _forget_frozen(self, machine: Machine) -> None:
        """Files of a driver that this banger does not have stay as they are. A record that is older than the machine's
        start knows no driver: each forgets its own."""
        with contextlib.suppress(Error):
            driver = self.driver(machine)
            for each in self.drivers.all() if driver is None else [driver]:
                each.forget_frozen(self.places(machine))
