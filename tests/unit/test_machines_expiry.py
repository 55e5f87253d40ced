"""Machines with a time to live, which a registry and a clock decide."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from banger.errors import Error
from banger.machines.keep.registry import Registry
from banger.machines.watch import expiry
from banger.machines.watch.expiry import Expiry, change_expiry, left_s
from banger.model.machine import Machine, MachineSpec, MachineState
from banger.store.store import Store

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


def made(name: str, ttl_s: float, age_s: float, now: datetime = NOW) -> Machine:
    created = (now - timedelta(seconds=age_s)).isoformat().replace("+00:00", "Z")
    spec = MachineSpec(image="debian", ttl_s=ttl_s)
    return Machine(id=f"id-{name}", name=name, state=MachineState.CREATED, spec=spec, created=created)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    one = Store(tmp_path / "banger.db")
    yield one
    one.close()


@pytest.mark.parametrize(
    ("ttl_s", "age_s", "left"), [(0, 5, None), (60, 0, 60), (60, 59, 1), (60, 3600, -3540)]
)
def test_the_time_counts_from_when_the_machine_was_made(
    ttl_s: float, age_s: float, left: float | None
) -> None:
    assert left_s(made("dev", ttl_s, age_s), NOW) == left


class Deletions:
    """Stands in for the deletion of a machine, which tests with real machines try."""

    def __init__(self, patch: pytest.MonkeyPatch, failures: int = 0) -> None:
        self.names: list[str] = []
        self.failures = failures
        patch.setattr(expiry, "delete", self.delete)

    async def delete(self, lives: Any, machine: Machine, *, force: bool) -> None:
        assert force
        self.names.append(machine.name)
        if len(self.names) <= self.failures:
            raise Error("bad_state", "not now")
        lives.registry.remove(machine)


async def until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.01)


def test_what_is_over_is_deleted_and_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    deletions, told = Deletions(monkeypatch), []
    registry = Registry(store)
    now = datetime.now(UTC)
    registry.add(made("stays", 0, 9, now))
    registry.add(made("over", 60, 61, now))
    registry.add(made("later", 3600, 1, now))

    async def go() -> None:
        lives: Any = SimpleNamespace(registry=registry)
        watch = Expiry(lives, lambda kind, target, message, /, **data: told.append((kind, target)))
        watch.begin()
        await until(lambda: deletions.names == ["over"])
        registry.add(made("new", 0.05, 0, datetime.now(UTC)))
        await until(lambda: deletions.names == ["over", "new"])
        change_expiry(registry, registry.find("later"), 0.05)
        change_expiry(registry, registry.find("stays"), 0.05)
        change_expiry(registry, registry.find("stays"), 0)
        await until(lambda: deletions.names == ["over", "new", "later"])
        watch.close()

    asyncio.run(go())
    assert [machine.name for machine in registry.all()] == ["stays"]
    assert told == [("machine.expired", f"machine/{name}") for name in deletions.names]


def test_a_deletion_that_fails_is_tried_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expiry, "_AGAIN_S", 0.01)
    deletions = Deletions(monkeypatch, failures=2)
    registry = Registry(store)
    registry.add(made("over", 60, 61, datetime.now(UTC)))

    async def go() -> None:
        lives: Any = SimpleNamespace(registry=registry)
        watch = Expiry(lives, lambda *_, **__: None)
        watch.begin()
        await until(lambda: len(deletions.names) == 3)
        watch.close()

    asyncio.run(go())
    assert registry.all() == []


def test_a_long_time_is_looked_at_now_and_then(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that slept did not count the time: the clock decides, not the timer."""
    monkeypatch.setattr(expiry, "_LOOK_S", 0.01)
    deletions = Deletions(monkeypatch)
    registry = Registry(store)
    registry.add(made("dev", 3600, 0, datetime.now(UTC)))

    async def go() -> None:
        lives: Any = SimpleNamespace(registry=registry)
        watch = Expiry(lives, lambda *_, **__: None)
        watch.begin()
        await asyncio.sleep(0.1)
        assert deletions.names == []
        real = left_s
        monkeypatch.setattr(expiry, "left_s", lambda machine, now: real(machine, now + timedelta(hours=2)))
        await until(lambda: deletions.names == ["dev"])
        watch.close()

    asyncio.run(go())


def test_a_new_time_counts_from_now(store: Store) -> None:
    registry = Registry(store)
    now = datetime.now(UTC)
    registry.add(made("dev", 60, 50, now))
    machine = registry.find("dev")
    change_expiry(registry, machine, 600)
    left = left_s(machine, datetime.now(UTC))
    assert left is not None and 540 < left <= 600
    change_expiry(registry, machine, 0)
    assert left_s(Registry(store).find("dev"), now) is None
