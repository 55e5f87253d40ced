"""The daemon, its operations and its journal: requests and verbs."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta

from banger.api.verb import Feed, Nothing, Request, Verb
from banger.model.doctor import Diagnosis
from banger.model.event import Event
from banger.model.operation import Ended, Operation, Progress
from banger.model.report import DiskUsage, Reconciliation, SystemInfo

_OPERATION = "/v1/operations/{id}"


class Reconcile(Request):
    """`dry_run` changes nothing and reports the differences. `remove` removes everything that no record refers to."""

    dry_run: bool = False
    remove: bool = False


class ReadEvents(Request):
    """`since` is a time as in RFC 3339, `after` is the number of an event. `machine` selects the events of one machine
    and its snapshots. `follow` keeps sending until the daemon stops; without `since` and `after`, it begins now."""

    since: str = ""
    machine: str = ""
    after: Annotated[int, Meta(ge=0, le=999_999_999_999)] | None = None
    follow: bool = False


class OneOperation(Request):
    id: str


# fmt: off
INFO = Verb(
    name="system.info", summary="Versions, directories, accelerators and drivers", method="GET", path="/v1/system",
    request=Nothing, result=SystemInfo,
)
SHUT_DOWN = Verb(
    name="system.shutdown", summary="Stop the daemon; machines keep running", method="POST", path="/v1/system/shutdown",
    request=Nothing, result=type(None),
)
DISK_USAGE = Verb(
    name="system.disk_usage", summary="What uses disk space", method="GET", path="/v1/system/df",
    request=Nothing, result=DiskUsage, errors=("tool_missing",),
)
EXAMINE = Verb(
    name="system.examine", summary="What the doctor finds on this host; nothing is changed", method="GET",
    path="/v1/system/doctor", request=Nothing, result=Diagnosis, errors=("tool_missing", "tool_failed", "timeout"),
)
RECONCILE = Verb(
    name="system.reconcile", summary="Compare the records with the host, and correct them", method="POST",
    path="/v1/system/reconcile", request=Reconcile, result=Reconciliation, query=("dry_run", "remove"),
    errors=("not_released",),
    example={"dry_run": True},
)
EVENTS: Feed[ReadEvents, Event] = Feed(
    name="system.events", summary="Events, one per line", method="GET", path="/v1/events",
    request=ReadEvents, lines=(Event,), query=("since", "machine", "after", "follow"),
    example={"since": "2026-01-31T12:00:00Z", "follow": True},
)
LIST_OPERATIONS = Verb(
    name="operations.list", summary="All operations that the daemon still knows", method="GET", path="/v1/operations",
    request=Nothing, result=list[Operation[Any]],
)
GET_OPERATION = Verb(
    name="operations.get", summary="One operation", method="GET", path=_OPERATION,
    request=OneOperation, result=Operation[Any], errors=("operation_not_found",), example={"id": "5e1f00c2a9d3"},
)
OPERATION_EVENTS: Feed[OneOperation, Progress | Ended] = Feed(
    name="operations.events", summary="The progress of an operation, one step per line, and the ended operation last",
    method="GET", path=_OPERATION + "/events", request=OneOperation, lines=(Progress, Ended),
    errors=("operation_not_found",), example={"id": "5e1f00c2a9d3"},
)
CANCEL_OPERATION = Verb(
    name="operations.cancel", summary="Cancel an operation, and wait until it has cleaned up", method="POST",
    path=_OPERATION + "/cancel", request=OneOperation, result=Operation[Any], errors=("operation_not_found",),
    example={"id": "5e1f00c2a9d3"},
)
VERBS = (
    INFO, SHUT_DOWN, DISK_USAGE, EXAMINE, RECONCILE, EVENTS,
    LIST_OPERATIONS, GET_OPERATION, OPERATION_EVENTS, CANCEL_OPERATION,
)
