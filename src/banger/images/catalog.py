"""The images banger can build by name. Data."""

from __future__ import annotations

from dataclasses import dataclass

from banger.errors import Error


@dataclass(frozen=True)
class DebianImage:
    """A Debian suite's minimal system and `packages`. `epoch` (seconds since 1970) is the time that files get
    which the build itself writes; it is the suite's release."""

    name: str
    suite: str
    packages: tuple[str, ...]
    epoch: int
    architecture: str
    description: str


IMAGES = (
    DebianImage(
        name="debian-bookworm",
        suite="bookworm",
        packages=(
            *("systemd", "systemd-sysv", "udev", "dbus", "libpam-systemd"),
            *("iproute2", "iputils-ping", "netbase", "ca-certificates"),
            *("procps", "kmod", "less"),
        ),
        epoch=1686355200,
        architecture="amd64",
        description="Debian 12, minimal, with systemd",
    ),
)
ALIASES = {"debian": "debian-bookworm"}


def canonical_name(ref: str) -> str:
    return ALIASES.get(ref, ref)


def find_recipe(ref: str) -> DebianImage | None:
    return next((recipe for recipe in IMAGES if recipe.name == canonical_name(ref)), None)


def not_found(ref: str, here: list[str]) -> Error:
    """`image_not_found` whose hint lists what is known."""
    known = sorted({recipe.name for recipe in IMAGES} | set(here))
    return Error(
        "image_not_found",
        f"no image is known as {ref!r}",
        f"known images: {', '.join(known)}; a directory: rootfs:/path",
        {"known": list(known)},
    )
