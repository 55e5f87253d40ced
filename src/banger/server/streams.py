"""WebSockets to attachments and back (docs/api.md, "Streams"). Makes no decisions."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import Any

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from banger.agent.process import Output
from banger.api.verb import Session
from banger.engine.attachments import SESSIONS
from banger.engine.engine import Engine
from banger.errors import Error
from banger.machines.ask.attachments import (
    Attachment,
    Consumed,
    Detached,
    Exited,
    Failed,
    MachineMade,
    OutputEnded,
    Refused,
    Said,
    Started,
)
from banger.metrics.tally import Tally
from banger.model.encoding import encode_json
from banger.model.operation import Progress
from banger.server.calls import decode, fit, principal_of
from banger.server.protocol import HEAD_TIMEOUT_S

log = logging.getLogger("banger.streams")


async def serve(session: Session[Any], engine: Engine, socket: WebSocket, tally: Tally | None = None) -> None:
    """Serve one attachment, from its first message to its end."""
    await socket.accept()
    begun = time.monotonic()
    try:
        principal = principal_of(socket)
        request = await _receive_request(socket, session)
        attachment = SESSIONS[session.name](engine, principal, request)
    except Error as exc:
        await _send_last(socket, {"type": "error", "error": exc.as_dict()})
        return
    except WebSocketDisconnect:
        return
    reader = asyncio.create_task(_read(socket, attachment))
    try:
        async for one in attachment.said():
            if tally is not None and isinstance(one, Started):
                tally.observe("stream_begin", time.monotonic() - begun, verb=session.name)
            await _send(socket, one)
    except (RuntimeError, WebSocketDisconnect):
        log.debug("a client left")
    finally:
        reader.cancel()
        await attachment.aclose()
        await asyncio.wait([reader])
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):
            await socket.close()


async def _receive_request(socket: WebSocket, session: Session[Any]) -> Any:
    """The first message, with the fields of the path. Raises `bad_request`, `bad_spec`, `head_timeout`."""
    try:
        async with asyncio.timeout(HEAD_TIMEOUT_S):
            message = await socket.receive()
    except TimeoutError as exc:
        text = f"no request came within {HEAD_TIMEOUT_S:g} s"
        raise Error("head_timeout", text, "send the first message of a stream at once") from exc
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    text = message.get("text") or ""
    if not session.in_path:
        return decode(text, session.request)
    asked = decode(text, dict[str, Any])
    if extra := asked.keys() & session.in_path:
        raise Error(
            "bad_spec",
            f"Object contains unknown field `{extra.pop()}`",
            "leave out this field: the path has it already",
        )
    return fit({**asked, **socket.path_params}, session.request)


async def _read(socket: WebSocket, attachment: Attachment) -> None:
    """Pass the messages of the client to the attachment; at last, that the client is gone."""
    try:
        while (message := await socket.receive())["type"] != "websocket.disconnect":
            data = message.get("bytes")
            if data is not None:
                _take_data(attachment, data)
                continue
            try:
                _take_message(attachment, decode(message.get("text") or "", dict[str, Any]))
            except Error as exc:
                attachment.refuse(exc)
    except Error as exc:
        attachment.leave(exc)
    except Exception:
        log.exception("a client's messages cannot be read")
    finally:
        attachment.leave()


def _take_data(attachment: Attachment, data: bytes) -> None:
    if not data or data[0] != 0:
        raise Error("bad_request", "a client may send data only on channel 0, stdin")
    attachment.write(data[1:])


def _take_message(attachment: Attachment, message: dict[str, Any]) -> None:
    kind = message.get("type")
    if kind == "stdin_eof":
        attachment.close_stdin()
    elif kind == "resize":
        attachment.resize(_number(message, "rows"), _number(message, "cols"))
    elif kind == "signal":
        attachment.signal(_number(message, "signal"))
    elif kind == "detach":
        attachment.detach()
    else:
        raise Error("bad_request", f"unknown message type {kind!r}")


def _number(message: dict[str, Any], name: str) -> int:
    value = message.get(name)
    if type(value) is not int or not 0 <= value <= 65535:
        raise Error("bad_request", f"{name} must be a number from 0 to 65535")
    return value


async def _send(socket: WebSocket, one: Said) -> None:
    if isinstance(one, Output):
        await socket.send_bytes(bytes((one.stream,)) + one.data)
    else:
        await socket.send_text(encode_json(_message(one)).decode())


def _message(one: Said) -> dict[str, object]:
    if isinstance(one, Progress):
        said = {name: getattr(one, name) for name in ("phase", "message", "done", "total", "unit", "layers")}
        return {"type": "progress", **said}
    if isinstance(one, MachineMade):
        return {"type": "machine", "machine": one.machine}
    if isinstance(one, Started):
        return {"type": "started", "exec": one.exec, "pid": one.pid}
    if isinstance(one, OutputEnded):
        return {"type": "stdout_eof"}
    if isinstance(one, Consumed):
        return {"type": "credit", "consumed": one.total_bytes}
    if isinstance(one, Exited):
        said = {"type": "exit", **msgspec.structs.asdict(one.exit), "timings_ms": one.timings_ms}
        return {**said, "denials": one.denials} if one.denials else said
    if isinstance(one, Detached):
        return {"type": "detached", "machine": one.machine}
    assert isinstance(one, Refused | Failed)
    return {"type": "refused" if isinstance(one, Refused) else "error", "error": one.error.as_dict()}


async def _send_last(socket: WebSocket, message: dict[str, object]) -> None:
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await socket.send_text(encode_json(message).decode())
        await socket.close()
