"""One machine a test process, for the tests that only run commands in it."""

from __future__ import annotations

import os

import pytest

from tests.support.home import IMAGE, Home


@pytest.fixture
def dev(home: Home) -> str:
    """It is made for the first of them, and once more after one that left it ill."""
    name = "dev-" + os.environ.get("PYTEST_XDIST_WORKER", "main")
    if home.run("exec", "--timeout", "30s", name, "--", "true").returncode != 0:
        home.run("vm", "delete", "-f", name)
        home.text("run", "-d", "--name", name, IMAGE)
    return name
