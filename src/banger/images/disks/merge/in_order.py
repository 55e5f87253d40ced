"""Layers one after the other from the lowest, as an extraction would read them, for images whose names go through
links.

If `lib` is a symbolic link, the meaning of `lib/libc.so` depends on what was extracted before, which a merge from the
top down cannot know. So all headers are read first, in order, into a tree in which names are followed as in the image's
own root: an absolute link begins there, and ".." of the root is the root. Only then it is known which files remain. The
layers that contain them are read again for the contents.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Event

from banger.images.disks.ext4 import can_store
from banger.images.disks.merge.contents import write_wanted
from banger.images.disks.merge.failure import naming_layer
from banger.images.disks.merge.inflate import LayerInput
from banger.images.disks.merge.limits import Budget
from banger.images.disks.merge.names import (
    COMPONENT_BYTES,
    PATH_BYTES,
    normalise,
    normalise_target,
    parse_whiteout,
)
from banger.images.disks.merge.overlay import DEFAULT_DIRECTORY_MODE, node_of
from banger.images.disks.merge.pipeline import read_layer
from banger.images.disks.merge.sink import Sink
from banger.images.disks.tree import Node
from banger.tar.cursor import Cursor
from banger.tar.entries import read_entries, skip_data
from banger.tar.entry import Entry
from banger.tar.failure import Refused, TarFailure, TooLarge
from banger.tar.kind import Kind

_LINKS_IN_A_NAME = 40  # as many as Linux follows
_LINK_STEPS = 20_000_000
_DEPTH = PATH_BYTES // 2


def merge_in_order(
    layers: Sequence[LayerInput],
    sink: Sink,
    budget: Budget,
    report: Callable[[int], None],
    cancel: Event,
    whiteouts: bool,
) -> Node:
    """The root of the tree. Raises what `merge_layers` does."""
    tree = _Extraction(budget, whiteouts)
    for number, layer in enumerate(layers, 1):
        with naming_layer(number, layer.digest):
            tree.begin_layer(number)
            budget.spend_bytes(read_layer(layer, tree.read, budget.bytes_left, report, cancel))
    for number, wanted in tree.wanted().items():
        layer = layers[number - 1]

        def write(cursor: Cursor, wanted: dict[int, Node] = wanted) -> None:
            write_wanted(cursor, budget.limits, wanted, sink)

        with naming_layer(number, layer.digest):
            read_layer(layer, write, budget.limits.inflated_bytes, lambda _: None, cancel)
    return tree.root


class _Extraction:
    """Lives for one image. `_own` and `_swept` belong to the layer that is being read: the names to which it gave
    something, and the directories that contain nothing of lower layers any more, so that no whiteout looks into them
    again."""

    def __init__(self, budget: Budget, whiteouts: bool) -> None:
        self.root = Node(Kind.DIRECTORY, DEFAULT_DIRECTORY_MODE)
        self._budget = budget
        self._whiteouts = whiteouts
        self._layer = 0
        self._sources: dict[Node, tuple[int, int]] = {}
        self._own: set[tuple[Node, bytes]] = set()
        self._swept: set[Node] = set()
        self._link_steps = 0

    def begin_layer(self, number: int) -> None:
        self._layer = number
        self._own.clear()
        self._swept.clear()

    def read(self, cursor: Cursor) -> None:
        """Read the headers of the layer. Raises `TarFailure`."""
        for index, entry in enumerate(read_entries(cursor, self._budget.limits, can_store)):
            try:
                self._budget.spend_entry(entry.metadata_bytes(self._budget.limits))
                node = self._add(entry)
                if node is not None:
                    self._sources[node] = (self._layer, index)
                skip_data(cursor, entry)
            except TarFailure as exc:
                exc.entry = exc.entry or entry.path
                raise

    def wanted(self) -> dict[int, dict[int, Node]]:
        """The files that remain: layer → number of the entry → node."""
        found: dict[int, dict[int, Node]] = {}
        waiting = [self.root]
        while waiting:
            for child in waiting.pop().children.values():
                if child.kind is Kind.DIRECTORY:
                    waiting.append(child)
                elif child.kind is Kind.FILE:
                    number, index = self._sources[child]
                    found.setdefault(number, {})[index] = child
        return found

    def _add(self, entry: Entry) -> Node | None:
        """Put the entry in its place. Returns the node if it is a new file."""
        path = normalise(entry.path)
        if self._whiteouts and b".wh." in path and self._take_whiteout(path):
            return None
        above, _, name = path.rpartition(b"/")
        if entry.kind is Kind.DIRECTORY:
            self._add_directory(above, name, entry)
            return None
        if not name:
            raise Refused("the root of an image must be a directory")
        directory = self._reach(above)
        node = self._target(directory, name, entry) if entry.kind is None else node_of(entry)
        directory.children[name] = node
        self._own.add((directory, name))
        return node if entry.kind is Kind.FILE else None

    def _add_directory(self, above: bytes, name: bytes, entry: Entry) -> None:
        """A directory that exists stays; anything else with the name is replaced, a link too."""
        node = self.root
        if name:
            parent = self._reach(above)
            there = parent.children.get(name)
            node = there if there is not None and there.kind is Kind.DIRECTORY else self._make(parent, name)
            self._own.add((parent, name))
        node.mode, node.uid, node.gid = entry.mode, entry.uid, entry.gid
        node.mtime_ns, node.xattrs = entry.mtime_ns, entry.xattrs

    def _target(self, directory: Node, name: bytes, entry: Entry) -> Node:
        """The target of a hard link. If the target's last part is a symbolic link, the link itself is meant, as in
        link(2)."""
        above, _, last = normalise_target(entry.target).rpartition(b"/")
        parent = self._follow(above, make=False)
        if (parent, last) == (directory, name):
            raise Refused("it is a hard link to itself")
        node = parent.children.get(last) if parent is not None else None
        if node is None:
            raise Refused("it is a hard link to a file that does not exist")
        if node.kind is Kind.DIRECTORY:
            raise Refused("it is a hard link to a directory")
        return node

    def _reach(self, path: bytes) -> Node:
        """The directory at `path`, made with its parents if it does not exist."""
        directory = self._follow(path, make=True)
        assert directory is not None
        return directory

    def _follow(self, path: bytes, make: bool) -> Node | None:
        """The directory to which `path` leads; None if there is none and `make` is false. Raises `Refused`."""
        directory, above = self.root, list[Node]()
        parts = path.split(b"/")[::-1]
        links = 0
        while parts:
            part = parts.pop()
            if part == b"..":
                directory = above.pop() if above else self.root
                continue
            if part in (b"", b"."):
                continue
            child = directory.children.get(part)
            if child is None and make:
                child = self._make(directory, part)
            if child is not None and child.kind is Kind.SYMLINK:
                links += 1
                if links > _LINKS_IN_A_NAME:
                    if make:
                        raise Refused("it goes through a loop of symbolic links")
                    return None
                if child.target[:1] == b"/":
                    directory, above = self.root, []
                parts += self._steps(child)
                continue
            if child is None or child.kind is not Kind.DIRECTORY:
                if make:
                    raise Refused(
                        f"it lies below '{part.decode(errors='replace')}', which is not a directory"
                    )
                return None
            above.append(directory)
            directory = child
            if len(above) > _DEPTH:
                raise Refused(f"it lies more than {_DEPTH} directories deep")
        return directory

    def _steps(self, link: Node) -> list[bytes]:
        steps = link.target.split(b"/")[::-1]
        self._link_steps += len(steps)
        if self._link_steps > _LINK_STEPS:
            raise TooLarge("the names of this image go through too many symbolic links")
        return steps

    def _make(self, parent: Node, name: bytes) -> Node:
        if len(name) > COMPONENT_BYTES:
            raise Refused(
                f"a link that its name goes through has a part of more than {COMPONENT_BYTES} bytes"
            )
        self._budget.spend_entry(len(name))
        node = parent.children[name] = Node(Kind.DIRECTORY, DEFAULT_DIRECTORY_MODE)
        self._swept.add(node)
        return node

    def _take_whiteout(self, path: bytes) -> bool:
        whiteout = parse_whiteout(path)
        if whiteout is None:
            return False
        if whiteout.path is not None and whiteout.opaque:
            directory = self._follow(whiteout.path, make=False)
            if directory is not None:
                self._sweep(directory)
        elif whiteout.path is not None:
            above, _, name = whiteout.path.rpartition(b"/")
            parent = self._follow(above, make=False)
            if parent is not None and name in parent.children:
                self._remove(parent, name)
        return True

    def _remove(self, parent: Node, name: bytes) -> None:
        """Remove what lower layers have under this name; what this layer put there stays."""
        child = parent.children[name]
        if child.kind is Kind.DIRECTORY:
            self._sweep(child)
        self._settle(parent, name)

    def _sweep(self, directory: Node) -> None:
        """Remove from a directory, at any depth, what lower layers have in it."""
        waiting, found = [directory], list[tuple[Node, bytes]]()
        while waiting:
            node = waiting.pop()
            if node in self._swept:
                continue
            self._swept.add(node)
            for name, child in node.children.items():
                found.append((node, name))
                if child.kind is Kind.DIRECTORY:
                    waiting.append(child)
        for parent, name in reversed(found):
            self._settle(parent, name)

    def _settle(self, parent: Node, name: bytes) -> None:
        """After a sweep: remove a name, unless this layer gave it something, or has something below it. Then it stays
        as a directory with default metadata."""
        if (parent, name) in self._own:
            return
        child = parent.children[name]
        if child.kind is Kind.DIRECTORY and child.children:
            child.mode, child.uid, child.gid, child.mtime_ns, child.xattrs = (
                DEFAULT_DIRECTORY_MODE,
                0,
                0,
                0,
                None,
            )
        else:
            del parent.children[name]
