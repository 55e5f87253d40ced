"""The machines there are: kept in memory, written through to the store, found by name or id."""

from __future__ import annotations

from banger.errors import Error
from banger.host.times import now
from banger.machines.events import tell_created, tell_deleted, tell_moved
from banger.machines.states import Verb, advance
from banger.model.event import Tell, tell_nobody
from banger.model.machine import Machine, MachineState
from banger.store.store import Store


class Registry:
    """The one door to a machine's record. What changes is told in the transaction that writes it."""

    def __init__(self, store: Store, tell: Tell = tell_nobody) -> None:
        self._table = store.machines
        self._together = store.database.together
        self._forget_deleted = store.database.forget_deleted
        self._tell = tell
        self._by_id = {machine.id: machine for machine in self._table.all()}
        self._id_of_name = {machine.name: machine.id for machine in self._by_id.values()}
        store.database.on_mended = self._write_again

    def add(self, machine: Machine) -> None:
        """Raises `name_taken`."""

        def write() -> None:
            self._table.add(machine)
            tell_created(self._tell, machine)

        self._together(write)
        self._by_id[machine.id] = machine
        self._id_of_name[machine.name] = machine.id

    def find(self, name_or_id: str) -> Machine:
        machine = self._by_id.get(self._id_of_name.get(name_or_id, name_or_id))
        if machine is None:
            raise Error("machine_not_found", f"no machine named {name_or_id!r}", "banger vm list")
        return machine

    def all(self) -> list[Machine]:
        return list(self._by_id.values())

    def has(self, machine: Machine) -> bool:
        return machine.id in self._by_id

    def save(self, machine: Machine) -> None:
        """One that is gone already stays so."""
        if self.has(machine):
            self._table.put(machine)

    def finish(self, machines: list[Machine]) -> None:
        """Copies whose making is done: all of them at once, so that there are all or none."""

        def write() -> None:
            for machine in machines:
                machine.unfinished = False
                self.save(machine)

        self._together(write)

    def _write_again(self) -> None:
        """A damaged store may have lost what is in memory still."""
        for machine in self._by_id.values():
            self._table.put(machine)

    def move(self, machine: Machine, verb: Verb, reason: str = "") -> None:
        """Take an edge of the state table and write it down. Raises `bad_state`."""
        was, machine.state = machine.state, advance(machine, verb)
        machine.reason = reason
        machine.idle = machine.idle and machine.state is MachineState.PAUSED
        machine.disk_full = machine.disk_full and machine.state is MachineState.PAUSED
        if machine.state is MachineState.STARTING:
            machine.started, machine.stopped, machine.exit = now(), "", None
        elif machine.state in (MachineState.STOPPED, MachineState.FAILED):
            machine.stopped, machine.pid = now(), 0

        def write() -> None:
            self.save(machine)
            tell_moved(self._tell, machine, was)

        self._together(write)

    def remove(self, machine: Machine) -> None:
        def write() -> None:
            self._table.delete(machine.id)
            tell_deleted(self._tell, machine)

        self._together(write)
        self._by_id.pop(machine.id, None)
        if self._id_of_name.get(machine.name) == machine.id:
            del self._id_of_name[machine.name]
        if machine.spec.command is not None and machine.spec.command.env:
            self._forget_deleted()
