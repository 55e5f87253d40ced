"""All machines: kept in memory, written to the store, found by name or id."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Unpack

import msgspec

from banger.errors import Error
from banger.host.times import now
from banger.machines.keep.events import tell_created, tell_deleted, tell_moved
from banger.machines.keep.networks import Networks
from banger.machines.keep.reasons import with_reason
from banger.machines.keep.states import LIVE, Verb, advance
from banger.machines.keep.volumes import Volumes
from banger.model.ending import Ending
from banger.model.event import Tell, tell_nobody
from banger.model.machine import Change, Machine, MachineSpec, MachineState
from banger.store.store import Store
from banger.store.tables import name_taken

Also = Callable[[Tell], None]


def nothing_else(tell: Tell) -> None:
    """For a transaction that writes only the machine."""


class Registry:
    """The only way to change a machine's record; other code must not assign to it. Each change is a transaction: the
    store commits the change, its event, and what the caller writes and tells in `also`; then the record in memory
    changes. If the write fails, nothing changes. `on_add` is called with a new record, `on_change` with the
    record before a change and with the one after it; neither can fail."""

    def __init__(self, store: Store, tell: Tell = tell_nobody) -> None:
        self._table = store.machines
        self._database = store.database
        self._tell = tell
        self._by_id = {machine.id: with_reason(machine) for machine in self._table.all()}
        self._id_of_name = {machine.name: machine.id for machine in self._by_id.values()}
        self.networks = Networks(store, tell)
        self.volumes = Volumes(store, tell)
        self.volumes.claimed.update(one.id for one in self._by_id.values() if one.state in LIVE)
        self.on_add: list[Callable[[Machine], None]] = []
        self.on_change: list[Callable[[Machine, Machine], None]] = [self.volumes.hear_change]
        store.database.on_mended = self._write_again

    def find(self, name_or_id: str) -> Machine:
        machine = self._by_id.get(self._id_of_name.get(name_or_id, name_or_id))
        if machine is None:
            raise Error("machine_not_found", f"no machine named {name_or_id!r}", "banger vm list")
        return machine

    def all(self) -> list[Machine]:
        return list(self._by_id.values())

    def members(self, network: str) -> list[Machine]:
        """The machines on a named network, also if they do not run."""
        return [
            machine
            for machine in self._by_id.values()
            if any(one.network == network for one in machine.spec.networks)
        ]

    def has(self, machine: Machine) -> bool:
        return machine.id in self._by_id

    def add(self, machine: Machine, also: Also = nothing_else) -> None:
        """Raises `name_taken`, and the errors of `also`."""

        def write() -> None:
            self._table.add(machine)
            tell_created(self._tell, machine)
            also(self._tell)
            self._database.when_written(follow)

        def follow() -> None:
            self._by_id[machine.id] = machine
            self._id_of_name[machine.name] = machine.id
            for hear in self.on_add:
                hear(machine)

        self._database.together(write)

    def change(self, machine: Machine, also: Also = nothing_else, **fields: Unpack[Change]) -> None:
        """Change fields other than the state. Does nothing if the machine is gone, or if the fields have these values
        already."""
        new = _changed(machine, fields)
        if new != machine and self.has(machine):
            self._replace([(machine, new)], also)

    def give_name(self, machine: Machine, name: str, also: Also = nothing_else) -> None:
        """Raises `name_taken`."""
        if name in self._id_of_name:
            raise name_taken(name, "choose another name")
        spec = msgspec.structs.replace(machine.spec, name=name) if machine.spec.name else machine.spec
        renamed = msgspec.structs.replace(machine, name=name, spec=spec)

        def write(tell: Tell) -> None:
            self._table.give_name(renamed)
            also(tell)

        was = machine.name
        self._replace([(machine, renamed)], write)
        if self._id_of_name.get(was) == machine.id:
            del self._id_of_name[was]
        self._id_of_name[name] = machine.id

    def finish(
        self, machines: Iterable[Machine], also: Also = nothing_else, **fields: Unpack[Change]
    ) -> None:
        """Mark copies as complete, all in one transaction."""
        fields["unfinished"] = False
        done = [(machine, _changed(machine, fields)) for machine in machines]
        self._replace(done, also)

    def move(
        self, machine: Machine, verb: Verb, ending: Ending | None = None, /, **fields: Unpack[Change]
    ) -> None:
        """Follow an edge of the state table, and change `fields` with it. Raises `bad_state`."""
        state = advance(machine, verb)
        changes = Change(ending=ending, restart_in_s=None) | _changed_by(state, machine.spec) | fields
        moved = _changed(msgspec.structs.replace(machine, state=state), changes)
        self._replace([(machine, moved)], lambda tell: tell_moved(tell, moved, machine.state))

    def remove(self, machine: Machine) -> None:
        def write() -> None:
            self._table.delete(machine.id)
            tell_deleted(self._tell, machine)
            self._database.when_written(follow)

        def follow() -> None:
            self._by_id.pop(machine.id, None)
            if self._id_of_name.get(machine.name) == machine.id:
                del self._id_of_name[machine.name]

        self._database.together(write)
        if machine.spec.command is not None and machine.spec.command.env:
            self._database.forget_deleted()

    def _replace(self, records: list[tuple[Machine, Machine]], also: Also) -> None:
        """The only place in which records change. The `Machine` objects stay the same, so other holders of a machine
        see the change."""

        def write() -> None:
            for machine, new in records:
                if self.has(machine):
                    self._table.put(new)
            also(self._tell)
            self._database.when_written(follow)

        def follow() -> None:
            for machine, new in records:
                was = msgspec.structs.replace(machine)
                for name in machine.__struct_fields__:
                    msgspec.structs.force_setattr(machine, name, getattr(new, name))
                for hear in self.on_change:
                    hear(was, machine)

        self._database.together(write)

    def _write_again(self) -> None:
        """Write all records from memory: a damaged store may have lost some of them."""
        for machine in self._by_id.values():
            self._table.put(machine)
        self.networks.write_again()
        self.volumes.write_again()


def _changed(machine: Machine, fields: Change) -> Machine:
    return with_reason(msgspec.structs.replace(machine, **fields))


def _changed_by(state: MachineState, spec: MachineSpec) -> Change:
    """The fields that a new state changes by itself."""
    if state is MachineState.PAUSED:
        return {}
    changed = Change(pause_cause=None)
    if state is MachineState.STARTING:
        changed |= Change(started=now(), stopped="", exit=None, has_started=False, disk_failed=False)
        changed |= Change(health="starting" if spec.healthcheck else "")
    elif state in (MachineState.STOPPED, MachineState.FAILED):
        changed |= Change(stopped=now(), pid=0, health="")
    return changed
