"""The process that keeps the guests' namespaces when all other programs of them are killed at one moment.

The holder is in the namespaces and does nothing: it has no rights there, and waits for its end. A daemon that finds a
holder but no keeper starts a keeper with the holder's namespaces, in which the taps of running VMs still are.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from banger.errors import Error
from banger.host.proc import ProcessRef, is_alive, send_signal, wait_gone
from banger.host.spawn import spawn_unconfined
from banger.host.thread import in_thread
from banger.network.programs import find_running, program

log = logging.getLogger("banger.network")

_END_S = 5.0
_START_S, _LOOK_S = 5.0, 0.005
# The user namespace first, as the keeper takes them.
_KINDS = ("user", "net")


class Holder:
    """That of one home, whose network programs work in `directory`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.process: ProcessRef | None = None

    async def find(self) -> tuple[int, ...]:
        """Descriptors of the namespaces of a holder that runs, which the caller closes; none if there is no holder."""
        self.process = await in_thread(find_running, "holder", self._directory)
        return _namespaces_of(self.process)

    async def ensure(self, namespaces: Sequence[int]) -> None:
        """Let there be a holder of these namespaces. A host that refuses it is a host without one."""
        if self.process is None or not is_alive(self.process):
            self.process = await in_thread(find_running, "holder", self._directory)
        if self.process is not None and not _is_in(self.process, namespaces):
            await self.end()
        if self.process is None:
            try:
                self.process = await in_thread(self._start, namespaces)
                await _until_in(self.process, namespaces)
            except Error as exc:
                log.warning(
                    "nothing holds the guests' network if all its programs are killed: %s", exc.message
                )

    async def end(self) -> None:
        process, self.process = self.process, None
        if process is not None and send_signal(process, signal.SIGKILL):
            await wait_gone(process, _END_S)

    def _start(self, namespaces: Sequence[int]) -> ProcessRef:
        return spawn_unconfined(
            [str(program("keeper")), "--hold", "--adopt=" + ",".join(map(str, namespaces))],
            marker="holder",
            output=self._directory / "keeper.log",
            cwd=self._directory,
            pass_fds=namespaces,
        )


async def _until_in(process: ProcessRef, namespaces: Sequence[int]) -> None:
    """Wait until the new holder is in the namespaces, or has ended: before that it would lead to the host's own."""
    for _ in range(round(_START_S / _LOOK_S)):
        if _is_in(process, namespaces) or not is_alive(process):
            return
        await asyncio.sleep(_LOOK_S)


def _namespaces_of(process: ProcessRef | None) -> tuple[int, ...]:
    """None if the process is in the network of the host, where no keeper may ever be."""
    found: list[int] = []
    try:
        for kind in _KINDS if process is not None else ():
            assert process is not None
            found.append(os.open(f"/proc/{process.pid}/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        for descriptor in found:
            os.close(descriptor)
        return ()
    apart = process is not None and not os.path.samestat(os.stat("/proc/self/ns/net"), os.fstat(found[-1]))
    if process is not None and apart and is_alive(process):
        return tuple(found)
    for descriptor in found:
        os.close(descriptor)
    return ()


def _is_in(process: ProcessRef, namespaces: Sequence[int]) -> bool:
    """Whether the process is in these namespaces."""
    try:
        return all(
            os.stat(f"/proc/{process.pid}/ns/{kind}").st_ino == os.fstat(descriptor).st_ino
            for kind, descriptor in zip(_KINDS, namespaces, strict=True)
        )
    except OSError:
        return False
