"""The look that is taken after each step: first until all is settled, then at everything."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from banger.client.sync import Client
from banger.errors import Error
from banger.model.machine import Machine
from banger.model.operation import Operation, OperationState
from tests.crash.model import ALIVE, SETTLED, Guest, Model, Violation
from tests.crash.moves import FILES, contents_of
from tests.crash.world import World
from tests.support.home import IMAGE, alive

SETTLE_S = 30.0
LIST_S = 1.0
_POLL_S = 0.03
_READ = f"cd {FILES} 2>/dev/null || exit 0; for f in *; do read -r l < $f; echo $f $l; done"


class Inspection:
    def __init__(self, client: Client, model: Model, world: World) -> None:
        self._client = client
        self._model = model
        self._world = world
        self.slowest_list_s = 0.0
        self.slowest_settling_s = 0.0

    def look(self) -> None:
        """Raises `Violation` for whatever the model does not allow."""
        self._client.system.info()  # starts a daemon, if the last one was killed
        begun = time.monotonic()
        self._check_list_is_quick()
        machines = self.settle()
        self.slowest_settling_s = max(self.slowest_settling_s, time.monotonic() - begun)
        self._model.compare_machines(machines)
        self._model.compare_snapshots((kept.machine, kept.tag) for kept in self._client.snapshots.list())
        self._model.compare_images(i.name for i in self._client.images.list() if i.name != IMAGE)
        for guest in self._model.surely("running"):
            self.check_files(guest)
        for guest in [*self._model.surely("running")][:1]:
            self._world.network.check_closed(self._client, guest.name)
        self._check_operations()
        self._check_host(machines)

    def check_files(self, guest: Guest) -> None:
        """It answers, and what its user was told to be on the disk is there."""
        found = self._read_files(guest.name)
        lost = sorted(number for number in guest.files if found.get(str(number)) != contents_of(number))
        if lost:
            raise Violation(f"{guest.name} has lost the files {lost}; it has {sorted(found)}")

    def _check_list_is_quick(self) -> None:
        """However much a new daemon has to take over."""
        begun = time.monotonic()
        self._client.machines.list()
        took_s = time.monotonic() - begun
        self.slowest_list_s = max(self.slowest_list_s, took_s)
        if took_s > LIST_S:
            raise Violation(f"the list of machines took {took_s:.2f} s")

    def settle(self) -> list[Machine]:
        """Until no machine is on its way from one state to another, and those are gone that were to go."""
        end = time.monotonic() + SETTLE_S
        while True:
            machines = self._client.machines.list()
            unsettled = [m for m in machines if not self._is_settled(m)]
            if not unsettled:
                return machines
            if time.monotonic() > end:
                shown = ", ".join(f"{m.name} is {m.state.value} ({m.reason})" for m in unsettled)
                raise Violation(f"not settled within {SETTLE_S:g} s: {shown}")
            time.sleep(_POLL_S)

    def _is_settled(self, machine: Machine) -> bool:
        """The daemon may not have noticed yet that a VMM was killed."""
        guest = self._model.guests.get(machine.name)
        state = machine.state.value
        may_be = state in SETTLED and (guest is None or state in guest.may)
        return may_be and (state not in ALIVE or alive(machine.pid))

    def _read_files(self, name: str) -> dict[str, str]:
        try:
            output = self._client.machines.exec(name, ["sh", "-c", _READ], timeout_s=SETTLE_S).stdout
        except Error as exc:
            raise Violation(f"{name} runs and does not answer: {exc.code}: {exc.message}") from exc
        pairs = (line.partition(" ") for line in output.decode(errors="replace").splitlines())
        return {number: contents for number, _, contents in pairs}

    def _check_operations(self) -> None:
        for operation in self._client.operations.list():
            state = operation.state
            if state is OperationState.RUNNING:
                raise Violation(f"{_named(operation)} runs still")
            if state is not OperationState.SUCCEEDED and not (operation.error and operation.error.message):
                raise Violation(f"{_named(operation)} is {state.value} without a reason")

    def _check_host(self, machines: list[Machine]) -> None:
        self._world.check_store()
        self._world.check_templates()
        self._world.check_snapshots()
        daemon = self._client.system.info().daemon_pid
        self._until_none(lambda: self._world.strays(machines, daemon), "what nobody accounts for")

    def _until_none(self, find: Callable[[], list[str]], what: str) -> None:
        """What is being removed, or made, at this moment is looked at again."""
        end = time.monotonic() + SETTLE_S / 3
        while found := find():
            if time.monotonic() > end:
                raise Violation(f"{what}: " + "; ".join(found))
            time.sleep(_POLL_S)


def _named(operation: Operation[Any]) -> str:
    return f"the operation {operation.id} ({operation.kind} {operation.target})"
