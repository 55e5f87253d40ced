"""Fixtures that more than one kind of test uses."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from banger.store.store import Store
from tests.support.home import Home, golden_builder, golden_home, open_home
from tests.support.shelter import FAILED
from tests.support.web import Web, open_web

# Whoever runs us in the background may have had these ignored, and ignored signals are inherited.
for ignorable in (signal.SIGHUP, signal.SIGQUIT):
    signal.signal(ignorable, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is up to the host and its load.
settings.register_profile("without limits of time", deadline=None)
settings.load_profile("without limits of time")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What is shared learns from it that it may have been hurt."""
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


def pytest_collection_finish(session: pytest.Session) -> None:
    """The shared image is made before the clock of any test runs, whoever makes it and whoever waits for that."""
    if not session.config.option.collectonly and any(_wants_a_home(item) for item in session.items):
        golden_home()
        if any(item.get_closest_marker("builds") for item in session.items):
            golden_builder()


def _wants_a_home(item: pytest.Item) -> bool:
    return item.get_closest_marker("e2e") is not None or bool(
        {"home", "own_home"} & set(getattr(item, "fixturenames", ()))
    )


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
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty one."""
    with contextlib.closing(Store(tmp_path / "s.db")) as opened:
        yield opened


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """A web server of plain files on loopback."""
    (tmp_path / "www").mkdir()
    with open_web(tmp_path / "www") as opened:
        yield opened
