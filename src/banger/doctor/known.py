"""What catalogs know by name."""

from __future__ import annotations

from banger.catalogs.shelf import PREFIX, Shelf
from banger.host.paths import Paths
from banger.kernels.recipe import DEFAULT

CATALOG = PREFIX
USUAL_IMAGE = "debian-bookworm"
USUAL_SUITE = "bookworm"
USUAL_KERNEL = DEFAULT


def image_name(paths: Paths, ref: str) -> str:
    """What an image of a catalog is called here; empty if none has it for this host."""
    found = Shelf(paths).find_image(ref)
    return found.name if found is not None else ""


def kernel_name(paths: Paths, ref: str) -> str:
    """Likewise of a kernel."""
    found = Shelf(paths).find_kernel(ref)
    return found.name if found is not None else ""
