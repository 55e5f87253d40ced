"""The way of a layer's bytes: one thread inflates, a second one hashes, the caller parses.

Four buffers go round. Each has one owner at any time, who passes it on:

    free ── inflate ──► raw ── hash ──► ready ── parse (the caller) ──► free

A stage that fails puts its exception where the buffer would have gone, and ends. Inflating, hashing and
writing release the interpreter's lock, so two processors are busy and memory stays at four buffers.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Thread
from types import TracebackType
from typing import NamedTuple, Self

from banger.errors import Error
from banger.images.disks.merge.inflate import Blob, LayerInput, fill, open_inflated
from banger.tar.cursor import Cursor
from banger.tar.failure import Corrupt, Refused, TooLarge

CHUNK_BYTES = 512 * 1024
_BUFFERS = 4
_ALGORITHMS = ("sha256", "sha512")


class Chunk(NamedTuple):
    """Some inflated bytes, and how many compressed bytes were read so far."""

    buffer: memoryview
    length: int
    consumed: int


Item = Chunk | Exception | None


class LayerStream:
    """A layer's inflated bytes. Use it in a `with`: both threads have ended at its end, also after an error.

    A chunk is valid until the next one is requested."""

    def __init__(self, layer: LayerInput, bytes_left: int, cancel: Event) -> None:
        """`bytes_left`: the most bytes to which the layer may inflate."""
        self._layer = layer
        self._bytes_left = bytes_left
        self._cancel = cancel
        self._stopped = Event()
        self._free: SimpleQueue[memoryview | None] = SimpleQueue()
        self._raw: SimpleQueue[Item] = SimpleQueue()
        self._ready: SimpleQueue[Item] = SimpleQueue()
        self._hash = _new_hash(layer.diff_id)
        self._held: memoryview | None = None
        self._ended = False
        self._threads: list[Thread] = []
        self.consumed_bytes = 0
        self.inflated_bytes = 0

    def __enter__(self) -> Self:
        for _ in range(_BUFFERS):
            self._free.put(memoryview(bytearray(CHUNK_BYTES)))
        for stage in (self._inflate, self._digest):
            thread = Thread(target=stage, name=f"merge {stage.__name__[1:]}", daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._free.put(None)
        for thread in self._threads:
            thread.join()

    def next_chunk(self) -> memoryview | None:
        """The next bytes, or None at the end. Raises the errors of inflating, and `cancelled`."""
        if self._held is not None:
            self._free.put(self._held)
            self._held = None
        if self._ended:
            return None
        item = self._ready.get()
        self._ended = not isinstance(item, Chunk)
        if isinstance(item, Exception):
            raise item
        if item is None:
            return None
        self._held = item.buffer
        self.consumed_bytes = item.consumed
        self.inflated_bytes += item.length
        return item.buffer[: item.length]

    def verify(self) -> None:
        """Read to the end and compare with the diff-id. Raises `Corrupt`."""
        while self.next_chunk() is not None:
            pass
        found = self._hash.hexdigest()
        if found != self._layer.diff_id.partition(":")[2]:
            raise Corrupt(f"its contents are {self._hash.name}:{found}, not {self._layer.diff_id}")

    def _inflate(self) -> None:
        _run_stage(self._inflate_all, self._raw)

    def _inflate_all(self) -> None:
        with Blob(self._layer) as blob:
            source = open_inflated(blob)
            while (buffer := self._free.get()) is not None and not self._stopped.is_set():
                if self._cancel.is_set():
                    raise Error("cancelled", "the import was cancelled")
                count = fill(source, buffer)
                self._bytes_left -= count
                if self._bytes_left < 0:
                    raise TooLarge("inflates to more bytes than an image may have")
                if not count:
                    return
                self._raw.put(Chunk(buffer, count, blob.consumed))

    def _digest(self) -> None:
        _run_stage(self._digest_all, self._ready)

    def _digest_all(self) -> None:
        while (item := self._raw.get()) is not None:
            if isinstance(item, Exception):
                raise item
            self._hash.update(item.buffer[: item.length])
            self._ready.put(item)


def read_layer(
    layer: LayerInput,
    read: Callable[[Cursor], None],
    bytes_left: int,
    report: Callable[[int], None],
    cancel: Event,
) -> int:
    """Let `read` read what it needs of the layer, read the rest, and compare it with its diff-id. Returns how many
    bytes it inflated to. `report` gets the number of compressed bytes that were read since the last call. Raises
    `TarFailure`."""
    with LayerStream(layer, bytes_left, cancel) as stream:

        def next_chunk() -> memoryview | None:
            before = stream.consumed_bytes
            chunk = stream.next_chunk()
            report(stream.consumed_bytes - before)
            return chunk

        read(Cursor(next_chunk))
        while next_chunk() is not None:
            pass
        stream.verify()
        return stream.inflated_bytes


def _run_stage(stage: Callable[[], None], out: SimpleQueue[Item]) -> None:
    """Run the stage to its end, and pass on how it ended."""
    try:
        stage()
    except Exception as exc:
        out.put(exc)
    else:
        out.put(None)


def _new_hash(diff_id: str) -> hashlib._Hash:
    algorithm, _, value = diff_id.partition(":")
    if algorithm not in _ALGORITHMS or not value:
        raise Refused(f"diff-id {diff_id!r} is of an unknown kind")
    return hashlib.new(algorithm)
