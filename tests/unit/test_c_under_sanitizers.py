"""Tests in C, of the guest agent and of the host's programs, run on this machine under the address and
undefined-behaviour sanitizers."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("gcc") is None or shutil.which("make") is None, reason="needs gcc and make")
@pytest.mark.parametrize(
    ("directory", "last"),
    [("guest", "ok: frames, at random"), ("native", "ok: the options of the jail")],
)
def test_parsers_streams_archives_and_options_hold(directory: str, last: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "-C", str(ROOT / directory), "check", f"CHECK_OUT={tmp_path}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert last in done.stdout
