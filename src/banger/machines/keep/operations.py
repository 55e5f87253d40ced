"""Operations, which are long work: begun, watched by any number of clients, cancelled, kept for some time."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar, cast

from banger.errors import Error
from banger.host.times import now
from banger.model.asked import ASKED, bug
from banger.model.event import Tell, tell_nobody
from banger.model.operation import ErrorBody, Layers, Operation, OperationState, Progress, Report
from banger.store.tables import OperationTable

log = logging.getLogger("banger.operations")

KEEP_S = 3600.0
KEEP_COUNT = 200
# A limit, because strangers may begin operations; each has a task and its progress.
RUNNING_MAX = 512
_EVENTS_KEPT = 256
_WRITE_AGAIN_S = 5.0

T = TypeVar("T")
Work = Callable[[Report], Awaitable[T]]


class RunningOperation(Generic[T]):
    """One operation while it runs, with its events. A slow watcher may miss old events, but not the end."""

    def __init__(self, operation: Operation[T]) -> None:
        self.operation = operation
        self.task: asyncio.Task[None] | None = None
        self.error: Error | None = None
        self._events: deque[Progress] = deque(maxlen=_EVENTS_KEPT)
        self._changed = asyncio.Event()

    def report(
        self,
        phase: str,
        message: str = "",
        done: int = 0,
        total: int = 0,
        unit: str = "",
        layers: Layers = (),
    ) -> None:
        last = self.operation.progress
        progress = Progress(
            seq=last.seq + 1 if last else 1,
            phase=phase,
            message=message,
            done=done,
            total=total,
            unit=unit,
            layers=layers,
        )
        self.operation.progress = progress
        self._events.append(progress)
        self.wake()

    def wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    @property
    def ended(self) -> bool:
        return self.operation.state is not OperationState.RUNNING

    async def events(self) -> AsyncIterator[Progress]:
        """All kept events, then new events until the operation has ended."""
        seen = 0
        while True:
            for progress in [p for p in self._events if p.seq > seen]:
                seen = progress.seq
                yield progress
            if self.ended:
                return
            await self._changed.wait()

    async def result(self) -> T:
        """Wait for the end and return the result. Raises the operation's error."""
        while not self.ended:
            await self._changed.wait()
        if self.error is not None:
            raise self.error
        return cast("T", self.operation.result)


