"""The agent's built-ins, as a program of this host."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_GUEST = Path(__file__).parents[2] / "guest"


def build_applets(place: Path, *variables: str) -> Path:
    """The program. `variables` of the Makefile are set as given. Skips without a compiler."""
    if shutil.which("gcc") is None or shutil.which("make") is None:
        pytest.skip("capability missing: gcc and make")
    words = ["make", "-C", str(_GUEST), "applets", f"CHECK_OUT={place}", *variables]
    subprocess.run(words, check=True, capture_output=True, timeout=300)
    return place / "applets"
