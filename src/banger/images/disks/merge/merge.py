"""All layers of an image → one tree. The contents of its files are written once; hidden files are not written.

From the top down: each layer is read once, from its first byte to its last, checked against its diff-id, and merged
below what there is. A layer is read twice only if a hard link with a visible name leads to a file of the same layer
that was skipped because a higher layer hides it.

If a name goes through a symbolic link, its meaning is not known from above. Then everything begins again from the
lowest layer: `in_order`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event

from banger.errors import LayerRefused
from banger.images.disks.merge.failure import naming_layer
from banger.images.disks.merge.in_order import merge_in_order
from banger.images.disks.merge.inflate import LayerInput
from banger.images.disks.merge.layer import LayerTree
from banger.images.disks.merge.limits import Budget, Limits
from banger.images.disks.merge.overlay import (
    Folder,
    Pending,
    ThroughLink,
    hide,
    hide_contents,
    prune,
    slide_under,
)
from banger.images.disks.merge.pipeline import read_layer
from banger.images.disks.merge.sink import Sink
from banger.images.disks.tree import Node
from banger.tar.cursor import Cursor
from banger.tar.failure import Refused

Report = Callable[[int], None]


def merge_layers(
    layers: Sequence[LayerInput],
    sink: Sink,
    limits: Limits | None = None,
    report: Report | None = None,
    cancel: Event | None = None,
    whiteouts: bool = True,
) -> Node:
    """Merge `layers`, the lowest first, and return the root of the tree. Blocks; its two threads have ended when it
    returns.

    Without `whiteouts` the layers are one tree, and a name that begins with `.wh.` is an ordinary name.

    `report` gets the number of compressed bytes that were read since the last call. What `sink` got may be used only
    after this returns: layers are verified at their ends. Raises `layer_corrupt`, `layer_refused`, `layer_too_large`,
    `cancelled`, and the errors of the sink."""
    limits, report, cancel = limits or Limits(), report or (lambda _: None), cancel or Event()
    try:
        return _merge_from_the_top(layers, sink, Budget(limits), report, cancel, whiteouts)
    except ThroughLink:
        pass
    except LayerRefused:
        pass  # a name that looks impossible may be possible where a link leads; only the other order can tell
    sink.restart()
    return merge_in_order(layers, sink, Budget(limits), report, cancel, whiteouts)


def _merge_from_the_top(
    layers: Sequence[LayerInput], sink: Sink, budget: Budget, report: Report, cancel: Event, whiteouts: bool
) -> Node:
    """Raises `ThroughLink`, too."""
    merge = _Merge(layers, sink, budget, report, cancel, whiteouts)
    for number in range(len(layers), 0, -1):
        with naming_layer(number, layers[number - 1].digest):
            merge.add(number)
    for pending in merge.wanted.values():
        merge.refuse(pending, "it is a hard link to a file that does not exist")
    prune(merge.root)
    return merge.root


class _Merge:
    """The state of one merge. `wanted` are targets of hard links that the next lower layers must have; `_assumed` are
    names that higher layers take for directories without entries for them."""

    def __init__(
        self,
        layers: Sequence[LayerInput],
        sink: Sink,
        budget: Budget,
        report: Report,
        cancel: Event,
        whiteouts: bool,
    ) -> None:
        self.root = Folder()
        self.wanted: dict[bytes, Pending] = {}
        self._assumed: set[bytes] = set()
        self._layers = layers
        self._sink = sink
        self._budget = budget
        self._report = report
        self._cancel = cancel
        self._whiteouts = whiteouts

    def add(self, number: int) -> None:
        tree = LayerTree(number, self.root, self.wanted, self._budget, self._whiteouts)
        layer = self._layers[number - 1]
        inflated = self._stream(layer, tree.read, self._budget.bytes_left, self._report)
        self._budget.spend_bytes(inflated)
        self._assumed = tree.confirm(self._assumed)
        slide_under(self.root, tree.root)
        for path in tree.opaques:
            self._budget.spend_entries(hide_contents(self.root, path))
        for path in tree.whiteouts:
            self._budget.spend_entries(hide(self.root, path))
        self.wanted = self._settle(tree)
        if tree.again:
            self._stream(layer, tree.read_again, inflated, lambda _: None)

    def refuse(self, pending: Pending, what: str) -> None:
        """Raise the error for the hard link that `pending` stands for."""
        with naming_layer(pending.layer, self._layers[pending.layer - 1].digest):
            raise Refused(what, pending.entry)

    def _stream(
        self, layer: LayerInput, read: Callable[[Cursor, Sink], None], bytes_left: int, report: Report
    ) -> int:
        """Let `read` read the layer. Returns how many bytes it inflated to. Raises `TarFailure`."""
        return read_layer(layer, lambda cursor: read(cursor, self._sink), bytes_left, report, self._cancel)

    def _settle(self, tree: LayerTree) -> dict[bytes, Pending]:
        """Give the hard links of higher layers the targets that this layer has. Returns the targets that lower layers
        must have."""
        below = tree.links
        for path, pending in self.wanted.items():
            try:
                node = tree.find(path)
            except Refused as exc:
                self.refuse(pending, exc.what)
            if node is None and tree.removes(path):
                self.refuse(pending, "it is a hard link to a file that does not exist")
            if node is None:
                node = below.setdefault(path, pending)
            if node is not pending:
                pending.resolve(node)
        return below
