"""The library that QEMU is started with, so that QEMU can use a file that is open already. `make setup` builds it."""

from __future__ import annotations

from pathlib import Path

from banger.errors import Error

# The prefix by which the library recognises its descriptors; see preload/descriptor.c.
_PREFIX = "/banger/descriptor/"
_ARCHITECTURES = {"amd64": "x86_64"}


def library(architecture: str) -> Path:
    """The path of the library. `architecture` in OCI's terms. Raises `tool_missing` if the library was not built."""
    name = f"descriptor-{_ARCHITECTURES.get(architecture, architecture)}.so"
    path = Path(__file__).parent / "bin" / name
    if not path.is_file():
        raise Error(
            "tool_missing", f"the library that QEMU preloads on {architecture} is not built", "run make setup"
        )
    return path


def path_of(fd: int) -> str:
    """The path by which QEMU opens the descriptor `fd` that it was started with."""
    return f"{_PREFIX}{fd}"
