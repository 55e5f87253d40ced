"""Changes in a directory of a machine, from the output of the agent's `watch`. Pure. A guest may write anything: what
is too long or malformed is refused."""

from __future__ import annotations

import posixpath
from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple, cast

from banger.client.http1 import lost
from banger.errors import Error

if TYPE_CHECKING:
    from banger.client.outputs import Said

Kind = Literal["created", "modified", "deleted", "moved", "overflow"]
_KINDS = ("created", "modified", "deleted", "moved", "overflow")
_READY = b"ready"
_LONGEST = 16 * 1024  # of one event: two paths
_PATH_MISSING = 4  # the exit code of a built-in command, as docs/protocol.md has it


class FileEvent(NamedTuple):
    """A change in a directory that is watched. `new_path` is where a file was moved to. "overflow" means that changes
    were lost, because they came faster than they were read: list the directory again. "deleted" with the path of the
    directory itself is the last event."""

    kind: Kind
    path: str
    new_path: str = ""


class EventReader:
    """Reads one stream. `events` holds what was read and not taken yet."""

    def __init__(self, directory: str) -> None:
        self.is_ready = False
        self.events: deque[FileEvent] = deque()
        self._directory = directory
        self._rest = b""
        self._complaint = ""

    def add(self, said: Said) -> None:
        """Raises `agent_error`."""
        if said.source == "stderr":
            self._complaint = (self._complaint + said.text)[-_LONGEST:]
            return
        *texts, self._rest = (self._rest + said.data).split(b"\0")
        whole = len(texts) // 3 * 3
        for at in range(0, whole, 3):
            self._take(*texts[at : at + 3])
        self._rest = b"\0".join([*texts[whole:], self._rest])
        if len(self._rest) > _LONGEST:
            raise _malformed()

    def _take(self, kind: bytes, path: bytes, new: bytes) -> None:
        if kind == _READY:
            self.is_ready = True
            return
        name = kind.decode("ascii", "replace")
        if name not in _KINDS:
            raise _malformed()
        moved_to = self._whole(new) if name == "moved" else ""
        self.events.append(FileEvent(cast("Kind", name), self._whole(path), moved_to))

    def _whole(self, path: bytes) -> str:
        below = path.decode("utf-8", "surrogateescape")
        return posixpath.join(self._directory, below) if below else self._directory

    def check_end(self, exit_code: int | None) -> None:
        """Raises why the command failed, if it did."""
        if exit_code is None:
            raise lost("before the watch ended")
        if exit_code == 0:
            return
        lines = [line for line in self._complaint.splitlines() if line.strip()]
        why = "".join(c for c in lines[-1] if c.isprintable())[:300] if lines else f"exit code {exit_code}"
        code = "file_not_found" if exit_code == _PATH_MISSING else "agent_error"
        raise Error(code, f"{self._directory} cannot be watched: {why}")


def _malformed() -> Error:
    return Error("agent_error", "the agent told of a change that no file system has", "restart the machine")