class Operations:
    """All operations of the daemon. The number of running and of kept operations is limited; a timer, which exists only
    if there are ended operations, forgets those of them that are old."""

    def __init__(self, table: OperationTable, tell: Tell = tell_nobody) -> None:
        self._table = table
        self._tell = tell
        self._known: dict[str, RunningOperation[Any]] = {}
        self._prune_timer: asyncio.TimerHandle | None = None
        self._closed = False
        self.on_end: list[Callable[[Operation[Any]], None]] = []
        self._end_interrupted()

    def begin(self, kind: str, target: str, work: Work[T], *, unasked: bool = False) -> RunningOperation[T]:
        """Start `work` in a task of its own; its return value becomes the result. Raises `too_many_operations`, except
        for operations that the daemon begins by itself (`unasked`): at most one per machine."""
        if not unasked and sum(not running.ended for running in self._known.values()) >= RUNNING_MAX:
            raise Error(
                "too_many_operations",
                f"{RUNNING_MAX} operations are running, and no more are allowed",
                "wait for an operation of `banger operation list` to end, or cancel one",
            )
        asked = None if unasked else ASKED.get()
        operation: Operation[T] = Operation(
            id=secrets.token_hex(6),
            kind=kind,
            target=target,
            state=OperationState.RUNNING,
            begun=now(),
            request=asked.request if asked else "",
            principal=asked.principal if asked else "",
        )
        running = RunningOperation(operation)
        self._table.put(operation)
        self._known[operation.id] = running
        running.task = asyncio.create_task(self._run(running, work), name=f"{kind} {target}")
        return running

    def get(self, operation_id: str) -> RunningOperation[Any]:
        found = self._known.get(operation_id)
        if found is None:
            raise Error("operation_not_found", f"no operation {operation_id!r}", "banger operation list")
        return found

    def list(self) -> list[Operation[Any]]:
        return [running.operation for running in self._known.values()]

    async def cancel(self, operation_id: str) -> Operation[Any]:
        """Cancel the operation, and wait until its work has cleaned up."""
        running = self.get(operation_id)
        if running.task is not None and not running.ended:
            running.task.cancel()
            await asyncio.wait([running.task])
        return running.operation

    async def finish(self, running: RunningOperation[T]) -> T:
        """Wait for the result on behalf of a request. If the request is cancelled, cancel the operation."""
        try:
            return await running.result()
        except BaseException:
            await asyncio.shield(self.cancel(running.operation.id))
            raise

    async def close(self) -> None:
        """Cancel all running operations, because the daemon ends."""
        if self._prune_timer is not None:
            self._prune_timer.cancel()
        self._closed = True
        tasks = [r.task for r in self._known.values() if r.task is not None and not r.ended]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=10)

    async def _run(self, running: RunningOperation[T], work: Work[T]) -> None:
        operation = running.operation
        try:
            operation.result = await work(running.report)
            operation.made = _type_name(operation.result)
            operation.state = OperationState.SUCCEEDED
        except asyncio.CancelledError:
            operation.state = OperationState.CANCELLED
            running.error = Error("cancelled", f"{operation.kind} of {operation.target} was cancelled")
        except Error as exc:
            operation.state = OperationState.FAILED
            running.error = exc
        except Exception as exc:
            log.exception("operation %s (%s) failed", operation.id, operation.kind)
            operation.state = OperationState.FAILED
            running.error = bug(exc)
        if running.error is not None:
            operation.error = error_body(running.error)
        operation.ended = now()
        self._write_end(operation)
        self._tell_failure(operation)
        for hear in self.on_end:
            hear(operation)
        running.wake()
        if sum(each.ended for each in self._known.values()) > KEEP_COUNT:
            self.prune()
        self._schedule_prune()

    def _write_end(self, operation: Operation[Any]) -> None:
        """Write the end of an operation as soon as possible. If the write fails, waiting clients still learn of the
        end, which has happened already."""
        for _ in range(2):
            try:
                self._table.put(operation)
                return
            except Error as exc:
                log.warning("the end of operation %s is not written: %s", operation.id, exc.message)
        asyncio.get_running_loop().call_later(_WRITE_AGAIN_S, self._write_late, operation)

    def _write_late(self, operation: Operation[Any]) -> None:
        if operation.id in self._known and not self._closed:
            self._write_end(operation)

    def _end_interrupted(self) -> None:
        """Operations that ran when an earlier daemon ended are failed now."""
        self._table.prune("", KEEP_COUNT)
        for operation in self._table.all():
            if operation.state is OperationState.RUNNING:
                operation.state = OperationState.FAILED
                operation.ended = now()
                operation.error = ErrorBody(
                    code="cancelled", message="the daemon ended during this operation"
                )
                self._table.put(operation)
                self._tell_failure(operation)
            running: RunningOperation[Any] = RunningOperation(operation)
            self._known[operation.id] = running

    def _tell_failure(self, operation: Operation[Any]) -> None:
        if operation.state is not OperationState.FAILED or operation.error is None:
            return
        self._tell(
            "operation.failed",
            operation.target,
            f"{operation.kind} of {operation.target} failed: {operation.error.message}",
            operation=operation.id,
            operation_kind=operation.kind,
            code=operation.error.code,
        )

    def _schedule_prune(self) -> None:
        if self._prune_timer is None:
            loop = asyncio.get_running_loop()
            self._prune_timer = loop.call_later(KEEP_S + 1, self._prune_on_time)

    def _prune_on_time(self) -> None:
        self._prune_timer = None
        try:
            self.prune()
        finally:
            if any(running.ended for running in self._known.values()):
                self._schedule_prune()

    def prune(self) -> None:
        """Forget operations that ended long ago, and the oldest beyond the limit."""
        cutoff = datetime.now(UTC) - timedelta(seconds=KEEP_S)
        before = cutoff.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._table.prune(before, KEEP_COUNT)
        kept = set(self._table.ids())
        for operation_id in [i for i, running in self._known.items() if running.ended and i not in kept]:
            del self._known[operation_id]


def _type_name(made: object) -> str:
    """The type in the notation of the API's table."""
    if isinstance(made, list):
        return f"list[{_type_name(made[0])}]" if made else "list"
    return type(made).__name__


def error_body(error: Error) -> ErrorBody:
    return ErrorBody(code=error.code, message=error.message, hint=error.hint, details=error.details)
