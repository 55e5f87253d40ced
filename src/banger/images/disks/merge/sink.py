"""The interface that the merge needs of a writer of disks."""

from __future__ import annotations

from typing import Protocol


class Sink(Protocol):
    """Takes the contents of files one after the other. The caller may reuse data as soon as a call returns.

    After a failure no method is called any more: the owner of the sink discards it."""

    def restart(self) -> None:
        """Forget everything that was written; its extents are invalid from now on."""
        ...

    def add_file(self, data: bytes | memoryview) -> bytes:
        """Write a whole file. Returns its extents."""
        ...

    def begin_file(self) -> None: ...

    def append(self, data: bytes | memoryview) -> None: ...

    def skip_hole(self, length: int) -> None: ...

    def end_file(self) -> tuple[int, bytes]:
        """End the current file. Returns its size and extents."""
        ...
