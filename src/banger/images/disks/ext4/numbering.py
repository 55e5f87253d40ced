"""Inode numbers: breadth first, the names of a directory in order of their bytes.

So the files of a directory are neighbours in the inode table, and the numbers depend on the tree alone. `Node.ino`
holds the number while the disk is written; `forget` resets it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator

from banger.errors import Error
from banger.images.disks.ext4.layout import FIRST_INO, ROOT_INO
from banger.images.disks.tree import Node, path_of
from banger.tar.kind import Kind

LOST_AND_FOUND = b"lost+found"
LINKS_MAX = 65000
_NAME_MAX = 255


class Numbering:
    """Of one tree, for one disk. `nodes[i]` has inode number `FIRST_INO + i`; the root, number 2, is not in it.

    `copies`  copy → original, where a node has more names than an inode can have: a copy takes some of them"""

    def __init__(self, root: Node, *, lost_and_found: bool = True) -> None:
        """Add a lost+found to the root if it has none, unless the disk is to have none."""
        if root.kind is not Kind.DIRECTORY:
            raise ValueError("the root is not a directory")
        self.root = root
        self.nodes: list[Node] = []
        self.directory_inos = array("I", [ROOT_INO])
        self.copies: dict[Node, Node] = {}
        self._copy_of: dict[Node, Node] = {}
        self._parents: dict[Node, int] = {}
        self._more_links: dict[Node, int] = {}
        if lost_and_found and LOST_AND_FOUND not in root.children:
            root.children[LOST_AND_FOUND] = Node(Kind.DIRECTORY, 0o700, mtime_ns=root.mtime_ns)

    def directories(self) -> Iterator[tuple[Node, int, list[bytes]]]:
        """Each directory, once all its children are numbered: (node, its parent's number, names in order). Raises
        `image_build_failed` for a tree that no disk can hold."""
        names = sorted(self.root.children)
        if LOST_AND_FOUND in names:
            names.remove(LOST_AND_FOUND)
            names.insert(0, LOST_AND_FOUND)
        self.root.ino = ROOT_INO
        self._number(self.root, names)
        yield self.root, ROOT_INO, names
        for node in self.nodes:  # the list grows meanwhile
            if node.kind is Kind.DIRECTORY:
                names = sorted(node.children)
                self._number(node, names)
                yield node, self._parents.pop(node), names

    @property
    def inodes_used(self) -> int:
        """The number of inodes from number 1 on, with the reserved ones."""
        return FIRST_INO - 1 + len(self.nodes)

    def links(self, node: Node) -> int:
        """The number of names of a node; 1 for a directory with more subdirectories than ext4 counts (dir_nlink)."""
        more = self._more_links.get(node, 0)
        if node.kind is not Kind.DIRECTORY:
            return 1 + more
        return 2 + more if 2 + more <= LINKS_MAX else 1

    def forget(self) -> None:
        self.root.ino = 0
        for node in self.nodes:
            node.ino = 0

    def _number(self, directory: Node, names: list[bytes]) -> None:
        children, nodes = directory.children, self.nodes
        following = FIRST_INO + len(nodes)
        for name in names:
            if not 0 < len(name) <= _NAME_MAX or b"/" in name or b"\0" in name or name in (b".", b".."):
                raise self._refuse(directory, f"holds a name that no file can have: {name[:300]!r}")
            child = children[name]
            if child.ino:
                child = children[name] = self._link_again(child)
                if child.ino:
                    continue
            child.ino = following
            following += 1
            nodes.append(child)
            if child.kind is Kind.DIRECTORY:
                self._parents[child] = directory.ino
                self.directory_inos.append(child.ino)
                self._more_links[directory] = self._more_links.get(directory, 0) + 1

    def _link_again(self, child: Node) -> Node:
        """The node for one more name: the node itself, or a copy, which has no number yet if it is new."""
        if child.kind is Kind.DIRECTORY:
            raise self._refuse(child, "is a directory in two places")
        current = self._copy_of.get(child, child)
        names = self._more_links.get(current, 0) + 2
        if names <= LINKS_MAX:
            self._more_links[current] = names - 1
            return current
        copy = self._copy_of[child] = child.copy()
        self.copies[copy] = child
        return copy

    def _refuse(self, node: Node, reason: str) -> Error:
        return refuse(self.root, node, reason)


def refuse(root: Node, node: Node, reason: str) -> Error:
    """The error `image_build_failed` for a file."""
    path = path_of(root, node)
    return Error("image_build_failed", f"{path} {reason}", details={"path": path})
