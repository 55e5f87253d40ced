"""What is counted of the work of the engine: starts of machines, and operations."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from banger.metrics.tally import Tally
from banger.model.machine import Machine, MachineState
from banger.model.operation import Operation
from banger.model.origin import ClonedFromTemplate

_FAILED = MachineState.FAILED


class Measuring:
    """Listens to records of machines and to operations, and counts in `tally`."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def hear_change(self, was: Machine, machine: Machine) -> None:
        """For `Registry.on_change`."""
        if "start" in machine.timings_ms and "start" not in was.timings_ms:
            self._note_start(machine)
        elif machine.state is _FAILED and was.state is not _FAILED:
            self._tally.count("machine_failures")

    def _note_start(self, machine: Machine) -> None:
        origin = origin_of(machine)
        self._tally.observe("machine_start", machine.timings_ms["start"] / 1000, origin=origin)
        for phase, milliseconds in machine.timings_ms.items():
            if phase != "start":
                self._tally.observe("machine_start_phase", milliseconds / 1000, phase=phase)

    def hear_end(self, operation: Operation[Any]) -> None:
        """For `Operations.on_end`."""
        state = operation.state.value
        took = datetime.fromisoformat(operation.ended) - datetime.fromisoformat(operation.begun)
        self._tally.observe("operation", max(0.0, took.total_seconds()), kind=operation.kind, state=state)
        if operation.error is not None:
            code = operation.error.code
            self._tally.count("operation_failures", kind=operation.kind, code=code)


def origin_of(machine: Machine) -> str:
    """ "boot", "snapshot", "fork", "template", or "pool" for a waiting clone, whose template needed no look."""
    if machine.origin is None:
        return "boot"
    if isinstance(machine.origin, ClonedFromTemplate) and "template" not in machine.timings_ms:
        return "pool"
    return str(machine.origin.__struct_config__.tag)
