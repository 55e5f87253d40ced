"""The platforms of images: os/architecture/variant, and the best match among several. Pure.

Source: OCI image-spec image-index.md ("Platform Variants"); normal forms as in containerd's package `platforms`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from banger.errors import Error

_FIELD = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ARCHITECTURES = {
    "x86_64": ("amd64", ""),
    "x86-64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armhf": ("arm", "v7"),
    "armel": ("arm", "v6"),
    "i386": ("386", ""),
}
# The variant of an architecture for which none is given.
_BASE_VARIANT = {"amd64": 1, "arm64": 8, "arm": 7}
_VARIANT = re.compile(r"v?([0-9]{1,2})")


@dataclass(frozen=True)
class Platform:
    """In normal form: the base variant of an architecture is left out, except for arm."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in (self.os, self.architecture, self.variant) if part)


def parse_platform(text: str) -> Platform:
    """ "linux/arm64/v8", "linux/amd64", "amd64", "arm/v7". Raises `bad_request`, `unsupported` for other systems."""
    parts = text.split("/")
    if len(parts) > 3 or not all(_FIELD.fullmatch(part) for part in parts):
        raise Error(
            "bad_request", f"bad platform {text[:100]!r}", "write it like linux/amd64 or linux/arm64/v8"
        )
    if len(parts) == 1 or (len(parts) == 2 and parts[0] in _BASE_VARIANT):
        parts.insert(0, "linux")
    platform = parse_platform_fields(*parts)
    if platform.os != "linux":
        raise Error("unsupported", f"images for {platform.os} cannot be run", "use an image for linux")
    return platform


def parse_platform_fields(os: str, architecture: str, variant: str = "") -> Platform:
    """The normal form of the fields of an index or configuration."""
    architecture, implied = _ARCHITECTURES.get(architecture.lower(), (architecture.lower(), ""))
    variant = (variant or implied).lower()
    number = _VARIANT.fullmatch(variant)
    if number and int(number[1]) == _BASE_VARIANT.get(architecture) and architecture != "arm":
        variant = ""
    elif number:
        variant = f"v{number[1]}"
    elif not variant and architecture == "arm":
        variant = "v7"
    return Platform(os.lower()[:64], architecture[:64], variant[:64])


def choose(wanted: Platform, available: Sequence[Platform]) -> Platform | None:
    """The best of `available` that runs on `wanted`: the same variant, or else the highest below it."""
    fitting = [found for found in available if _fits(wanted, found)]
    return max(fitting, key=_rank, default=None)


def choose_near(wanted: Platform, available: Sequence[Platform]) -> Platform | None:
    """The best of `available` if none fits exactly: for the same architecture, in a newer variant or in one without a
    number. Newer variants of arm have other instructions, so they do not count."""
    near = [found for found in available if _is_near(wanted, found)]
    return min(near, key=_rank, default=None)


def _is_near(wanted: Platform, found: Platform) -> bool:
    alike = (found.os, found.architecture) == (wanted.os, wanted.architecture)
    return alike and (found.architecture != "arm" or _rank(found) < 0)


def _fits(wanted: Platform, found: Platform) -> bool:
    if (found.os, found.architecture) != (wanted.os, wanted.architecture):
        return False
    return found == wanted or 0 <= _rank(found) <= _rank(wanted)


def _rank(platform: Platform) -> int:
    """The number of a variant; -1 if it has none."""
    if not platform.variant:
        return _BASE_VARIANT.get(platform.architecture, 0)
    number = _VARIANT.fullmatch(platform.variant)
    return int(number[1]) if number else -1
