"""What machines hold on this host: places, disks, and all recorded resources."""

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
    """Lives as long as the daemon. Keeps no list of machines: each call names its machine."""

    def __init__(self, paths: Paths, resources: ResourceTable, drivers: Drivers) -> None:
        self.paths = paths
        self.resources = resources
        self.drivers = drivers

    def places(self, machine: Machine) -> VmPlaces:
        """Where the machine's files and sockets are. A machine that was a waiting clone stays in the clone's directory,
        because its VMM knows its files by their names. The sockets of a machine that an earlier version started are
        where that version put them."""
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
        """Check before a start that an earlier run holds nothing, such as a VMM or a control group, that would be in
        the way. Raises `not_released`."""
        errors = await teardown.release(self.resources, machine.id, kinds.RUNTIME)
        if errors:
            message = f"{machine.name} cannot start before the remains of its last run are gone"
            raise Error("not_released", f"{message}: {errors[0].message}", errors[0].hint)

    async def release_runtime(self, machine: Machine) -> None:
        """Release all that the machine holds only while it runs, after the end of the VMM or to end the VMM. Of the
        frozen machine that it was cloned from, the machine keeps only the disk. A resource that cannot be released
        keeps its record; files of an unknown driver stay."""
        await teardown.release(self.resources, machine.id, kinds.RUNTIME)
        with contextlib.suppress(Error):
            driver = self.driver(
                machine
            )  # no driver before the first start: then each driver removes its files
            for each in self.drivers.all() if driver is None else [driver]:
                each.forget_frozen(self.places(machine))

    async def release(self, machine: Machine) -> None:
        """Release all that the machine holds. Raises the first error; a resource that was not released keeps its
        record."""
        errors = await teardown.release(self.resources, machine.id)
        if errors:
            raise errors[0]

    async def tidy_disk(self, machine: Machine) -> None:
        """Remove what an earlier daemon left of an unfinished freeze or change of the disk."""
        try:
            driver = self.driver(machine)
            if driver is not None:
                await driver.disks.tidy(self.places(machine).directory)
        except (Error, OSError) as exc:
            log.warning("machine=%s its disk is not tidied: %s", machine.name, exc)
