"""File trees as tar streams: packing files of this host, unpacking what a guest sends, and passing it on to another
guest. The room `tar` has the format."""

from banger.client.trees.complaints import Complaints
from banger.client.trees.packing import pack_tree
from banger.client.trees.passing import pass_tree
from banger.client.trees.unpacking import unpack_tree

__all__ = ["Complaints", "pack_tree", "pass_tree", "unpack_tree"]
