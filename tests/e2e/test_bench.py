"""What the benches compare banger with can still be measured."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.home import IMAGE, Home

pytestmark = pytest.mark.e2e

REPOSITORY = Path(__file__).parents[2]


def test_the_floor_under_a_cold_boot_boots(home: Home) -> None:
    """The product's own functions make its command line."""
    home.text("run", "--rm", IMAGE, "--", "true")
    program = "import pathlib, sys; from bench.floor import Floor; print(Floor(pathlib.Path(sys.argv[1])).boot_ms())"
    done = subprocess.run(
        [sys.executable, "-c", program, str(home.directory / "cache/kernels")],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) < 60_000
