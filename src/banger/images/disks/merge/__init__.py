"""Layers of an image → one tree of files, with their contents written to the disk on the way.

Reads untrusted bytes; never runs programs, never touches a file but the layers. docs/oci-import-internals.md has the
order of things.
"""

from banger.images.disks.merge.inflate import LayerInput
from banger.images.disks.merge.limits import Limits
from banger.images.disks.merge.merge import merge_layers
from banger.images.disks.merge.sink import Sink

__all__ = ["LayerInput", "Limits", "Sink", "merge_layers"]
