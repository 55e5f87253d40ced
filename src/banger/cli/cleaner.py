"""What a guest wrote, made harmless for a terminal as it streams by."""

from __future__ import annotations

from codecs import getincrementaldecoder

from banger.model.shown import escaped


class Cleaner:
    """Bytes in, bytes out. Lines and tabs stay; what else would command a terminal is shown, not done."""

    def __init__(self) -> None:
        self._decoder = getincrementaldecoder("utf-8")("surrogateescape")
        self._held = ""

    def feed(self, data: bytes, final: bool = False) -> bytes:
        """A character that is not whole, and a return that may belong to a line's end, wait for the next piece."""
        text = self._held + self._decoder.decode(data, final)
        self._held = "\r" if text.endswith("\r") and not final else ""
        text = text.removesuffix(self._held) if self._held else text
        lines = text.replace("\r\n", "\n").split("\n")
        return "\n".join("\t".join(map(escaped, line.split("\t"))) for line in lines).encode()
