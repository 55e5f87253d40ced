"""The types that calls name as their answers, and JSON to and from them. Loads msgspec."""

from __future__ import annotations

from typing import Any, TypeVar, cast

import msgspec

from banger.client.calls import Call
from banger.client.exchange import encode_json
from banger.client.http1 import refuse
from banger.model.catalog import Catalog, Offer
from banger.model.command import Exec, Exit
from banger.model.image import Image, Kernel, Login, Pruned
from banger.model.machine import Machine
from banger.model.operation import Operation
from banger.model.report import (
    DiskUsage,
    FileStat,
    GuestPort,
    Health,
    Ping,
    Reconciliation,
    Stats,
    SystemInfo,
)
from banger.model.template import Snapshot, Template

T = TypeVar("T")

TYPES: dict[str, Any] = {
    "DiskUsage": DiskUsage,
    "Reconciliation": Reconciliation,
    "Login": Login,
    "Pruned": Pruned,
    "FileStat": FileStat,
    "list[GuestPort]": list[GuestPort],
    "Health": Health,
    "Ping": Ping,
    "Stats": Stats,
    "SystemInfo": SystemInfo,
    "Exec": Exec,
    "Exit": Exit,
    "list[Exec]": list[Exec],
    "Image": Image,
    "list[Image]": list[Image],
    "Kernel": Kernel,
    "list[Kernel]": list[Kernel],
    "Machine": Machine,
    "list[Machine]": list[Machine],
    "Catalog": Catalog,
    "list[Catalog]": list[Catalog],
    "list[Offer]": list[Offer],
    "Operation": Operation,
    "list[Operation]": list[Operation],
    "Snapshot": Snapshot,
    "list[Snapshot]": list[Snapshot],
    "Template": Template,
    "list[Template]": list[Template],
}

_decoders: dict[str, msgspec.json.Decoder[Any]] = {}


def encode(body: object) -> bytes:
    """Structs, and plain data with structs in it, as JSON. Raises `bad_request`."""
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError:  # bytes that are no UTF-8, the way Python has them in text
        return encode_json(msgspec.to_builtins(body))


def decode(call: Call[T], body: bytes) -> T:
    """The body of `call`'s answer. Raises `daemon_unreachable` for one of the wrong shape."""
    if call.answer == "None":
        return cast("T", None)
    decoder = _decoders.get(call.answer)
    if decoder is None:
        decoder = _decoders[call.answer] = msgspec.json.Decoder(TYPES[call.answer])
    try:
        return cast("T", decoder.decode(body))
    except msgspec.MsgspecError as exc:
        raise refuse(f"an answer of the wrong shape ({exc})") from exc


def convert(data: object, wanted: type[T]) -> T:
    """JSON data that was decoded already, as a struct."""
    try:
        return msgspec.convert(data, wanted, strict=False)
    except msgspec.MsgspecError as exc:
        raise refuse(f"data of the wrong shape ({exc})") from exc
