"""Leftovers are things that no record leads to, at any moment of the look at the host."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.host.paths import Paths
from banger.machines.keep import reconcile
from banger.machines.keep.holdings import Holdings
from banger.machines.keep.reconcile import find_leftovers
from banger.resources.kinds import FILES
from banger.store.store import Store
from tests.support.paths import paths_below


@pytest.fixture
def holdings(tmp_path: Path) -> Iterator[Holdings]:
    store, nothing = Store(tmp_path / "s.db"), Any
    yield Holdings(paths_below(tmp_path), store.resources, nothing)  # type: ignore[arg-type]
    store.close()


def acquire(holdings: Holdings, name: str) -> int:
    """As a task of the daemon does."""
    directory = holdings.paths.machines / name
    noted = holdings.resources.note(f"template-{name}", FILES.name, {"path": str(directory)})
    directory.mkdir(parents=True)
    return noted


def release(holdings: Holdings, name: str, noted: int) -> None:
    (holdings.paths.machines / name).rmdir()
    holdings.resources.clear(noted)


def looking(monkeypatch: pytest.MonkeyPatch, before: Callable[[], None], after: Callable[[], None]) -> None:
    """The loop goes on while a thread looks."""

    async def in_thread(look: Callable[[Paths], Any], paths: Paths) -> Any:
        before()
        seen = look(paths)
        after()
        return seen

    monkeypatch.setattr(reconcile, "in_thread", in_thread)


def test_what_is_made_and_released_during_the_look_is_no_leftover(
    holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a template whose VMM ends while it is made."""
    held = {"earlier": acquire(holdings, "earlier")}
    (holdings.paths.machines / "lost").mkdir()

    def make() -> None:
        held["brief"], held["later"] = acquire(holdings, "brief"), acquire(holdings, "later")

    def unmake() -> None:
        for name in ("brief", "earlier"):
            release(holdings, name, held[name])

    looking(monkeypatch, make, unmake)
    left = asyncio.run(find_leftovers(holdings))
    assert [Path(leftover.what).name for leftover, _ in left] == ["lost"]


def test_what_was_known_during_one_look_is_not_known_in_the_next(
    holdings: Holdings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record that is gone before the look leads nowhere."""
    holdings.resources.clear(acquire(holdings, "lost"))
    looking(monkeypatch, lambda: None, lambda: None)
    for _ in range(2):
        left = asyncio.run(find_leftovers(holdings))
        assert [Path(leftover.what).name for leftover, _ in left] == ["lost"]
    assert holdings.resources._followers == []
