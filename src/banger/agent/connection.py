"""The framed connection to a guest agent: HELLO, requests and their answers, frames of execs.

All input is hostile: the codec limits it, an answer without a request is dropped, and a guest that breaks the protocol
only loses its connection. All guests that flood the daemon share one part of the loop's time. A guest that does not
read loses its connection when too much waits to be sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, NamedTuple, Protocol

from banger.agent.events import AgentEvent, EventLimit
from banger.errors import Error
from banger.host.turns import turns
from banger.wire.constants import MAX_PAYLOAD, MAX_REQUEST, RESYNC_PAD, VERSION, Tag, Type
from banger.wire.fields import Fields, Malformed, Value, encode_fields
from banger.wire.frames import Frame, FrameReader, encode_frame, encode_request

log = logging.getLogger("banger.agent")

_WRITE_HIGH = 1024 * 1024
# Senders wait above _WRITE_HIGH, but credits do not. If a guest reads none of them, the connection ends at this many
# bytes.
_UNSENT_MAX = 8 * 1024 * 1024
# Each of two buffers may hold half a frame of an earlier session.
_SKIPPED_MAX = 2 * RESYNC_PAD
_HELLO_RETRY_S = 0.2
_CHANNELS = 1 << 32
_IN_PIECES = (Type.EXEC, Type.SECRET)

FieldList = Iterable[tuple[int, Value]]


class Welcome(NamedTuple):
    """What the agent said of itself. `boot` is new for each start of an agent; `request_max`: the most bytes in a
    request."""

    version: int
    agent: str
    boot: bytes
    state: str
    kernel: str
    uptime_ms: int
    request_max: int


class AgentRefused(Error):
    """An error that the agent itself answered: it has received the request, and will not carry it out."""


class CommandUnusable(AgentRefused):
    """The agent cannot start the program: it is missing, or it is no program."""


# FAIL codes of the agent that mean something to users, with banger's codes for them.
_FAILURES = {
    "not_found": "command_not_found",
    "not_executable": "command_not_executable",
    "no_such_user": "user_not_found",
    "bad_cwd": "bad_working_directory",
    "bad_request": "bad_request",
    "refused": "port_refused",
}
_UNUSABLE = ("not_found", "not_executable")


class ChannelOwner(Protocol):
    """What a channel leads to."""

    def on_frame(self, frame: Frame) -> None:
        """Raises `Malformed`."""

    def on_lost(self, error: Error) -> None:
        """The connection is lost; nothing follows."""


class AgentConnection(asyncio.Protocol):
    """The host side of the protocol, from `open_connection` until `close` or until the peer ends.

    `on_lost` is called once, with the reason; `on_event` with each EVENT. The owner of the connection sets both.
    """

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.welcome: Welcome | None = None
        self.on_lost: Callable[[Error], None] = _ignore
        self.on_event: Callable[[AgentEvent], None] = _ignore_event
        self._transport: asyncio.Transport | None = None
        self._reader = FrameReader()
        self._share = turns().join()
        self._events = EventLimit(machine)
        self._nonce = os.urandom(16)
        self._welcomed: asyncio.Future[Welcome] = asyncio.get_running_loop().create_future()
        self._answers: dict[int, asyncio.Future[Fields]] = {}
        self._channels: dict[int, ChannelOwner] = {}
        self._last_request, self._last_exec = 0, -1
        self._writable = asyncio.Event()
        self._writable.set()
        self._lost: Error | None = None

    # methods of asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=_WRITE_HIGH)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._work_off(self._reader.feed(data))

    def _work_off(self, frames: Iterator[Frame]) -> None:
        """Handle frames, within this connection's share of the loop's time: frames of 16 bytes arrive faster than they
        can be handled. Reading pauses until all these frames are handled."""
        left_s, begun = self._share.left_s(), time.thread_time()
        if not left_s:
            self._rest(frames)
            return
        try:
            for frame in frames:
                self._dispatch(frame)
                if self._lost is not None:
                    return
                if time.thread_time() - begun > left_s:
                    self._rest(frames)
                    return
            if self._reader.skipped > _SKIPPED_MAX:
                raise Malformed("its bytes are not frames")
        except Malformed as exc:
            self._fail(Error("agent_error", f"{self.machine}: {exc.message}"))
        finally:
            self._share.spend(time.thread_time() - begun)

    def _rest(self, frames: Iterator[Frame]) -> None:
        assert self._transport is not None
        self._transport.pause_reading()
        self._share.wait(lambda: self._go_on(frames))

    def _go_on(self, frames: Iterator[Frame]) -> None:
        if self._lost is None and self._transport is not None:
            self._transport.resume_reading()  # takes effect after this method
            self._work_off(frames)

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(Error("agent_lost", f"the agent connection of {self.machine} ended"))

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    # session

    async def hello(self, timeout_s: float, *, resync: bool) -> Welcome:
        """Begin the session.

        With `resync`, for a guest that is already up, HELLO is sent again, padded, if no WELCOME comes (see the
        protocol). A guest that boots gets just one HELLO: it waits in the port until the agent opens the port.
        """
        hello = encode_frame(
            Type.HELLO,
            0,
            encode_fields([(Tag.VERSION_MIN, VERSION), (Tag.VERSION_MAX, VERSION), (Tag.NONCE, self._nonce)]),
        )
        self._write(hello)
        try:
            async with asyncio.timeout(timeout_s):
                wait_s = _HELLO_RETRY_S if resync else timeout_s
                while True:
                    done, _ = await asyncio.wait([self._welcomed], timeout=wait_s)
                    if done:
                        return self._welcomed.result()
                    wait_s *= 4
                    self._write(bytes(RESYNC_PAD) + hello)
        except TimeoutError as exc:
            raise Error(
                "agent_lost", f"the agent of {self.machine} did not answer within {timeout_s:g} s"
            ) from exc

    async def request(self, verb: Type, fields: FieldList = (), timeout_s: float = 10) -> Fields:
        """Send a request and wait for its answer. Raises the error that the agent named, `agent_lost` or
        `agent_silent`."""
        return await self.request_on(self._request_channel(), verb, fields, timeout_s)

    async def request_on(
        self, channel: int, verb: Type, fields: FieldList | bytes = (), timeout_s: float = 10
    ) -> Fields:
        """As `request`, on a channel of the caller's. Fields in the form of bytes are encoded already."""
        if self._lost:
            raise self._lost
        frame = self._encode_request(verb, channel, fields)
        answer: asyncio.Future[Fields] = asyncio.get_running_loop().create_future()
        self._answers[channel] = answer
        try:
            async with asyncio.timeout(timeout_s):
                await self.writable()
                self._write(frame)
                return await answer
        except TimeoutError as exc:
            raise Error(
                "agent_silent",
                f"the agent of {self.machine} did not answer {verb.name} within {timeout_s:g} s",
                f"banger vm health {self.machine} shows what hangs; banger vm kill {self.machine} kills the machine",
            ) from exc
        finally:
            self._answers.pop(channel, None)

    def tell(self, verb: Type, fields: FieldList) -> None:
        """Send a request whose answer is ignored."""
        self._write(self._encode_request(verb, self._request_channel(), fields))

    def _encode_request(self, verb: Type, channel: int, fields: FieldList | bytes) -> bytes:
        payload = fields if isinstance(fields, bytes) else encode_fields(fields)
        most = self.welcome.request_max if self.welcome and verb in _IN_PIECES else MAX_PAYLOAD
        if len(payload) > most:
            raise Error(
                "payload_too_large",
                f"a request to the agent of {self.machine} has {len(payload)} bytes, the agent takes at most {most}",
                "pass less in arguments and variables, and the rest through stdin or a file",
            )
        return encode_request(verb, channel, payload)

    # Requests have even channels and execs odd ones: the channels of execs of earlier sessions, also in the machine
    # from which this one was copied, are unknown until the agent lists them.

    def _request_channel(self) -> int:
        while True:
            self._last_request = (self._last_request + 2) % _CHANNELS or 2
            if self._last_request not in self._answers:
                return self._last_request

    def exec_channel(self) -> int:
        """The number of an odd channel that no exec has."""
        while True:
            self._last_exec = (self._last_exec + 2) % _CHANNELS
            if self._last_exec not in self._channels:
                return self._last_exec

    def reserve_channels(self, highest: int) -> None:
        """Give new execs numbers above `highest`: execs of an earlier session may have numbers up to that."""
        self._last_exec = max(self._last_exec, highest | 1)

    def open_channel(self, channel: int, owner: ChannelOwner) -> None:
        self._channels[channel] = owner

    def close_channel(self, channel: int) -> None:
        self._channels.pop(channel, None)

    def send(self, type_: Type, channel: int, payload: bytes, flags: int = 0) -> None:
        self._write(encode_frame(type_, channel, payload, flags))

    async def writable(self) -> None:
        """Wait until the socket accepts more. Raises the error of a lost connection. Only a send before the next await
        is sure to be within the limit: other tasks wait, too, and may fill the buffer again."""
        while not self._writable.is_set():
            await self._writable.wait()
        if self._lost:
            raise self._lost

    def give_up(self, error: Error) -> None:
        """End the connection as lost, for a reason that was noticed elsewhere."""
        self._fail(error)

    async def settle(self, timeout_s: float) -> None:
        """Wait until each request has its answer, or until the time is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._answers:
                    await asyncio.wait(self._answers.values(), return_when=asyncio.FIRST_COMPLETED)
                    await asyncio.sleep(0)  # the tasks that asked take their answers

    def part(self, error: Error) -> list[ChannelOwner]:
        """End the connection on purpose, but not what its channels lead to: from now on that is the caller's. Requests
        without an answer get the error."""
        owners = list(self._channels.values())
        self._channels.clear()
        self.on_lost = _ignore
        self._fail(error)
        return owners

    def close(self) -> None:
        """End the connection on purpose: `on_lost` is not called."""
        self.on_lost = _ignore
        self._fail(Error("agent_lost", f"the agent connection of {self.machine} was closed"))

    @property
    def lost(self) -> Error | None:
        return self._lost

    def _write(self, data: bytes) -> None:
        if self._transport is None or self._lost is not None:
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > _UNSENT_MAX:
            self._fail(Error("agent_lost", f"the agent of {self.machine} does not read what banger sends"))

    def _dispatch(self, frame: Frame) -> None:
        if self._lost is not None:
            return
        if self.welcome is None:
            self._dispatch_before_welcome(frame)
        elif frame.type in (Type.OK, Type.FAIL):
            self._take_answer(frame)
        elif frame.type == Type.EVENT:
            self._hear_event(frame.payload)
        elif frame.type == Type.RESTARTED:
            self._fail(agent_restarted(self.machine))
        elif frame.channel in self._channels:
            self._channels[frame.channel].on_frame(frame)

    def _dispatch_before_welcome(self, frame: Frame) -> None:
        """Wait for the WELCOME of this session; all other frames are left over from an earlier session."""
        if frame.type == Type.FAIL and frame.channel == 0:
            self._fail(_read_failure(frame.payload))
            return
        if frame.type != Type.WELCOME:
            return
        try:
            fields = Fields(frame.payload)
            if fields.bytes_(Tag.NONCE) != self._nonce:
                return
        except Malformed:
            return
        self.welcome = Welcome(
            fields.int_(Tag.VERSION),
            fields.shown(Tag.AGENT, 64),
            fields.bytes_(Tag.BOOT)[:16],
            fields.shown(Tag.STATE, 16),
            fields.shown(Tag.KERNEL, 128),
            fields.int_(Tag.UPTIME_MS),
            min(max(MAX_PAYLOAD, fields.int_(Tag.REQUEST_MAX)), MAX_REQUEST),
        )
        if self.welcome.version != VERSION:
            raise Malformed(f"it chose version {self.welcome.version} of the protocol, which was not offered")
        if not self._welcomed.done():
            self._welcomed.set_result(self.welcome)

    def _hear_event(self, payload: bytes) -> None:
        if not self._events.admits():
            return
        fields = Fields(payload)
        event = AgentEvent(
            fields.shown(Tag.CODE, 64), fields.shown(Tag.MESSAGE, 200), fields.int_(Tag.PID, 0)
        )
        log.info("machine=%s event=%s %s", self.machine, event.code, event.message)
        self.on_event(event)

    def _take_answer(self, frame: Frame) -> None:
        """Deliver an answer. An answer to no request is not even decoded."""
        answer = self._answers.get(frame.channel)
        if answer is None or answer.done():
            return
        if frame.type == Type.OK:
            answer.set_result(Fields(frame.payload))
        else:
            _set_error(answer, _read_failure(frame.payload))

    def _fail(self, error: Error) -> None:
        if self._lost is not None:
            return
        self._lost = error
        self._share.close()
        if self._transport is not None:
            self._transport.abort()
        self._writable.set()
        _set_error(self._welcomed, error)
        for answer in self._answers.values():
            _set_error(answer, error)
        for owner in list(self._channels.values()):
            owner.on_lost(error)
        self._channels.clear()
        self.on_lost(error)


def agent_restarted(machine: str) -> Error:
    """The error for commands of an agent that was killed: the new agent does not know them."""
    return Error(
        "agent_restarted",
        f"the agent in {machine} was killed and started again; earlier commands keep running, but nothing watches them",
        f"their output and exit codes are lost; run new commands with banger vm exec {machine}",
    )


def _ignore(_: Error) -> None:
    """The default of `on_lost`: the connection has no owner yet, or none any more."""


def _ignore_event(event: AgentEvent) -> None:
    """The default of `on_event`: the event is in the log."""


def _set_error(future: asyncio.Future[Any], error: Error) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # marks it as retrieved: a future without a waiting task is no fault


def _read_failure(payload: bytes) -> Error:
    fields = Fields(payload)
    code = fields.shown(Tag.CODE, 64)
    message = fields.shown(Tag.MESSAGE, 400) or code
    kind = CommandUnusable if code in _UNUSABLE else AgentRefused
    return kind(_FAILURES.get(code, "agent_error"), message, details={"agent_code": code})


async def open_connection(
    dial: Callable[[], Awaitable[socket.socket]], machine: str, timeout_s: float, *, resync: bool
) -> AgentConnection:
    """Connect with `dial`, and greet the agent within `timeout_s` seconds. Raises `agent_lost`."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            stream = await dial()
        _, connection = await loop.create_unix_connection(lambda: AgentConnection(machine), sock=stream)
    except TimeoutError as exc:
        raise Error(
            "agent_lost", f"the agent port of {machine} does not answer within {timeout_s:g} s"
        ) from exc
    except OSError as exc:
        said = exc.strerror or exc
        raise Error("agent_lost", f"the agent port of {machine} does not answer: {said}") from exc
    try:
        await connection.hello(timeout_s, resync=resync)
    except BaseException:
        connection.close()
        raise
    return connection
