"""What the merge needs of whoever writes the disk."""

from __future__ import annotations

from typing import Protocol


class Sink(Protocol):
    """Takes the contents of files one after the other. Data may be reused as soon as a call returns.

    Nothing is asked of it after a failure: whoever made it throws it away."""

    def restart(self) -> None:
        """Forget all that was given; its extents mean nothing any more."""
        ...

    def add_file(self, data: bytes | memoryview) -> bytes:
        """A whole file → its extents."""
        ...

    def begin_file(self) -> None: ...

    def append(self, data: bytes | memoryview) -> None: ...

    def skip_hole(self, length: int) -> None: ...

    def end_file(self) -> tuple[int, bytes]:
        """(size, extents) of the file begun."""
        ...
