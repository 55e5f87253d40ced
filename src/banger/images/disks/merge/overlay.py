"""Layers below layers: what the higher layers leave visible of the next lower one.

The merge goes from the top down, so that hidden contents need not be written. The merged tree also says what it hides:
a name that exists hides that name in lower layers, an opaque directory hides all names in it. Where a higher layer
removed a name without a replacement, `GONE` has the name until the end.
"""

from __future__ import annotations

from banger.images.disks.tree import Node
from banger.tar.entry import Entry
from banger.tar.failure import Refused
from banger.tar.kind import Kind

DEFAULT_DIRECTORY_MODE = 0o755


class Folder(Node):
    """A directory while layers are merged.

    `implied`  only deeper names imply it: the next lower layer that has the directory gives its mode, owner and so on
    `hollow`   only whiteouts imply it: the directory does not exist unless a lower layer has it
    `opaque`   its contents in lower layers are hidden
    `over`     while its layer is read: the directory of that path in higher layers; None if they have none
    """

    __slots__ = ("hollow", "implied", "opaque", "over")

    def __init__(self, over: Folder | None = None, hollow: bool = False) -> None:
        super().__init__(Kind.DIRECTORY, DEFAULT_DIRECTORY_MODE)
        self.implied = True
        self.hollow = hollow
        self.opaque = False
        self.over = over

    def describe(
        self, mode: int, uid: int, gid: int, mtime_ns: int, xattrs: dict[bytes, bytes] | None
    ) -> None:
        """Take the metadata of the directory's own entry."""
        self.mode, self.uid, self.gid, self.mtime_ns, self.xattrs = mode, uid, gid, mtime_ns, xattrs
        self.implied = False

    def shows(self, name: bytes) -> bool:
        """Whether this name, if it is not a directory, is visible below the higher layers."""
        over = self.over
        if over is None:
            return True
        if over.opaque:
            return False
        above = over.children.get(name)
        return above is None or (isinstance(above, Folder) and above.hollow)

    def over_child(self, name: bytes) -> Folder | None:
        """`over` for a directory of that name in this one."""
        over = self.over
        if over is None or over.opaque:
            return over and HIDING
        above = over.children.get(name)
        return above if above is None or isinstance(above, Folder) else HIDING


class Pending(Node):
    """Stands for the target of a hard link that a lower layer has.

    `path` is the path of the target, `entry` and `layer` say whose link it is, `places` where the node must go."""

    __slots__ = ("entry", "layer", "path", "places")

    def __init__(self, path: bytes, entry: bytes, layer: int) -> None:
        super().__init__(Kind.FILE, 0)
        self.path = path
        self.entry = entry
        self.layer = layer
        self.places: list[tuple[Folder, bytes]] = []

    def resolve(self, node: Node) -> None:
        """Put `node` in all places where this still is."""
        for folder, name in self.places:
            if folder.children.get(name) is self:
                folder.children[name] = node
        if isinstance(node, Pending):
            node.places += self.places


class ThroughLink(Exception):
    """A name goes through a symbolic link, so its meaning depends on the lower layers. Never leaves this package."""


def may_be_link(node: Node) -> bool:
    """Whether a node that is not a directory may lead to one: a symbolic link, or a target in a lower layer that may be
    a link."""
    return node.kind is Kind.SYMLINK or isinstance(node, Pending)


def node_of(entry: Entry) -> Node:
    """The node of an entry, which is not a hard link."""
    assert entry.kind is not None
    owner = (entry.mode, entry.uid, entry.gid)
    return Node(entry.kind, *owner, entry.mtime_ns, entry.size, b"", entry.target, entry.device, entry.xattrs)


GONE = Node(Kind.FILE, 0)
HIDING = Folder()
HIDING.opaque = True


def slide_under(upper: Folder, lower: Folder) -> None:
    """Merge the next lower layer below the merged tree; `lower` cannot be used afterwards. Raises `Refused`."""
    todo = [(upper, lower, b"")]
    while todo:
        up, low, path = todo.pop()
        if up.implied:
            up.hollow = False
            if not low.implied:
                up.describe(low.mode, low.uid, low.gid, low.mtime_ns, low.xattrs)
        if up.opaque:
            continue
        up.opaque = low.opaque
        for name, child in low.children.items():
            above = up.children.get(name)
            if above is None:
                _attach(up, name, child)
            elif isinstance(above, Folder):
                inner = path + b"/" + name if path else name
                if isinstance(child, Folder):
                    todo.append((above, child, inner))
                elif above.hollow:
                    _attach(up, name, child)
                elif above.implied:
                    raise Refused("it is not a directory, but a higher layer has entries below it", inner)
                else:
                    # The directory replaced this entry, which replaces everything below it.
                    above.opaque = True


def _attach(folder: Folder, name: bytes, child: Node) -> None:
    folder.children[name] = child
    if isinstance(child, Pending):
        child.places.append((folder, name))


def hide(root: Folder, path: bytes) -> int:
    """Apply a whiteout: hide `path` of the lower layers. Returns how many directories were made for that."""
    above, _, name = path.rpartition(b"/")
    folder, made = _reach(root, above)
    if folder is None or folder.opaque:
        return made
    child = folder.children.get(name)
    if child is None or (isinstance(child, Folder) and child.hollow):
        folder.children[name] = GONE
    elif isinstance(child, Folder):
        child.opaque = True
        child.implied = False
    return made


def hide_contents(root: Folder, path: bytes) -> int:
    """Apply an opaque marker: hide the contents of `path` in lower layers. Returns how many directories were made for
    that."""
    folder, made = _reach(root, path)
    if folder is not None:
        folder.opaque = True
    return made


def _reach(root: Folder, path: bytes) -> tuple[Folder | None, int]:
    """The directory at `path`, with hollow directories made on the way; None if it is hidden already."""
    folder, made = root, 0
    for part in path.split(b"/") if path else ():
        if folder.opaque and part not in folder.children:
            return None, made
        child = folder.children.get(part)
        if child is None:
            child = folder.children[part] = Folder(hollow=True)
            made += 1
        elif not isinstance(child, Folder):
            return None, made
        folder = child
    return folder, made


def prune(root: Folder) -> None:
    """Remove nodes that only hide something."""
    todo = [root]
    while todo:
        children = todo.pop().children
        spent = []
        for name, child in children.items():
            if isinstance(child, Folder):
                if child.hollow:
                    spent.append(name)
                else:
                    child.over = None
                    todo.append(child)
            elif child is GONE:
                spent.append(name)
        for name in spent:
            del children[name]
