"""One layer: its entries as an extraction of this layer alone would leave them, and its whiteouts.

Whiteouts affect the lower layers only, wherever they are in the archive (OCI image-spec layer.md, "Whiteouts"). A later
entry replaces an earlier one with the same name, except that a directory stays and takes the later metadata.
"""

from __future__ import annotations

from banger.images.disks.ext4 import can_store
from banger.images.disks.merge.contents import write_contents, write_wanted
from banger.images.disks.merge.limits import Budget
from banger.images.disks.merge.names import normalise, normalise_target, parse_whiteout
from banger.images.disks.merge.overlay import Folder, Pending, ThroughLink, may_be_link, node_of
from banger.images.disks.merge.sink import Sink
from banger.images.disks.tree import Node
from banger.tar.cursor import Cursor
from banger.tar.entries import read_entries, skip_data
from banger.tar.entry import Entry
from banger.tar.failure import Refused, TarFailure
from banger.tar.kind import Kind


class LayerTree:
    """Lives while one layer is read. `upper` is the merged tree of the higher layers, which does not change meanwhile.
    `wanted` has the paths of this layer or lower ones that hard links of higher layers need.

    `links`     targets that lower layers must have, by path
    `again`     files that were skipped as hidden, and that a link needs after all, by the number of the entry
    """

    def __init__(
        self, number: int, upper: Folder, wanted: dict[bytes, Pending], budget: Budget, hides: bool
    ) -> None:
        """`hides`: whether names may be whiteouts."""
        self.number = number
        self.root = Folder(over=upper)
        self.whiteouts: set[bytes] = set()
        self.opaques: set[bytes] = set()
        self.links: dict[bytes, Pending] = {}
        self.again: dict[int, Node] = {}
        self._wanted = wanted
        self._budget = budget
        self._hides = hides
        self._implied: list[bytes] = []
        self._folders: dict[bytes, Folder] = {b"": self.root}
        self._skipped: dict[Node, int] = {}
        self._pending: dict[bytes, Pending] = {}

    def read(self, cursor: Cursor, sink: Sink) -> None:
        """Read the whole stream; contents go to `sink`. Raises `TarFailure`."""
        for number, entry in enumerate(read_entries(cursor, self._budget.limits, can_store)):
            try:
                node = self._add(entry)
                if node is None:
                    skip_data(cursor, entry)
                elif node in self._skipped:
                    self._skipped[node] = number
                    skip_data(cursor, entry)
                else:
                    node.extents = write_contents(cursor, entry, sink)
            except TarFailure as exc:
                exc.entry = exc.entry or entry.path
                raise

    def read_again(self, cursor: Cursor, sink: Sink) -> None:
        """A second pass, for the files in `again` only."""
        write_wanted(cursor, self._budget.limits, self.again, sink)

    def confirm(self, assumed: set[bytes]) -> set[bytes]:
        """Check names that higher layers assume to be directories, without entries for them. Returns the names that
        lower layers have to confirm: the names of which this layer says nothing, and the names that it assumes itself.
        Raises `ThroughLink` if a name is a link."""
        left = {path for path in assumed if self._leaves_open(path) and not self.removes(path)}
        return left | self._assumptions()

    def _leaves_open(self, path: bytes) -> bool:
        """Whether lower layers decide what `path` is. Raises `ThroughLink`."""
        if path in self._folders:
            return False
        above, _, name = path.rpartition(b"/")
        parent = self._folders.get(above)
        child = parent.children.get(name) if parent is not None else None
        if child is not None and may_be_link(child):
            raise ThroughLink
        return child is None and not (parent is not None and parent.opaque)

    def _assumptions(self) -> set[bytes]:
        """The directories that this layer only implies; whiteouts imply some, too. An entry of this layer that removes,
        replaces or describes such a directory changes nothing, since it may come later in the archive."""
        found = set(self._implied)
        for path in (*(path.rpartition(b"/")[0] for path in self.whiteouts), *self.opaques):
            while path:
                self._leaves_open(
                    path
                )  # raises if a link has replaced this directory, which may be among those found
                if path in found:
                    break
                found.add(path)
                path = path.rpartition(b"/")[0]
        return found

    def find(self, path: bytes) -> Node | None:
        """What this layer finally has at `path`; None if lower layers decide that. Raises `Refused` if this layer hides
        that path of lower layers by other means than whiteouts."""
        folder = self.root
        *above, name = path.split(b"/")
        for part in above:
            child = folder.children.get(part)
            if child is None:
                break
            if not isinstance(child, Folder):
                if may_be_link(child):
                    raise ThroughLink
                raise Refused("its target goes through something that is not a directory")
            folder = child
        else:
            found = folder.children.get(name)
            if isinstance(found, Folder):
                raise Refused("it is a hard link to a directory")
            if found is not None:
                return found
        if folder.opaque:
            raise Refused("it is a hard link to a file that does not exist")
        return None

    def removes(self, path: bytes) -> bool:
        """Whether a whiteout of this layer hides `path` of lower layers."""
        if path in self.whiteouts:
            return True
        while path:
            path = path.rpartition(b"/")[0]
            if path in self.whiteouts or path in self.opaques:
                return True
        return False

    def _add(self, entry: Entry) -> Node | None:
        """Put the entry in its place. Returns the node if it is a file, whose data must then be read."""
        path = normalise(entry.path)
        self._budget.spend_entry(entry.metadata_bytes(self._budget.limits))
        if b".wh." in path and self._hides and self._take_whiteout(path):
            return None
        if entry.kind is Kind.DIRECTORY:
            self._add_folder(path, entry)
            return None
        above, _, name = path.rpartition(b"/")
        if not name:
            raise Refused("the root of an image must be a directory")
        folder = self._folders.get(above) or self._imply(above)
        if entry.kind is None:
            self._add_link(folder, name, path, entry)
            return None
        node = node_of(entry)
        self._place(folder, name, path, node)
        if entry.kind is not Kind.FILE:
            return None
        if not self._is_needed(folder, name, path):
            self._skipped[node] = -1
        return node

    def _take_whiteout(self, path: bytes) -> bool:
        whiteout = parse_whiteout(path)
        if whiteout is None:
            return False
        if whiteout.path is not None:
            (self.opaques if whiteout.opaque else self.whiteouts).add(whiteout.path)
        return True

    def _is_needed(self, folder: Folder, name: bytes, path: bytes) -> bool:
        return folder.over is None or folder.shows(name) or path in self._wanted

    def _place(self, folder: Folder, name: bytes, path: bytes, node: Node) -> None:
        old = folder.children.get(name)
        if isinstance(old, Folder):
            self._drop(path, old)
        folder.children[name] = node

    def _add_folder(self, path: bytes, entry: Entry) -> None:
        folder = self._folders.get(path)
        if folder is None:
            above, _, name = path.rpartition(b"/")
            parent = self._folders.get(above) or self._imply(above)
            folder = self._make_folder(parent, name, path)
        folder.describe(entry.mode, entry.uid, entry.gid, entry.mtime_ns, entry.xattrs)

    def _make_folder(self, parent: Folder, name: bytes, path: bytes) -> Folder:
        folder = Folder(over=parent.over_child(name))
        # A replaced entry of this layer has already replaced what lower layers have under this name.
        folder.opaque = name in parent.children
        parent.children[name] = folder
        self._folders[path] = folder
        return folder

    def _imply(self, path: bytes) -> Folder:
        """The directory at `path`, made with those parents for which the archive has no entries."""
        folder, done = self.root, b""
        for part in path.split(b"/"):
            done = done + b"/" + part if done else part
            child = folder.children.get(part)
            if child is None:
                self._budget.spend_entry(len(done))
                child = self._make_folder(folder, part, done)
                self._implied.append(done)
            elif may_be_link(child):
                raise ThroughLink
            elif not isinstance(child, Folder):
                raise Refused(f"it lies below '{part.decode(errors='replace')}', which is not a directory")
            folder = child
        return folder

    def _drop(self, path: bytes, folder: Folder) -> None:
        """Forget a directory that something else replaces, with everything below it."""
        todo = [(path, folder)]
        while todo:
            path, folder = todo.pop()
            del self._folders[path]
            todo += [
                (path + b"/" + name, child)
                for name, child in folder.children.items()
                if isinstance(child, Folder)
            ]

    def _add_link(self, folder: Folder, name: bytes, path: bytes, entry: Entry) -> None:
        """Add another name for what `entry.target` is at this point of the archive."""
        target = normalise_target(entry.target)
        if target == path:
            raise Refused("it is a hard link to itself")
        node = self.find(target)
        needed = self._is_needed(folder, name, path)
        if node is None:
            node = self._pending.get(target)
            if node is None:
                node = self._pending[target] = Pending(target, entry.path, self.number)
        if isinstance(node, Pending):
            node.places.append((folder, name))
            if needed:
                self.links[node.path] = node
        elif needed and node in self._skipped:
            self.again[self._skipped[node]] = node
        self._place(folder, name, path, node)
