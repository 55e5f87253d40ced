"""One call of the API, as data: the request and the type of the answer.

A function of `calls` makes a `Call[T]`; `sync`, `aio` and the command line carry it out. Importing this costs nothing:
types of answers have names here, and `answers` loads them when an answer is decoded.
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


# The daemon answers a call that only reads within seconds; if it is silent for this long, it hangs.
READ_TIMEOUT_S = 60.0


class Call(_Answered["T"]):
    """One request. `body` is JSON-ready data or structs, or pieces of a tar stream. `answer` names a type of the API's
    table, or is "bytes" for a body that is passed on in pieces. `key`: the idempotency key of a request that may be
    sent again."""

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
        """Whether the answer arrives over a long time, in pieces."""
        return self.answer == "bytes"

    @property
    def silence_s(self) -> float | None:
        """How long the daemon may be silent, in seconds. None: for ever, for calls where the daemon works, waits or
        follows."""
        waits = self.method != "GET" or self.is_stream or self.target.endswith("/wait")
        return None if waits or "/catalog" in self.target else READ_TIMEOUT_S


class Pieces:
    """A body that is not JSON: bytes, sent in chunks as they come."""

    __slots__ = ("media", "pieces")

    def __init__(self, pieces: Iterable[bytes], media: str) -> None:
        self.pieces = pieces
        self.media = media


def chosen(*fields: tuple[str, object] | tuple[str, object, object]) -> Facts:
    """The fields of a request that have to be sent: all without a default, and those whose values differ from their
    defaults and are not None. So a daemon that does not know a new field serves a client that does not use it."""
    return {
        name: value
        for name, value, *default in fields
        if not default or (value is not None and value != default[0])
    }
