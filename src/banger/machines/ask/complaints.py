"""Error lines of one of the agent's built-in commands: keeps the last line, and counts the lines before it."""

from __future__ import annotations

_LINE_BYTES = 1024
_SHOWN = 300


class Complaints:
    """A guest may write error lines without end, so only one line is kept."""

    def __init__(self) -> None:
        self._last, self._line = b"", bytearray()
        self._count = 0

    def add(self, data: bytes) -> None:
        *ended, rest = data.split(b"\n")
        for piece in ended:
            self._take(piece)
            self._end_line()
        self._take(rest)

    def _take(self, piece: bytes) -> None:
        self._line += piece[: _LINE_BYTES - len(self._line)]

    def _end_line(self) -> None:
        if self._line.strip():
            self._last = bytes(self._line)
            self._count += 1
        self._line.clear()

    def tell(self, otherwise: str) -> str:
        """The last line and the count, for people; `otherwise` if there were no lines."""
        self._end_line()
        line = "".join(c for c in self._last.decode("utf-8", "replace") if c.isprintable())[:_SHOWN].strip()
        before = self._count - 1
        more = "" if before < 1 else f" (and {before} other complaint{'s' if before > 1 else ''} before it)"
        return (line or otherwise) + more
