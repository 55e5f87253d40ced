"""What tests share: who fails does not fail those after him, and a busy host fails nobody."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support import pace, shelter
from tests.support.home import Home, wait_until
from tests.support.shelter import FAILED, Shelter


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Home]:
    """Homes without a daemon, in the order in which they were opened."""
    homes: list[Home] = []

    @contextlib.contextmanager
    def open_home() -> Iterator[Home]:
        homes.append(Home(tmp_path / str(len(homes))))
        yield homes[-1]

    monkeypatch.setattr(shelter, "open_home", open_home)
    return homes


def a_test() -> Any:
    return SimpleNamespace(stash=pytest.Stash())


def nothing(home: Home) -> None:
    """Nothing to tidy."""


def test_a_home_is_shared_until_somebody_fails_in_it(opened: list[Home]) -> None:
    shared = Shelter()
    for node in (a_test(), a_test()):
        with shared.lend(node, nothing) as home:
            assert home is opened[0]
    with shared.lend(failing := a_test(), nothing):
        failing.stash[FAILED] = True
    with shared.lend(a_test(), nothing) as home:
        assert home is opened[1]
    shared.close()


def test_what_cannot_be_tidied_is_left_behind(opened: list[Home]) -> None:
    def fail(home: Home) -> None:
        raise AssertionError("a machine that cannot be deleted")

    shared = Shelter()
    with pytest.raises(AssertionError, match="cannot be deleted"), shared.lend(a_test(), fail):
        pass
    with shared.lend(a_test(), nothing) as home:
        assert home is opened[1]
    shared.close()


def test_limits_grow_with_what_the_host_has_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_probe", lambda: 40.0)
    assert pace.allowed_s(0.1) == 4.0
    with pace.at_most(0.01, "a short sleep"):
        time.sleep(0.02)
    done = threading.Event()
    threading.Timer(0.05, done.set).start()
    wait_until(done.is_set, 0.01, "it is done")


def test_limits_hold_on_a_quiet_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_probe", lambda: 0.9)
    assert pace.allowed_s(0.1) == 0.1
    with pytest.raises(AssertionError, match="a long sleep took"), pace.at_most(0.01, "a long sleep"):
        time.sleep(0.02)
    with pytest.raises(AssertionError, match="it is done"):
        wait_until(lambda: False, 0.01, "it is done")


def test_the_strain_is_measured() -> None:
    assert 1 <= pace.strain() < 1000
