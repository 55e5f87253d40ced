"""Long work as an operation: begun, watched, cancelled."""

from __future__ import annotations

from enum import Enum
from typing import Any, Generic, Literal, Protocol, TypeVar

from msgspec import Struct

T = TypeVar("T")


class OperationState(str, Enum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class LayerProgress(Struct, kw_only=True, frozen=True):
    """How far a layer of an image is: `done` of `total` bytes. `digest` has the first twelve hex digits."""

    digest: str
    state: Literal["waiting", "loading", "done"] = "waiting"
    done: int = 0
    total: int = 0


Layers = tuple[LayerProgress, ...]


class Progress(Struct, kw_only=True):
    """One step of an operation. `done` and `total` are in `unit` ("bytes", "packages", ""); a `total` of 0 is
    unknown. `layers` are those of an image that is downloaded, in its order, the first 128 at most."""

    seq: int
    phase: str
    message: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    layers: Layers = ()


class ErrorBody(Struct, kw_only=True):
    """`banger.errors.Error` as the API writes it."""

    code: str
    message: str
    hint: str = ""
    details: dict[str, Any] = {}


class Operation(Struct, Generic[T], kw_only=True):
    """Long work of the daemon. `target` is what the operation works on, such as "machine/dev". After success, `result`
    is what the operation made, and `made` is the type of the result: "Machine", "list[Machine]". `request` is the id of
    the request that began the operation, and `principal` who sent it; both are empty for the daemon's own work."""

    id: str
    kind: str
    target: str
    state: OperationState
    begun: str
    ended: str = ""
    progress: Progress | None = None
    made: str = ""
    result: T | None = None
    error: ErrorBody | None = None
    request: str = ""
    principal: str = ""


class Ended(Struct, kw_only=True):
    """The last line of an operation's events."""

    operation: Operation[Any]


class Report(Protocol):
    """What long work calls to report its progress. Cheap, never raises, never blocks."""

    def __call__(
        self,
        phase: str,
        message: str = "",
        done: int = 0,
        total: int = 0,
        unit: str = "",
        layers: Layers = (),
    ) -> None: ...


def report_to_nobody(
    phase: str, message: str = "", done: int = 0, total: int = 0, unit: str = "", layers: Layers = ()
) -> None:
    """For work whose progress is not followed."""
