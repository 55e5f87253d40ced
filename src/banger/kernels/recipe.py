"""A kernel of Debian's archive: an entry of a catalog with one of its sources, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from banger.catalogs.shelf import Found
from banger.errors import Error
from banger.model.catalog import DebianSource, KernelEntry

# What machines boot unless they, or their image, ask for another.
DEFAULT = "debian-cloud"
# Of the packages that hold kernels; what is named in a catalog may depend on one.
PREFIX = "linux-image-"


@dataclass(frozen=True)
class DebianKernel:
    """`meta` is a package that depends on the newest one with a kernel, or has one itself. `name` is what it is called
    here."""

    name: str
    suite: str
    meta: str
    architecture: str


def recipe_of(found: Found[KernelEntry], source: DebianSource) -> DebianKernel:
    """Raises `catalog_invalid`."""
    if len(source.packages) != 1:
        raise Error(
            "catalog_invalid", f"the kernel {found.entry.name} names {len(source.packages)} packages, not 1"
        )
    return DebianKernel(found.name, source.suite, source.packages[0], found.entry.architecture)
