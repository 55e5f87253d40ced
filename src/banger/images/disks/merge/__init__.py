"""Layers of an image → one tree of files; their contents are written to the disk on the way.

Reads untrusted bytes; never runs programs, never touches other files than the layers. docs/oci-import-internals.md
explains the order of the steps.
"""

from banger.images.disks.merge.inflate import LayerInput
from banger.images.disks.merge.limits import Limits
from banger.images.disks.merge.merge import merge_layers
from banger.images.disks.merge.sink import Sink

__all__ = ["LayerInput", "Limits", "Sink", "merge_layers"]
