"""Fixtures that more than one kind of test uses."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import Home, open_home
from tests.support.web import Web, open_web

# Whoever runs us in the background may have had these ignored, and ignored signals are inherited.
for ignorable in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(ignorable, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def home() -> Iterator[Home]:
    """One banger for the tests of a worker that only use it; each names its own machines."""
    with open_home() as opened:
        yield opened


@pytest.fixture
def own_home() -> Iterator[Home]:
    """A banger of the test's own, for those that hurt it."""
    with open_home() as opened:
        yield opened


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A machine name that no other test has."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
    return f"t{worker[2:]}-{abs(hash(request.node.nodeid)) % 16**10:x}"


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A web server of plain files on loopback."""
    (tmp_path / "www").mkdir()
    with open_web(tmp_path / "www") as opened:
        yield opened
