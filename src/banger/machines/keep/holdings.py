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
        """Where its files and sockets are. A machine that was a waiting clone stays where it waited: a VMM knows its
        files by their names. The sockets of a machine that an earlier version started are where that version put
        them."""
        place = machine.place or machine.id
        earlier = self.paths.earlier_sockets / place
        return VmPlaces(
            name=machine.name,
            directory=self.paths.machines / place,
            run_directory=earlier if earlier.is_dir() else self.paths.sockets / place,
        )

    def take_places(self, machine: Machine) -> VmPlaces:
        """Make the machine's directories, unless they exist, with a record of each."""
        places = self.places(machine)
        take_places(self.resources, machine.id, places)
        return places

    def driver(self, machine: Machine) -> Driver | None:
        """The driver that started the machine; None before its first start. Raises `driver_not_found`."""
        return self.drivers.named(machine.driver) if machine.driver else None

    async def require_released(self, machine: Machine) -> None:
        """Before a start: what an earlier run still holds, such as a VMM or a control group, would be in the way of the
        next run. Raises `not_released`."""
        errors = await teardown.release(self.resources, machine.id, kinds.RUNTIME)
        if errors:
            message = f"{machine.name} cannot start before the remains of its last run are gone"
            raise Error("not_released", f"{message}: {errors[0].message}", errors[0].hint)

    async def release_runtime(self, machine: Machine) -> None:
        """After the end of the VMM, or to end it: all that the machine holds only while it runs. Of the frozen machine
        that it was cloned from, it keeps the disk alone. A resource that cannot be released keeps its record; files of
        a driver that this banger does not have stay."""
        await teardown.release(self.resources, machine.id, kinds.RUNTIME)
        with contextlib.suppress(Error):
            driver = self.driver(
                machine
            )  # none in a record from before the start: then each removes its own files
            for each in self.drivers.all() if driver is None else [driver]:
                each.forget_frozen(self.places(machine))

    async def release(self, machine: Machine) -> None:
        """All that the machine holds. Raises the first error; that resource keeps its record."""
        errors = await teardown.release(self.resources, machine.id)
        if errors:
            raise errors[0]

    async def tidy_disk(self, machine: Machine) -> None:
        """Remove what is left of a freeze or a change of the disk that the last daemon did not finish."""
        try:
            driver = self.driver(machine)
            if driver is not None:
                await driver.disks.tidy(self.places(machine).directory)
        except (Error, OSError) as exc:
            log.warning("machine=%s its disk is not tidied: %s", machine.name, exc)
