"""A stream that comes in pieces of any size, read in stretches of an exact size."""

from __future__ import annotations

from collections.abc import Iterator

from banger.bundles.members import invalid


class PieceReader:
    """Holds one piece. Raises `bundle_invalid` if the stream ends too early, and the errors of its source."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = memoryview(b"")

    def fill(self, view: memoryview) -> None:
        done = 0
        while done < len(view):
            if self.at_end():
                raise invalid(
                    "the bundle is cut off", "get the whole file; check that its transfer was complete"
                )
            part = self._piece[: len(view) - done]
            view[done : done + len(part)] = part
            self._piece = self._piece[len(part) :]
            done += len(part)

    def take(self, count: int) -> bytes:
        stretch = bytearray(count)
        self.fill(memoryview(stretch))
        return bytes(stretch)

    def at_end(self) -> bool:
        """Whether the stream has ended. May wait for the next piece."""
        while not self._piece:
            piece = next(self._pieces, None)
            if piece is None:
                return True
            self._piece = memoryview(piece)
        return False
