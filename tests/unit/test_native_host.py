"""Tests in C of the host's programs, run on this machine under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[2] / "native"


@pytest.mark.skipif(shutil.which("gcc") is None or shutil.which("make") is None, reason="needs gcc and make")
def test_options_of_the_jail_hold_under_sanitizers(tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "-C", str(NATIVE), "check", f"CHECK_OUT={tmp_path}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok: the options of the jail" in done.stdout
