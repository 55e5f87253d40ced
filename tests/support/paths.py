"""The places of a banger that a test has to itself."""

from __future__ import annotations

from pathlib import Path

from banger.host.paths import Paths


def paths_below(directory: Path) -> Paths:
    """Nothing is made there."""
    return Paths(directory / "state", directory / "cache", directory / "run", directory / "config")
