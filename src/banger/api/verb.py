"""The form of a verb: one row of the API's table, from which routes, clients, OpenAPI and docs/api.md are made.

A request is one flat struct. The row says how its fields travel: in the path if the path names them, in a header, or in
the query; all others in the JSON body. This room knows no HTTP library, no engine and no client.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar, get_args, get_origin

import msgspec
from msgspec import Struct
from msgspec.structs import FieldInfo

Q = TypeVar("Q", bound=Struct)
R = TypeVar("R")
L = TypeVar("L")

BYTES = "application/octet-stream"
NDJSON = "application/x-ndjson"
TAR = "application/x-tar"
ZSTD = "application/zstd"
BODY_LIMIT_BYTES = 1024 * 1024
# The most bytes of a body with a command: all arguments that a kernel accepts, with every byte escaped.
COMMAND_LIMIT_BYTES = 16 * 1024 * 1024
_PARAMETER = re.compile(r"\{(\w+)(?::path)?\}")


class Request(Struct, kw_only=True, forbid_unknown_fields=True):
    """The base of all requests: fields that the struct does not have are refused."""


class Nothing(Request):
    """The request of a verb without parameters."""


@dataclass(frozen=True)
class Again(Generic[R]):
    """The result that an earlier request with the same key made (HTTP status 200 instead of 201)."""

    value: R


@dataclass(frozen=True, kw_only=True)
class Verb(Generic[Q, R]):
    """JSON in, JSON out. `name` is "ROOM.METHOD", as the SDK calls it. `path` has `{field}` for fields of the request,
    and `{field:path}` for a field that may contain slashes. `query` names the fields that travel in the query, `header`
    the fields that travel in a header. `body` is "" for a flat body, or the name of the one field that is the whole
    body. `errors` are codes of errors.CODES, beside the codes that every verb may answer. `example` is a request, as
    JSON has it. A verb that `waits` ends when its client leaves: it waits for something that may never come, or works
    for long before its answer begins. A verb that `is_local` is for users of the daemon's socket alone, and refused
    over TCP."""

    name: str
    summary: str
    method: str
    path: str
    request: type[Q]
    result: type[R]
    status: int = 200
    query: tuple[str, ...] = ()
    header: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    body_limit_bytes: int = BODY_LIMIT_BYTES
    media: str = "application/json"
    waits: bool = False
    is_local: bool = False
    errors: tuple[str, ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def room(self) -> str:
        return self.name.partition(".")[0]

    @property
    def call_name(self) -> str:
        """The name as one word: the function in the client, and OpenAPI's operationId."""
        return self.name.replace(".", "_")

    @property
    def documented_path(self) -> str:
        """The path without notes for the router."""
        return self.path.replace(":path}", "}")

    @cached_property
    def fields(self) -> dict[str, FieldInfo]:
        """The fields of the request, by their names."""
        return {one.name: one for one in msgspec.structs.fields(self.request)}

    @cached_property
    def in_path(self) -> tuple[str, ...]:
        return tuple(_PARAMETER.findall(self.path))

    @cached_property
    def in_body(self) -> tuple[str, ...]:
        """The fields of the JSON body, in their order; with `body`, only that field."""
        elsewhere = {*self.in_path, *self.query, *self.header}
        return tuple(name for name in self.fields if name not in elsewhere)

    @property
    def body_type(self) -> Any:
        """The type of the field that is the whole body."""
        return self.fields[self.body].type

    @property
    def takes_json(self) -> bool:
        return bool(self.in_body)

    @property
    def body_is_optional(self) -> bool:
        return not any(self.fields[name].required for name in self.in_body)


@dataclass(frozen=True, kw_only=True)
class Upload(Verb[Q, R]):
    """A verb whose body is a stream of bytes; all fields of its request travel elsewhere."""

    takes: str = TAR


@dataclass(frozen=True, kw_only=True)
class Download(Verb[Q, AsyncIterator[bytes]]):
    """A verb that answers with a stream of bytes."""

    result: Any = AsyncIterator
    media: str = BYTES


@dataclass(frozen=True, kw_only=True)
class Feed(Verb[Q, AsyncIterator[Sequence[L]]]):
    """A verb that answers with a stream of JSON structs, one per line. `lines` are their types."""

    lines: tuple[type[Struct], ...]
    result: Any = AsyncIterator
    media: str = NDJSON


@dataclass(frozen=True, kw_only=True)
class Session(Generic[Q]):
    """A verb that is an attachment: a WebSocket, whose first message is the request (docs/api.md, "Streams")."""

    name: str
    summary: str
    path: str
    request: type[Q]
    errors: tuple[str, ...] = ()
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def in_path(self) -> tuple[str, ...]:
        return tuple(_PARAMETER.findall(self.path))


def type_name(kind: Any) -> str:
    """The type of a result as people and the client's table write it: "list[Machine]", "Operation[Image]"."""
    if kind is type(None):
        return "None"
    origin = get_origin(kind)
    if origin is None:
        return str(kind.__name__)
    return f"{origin.__name__}[{', '.join(type_name(one) for one in get_args(kind))}]"
