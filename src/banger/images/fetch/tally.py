"""How far transfers are: counted in threads, reported from the event loop, as a whole and for each layer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Literal

from msgspec.structs import replace

from banger.model.operation import LayerProgress, Layers, Report

_EVERY_S = 0.1
# With many layers each report is long.
_MANY = 16
_MANY_EVERY_S = 0.5
LAYERS_SHOWN = 128
_DIGITS = 12


class Tally:
    """Lives as long as the transfers of one image or file. `sizes_bytes` are those of its layers, by digest. The number
    of reports does not depend on the number of bytes, but for each layer that begins or ends there may be one."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        report: Report,
        total_bytes: int,
        sizes_bytes: Mapping[str, int] | None = None,
        phase: str = "download",
    ) -> None:
        self._loop = loop
        self._report = report
        self._total = total_bytes
        self._phase = phase
        self._message = ""
        self._done = 0
        self._told = 0.0
        shown = list((sizes_bytes or {}).items())[:LAYERS_SHOWN]
        self._layers = {
            digest: LayerProgress(digest=digest.rpartition(":")[2][:_DIGITS], total=size)
            for digest, size in shown
        }
        self._every_s = _MANY_EVERY_S if len(shown) > _MANY else _EVERY_S

    def add(self, count: int) -> None:
        """Threads may lose a count now and then: this is for people only."""
        self._done += count
        now = time.monotonic()
        if now - self._told >= self._every_s or self._done >= self._total:
            self._told = now
            try:
                self._loop.call_soon_threadsafe(self._tell)
            except RuntimeError:
                pass  # the loop has ended: no task waits for progress

    def say(self, message: str) -> None:
        """What is transferred from now on. Called from the loop."""
        self._message = message
        self._tell()

    def begin(self, digest: str) -> Callable[[int], None]:
        """The layer is being loaded; what is returned counts its bytes, and is for threads."""
        self._note(digest, "loading")

        def add(count: int) -> None:
            if (layer := self._layers.get(digest)) is not None:
                self._layers[digest] = replace(layer, done=max(0, min(layer.done + count, layer.total)))
            self.add(count)

        return add

    def finish(self, digest: str) -> None:
        """The layer is here, and was verified."""
        self._note(digest, "done")
        self.add(0)

    def _note(self, digest: str, state: Literal["loading", "done"]) -> None:
        if (layer := self._layers.get(digest)) is not None:
            done = layer.total if state == "done" else layer.done
            self._layers[digest] = replace(layer, state=state, done=done)

    @property
    def layers(self) -> Layers:
        return tuple(self._layers.values())

    def _tell(self) -> None:
        done = max(0, min(self._done, self._total))
        self._report(self._phase, self._message, done, self._total, "bytes", self.layers)
