# Written by `python -m banger.api.generate` from aio_watch.py; not by hand.
# fmt: off
"""What changes in a directory of a machine (blocking)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from banger.client import calls, results
from banger.client.sync_methods import Carrier, begin
from banger.client.sync_process import Process
from banger.client.file_events import EventReader

if TYPE_CHECKING:
    from banger.client.file_events import FileEvent


class Watch:
    """Iterate over it for the changes, as they happen, from the moment on at which `files.watch` returned it.

    Use it in a `with`, or `close` it: until then a program of the agent watches, and an idle machine is not
    paused. The iteration ends by itself when the directory is deleted or moved. One task or thread uses it at a time.
    """

    def __init__(self, process: Process, path: str) -> None:
        self._process = process
        self._reader = EventReader(path)

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Watch no more."""
        self._process.close()

    def begun(self) -> Watch:
        """Wait until the directory is watched. Raises `file_not_found`."""
        try:
            while not self._reader.is_ready and self._hear():
                pass
        except BaseException:
            self.close()
            raise
        return self

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> FileEvent:
        """The next change, as it happens."""
        while not self._reader.events:
            if not self._hear():
                raise StopIteration
        return self._reader.events.popleft()

    def _hear(self) -> bool:
        """Wait for some output of the program; False at its end. Raises why it failed."""
        for said in self._process:
            self._reader.add(said)
            return True
        self._reader.check_end(self._process.exit_code)
        return False


def watch(client: Carrier, machine_id: str, path: str, recursive: bool) -> Watch:
    """Begin to watch an absolute path."""
    words = ["--recursive", "--", path] if recursive else ["--", path]
    target = calls.machines_applet_target(machine_id)
    process = Process(begin(client, target, results.encode_applet("watch", words)))
    return Watch(process.begun(), path).begun()
