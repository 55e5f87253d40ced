"""One home for the tests of a module, as long as they leave it well: who fails in it does not fail those after him."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.home import Home, open_home

FAILED = pytest.StashKey[bool]()  # a test, or one of its fixtures; set by tests/conftest.py


class Shelter:
    """A home is opened for the first test, and for the next after one that failed. `options` as of `open_home`."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._stack = contextlib.ExitStack()
        self._home: Home | None = None

    @contextmanager
    def lend(self, node: pytest.Item, tidy: Callable[[Home], None]) -> Iterator[Home]:
        """For one test. `tidy` is done after it, and fails it where it cannot be done."""
        home = self._home = self._home or self._stack.enter_context(open_home(**self._options))
        try:
            yield home
            if not node.stash.get(FAILED, False):
                tidy(home)
        except BaseException:
            node.stash[FAILED] = True
            raise
        finally:
            if node.stash.get(FAILED, False):
                self._abandon(home)

    def close(self) -> None:
        """As every home: nothing may be left."""
        self._home = None
        self._stack.close()

    def _abandon(self, home: Home) -> None:
        """Its test has failed already: no word of what else is wrong with it, and nothing of it goes on."""
        with contextlib.suppress(Exception):
            self.close()
        self._stack, self._home = contextlib.ExitStack(), None
        with contextlib.suppress(Exception):
            os.kill(int((home.directory / "run/daemon.pid").read_text()), signal.SIGKILL)
        for pid in home.machine_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def delete_machines(home: Home) -> None:
    machines = [machine["id"] for machine in home.json("vm", "list")]
    if machines:
        home.run("rm", "-f", *machines, check=True)


@contextmanager
def open_shelter(**options: Any) -> Iterator[Shelter]:
    shelter = Shelter(**options)
    try:
        yield shelter
    finally:
        shelter.close()
