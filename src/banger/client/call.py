"""One call of the API, as data: what to send and what comes back.

A function of `calls` makes a `Call[T]`; `sync`, `aio` and the command line each know how to carry one out. Costs
nothing to import: the types of the answers are named, and loaded by `answers` when one is decoded.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Generic, TypeVar

    T = TypeVar("T", covariant=True)

    class _Answered(Generic[T]):
        """The type of a call's answer, for the type checker only: `typing` costs 2 ms."""

    Facts = dict[str, Any]
else:

    class _Answered:
        def __class_getitem__(cls, _: object) -> type:
            return cls


# A call that only reads is answered within seconds; a daemon that is silent for so long hangs.
READ_TIMEOUT_S = 60.0


class Call(_Answered["T"]):
    """One request. `body` is JSON-ready data or structs, or a tar stream's pieces; `answer` names a
    type of the API's table, "bytes" for a body that is passed on as it comes; `key`: it may be sent again."""

    __slots__ = ("answer", "body", "key", "method", "target")

    def __init__(
        self, method: str, target: str, answer: str, body: object = None, key: str | None = None
    ) -> None:
        self.method = method
        self.target = target
        self.answer = answer
        self.body = body
        self.key = key or ""

    @property
    def is_stream(self) -> bool:
        """Whether its answer comes bit by bit, for as long as that takes."""
        return self.answer == "bytes"

    @property
    def silence_s(self) -> float | None:
        """How long the daemon may be silent: None for ever, as where it works, waits or follows."""
        waits = self.method != "GET" or self.is_stream or self.target.endswith("/wait")
        return None if waits or "/catalog" in self.target else READ_TIMEOUT_S


class Pieces:
    """A body that is not JSON: bytes, sent in chunks as they come."""

    __slots__ = ("media", "pieces")

    def __init__(self, pieces: Iterable[bytes], media: str) -> None:
        self.pieces = pieces
        self.media = media


def chosen(*fields: tuple[str, object] | tuple[str, object, object]) -> Facts:
    """The fields of a request that say something: all without a default, and those that differ from theirs and are not
    None. So a daemon that is older than a field serves a client that does not use the field."""
    return {
        name: value
        for name, value, *default in fields
        if not default or (value is not None and value != default[0])
    }
