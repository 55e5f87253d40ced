"""One machine a test process, for the tests that only run commands in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.home import IMAGE, Home
from tests.support.openssh import Ssh, have_openssh


@pytest.fixture
def dev(home: Home) -> str:
    """It is made for the first of them, and once more after one that left it ill."""
    name = "dev-" + os.environ.get("PYTEST_XDIST_WORKER", "main")
    if home.run("exec", "--timeout", "30s", name, "--", "true").returncode != 0:
        home.run("vm", "delete", "-f", name)
        home.text("run", "-d", "--name", name, IMAGE)
    return name


@pytest.fixture
def ssh(home: Home, tmp_path: Path) -> Ssh:
    have_openssh()
    return Ssh(home, tmp_path)


@pytest.fixture
def host(dev: str) -> str:
    """The machine of these tests, as OpenSSH knows it."""
    return f"{dev}.banger"
