"""QMP, through `qemu.qmp`: one connection per VM; maps errors, and keeps the reason of a shutdown.

A guest that took over its QEMU can send anything: messages have a maximal length, and all events share a limited part
of the event loop's time with all other messages of guests.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from qemu.qmp import EventListener, ExecuteError, Message, QMPClient, QMPError
from qemu.qmp.error import ProtocolError

from banger.errors import Error
from banger.host import own_sockets
from banger.host.turns import turns
from banger.model.sizes import KIB
from banger.wire.fields import readable

_ANSWER_S = 10.0
# Answers to banger's commands have some KiB.
_MESSAGE_BYTES = 256 * KIB
# What a message costs the event loop in addition to parsing.
_ROUTING_S = 0.0001
_REASON_MAX = 100
_SETS = "/dev/fdset/"
_EVENTS = {"SHUTDOWN", "GUEST_PANICKED", "BLOCK_IO_ERROR"}


class _Client(QMPClient):
    """A client that reads events no faster than its share of the event loop's time allows; answers to its commands are
    not delayed."""

    def __init__(self, name: str) -> None:
        super().__init__(name, readbuflen=_MESSAGE_BYTES)
        self.share = turns().join()

    async def _do_recv(self) -> Message:
        try:
            line = await self._readline()
            begun = time.thread_time()
            message = Message(line, eager=True)
        except (
            ValueError,
            RecursionError,
        ) as exc:  # endless or too deeply nested: the library handles neither
            raise ProtocolError(f"no message: {exc}") from exc
        number = message.get("id")
        if not isinstance(number, str | None):
            raise ProtocolError("an answer without a question")
        if number not in self._pending:
            self.share.spend(time.thread_time() - begun + _ROUTING_S)
            await self.share.turn()
        return message

    # The library writes each message out for its log even if no log is kept, which takes much longer than to parse it.

    def _cb_inbound(self, msg: Message) -> Message:
        return msg

    def _cb_outbound(self, msg: Message) -> Message:
        return msg


class Monitor:
    """Used from `connect` to `close`. A VMM that hangs costs its own callers a time-out, and no other callers."""

    def __init__(self, machine: str) -> None:
        self.machine = machine
        self.shutdown_reason = ""
        self.on_disk_full: Callable[[], None] | None = None
        self.on_disk_failed: Callable[[str], None] | None = None
        self._client = _Client(f"banger-{machine}")
        self._client.logger.setLevel(logging.CRITICAL + 1)  # errors come as exceptions
        self._events = EventListener(names=_EVENTS, event_filter=self._note)
        self._client.register_listener(self._events)
        self._connected = False

    async def connect(self, path: str, timeout_s: float) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                connection = await own_sockets.dial(path)
                try:
                    await self._client.connect(connection)
                except BaseException:
                    connection.close()
                    raise
        except (
            QMPError,
            TimeoutError,
            OSError,
            AssertionError,
        ) as exc:  # AssertionError: the connection ends within the greeting
            raise Error(
                "vmm_failed", f"QEMU of {self.machine} does not answer on its control socket"
            ) from exc
        self._connected = True

    async def execute(self, command: str, arguments: dict[str, object] | None = None) -> Any:
        """One QMP command. Raises `vmm_failed`, `timeout`."""
        if not self._connected:
            raise Error("vmm_failed", f"QEMU of {self.machine} has no control connection")
        try:
            async with asyncio.timeout(_ANSWER_S):
                return await self._client.execute(command, arguments)
        except TimeoutError as exc:
            raise Error(
                "timeout",
                f"QEMU of {self.machine} did not answer {command} within {_ANSWER_S:g} s",
                f"banger vm kill {self.machine}",
            ) from exc
        except ExecuteError as exc:
            raise Error("vmm_failed", f"QEMU refused {command}: {exc}") from exc
        except QMPError as exc:
            raise Error("vmm_failed", f"QEMU of {self.machine} ended during {command}") from exc

    async def send_descriptor(self, name: str, fd: int) -> None:
        """Give QEMU an open file under `name`; `fd` stays open here."""
        self._send(fd)
        await self.execute("getfd", {"fdname": name})

    async def add_descriptor(self, fd: int) -> str:
        """Give QEMU an open file; return the path that QEMU's commands open it by until `remove_descriptor`. `fd` stays
        open here."""
        self._send(fd)
        added = await self.execute("add-fd")
        return f"{_SETS}{added['fdset-id']}"

    async def remove_descriptor(self, path: str) -> None:
        await self.execute("remove-fd", {"fdset-id": int(path.removeprefix(_SETS))})

    def _send(self, fd: int) -> None:
        if not self._connected:
            raise Error("vmm_failed", f"QEMU of {self.machine} has no control connection")
        try:
            self._client.send_fd_scm(fd)
        except (QMPError, OSError) as exc:
            raise Error("vmm_failed", f"QEMU of {self.machine} accepts no file descriptor: {exc}") from exc

    async def close(self) -> None:
        if self._connected:
            self._connected = False
            try:
                async with asyncio.timeout(2):
                    await self._client.disconnect()
            except (QMPError, TimeoutError, OSError, EOFError):
                pass  # the VMM has closed the connection, which was the aim
        self._client.share.close()

    def _note(self, message: Message) -> bool:
        """Called for each event; returns False, so that no event is queued."""
        given = message.get("data")
        data = given if isinstance(given, dict) else {}
        if message.get("event") == "SHUTDOWN":
            self.shutdown_reason = str(data.get("reason", ""))
        elif message.get("event") == "BLOCK_IO_ERROR":
            if data.get("nospace") and data.get("action") == "stop":
                if self.on_disk_full is not None:
                    self.on_disk_full()
            elif self.on_disk_failed is not None:
                self.on_disk_failed(
                    readable(str(data.get("reason", "")).encode("utf-8", "replace"), _REASON_MAX)
                )
        elif not self.shutdown_reason:
            self.shutdown_reason = "guest-panic"
        return False
