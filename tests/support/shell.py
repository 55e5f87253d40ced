"""A reader's shell, in which `banger` is that of this checkout, with the daemon of a home."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tests.support.home import REPOSITORY, Home


def reader_environment(home: Home, place: Path) -> dict[str, str]:
    """Variables for commands of a page. Makes `place/bin`."""
    programs = place / "bin"
    programs.mkdir()
    shim = programs / "banger"
    shim.write_text(f'#!/bin/sh\nexec {shlex.join(home.argv())} "$@"\n')
    shim.chmod(0o755)
    return {
        **home.env,
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY / "src"),
    }
