"""One machine a test process, for the tests that only run commands in it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.home import IMAGE, Home


@pytest.fixture(scope="session")
def dev(home: Home) -> Iterator[str]:
    name = "dev-" + os.environ.get("PYTEST_XDIST_WORKER", "main")
    home.text("run", "-d", "--name", name, IMAGE)
    yield name
    home.run("vm", "delete", "-f", name, check=True)
