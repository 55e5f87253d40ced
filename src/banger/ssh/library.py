"""The library that speaks SSH, loaded at once."""

from __future__ import annotations

import ctypes.util


def load_library() -> None:
    """Load it without its search for two other libraries, which it does without. Python searches with `ldconfig`, and
    then with a compiler and a linker of the host: at each connection."""
    find = ctypes.util.find_library
    ctypes.util.find_library = _find_nothing
    try:
        import asyncssh  # noqa: F401
    finally:
        ctypes.util.find_library = find


def _find_nothing(name: str) -> str | None:
    return None
