"""The kernels banger knows by name. Data."""

from __future__ import annotations

from dataclasses import dataclass

from banger.errors import Error


@dataclass(frozen=True)
class DebianKernel:
    """`meta` is a package that depends on the newest image package, whose name begins with `prefix`."""

    name: str
    suite: str
    meta: str
    prefix: str
    architecture: str
    description: str


KERNELS = (
    DebianKernel(
        name="debian-cloud",
        suite="bookworm",
        meta="linux-image-cloud-amd64",
        prefix="linux-image-",
        architecture="amd64",
        description="Debian 12's kernel for virtual machines",
    ),
)
ALIASES = {"debian-cloud-bookworm": "debian-cloud"}


def canonical_name(ref: str) -> str:
    return ALIASES.get(ref, ref)


def find_recipe(ref: str) -> DebianKernel:
    """Raises `kernel_not_found`."""
    name = canonical_name(ref)
    for recipe in KERNELS:
        if recipe.name == name:
            return recipe
    known = ", ".join(recipe.name for recipe in KERNELS)
    raise Error("kernel_not_found", f"no kernel is known as {ref!r}", f"known kernels: {known}")
