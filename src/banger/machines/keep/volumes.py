"""Named volumes: their records, kept in memory, written to the store, found by name. Records of machines say which
machines mount them."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Mapping

import msgspec

from banger.errors import Error
from banger.host.bounded import Locks
from banger.host.times import now
from banger.machines.keep.states import LIVE
from banger.model.event import Tell
from banger.model.machine import Machine, MachineSpec
from banger.model.volume import Volume, check_volume_name, check_volume_size
from banger.store.store import Store


def nothing_else() -> None:
    """For a transaction that writes only the volume."""


class Volumes:
    """The only way to change the record of a volume. Lives as long as the daemon. `claimed` are the ids of the machines
    that have taken their volumes and have not ended; `read_here` counts, by name, how often the daemon itself reads a
    disk now. `locks` are by name: for what makes or removes a disk."""

    def __init__(self, store: Store, tell: Tell) -> None:
        self._table = store.volumes
        self._database = store.database
        self._tell = tell
        self._by_name = {volume.name: volume for volume in self._table.all()}
        self.claimed: set[str] = set()
        self.read_here: Counter[str] = Counter()
        self.locks = Locks()

    def all(self) -> list[Volume]:
        return [self._by_name[name] for name in sorted(self._by_name)]

    def find(self, name: str) -> Volume:
        """Raises `volume_not_found`."""
        volume = self._by_name.get(name)
        if volume is None:
            raise Error("volume_not_found", f"no volume named {name!r}", "banger volume list")
        return volume

    def has(self, name: str) -> bool:
        return name in self._by_name

    def plan(self, name: str, size_bytes: int = 0, labels: Mapping[str, str] | None = None) -> Volume:
        """A new record, which is not written yet. An empty name means a name by chance. Raises `bad_name`, `bad_size`,
        `name_taken`."""
        name = check_volume_name(name) if name else secrets.token_hex(32)
        if name in self._by_name:
            raise Error(
                "name_taken",
                f"a volume named {name!r} exists already",
                f"choose another name, or delete the volume: banger volume delete {name}",
            )
        return Volume(
            name=name,
            id=secrets.token_hex(6),
            size_bytes=check_volume_size(size_bytes),
            created=now(),
            labels=dict(labels or {}),
        )

    def add(self, volume: Volume, also: Callable[[], object] = nothing_else) -> None:
        """Write a new record, together with what `also` writes. Raises `name_taken`."""
        if volume.name in self._by_name:
            self.plan(volume.name)

        def write() -> None:
            self._write_new(volume)
            also()

        self._database.together(write)

    def add_missing(self, spec: MachineSpec) -> None:
        """Write records for the volumes of a new machine that do not exist yet. Within a transaction."""
        for mount in spec.volumes:
            if mount.volume not in self._by_name:
                self._write_new(self.plan(mount.volume))

    def _write_new(self, volume: Volume) -> None:
        self._table.put(volume)
        self._tell("volume.created", f"volume/{volume.name}", f"the volume {volume.name} was created")
        self._database.when_written(lambda: self._by_name.update({volume.name: volume}))

    def note_made(self, volume: Volume, also: Callable[[], object]) -> Volume:
        """Record that the volume has its disk, together with what `also` writes."""
        made = msgspec.structs.replace(volume, made=True)

        def write() -> None:
            self._table.put(made)
            also()
            self._database.when_written(lambda: self._by_name.update({made.name: made}))

        self._database.together(write)
        return made

    def remove(self, volume: Volume, also: Callable[[], object]) -> None:
        """Remove a record, together with what `also` writes."""
        name = volume.name

        def write() -> None:
            self._table.delete(name)
            self._tell("volume.deleted", f"volume/{name}", f"the volume {name} was deleted")
            also()
            self._database.when_written(follow)

        def follow() -> None:
            self._by_name.pop(name, None)

        self._database.together(write)

    def hear_change(self, was: Machine, machine: Machine) -> None:
        """A machine that does not run has no claims; see `life.volumes.holds` for a VMM that does not end."""
        if machine.state not in LIVE:
            self.claimed.discard(machine.id)

    def write_again(self) -> None:
        """Write all records from memory: a damaged store may have lost some of them."""
        for volume in self._by_name.values():
            self._table.put(volume)
