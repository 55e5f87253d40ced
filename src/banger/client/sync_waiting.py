# Written by `python -m banger.api.generate` from aio_waiting.py; not by hand.
# fmt: off
"""Operations watched to their end, and one machine that has them (blocking)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from banger.client import calls, results
from banger.client.sync_methods import Carrier, pause
from banger.client.http1 import lost
from banger.client.patience import Patience
from banger.errors import DaemonLost
from banger.model.operation import Operation, Progress

if TYPE_CHECKING:
    from banger.client.call import Call
    from banger.client.results import Heard
    from banger.model.machine import Machine

T = TypeVar("T")

# How often a watch begins again after the daemon was lost, and the pause before it.
_AGAIN = 3
_PAUSE_S = 0.2


def watch(
    client: Carrier, operation_id: str, patience: Patience | None = None
) -> Iterator[Progress | Operation[Any]]:
    """The steps of an operation as they happen, and at last the ended operation."""
    answer = client.open(calls.operations_events(operation_id))
    answer.patience = patience or answer.patience
    for line in answer.lines():
        yield results.read_event(line)


def watch_to_end(
    client: Carrier, operation_id: str, heard: Heard | None = None, timeout_s: float | None = None
) -> Operation[Any]:
    """Tell `heard` each step, and return the ended operation. If the daemon is lost, the watch begins again with its
    successor: operations outlive connections. Raises `timeout`; the operation continues then."""
    patience = Patience(timeout_s)
    for losses in range(_AGAIN + 1):
        try:
            for event in watch(client, operation_id, patience):
                if isinstance(event, Operation):
                    return event
                if heard is not None:
                    heard(event)
            raise lost("before the operation did")
        except DaemonLost:
            if losses == _AGAIN:
                raise
        pause(_PAUSE_S)
    raise lost("before the operation did")


class OneMachine:
    """A machine of the daemon. `record` is the machine as the daemon told it last."""

    def __init__(self, client: Carrier, record: Machine) -> None:
        self.client = client
        self.record = record

    @property
    def id(self) -> str:
        return self.record.id

    def _keep(self, record: Machine) -> Machine:
        self.record = record
        return record

    def _finish(
        self, call: Call[Operation[T]], progress: Heard | None = None, timeout_s: float | None = None
    ) -> T:
        """Begin an operation, wait for it, and return what it made. Raises the error that it failed with."""
        operation = self.client.perform(call)
        return results.made_by(watch_to_end(self.client, operation.id, progress, timeout_s), operation)

    def _finish_and_keep(
        self, call: Call[Operation[Machine]], progress: Heard | None = None, timeout_s: float | None = None
    ) -> Machine:
        return self._keep(self._finish(call, progress, timeout_s))

    def _perform_and_keep(self, call: Call[Machine]) -> Machine:
        return self._keep(self.client.perform(call))
